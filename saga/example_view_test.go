package saga_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

type (
	Stay struct{ Rooms []Room }
	Room struct{ Name, Ref string }

	BookRoom    struct{ Name string }
	RoomBooked  struct{ Ref string }
	RoomRefused struct{}
	CancelRoom  struct{ Ref string }
)

func bookStay() *saga.Definition[Stay] {
	return saga.MustDefine("book-stay",
		saga.ForEach("rooms", func(s Stay) []Room { return s.Rooms },
			saga.Step("book",
				saga.Do(func(r Room) BookRoom { return BookRoom{Name: r.Name} }),
				saga.On(func(r *Room, e RoomBooked) { r.Ref = e.Ref }),
				saga.OnFailure(func(*Room, RoomRefused) {}),
				saga.Undo(func(r Room) CancelRoom { return CancelRoom{Ref: r.Ref} })),
		).AtMost(20))
}

// Where an instance stands, node by node.
func ExampleView() {
	stay := bookStay()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	state, _, err := saga.Decide(stay, saga.State{}, saga.Start{ID: "stay-1", Data: Stay{Rooms: []Room{{Name: "blue"}, {Name: "red"}}}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	state, _, err = saga.Decide(stay, state, saga.Reply{Node: "rooms[1]/book", Direction: saga.DoDirection, Event: RoomBooked{Ref: "R9"}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, node := range saga.View(stay, state) {
		fmt.Println(node.Path, node.State.Phase)
	}
	// Output:
	// rooms doing
	// rooms[0]/book doing
	// rooms[1]/book done
}

// A transition names the records that it needs, so that an instance with many items is never loaded as a whole.
func ExampleNeedError() {
	stay := bookStay()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	stored, _, err := saga.Decide(stay, saga.State{}, saga.Start{ID: "stay-1", Data: Stay{Rooms: make([]Room, 3)}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	state := stored
	state.Items = nil // only the root record was loaded
	reply := saga.Reply{Node: "rooms[2]/book", Direction: saga.DoDirection, Event: RoomBooked{Ref: "R9"}}
	for {
		next, _, err := saga.Decide(stay, state, reply, now)
		if need, ok := errors.AsType[*saga.NeedError](err); ok {
			fmt.Println("load", need.Keys)
			state.Items = map[string]saga.Record{}
			for _, key := range need.Keys {
				state.Items[key] = stored.Items[key]
			}
			continue
		}
		for _, r := range saga.Changed(state, next) {
			fmt.Printf("write %q, data %q\n", r.Key, r.Data)
		}
		return
	}
	// Output:
	// load [rooms[2]]
	// write "", data ""
	// write "rooms[2]", data "{\"Name\":\"\",\"Ref\":\"R9\"}"
}
