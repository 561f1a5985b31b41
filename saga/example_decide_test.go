package saga_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

type (
	Trip struct{ Seat, Why string }

	BookFlight    struct{}
	FlightBooked  struct{ Seat string }
	FlightRefused struct{ Reason string }
	CancelFlight  struct{ Seat string }
	PayTrip       struct{}
	TripPaid      struct{}
	PaymentFailed struct{ Reason string }
)

func bookTrip() *saga.Definition[Trip] {
	return saga.MustDefine("book-trip",
		saga.Step("flight",
			saga.Do(func(Trip) BookFlight { return BookFlight{} }),
			saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
			saga.OnFailure(func(t *Trip, e FlightRefused) { t.Why = e.Reason }),
			saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Seat: t.Seat} }),
		).Timeout(30*time.Second).Attempts(5),
		saga.Step("pay",
			saga.Do(func(Trip) PayTrip { return PayTrip{} }),
			saga.On(func(*Trip, TripPaid) {}),
			saga.OnFailure(func(t *Trip, e PaymentFailed) { t.Why = e.Reason }),
		).Pivot(),
	)
}

// A saga decided by hand, as a coordinator does it: each input gives the next state and what is to be sent.
func ExampleDecide() {
	trip := bookTrip()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var state saga.State
	for _, input := range []saga.Input{
		saga.Start{ID: "trip-1", Data: Trip{}},
		saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: FlightBooked{Seat: "7A"}},
		saga.Reply{Node: "pay", Direction: saga.DoDirection, Event: PaymentFailed{Reason: "no funds"}},
		saga.Reply{Node: "flight", Direction: saga.UndoDirection, Outcome: saga.Success},
	} {
		next, effects, err := saga.Decide(trip, state, input, now)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range effects {
			if send, ok := e.(saga.Send); ok {
				fmt.Printf("send %T%v\n", send.Command, send.Command)
			}
		}
		fmt.Println(next.Version, next.Status)
		state = next
	}
	fmt.Println(string(state.Root.Data))
	// Output:
	// send saga_test.BookFlight{}
	// 1 running
	// send saga_test.PayTrip{}
	// 2 running
	// send saga_test.CancelFlight{7A}
	// 3 compensating
	// 4 compensated
	// {"Seat":"7A","Why":"no funds"}
}

// All faults of a definition are reported at once, each with the path of its node.
func ExampleDefine() {
	_, err := saga.Define("book-trip",
		saga.Step("flight",
			saga.Do(func(Trip) BookFlight { return BookFlight{} }),
		).Timeout(-time.Second),
		saga.Step("pay",
			saga.Do(func(Trip) PayTrip { return PayTrip{} }),
			saga.On(func(*Trip, TripPaid) {}),
		).Retriable(),
	)
	fmt.Println(errors.Is(err, saga.ErrInvalid))
	fmt.Println(err)
	// Output:
	// true
	// saga: invalid definition "book-trip": flight: has no On: say which event means success
	// flight: Timeout(-1s) is not positive
	// flight: is compensable but has no Undo: add one, or say NothingToUndo
	// pay: is retriable but comes before any pivot: it could not be undone; make it compensable or declare the pivot
}
