package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// The saga of the tests: a flight and a hotel, which can be undone, and the payment, which decides.
type (
	trip struct {
		ID, Seat, Why string
		Broke         bool // the payment is refused
	}
	bookFlight      struct{ Trip string }
	flightBooked    struct{ Seat string }
	cancelFlight    struct{ Trip string }
	flightCancelled struct{}
	bookHotel       struct{ Trip string }
	hotelBooked     struct{}
	cancelHotel     struct{ Trip string }
	hotelCancelled  struct{}
	pay             struct {
		Trip  string
		Broke bool
	}
	paid     struct{}
	payFails struct{ Reason string }
)

func bookTrip(name string) *saga.Definition[trip] {
	return saga.MustDefine(name,
		saga.Step("flight",
			saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
			saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat }),
			saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.ID} })),
		saga.Step("hotel",
			saga.Do(func(t trip) bookHotel { return bookHotel{Trip: t.ID} }),
			saga.On(func(*trip, hotelBooked) {}),
			saga.Undo(func(t trip) cancelHotel { return cancelHotel{Trip: t.ID} })),
		saga.Step("pay",
			saga.Do(func(t trip) pay { return pay{Trip: t.ID, Broke: t.Broke} }),
			saga.On(func(*trip, paid) {}),
			saga.OnFailure(func(t *trip, e payFails) { t.Why = e.Reason }),
		).Pivot())
}

// world is the broker and the participants, which outlive coordinators.
type world struct {
	testing.TB
	broker *memmsg.Broker
	codec  *messaging.JSONCodec
	store  *memsaga.Store
	def    *saga.Definition[trip]

	mu      sync.Mutex
	effects map[string]int // net effect by command and trip
	dead    []messaging.DeadLetter
}

func newWorld(t testing.TB) *world {
	t.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[bookFlight]("bookFlight", "flight-commands"), messaging.JSON[cancelFlight]("cancelFlight", "flight-commands"),
		messaging.JSON[bookHotel]("bookHotel", "hotel-commands"), messaging.JSON[cancelHotel]("cancelHotel", "hotel-commands"),
		messaging.JSON[pay]("pay", "pay-commands"),
		messaging.JSON[flightBooked]("flightBooked", "events"), messaging.JSON[flightCancelled]("flightCancelled", "events"),
		messaging.JSON[hotelBooked]("hotelBooked", "events"), messaging.JSON[hotelCancelled]("hotelCancelled", "events"),
		messaging.JSON[paid]("paid", "events"), messaging.JSON[payFails]("payFails", "events"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		TB: t, broker: memmsg.New(memmsg.Config{}), codec: codec, store: memsaga.New(), def: bookTrip("trip"), effects: map[string]int{},
	}
	t.Cleanup(func() { _ = w.broker.Close() })
	return w
}

func (w *world) bus() messaging.Bus { return messaging.Bus{Broker: w.broker, Codec: w.codec} }

func (w *world) effect(what, trip string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.effects[what+" "+trip] += by
}

func (w *world) net(what, trip string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.effects[what+" "+trip]
}

// run runs a part until the test ends, or until stop is called, which waits for it.
func (w *world) run(part func(context.Context) error, ready <-chan struct{}) (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, messaging.ErrClosed) {
			w.Error(err)
		}
	})
	w.Cleanup(stop)
	if ready != nil {
		<-ready
	}
	return stop
}

func (w *world) participants() {
	w.Helper()
	w.flights()
	w.others()
}

// others are the participants but for the airline.
func (w *world) others() {
	w.Helper()
	w.hotels()
	s := w.service("bank")
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c pay) (paid, error) {
		if c.Broke {
			return paid{}, messaging.Refuse(payFails{Reason: "no money"})
		}
		w.effect("pay", c.Trip, 1)
		return paid{}, nil
	})
	w.run(s.Run, s.Ready())
}

func (w *world) flights() {
	s := w.service("airline")
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c bookFlight) (flightBooked, error) {
		w.effect("flight", c.Trip, 1)
		return flightBooked{Seat: "12A"}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c cancelFlight) (flightCancelled, error) {
		w.effect("flight", c.Trip, -1)
		return flightCancelled{}, nil
	})
	w.run(s.Run, s.Ready())
}

func (w *world) hotels() {
	s := w.service("hotel")
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c bookHotel) (hotelBooked, error) {
		w.effect("hotel", c.Trip, 1)
		return hotelBooked{}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c cancelHotel) (hotelCancelled, error) {
		w.effect("hotel", c.Trip, -1)
		return hotelCancelled{}, nil
	})
	w.run(s.Run, s.Ready())
}

func (w *world) service(name string) *inbox.Service {
	w.Helper()
	s, err := inbox.NewService(inbox.Config{Name: name, Bus: w.bus(), Store: inbox.NewMemory(), Logger: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// coordinator starts one; what config leaves out is the world's.
func (w *world) coordinator(config coordinator.Config) (c *coordinator.Coordinator, stop func()) {
	w.Helper()
	if config.Store == nil {
		config.Store = w.store
	}
	if config.Bus.Broker == nil {
		config.Bus = w.bus()
	}
	if config.Definitions == nil {
		config.Definitions = []saga.Any{w.def}
	}
	config.Logger = quiet()
	config.DeadLetters = messaging.DeadLetterFunc(func(_ context.Context, d messaging.DeadLetter) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dead = append(w.dead, d)
		return nil
	})
	c, err := coordinator.New(config)
	if err != nil {
		w.Fatal(err)
	}
	return c, w.run(c.Run, c.Ready())
}

// start starts a trip with its id as key.
func (w *world) start(c *coordinator.Coordinator, t trip) saga.ID {
	w.Helper()
	id, err := coordinator.Start(context.Background(), c, w.def, t, coordinator.Key(t.ID))
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// ends waits for the instance and wants it in the status.
func (w *world) ends(c *coordinator.Coordinator, id saga.ID, want saga.Status) saga.State {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	s, err := c.Await(ctx, id)
	if err != nil || s.Status != want {
		w.Fatalf("the saga is %s (%s), %v; want %s", s.Status, s.Reason, err, want)
	}
	return s
}

// story returns the instance's log, a line for each entry, and checks that its versions have no gap.
func (w *world) story(id saga.ID) []string {
	w.Helper()
	entries, err := w.store.History(context.Background(), id, 0, 10_000)
	if err != nil {
		w.Fatal(err)
	}
	var lines []string
	last := int64(0)
	for _, e := range entries {
		if e.Version != last && e.Version != last+1 {
			w.Errorf("the log goes from version %d to %d", last, e.Version)
		}
		last = e.Version
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Kind, e.Node, e.Direction))
	}
	return lines
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

var (
	_ coordinator.Store = (*memsaga.Store)(nil)
	_ outbox.Store      = (*memsaga.Store)(nil)
)

// decode reads the instance's own data.
func decode(w *world, s saga.State, data any) {
	w.Helper()
	if err := json.Unmarshal(s.Root.Data, data); err != nil {
		w.Fatal(err)
	}
}
