package saga_test

import (
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// follow decides the inputs one after the other, as a coordinator does it, and prints what is sent and where the instance stands.
func follow(def saga.Any, inputs ...saga.Input) saga.State {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var state saga.State
	for _, input := range inputs {
		if _, tick := input.(saga.Tick); tick {
			now = state.Root.Wake
		}
		next, effects, err := saga.Decide(def, state, input, now)
		if err != nil {
			fmt.Println(err)
			continue
		}
		for _, e := range effects {
			if send, ok := e.(saga.Send); ok {
				fmt.Printf("%s: %T\n", send.Node, send.Command)
			}
		}
		if next.Status != state.Status {
			fmt.Println("=", next.Status)
		}
		state = next
	}
	return state
}

func flight() *saga.StepNode[Trip] {
	return saga.Step("flight",
		saga.Do(func(Trip) BookFlight { return BookFlight{} }),
		saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
		saga.OnFailure(func(t *Trip, e FlightRefused) { t.Why = e.Reason }),
		saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Seat: t.Seat} }))
}

func room() *saga.StepNode[Trip] {
	return saga.Step("room",
		saga.Do(func(Trip) BookRoom { return BookRoom{} }),
		saga.On(func(*Trip, RoomBooked) {}),
		saga.OnFailure(func(*Trip, RoomRefused) {}),
		saga.Undo(func(Trip) CancelRoom { return CancelRoom{} }))
}

// answer is the reply with the event to the node's command.
func answer(node string, event any) saga.Reply {
	return saga.Reply{Node: node, Direction: saga.DoDirection, Event: event}
}

// Branches run side by side. When one is refused, what the others did is undone.
func ExampleParallel() {
	trip := saga.MustDefine("trip", saga.Parallel("book", flight(), room()))
	follow(trip,
		saga.Start{ID: "trip-1", Data: Trip{}},
		answer("book/room", RoomRefused{}),
		answer("book/flight", FlightBooked{Seat: "7A"}), // it was under way
		saga.Reply{Node: "book/flight", Direction: saga.UndoDirection, Outcome: saga.Success},
	)
	// Output:
	// book/flight: saga_test.BookFlight
	// book/room: saga_test.BookRoom
	// = running
	// book/flight: saga_test.CancelFlight
	// = compensating
	// = compensated
}

// The choice is made from the data when the saga comes to it.
func ExampleIf() {
	trip := saga.MustDefine("trip",
		flight(),
		saga.If("overnight", func(t Trip) bool { return t.Seat == "" }, room()))
	follow(trip,
		saga.Start{ID: "trip-1", Data: Trip{}},
		answer("flight", FlightBooked{}),
		answer("overnight/then/room", RoomBooked{}),
	)
	// Output:
	// flight: saga_test.BookFlight
	// = running
	// overnight/then/room: saga_test.BookRoom
	// = completed
}

type Approved struct{ By string }

// A signal that comes before its wait is kept until then.
func ExampleWait() {
	trip := saga.MustDefine("trip",
		flight(),
		saga.Wait("approval", func(t *Trip, a Approved) { t.Why = "approved by " + a.By }).Deadline(24*time.Hour),
		room())
	state := follow(trip,
		saga.Start{ID: "trip-1", Data: Trip{}},
		saga.Signal{Node: "approval", Event: Approved{By: "Ana"}},
		answer("flight", FlightBooked{Seat: "7A"}), // nobody need wait any more
	)
	fmt.Println(string(state.Root.Data))
	// Output:
	// flight: saga_test.BookFlight
	// = running
	// room: saga_test.BookRoom
	// {"Seat":"7A","Why":"approved by Ana"}
}

// A sleep ends with the tick of its record, whatever was restarted meanwhile.
func ExampleSleep() {
	trip := saga.MustDefine("trip",
		saga.Sleep("cool-off", func(Trip) time.Duration { return 14 * 24 * time.Hour }),
		flight())
	state := follow(trip, saga.Start{ID: "trip-1", Data: Trip{}})
	fmt.Println("sleeps until", state.Root.Wake)
	follow(trip, saga.Start{ID: "trip-1", Data: Trip{}}, saga.Tick{})
	// Output:
	// = running
	// sleeps until 2026-03-15 09:00:00 +0000 UTC
	// = running
	// flight: saga_test.BookFlight
}

// One of the rooms may be refused: the stay goes on without it.
func ExampleForEachNode_Tolerate() {
	stay := saga.MustDefine("stay",
		saga.ForEach("rooms", func(s Stay) []Room { return s.Rooms },
			saga.Step("book",
				saga.Do(func(r Room) BookRoom { return BookRoom{Name: r.Name} }),
				saga.On(func(r *Room, e RoomBooked) { r.Ref = e.Ref }),
				saga.OnFailure(func(*Room, RoomRefused) {}),
				saga.Undo(func(r Room) CancelRoom { return CancelRoom{Ref: r.Ref} })),
		).Tolerate(1))
	state := follow(stay,
		saga.Start{ID: "stay-1", Data: Stay{Rooms: make([]Room, 2)}},
		answer("rooms[0]/book", RoomRefused{}),
		answer("rooms[1]/book", RoomBooked{Ref: "R9"}),
	)
	fmt.Println(state.Root.Nodes[1].Fan.Failed, "failed")
	// Output:
	// rooms[0]/book: saga_test.BookRoom
	// rooms[1]/book: saga_test.BookRoom
	// = running
	// = completed
	// 1 failed
}

// While a definition is paused, what happens is recorded, and what it would send becomes a tick that is due.
func ExampleHold() {
	trip := saga.MustDefine("trip", flight(), room())
	state := follow(trip,
		saga.Start{ID: "trip-1", Data: Trip{}},
		saga.Hold{Input: answer("flight", FlightBooked{Seat: "7A"})},
	)
	fmt.Println("due", state.Root.Wake)
	follow(trip,
		saga.Start{ID: "trip-1", Data: Trip{}},
		saga.Hold{Input: answer("flight", FlightBooked{Seat: "7A"})},
		saga.Tick{}, // the pause is over
	)
	// Output:
	// flight: saga_test.BookFlight
	// = running
	// due 2026-03-01 09:00:00 +0000 UTC
	// flight: saga_test.BookFlight
	// = running
	// room: saga_test.BookRoom
}
