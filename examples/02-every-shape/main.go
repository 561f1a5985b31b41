// Command 02-every-shape fulfils an order whose saga has every kind of node: the card is charged while the parcels are
// packed, side by side; one parcel of three may fail; a gift gets a ribbon; the customer confirms; the order rests; then it is shipped.
//
//	go run ./examples/02-every-shape
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// The data of the saga and of its items, and the messages.
type (
	Order struct {
		ID      string
		Parcels []Parcel
		Gift    bool
		By      string
	}
	Parcel struct{ ID string }

	Charge     struct{ Order string }
	Charged    struct{}
	Refund     struct{ Order string }
	Refunded   struct{}
	Pack       struct{ Parcel string }
	Packed     struct{}
	OutOfStock struct{ Parcel string }
	Unpack     struct{ Parcel string }
	Unpacked   struct{}
	TieRibbon  struct{ Order string }
	RibbonTied struct{}
	Ship       struct{ Order, For string }
	Shipped    struct{}

	// Confirmed is the customer's word.
	Confirmed struct{ By string }
)

// Fulfil is the saga.
var Fulfil = saga.MustDefine("fulfil-order",
	saga.Parallel("prepare",
		saga.Step("charge",
			saga.Do(func(o Order) Charge { return Charge{o.ID} }),
			saga.On(func(*Order, Charged) {}),
			saga.Undo(func(o Order) Refund { return Refund{o.ID} })),
		saga.ForEach("parcels", func(o Order) []Parcel { return o.Parcels },
			saga.Step("pack",
				saga.Do(func(p Parcel) Pack { return Pack{p.ID} }),
				saga.On(func(*Parcel, Packed) {}),
				saga.OnFailure(func(*Parcel, OutOfStock) {}),
				saga.Undo(func(p Parcel) Unpack { return Unpack{p.ID} })),
		).AtMost(10).Tolerate(1)),
	saga.If("gift", func(o Order) bool { return o.Gift },
		saga.Step("ribbon",
			saga.Do(func(o Order) TieRibbon { return TieRibbon{o.ID} }),
			saga.On(func(*Order, RibbonTied) {})).NothingToUndo()),
	saga.Wait("confirmation", func(o *Order, c Confirmed) { o.By = c.By }).Deadline(24*time.Hour),
	saga.Sleep("rest", func(Order) time.Duration { return 10 * time.Millisecond }),
	saga.Step("ship",
		saga.Do(func(o Order) Ship { return Ship{o.ID, o.By} }),
		saga.On(func(*Order, Shipped) {})).Pivot(),
)

func participants(s *inbox.Service) {
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c Charge) (Charged, error) { return Charged{}, nil })
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c Refund) (Refunded, error) { return Refunded{}, nil })
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c Pack) (Packed, error) {
		if c.Parcel == "lamp" {
			return Packed{}, messaging.Refuse(OutOfStock(c))
		}
		return Packed{}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c Unpack) (Unpacked, error) { return Unpacked{}, nil })
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c TieRibbon) (RibbonTied, error) { return RibbonTied{}, nil })
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c Ship) (Shipped, error) {
		fmt.Println("shipped", c.Order, "for", c.For)
		return Shipped{}, nil
	})
}

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the deferred stop only ends what ends with the process
	}
}

func run(ctx context.Context) error {
	types, err := codec()
	if err != nil {
		return err
	}
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: types}
	service, err := inbox.NewService(inbox.Config{Name: "shop", Bus: bus, Store: inbox.NewMemory()})
	if err != nil {
		return err
	}
	participants(service)
	store := memsaga.New()
	c, err := coordinator.New(coordinator.Config{Store: store, Bus: bus, Definitions: []saga.Any{Fulfil}})
	if err != nil {
		return err
	}
	go service.Run(ctx) //nolint:errcheck // it ends with ctx
	go c.Run(ctx)       //nolint:errcheck // it ends with ctx
	<-service.Ready()
	<-c.Ready()

	order := Order{ID: "order-1", Gift: true, Parcels: []Parcel{{"book"}, {"lamp"}, {"vase"}}}
	id, err := coordinator.Start(ctx, c, Fulfil, order, coordinator.Key(order.ID))
	if err != nil {
		return err
	}
	// The customer is quick: the signal is kept until the saga waits for it.
	if err := c.Signal(ctx, id, "confirmation", Confirmed{By: "Ana"}); err != nil {
		return err
	}
	end, err := c.Await(ctx, id)
	if err != nil {
		return err
	}
	items, err := store.Items(ctx, id, 0, 10)
	if err != nil {
		return err
	}
	for _, item := range items {
		fmt.Println(item.Key, item.Nodes[0].Phase, item.Nodes[0].Reason)
	}
	fmt.Println("the saga is", end.Status)
	return nil
}

func codec() (*messaging.JSONCodec, error) {
	const charges, parcels, shipping = "charges", "parcels", "shipping"
	return messaging.NewJSONCodec(
		messaging.JSON[Charge]("Charge", charges), messaging.JSON[Charged]("Charged", charges+"-events"),
		messaging.JSON[Refund]("Refund", charges), messaging.JSON[Refunded]("Refunded", charges+"-events"),
		messaging.JSON[Pack]("Pack", parcels), messaging.JSON[Packed]("Packed", parcels+"-events"),
		messaging.JSON[OutOfStock]("OutOfStock", parcels+"-events"),
		messaging.JSON[Unpack]("Unpack", parcels), messaging.JSON[Unpacked]("Unpacked", parcels+"-events"),
		messaging.JSON[TieRibbon]("TieRibbon", parcels), messaging.JSON[RibbonTied]("RibbonTied", parcels+"-events"),
		messaging.JSON[Ship]("Ship", shipping), messaging.JSON[Shipped]("Shipped", shipping+"-events"),
		messaging.JSON[Confirmed]("Confirmed", "confirmations"))
}
