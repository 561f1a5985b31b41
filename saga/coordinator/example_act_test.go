package coordinator_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// A step after the pivot is refused until its attempts are used up, so the saga parks. An operator mends the cause and has
// it tried again.
func ExampleCoordinator_Act() {
	type (
		Parcel  struct{ ID string }
		Charge  struct{ Parcel string }
		Charged struct{}
		Ship    struct{ Parcel string }
		Shipped struct{}
		NoTruck struct{}
	)
	ship := saga.MustDefine("ship",
		saga.Step("charge",
			saga.Do(func(p Parcel) Charge { return Charge{p.ID} }),
			saga.On(func(*Parcel, Charged) {})).Pivot(),
		saga.Step("truck",
			saga.Do(func(p Parcel) Ship { return Ship{p.ID} }),
			saga.On(func(*Parcel, Shipped) {}),
			saga.OnFailure(func(*Parcel, NoTruck) {})).Retriable().Attempts(1))

	codec, _ := messaging.NewJSONCodec(
		messaging.JSON[Charge]("charge", "commands"), messaging.JSON[Ship]("ship", "commands"), messaging.JSON[Charged]("charged", "events"),
		messaging.JSON[Shipped]("shipped", "events"), messaging.JSON[NoTruck]("no-truck", "events"))
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: codec}

	var trucks atomic.Int64
	depot, _ := inbox.NewService(inbox.Config{Name: "depot", Bus: bus, Store: inbox.NewMemory()})
	inbox.Handle(depot, func(context.Context, inbox.Tx, Charge) (Charged, error) { return Charged{}, nil })
	inbox.Handle(depot, func(context.Context, inbox.Tx, Ship) (Shipped, error) {
		if trucks.Load() == 0 {
			return Shipped{}, messaging.Refuse(NoTruck{})
		}
		return Shipped{}, nil
	})
	store := memsaga.New()
	c, err := coordinator.New(coordinator.Config{
		Store: store, Bus: bus, Definitions: []saga.Any{ship}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { _ = depot.Run(ctx) })
	running.Go(func() { _ = c.Run(ctx) })
	<-depot.Ready()
	<-c.Ready()

	id, _ := coordinator.Start(ctx, c, ship, Parcel{ID: "p1"}, coordinator.Key("p1"))
	parked, _ := c.Await(ctx, id)
	fmt.Println(parked.Status, parked.Reason)

	trucks.Store(1)
	act := saga.Act{ID: "ticket-17", Action: saga.Retry, Version: parked.Version, By: "ana", Why: "the truck is repaired"}
	if _, err := c.Act(ctx, id, act); err != nil {
		fmt.Println(err)
	}
	end, _ := c.Await(ctx, id)
	fmt.Println(end.Status)
	audits, _ := store.Audits(ctx, id)
	for _, a := range audits {
		fmt.Printf("%s by %s: %s; %s, then %s\n", a.Act.Action, a.Act.By, a.Act.Why, a.Before, a.After)
	}
	stop()
	running.Wait()
	// Output:
	// parked truck: coordinator_test.NoTruck
	// completed
	// retry by ana: the truck is repaired; doing (stuck), then doing
}
