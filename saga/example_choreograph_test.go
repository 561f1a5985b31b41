package saga_test

import (
	"fmt"

	"github.com/alpespartners/alpespartners/saga"
)

type (
	FlightCancelled struct{}
	RoomCancelled   struct{}
)

// journey is what three services do together, without a coordinator that tells them.
func journey() *saga.Definition[Trip] {
	return saga.MustDefine("journey",
		saga.Parallel("book",
			saga.Step("flight",
				saga.Do(func(Trip) BookFlight { return BookFlight{} }),
				saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
				saga.OnFailure(func(*Trip, FlightRefused) {}),
				saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Seat: t.Seat} }),
				saga.Undone(func(*Trip, FlightCancelled) {}),
			).Service("airline"),
			saga.Step("room",
				saga.Do(func(Trip) BookRoom { return BookRoom{} }),
				saga.On(func(*Trip, RoomBooked) {}),
				saga.OnFailure(func(*Trip, RoomRefused) {}),
				saga.Undo(func(Trip) CancelRoom { return CancelRoom{} }),
				saga.Undone(func(*Trip, RoomCancelled) {}),
			).Service("hotel")),
		saga.Step("pay",
			saga.Do(func(Trip) PayTrip { return PayTrip{} }),
			saga.On(func(*Trip, TripPaid) {}),
			saga.OnFailure(func(t *Trip, e PaymentFailed) { t.Why = e.Reason }),
		).Service("bank").Pivot())
}

// Each party sees the same events, and sends the commands of its own steps only.
func ExampleChoreograph() {
	for _, service := range []string{"airline", "bank", ""} {
		part, err := saga.Choreograph(journey(), service)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("the party %q:\n", service)
		follow(part,
			saga.Start{ID: "trip-1", Data: Trip{}},
			answer("book/flight", FlightBooked{Seat: "7A"}),
			answer("book/room", RoomBooked{}),
			answer("pay", PaymentFailed{Reason: "no funds"}),
			saga.Reply{Node: "book/flight", Direction: saga.UndoDirection, Event: FlightCancelled{}},
			saga.Reply{Node: "book/room", Direction: saga.UndoDirection, Event: RoomCancelled{}},
		)
	}
	// Output:
	// the party "airline":
	// book/flight: saga_test.BookFlight
	// = running
	// book/flight: saga_test.CancelFlight
	// = compensating
	// = compensated
	// the party "bank":
	// = running
	// pay: saga_test.PayTrip
	// = compensating
	// = compensated
	// the party "":
	// = running
	// = compensating
	// = compensated
}

// What a service does follows from the definition.
func ExampleReactions() {
	for _, service := range []string{"airline", "bank"} {
		reactions, err := saga.Reactions(journey(), service)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range reactions {
			fmt.Printf("%s %s %s on %v\n", service, r.Direction, r.Node, r.On)
		}
	}
	// Output:
	// airline do book/flight on []
	// airline undo book/flight on [saga_test.PaymentFailed]
	// bank do pay on [saga_test.FlightBooked saga_test.RoomBooked]
}
