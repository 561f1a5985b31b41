package sagatest_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

type (
	Trip         struct{ ID, Seat string }
	BookFlight   struct{ Trip string }
	FlightBooked struct{ Seat string }
	CancelFlight struct{ Trip string }
	CancelSeat   struct{ Seat string }
	PayTrip      struct{ Trip string }
	TripPaid     struct{}
	Declined     struct{ Reason string }
)

func payment() *saga.StepNode[Trip] {
	return saga.Step("pay",
		saga.Do(func(t Trip) PayTrip { return PayTrip{Trip: t.ID} }),
		saga.On(func(*Trip, TripPaid) {}),
		saga.OnFailure(func(*Trip, Declined) {}),
	).Pivot()
}

// A sound definition. In a test this is sagatest.Explore(t, def, sagatest.Schedules(1000)).
func ExampleCheck() {
	def := saga.MustDefine("book-trip",
		saga.Step("flight",
			saga.Do(func(t Trip) BookFlight { return BookFlight{Trip: t.ID} }),
			saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
			saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Trip: t.ID} })),
		payment(),
	)
	fmt.Println(sagatest.Check(def, sagatest.Schedules(1000)))
	// Output: <nil>
}

// The undo names the seat, which only the reply tells: if the reply never comes, nobody knows what to cancel.
func ExampleCheck_finding() {
	def := saga.MustDefine("book-trip",
		saga.Step("flight",
			saga.Do(func(t Trip) BookFlight { return BookFlight{Trip: t.ID} }),
			saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
			saga.Undo(func(t Trip) CancelSeat { return CancelSeat{Seat: t.Seat} }),
		).Attempts(2), // UndoNeedsReply is missing
		payment(),
	)
	start := sagatest.Start(func(*rand.Rand) Trip { return Trip{ID: "T1"} })
	fmt.Println(sagatest.Check(def, start))
	// Output:
	// book-trip breaks the rule "undo" in the schedule of sagatest.Seed(7):
	// flight took effect, but its reply did not come, and its undo is CancelSeat {"Seat":""}; with the reply it would be CancelSeat {"Seat":"seat-6190"}: say UndoNeedsReply, or make Seat from what the command named
	//
	//         0s  start with Trip {"ID":"T1","Seat":""}
	//             → do flight: BookFlight {"Trip":"T1"}
	//        5ms  flight does it: FlightBooked {"Seat":"seat-6190"}
	//             the reply to do flight is lost: the participant is out until an operator mends it
	//        30s  the timer fires
	//             → do flight: BookFlight {"Trip":"T1"}, attempt 2
	//    30.005s  flight gets do again, and answers as before
	//             the reply to do flight is lost: the participant is out until an operator mends it
	//       1m0s  the timer fires
	//             flight: no reply to 2 sendings
	//             the saga is aborted: flight: no reply to 2 sendings
	//             → undo flight: CancelSeat {"Seat":""}
	//             ✗ the rule "undo" is broken
}

// A participant of the test's own has an effect that the definition forgets to undo.
func ExampleWorld() {
	def := saga.MustDefine("book-trip",
		saga.Step("flight",
			saga.Do(func(t Trip) BookFlight { return BookFlight{Trip: t.ID} }),
			saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
		).NothingToUndo(), // but there is
		payment(),
	)
	world := sagatest.World(func() []sagatest.Option {
		free := 2
		return []sagatest.Option{
			sagatest.Handle(func(BookFlight) (FlightBooked, error) {
				free--
				return FlightBooked{Seat: "12A"}, nil
			}),
			sagatest.Handle(func(PayTrip) (TripPaid, error) {
				return TripPaid{}, messaging.Refuse(Declined{Reason: "no money"})
			}),
			sagatest.Finally(func(end saga.State, _ Trip) error {
				if end.Status == saga.Compensated && free < 2 {
					return fmt.Errorf("%d of 2 seats are free", free)
				}
				return nil
			}),
		}
	})
	fmt.Println(sagatest.Check(def, world, sagatest.Start(func(*rand.Rand) Trip { return Trip{ID: "T1"} })))
	// Output:
	// book-trip breaks the rule "yours" in the schedule of sagatest.Seed(1):
	// Finally: 1 of 2 seats are free
	//
	//         0s  start with Trip {"ID":"T1","Seat":""}
	//             → do flight: BookFlight {"Trip":"T1"}
	//        5ms  flight does it: FlightBooked {"Seat":"12A"}
	//       10ms  the reply to do flight arrives
	//             → do pay: PayTrip {"Trip":"T1"}
	//       15ms  pay refuses do: Declined {"Reason":"no money"}
	//       20ms  the reply to do pay arrives
	//             the saga is aborted: pay: sagatest_test.Declined
	//             the saga is compensated
	//             ✗ the rule "yours" is broken
}
