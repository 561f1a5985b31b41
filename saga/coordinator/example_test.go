package coordinator_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// A whole small saga in memory: goods are reserved, the payment is refused, so the reservation is released again.
func Example() {
	type (
		Order    struct{ ID, Shelf string }
		Reserve  struct{ Order string }
		Reserved struct{ Shelf string }
		Release  struct{ Shelf string }
		Released struct{}
		Pay      struct{ Order string }
		Paid     struct{}
		NoMoney  struct{}
	)
	order := saga.MustDefine("order",
		saga.Step("goods",
			saga.Do(func(o Order) Reserve { return Reserve{o.ID} }),
			saga.On(func(o *Order, e Reserved) { o.Shelf = e.Shelf }),
			saga.Undo(func(o Order) Release { return Release{o.Shelf} })),
		saga.Step("payment",
			saga.Do(func(o Order) Pay { return Pay{o.ID} }),
			saga.On(func(*Order, Paid) {}),
			saga.OnFailure(func(*Order, NoMoney) {})).Pivot())

	codec, _ := messaging.NewJSONCodec(
		messaging.JSON[Reserve]("reserve", "commands"), messaging.JSON[Release]("release", "commands"), messaging.JSON[Pay]("pay", "commands"),
		messaging.JSON[Reserved]("reserved", "events"), messaging.JSON[Released]("released", "events"),
		messaging.JSON[Paid]("paid", "events"), messaging.JSON[NoMoney]("no-money", "events"))
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: codec}

	shop, _ := inbox.NewService(inbox.Config{Name: "shop", Bus: bus, Store: inbox.NewMemory()})
	inbox.Handle(shop, func(_ context.Context, _ inbox.Tx, c Reserve) (Reserved, error) {
		fmt.Println("reserved for", c.Order)
		return Reserved{Shelf: "B7"}, nil
	})
	inbox.Handle(shop, func(_ context.Context, _ inbox.Tx, c Release) (Released, error) {
		fmt.Println("released from", c.Shelf)
		return Released{}, nil
	})
	inbox.Handle(shop, func(context.Context, inbox.Tx, Pay) (Paid, error) { return Paid{}, messaging.Refuse(NoMoney{}) })

	c, err := coordinator.New(coordinator.Config{Store: memsaga.New(), Bus: bus, Definitions: []saga.Any{order}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { _ = shop.Run(ctx) })
	running.Go(func() { _ = c.Run(ctx) })
	<-shop.Ready()
	<-c.Ready()

	id, err := coordinator.Start(ctx, c, order, Order{ID: "o1"}, coordinator.Key("o1"))
	if err != nil {
		fmt.Println(err)
	}
	end, err := c.Await(ctx, id)
	fmt.Println(end.Status, string(end.Root.Data), err)
	stop()
	running.Wait()
	// Output:
	// reserved for o1
	// released from B7
	// compensated {"ID":"o1","Shelf":"B7"} <nil>
}
