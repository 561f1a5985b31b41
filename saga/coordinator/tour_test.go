package coordinator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The other saga of the tests: a fan-out over rooms, and the confirmation, which decides.
type (
	tour struct {
		ID    string
		Rooms []room
		Broke bool // the confirmation is refused
	}
	room       struct{ Name, Ref string }
	bookRoom   struct{ Room string }
	roomBooked struct{ Ref string }
	roomFull   struct{}
	cancelRoom struct{ Room, Ref string }
	roomFreed  struct{}
	confirm    struct {
		Tour  string
		Broke bool
	}
	confirmed struct{}
	declined  struct{}
)

func bookTour(name string) *saga.Definition[tour] {
	return saga.MustDefine(name,
		saga.ForEach("rooms", func(t tour) []room { return t.Rooms },
			saga.Step("room",
				saga.Do(func(r room) bookRoom { return bookRoom{r.Name} }),
				saga.On(func(r *room, e roomBooked) { r.Ref = e.Ref }),
				saga.OnFailure(func(*room, roomFull) {}),
				saga.Undo(func(r room) cancelRoom { return cancelRoom{r.Name, r.Ref} }),
			).Attempts(3).Backoff(time.Second, time.Second)),
		saga.Step("confirm",
			saga.Do(func(t tour) confirm { return confirm{t.ID, t.Broke} }),
			saga.On(func(*tour, confirmed) {}),
			saga.OnFailure(func(*tour, declined) {})).Pivot())
}

// touring is a world of tours, whose hotel does as it is told.
type touring struct {
	*world
	def *saga.Definition[tour]

	telling sync.Mutex
	answers map[string]error // by command and room
}

func newTouring(t testing.TB) *touring {
	t.Helper()
	w := &touring{world: newWorld(t), def: bookTour("tour"), answers: map[string]error{}}
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[bookRoom]("bookRoom", "commands"), messaging.JSON[cancelRoom]("cancelRoom", "commands"),
		messaging.JSON[confirm]("confirm", "commands"), messaging.JSON[roomBooked]("roomBooked", "events"),
		messaging.JSON[roomFull]("roomFull", "events"), messaging.JSON[roomFreed]("roomFreed", "events"),
		messaging.JSON[confirmed]("confirmed", "events"), messaging.JSON[declined]("declined", "events"))
	if err != nil {
		t.Fatal(err)
	}
	w.codec = codec
	return w
}

// tell sets how the hotel answers a command for a room; nil is yes.
func (w *touring) tell(command, room string, err error) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.answers[command+" "+room] = err
}

func (w *touring) answer(command, room string) error {
	w.telling.Lock()
	defer w.telling.Unlock()
	return w.answers[command+" "+room]
}

// hotel runs the participant.
func (w *touring) hotel() {
	w.Helper()
	s := w.service("hotel")
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c bookRoom) (roomBooked, error) {
		if err := w.answer("book", c.Room); err != nil {
			return roomBooked{}, err
		}
		w.effect("room", c.Room, 1)
		return roomBooked{"ref " + c.Room}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c cancelRoom) (roomFreed, error) {
		if err := w.answer("cancel", c.Room); err != nil {
			return roomFreed{}, err
		}
		w.effect("room", c.Room, -1)
		return roomFreed{}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c confirm) (confirmed, error) {
		if c.Broke {
			return confirmed{}, messaging.Refuse(declined{})
		}
		w.effect("confirm", c.Tour, 1)
		return confirmed{}, nil
	})
	w.run(s.Run, s.Ready())
}

// tours starts a coordinator of tours.
func (w *touring) tours(config coordinator.Config) (c *coordinator.Coordinator, stop func()) {
	w.Helper()
	if config.Definitions == nil {
		config.Definitions = []saga.Any{w.def}
	}
	return w.coordinator(config)
}

// book starts a tour of n rooms.
func (w *touring) book(c *coordinator.Coordinator, t tour) saga.ID {
	w.Helper()
	id, err := coordinator.Start(context.Background(), c, w.def, t, coordinator.Key(t.ID))
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func rooms(tour string, n int) []room {
	all := make([]room, n)
	for i := range all {
		all[i].Name = fmt.Sprintf("%s-%d", tour, i)
	}
	return all
}

// wantRooms wants each room of the tour to be booked so many times.
func (w *touring) wantRooms(tour string, n, want int) {
	w.Helper()
	for _, r := range rooms(tour, n) {
		if got := w.net("room", r.Name); got != want {
			w.Errorf("room %s is booked %d times, want %d", r.Name, got, want)
		}
	}
}
