package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// With Avro each type has a topic of its own, so every reply has to be declared: that to an undo with Undone.
func Example_avro() {
	type (
		Order    struct{ ID string }
		Reserve  struct{ Order string }
		Reserved struct{ Order string }
		Release  struct{ Order string }
		Released struct{ Order string }
		Pay      struct{ Order string }
		Paid     struct{ Order string }
		NoMoney  struct{ Order string }
	)
	define := func(more ...saga.Part[Order]) *saga.Definition[Order] {
		return saga.MustDefine("order",
			saga.Step("goods", append(more,
				saga.Do(func(o Order) Reserve { return Reserve{o.ID} }),
				saga.On(func(*Order, Reserved) {}),
				saga.Undo(func(o Order) Release { return Release{o.ID} }))...),
			saga.Step("payment",
				saga.Do(func(o Order) Pay { return Pay{o.ID} }),
				saga.On(func(*Order, Paid) {}),
				saga.OnFailure(func(*Order, NoMoney) {})).Pivot())
	}
	schema := func(name string) string {
		return `{"type":"record","name":"` + name + `","fields":[{"name":"Order","type":"string"}]}`
	}
	codec, err := avromsg.NewCodec(
		avromsg.Record[Reserve]("Reserve", "reserve", schema("Reserve")), avromsg.Record[Reserved]("Reserved", "reserved", schema("Reserved")),
		avromsg.Record[Release]("Release", "release", schema("Release")), avromsg.Record[Released]("Released", "released", schema("Released")),
		avromsg.Record[Pay]("Pay", "pay", schema("Pay")), avromsg.Record[Paid]("Paid", "paid", schema("Paid")),
		avromsg.Record[NoMoney]("NoMoney", "no-money", schema("NoMoney")))
	if err != nil {
		fmt.Println(err)
		return
	}
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: codec}

	shop, _ := inbox.NewService(inbox.Config{Name: "shop", Bus: bus, Store: inbox.NewMemory()})
	inbox.Handle(shop, func(_ context.Context, _ inbox.Tx, c Reserve) (Reserved, error) { return Reserved(c), nil })
	inbox.Handle(shop, func(_ context.Context, _ inbox.Tx, c Release) (Released, error) { return Released(c), nil })
	inbox.Handle(shop, func(_ context.Context, _ inbox.Tx, c Pay) (Paid, error) {
		return Paid{}, messaging.Refuse(NoMoney(c))
	})

	config := coordinator.Config{Store: memsaga.New(), Bus: bus, Definitions: []saga.Any{define()}}
	_, err = coordinator.New(config) // nobody would hear that the goods were released
	fmt.Println(errors.Is(err, coordinator.ErrConfig))

	order := define(saga.Undone(func(*Order, Released) {}))
	config.Definitions = []saga.Any{order}
	c, err := coordinator.New(config)
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
	fmt.Println(end.Status, err)
	stop()
	running.Wait()
	// Output:
	// true
	// compensated <nil>
}
