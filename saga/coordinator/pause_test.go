package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// sendings keeps what coordinators sent, and when.
type sendings struct {
	mu  sync.Mutex
	all []sending
}

type sending struct {
	saga saga.ID
	node string
	at   time.Time
}

// observe is a [coordinator.Config].Observe.
func (s *sendings) observe(t coordinator.Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range t.Log {
		if line.Kind == saga.LogSent {
			s.all = append(s.all, sending{t.State.ID, line.Node, line.At})
		}
	}
}

// of counts those for the instance.
func (s *sendings) of(id saga.ID) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one.saga == id {
			n++
		}
	}
	return n
}

func (s *sendings) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// pausing is a world of two definitions of trips.
type pausing struct {
	*world
	trips, tours *saga.Definition[trip]
	sent         sendings
}

func newPausing(t *testing.T) *pausing {
	t.Helper()
	w := &pausing{world: newWorld(t), tours: bookTrip("tour")}
	w.trips = w.def
	return w
}

func (w *pausing) both(config coordinator.Config) (c *coordinator.Coordinator, stop func()) {
	w.Helper()
	config.Definitions = []saga.Any{w.trips, w.tours}
	config.Observe = w.sent.observe
	return w.coordinator(config)
}

func (w *pausing) begin(c *coordinator.Coordinator, def *saga.Definition[trip], id string) saga.ID {
	w.Helper()
	started, err := coordinator.Start(context.Background(), c, def, trip{ID: id}, coordinator.Key(id))
	if err != nil {
		w.Fatal(err)
	}
	return started
}

func (w *world) pause(c *coordinator.Coordinator, definition string) {
	w.Helper()
	if err := c.Pause(context.Background(), definition, "ana", "the bank is down"); err != nil {
		w.Fatal(err)
	}
}

func (w *world) resume(c *coordinator.Coordinator, definition string, rate int) {
	w.Helper()
	if err := c.Resume(context.Background(), definition, rate, "eve", "the bank is up"); err != nil {
		w.Fatal(err)
	}
}

// answers is what a participant would tell of the command of the node.
func (w *world) answers(id saga.ID, node string, event any) {
	w.Helper()
	m, err := w.codec.Encode(event)
	if err != nil {
		w.Fatal(err)
	}
	m = messaging.Correlation{Saga: string(id), Node: node, Direction: messaging.Do}.Stamp(m)
	m.ID = fmt.Sprint("reply to ", node, " of ", id)
	if err := messaging.Publish(context.Background(), w.broker, m.WithHeader(messaging.HeaderOutcome, string(messaging.Success))); err != nil {
		w.Fatal(err)
	}
}

// loaded returns the instance with its data.
func (w *world) loaded(id saga.ID) saga.State {
	w.Helper()
	s, err := w.store.Get(context.Background(), id)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// TestAPausedDefinitionRecordsAndSendsNothing has a start, a reply, an overdue command and an operator's retry come during the pause.
func TestAPausedDefinitionRecordsAndSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		c, _ := w.both(coordinator.Config{})
		parked := w.begin(c, w.trips, "parked")
		w.answers(parked, "flight", flightBooked{"1A"})
		w.answers(parked, "hotel", hotelBooked{})
		w.ends(c, parked, saga.Parked) // nobody answers for the bank
		replied, overdue := w.begin(c, w.trips, "replied"), w.begin(c, w.trips, "overdue")
		w.pause(c, "trip")
		before := w.sent.count()

		w.answers(replied, "flight", flightBooked{"7C"})
		fresh := w.begin(c, w.trips, "fresh")
		retry := saga.Act{ID: "a1", Action: saga.Retry, Node: "pay", By: "ana", Why: "test"}
		if s, err := c.Act(t.Context(), parked, retry); err != nil || s.Stuck != 0 {
			t.Errorf("the retry: %+v, %v", s, err)
		}
		time.Sleep(time.Hour)
		if got := w.sent.count(); got != before {
			t.Errorf("%d commands were sent during the pause", got-before)
		}
		var data trip
		if decode(w.world, w.loaded(replied), &data); data.Seat != "7C" {
			t.Errorf("the reply was not recorded: %+v", data)
		}
		if got, want := w.story(fresh), []string{"started  ", "held flight do"}; !slices.Equal(got, want) {
			t.Errorf("the new one's story is %q, want %q", got, want)
		}
		w.participants() // from now on there is an answer
		w.ends(c, w.begin(c, w.tours, "tour"), saga.Completed)
		if got := w.net("flight", "fresh") + w.net("hotel", "replied") + w.net("pay", "parked"); got != 0 {
			t.Errorf("%d commands were sent while the other definition went on", got)
		}
		w.resume(c, "trip", 0)
		for _, id := range []saga.ID{fresh, replied, parked, overdue} {
			w.ends(c, id, saga.Completed)
		}
		for _, name := range []string{"fresh", "replied", "overdue"} {
			if w.net("hotel", name) != 1 {
				t.Errorf("%s has %d hotels", name, w.net("hotel", name))
			}
		}
	})
}

// TestSignalsAndEventsOfAPausedDefinition are recorded, and what they lead to is sent when the pause ends.
func TestSignalsAndEventsOfAPausedDefinition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		var sent sendings
		c, _ := w.orders(coordinator.Config{Observe: sent.observe})
		w.place(c, "a", "north")
		w.place(c, "b", "south")
		w.pause(c, "order")
		before := sent.count()
		w.tellAll(orderPlaced{"c", "west"}, shipped{"north", "t1"}, shipped{"south", "t2"}, approved{"south", "bob"})
		if err := c.Signal(t.Context(), orderID("a"), "approval", approved{"north", "ana"}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if got := sent.count(); got != before {
			t.Errorf("%d commands were sent during the pause", got-before)
		}
		for id, want := range map[string]order{
			"a": {ID: "a", Lane: "north", Tracking: "t1", Approved: "ana"}, "b": {ID: "b", Lane: "south", Tracking: "t2", Approved: "bob"},
			"c": {ID: "c", Lane: "west"},
		} {
			if _, got := w.now(id); got != want {
				t.Errorf("during the pause %s is %+v, want %+v", id, got, want)
			}
		}
		w.resume(c, "order", 0)
		w.ends(c, orderID("a"), saga.Completed)
		w.ends(c, orderID("b"), saga.Completed)
		w.tellAll(shipped{"west", "t3"}, approved{"west", "eve"})
		w.ends(c, orderID("c"), saga.Completed)
	})
}

// TestTimersStandStill has a deadline pass during the pause: nothing comes of it until the end, and then a reply that came
// in the meantime counts.
func TestTimersStandStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		c, _ := w.both(coordinator.Config{})
		silent, late := w.begin(c, w.trips, "silent"), w.begin(c, w.trips, "late")
		w.pause(c, "trip")
		time.Sleep(saga.DefaultTimeout * saga.DefaultAttempts * 10)
		w.answers(late, "flight", flightBooked{"9F"})
		if silent := w.loaded(silent); silent.Version != 1 || silent.Status != saga.Running {
			t.Errorf("during the pause it went on to version %d, %s", silent.Version, silent.Status)
		}
		w.resume(c, "trip", 0)
		synctest.Wait()
		if got := w.sent.of(silent); got != 2 {
			t.Errorf("the command that was overdue was sent %d times, want twice", got)
		}
		want := []string{"started  ", "sent flight do", "succeeded flight do", "held hotel do", "sent hotel do"}
		if got := w.story(late); !slices.Equal(got, want) {
			t.Errorf("the other one's story is %q, want %q", got, want)
		}
	})
}

// TestPauseOfAll is one for itself: it neither is nor ends that of one definition.
func TestPauseOfAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		c, _ := w.both(coordinator.Config{})
		w.pause(c, "trip")
		w.pause(c, "")
		a, b := w.begin(c, w.trips, "a"), w.begin(c, w.tours, "b")
		nothing := func(when string) {
			t.Helper()
			time.Sleep(time.Hour)
			if got := w.sent.count(); got != 0 {
				t.Errorf("%s: %d commands were sent", when, got)
			}
		}
		nothing("all are paused")
		w.resume(c, "trip", 0)
		nothing("one is released, but all are paused")
		w.pause(c, "trip")
		w.resume(c, "", 0)
		w.ends(c, b, saga.Completed)
		time.Sleep(time.Hour)
		if got := w.sent.of(a); got != 0 {
			t.Errorf("all are released but one: %d of its commands were sent", got)
		}
		w.resume(c, "trip", 0)
		w.ends(c, a, saga.Completed)
	})
}

// TestARestartDuringThePause sends nothing either.
func TestARestartDuringThePause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		c, stop := w.both(coordinator.Config{})
		w.pause(c, "trip")
		id := w.begin(c, w.trips, "a")
		stop()
		again, err := coordinator.New(coordinator.Config{
			Store: &hookedStore{Store: w.store, pauses: func() error { return errStore }},
			Bus:   w.bus(), Definitions: []saga.Any{w.trips}, Logger: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Run(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("Run on a store that does not tell the pauses: %v", err)
		}
		c, _ = w.both(coordinator.Config{})
		time.Sleep(time.Hour)
		if got := w.sent.of(id); got != 0 {
			t.Errorf("after the restart %d commands were sent", got)
		}
		w.resume(c, "trip", 0)
		w.ends(c, id, saga.Completed)
	})
}

// failingPauses is a store that fails, once it is told to, when it is asked for the pauses.
type failingPauses struct {
	*hookedStore
	down, downAfterSet atomic.Bool
	asked              atomic.Int64
}

func (s *failingPauses) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	s.asked.Add(1)
	if s.down.Load() {
		return nil, errStore
	}
	return s.hookedStore.Pauses(ctx)
}

func (s *failingPauses) SetPause(ctx context.Context, p coordinator.Pause) error {
	defer s.down.Store(s.downAfterSet.Load())
	return s.hookedStore.SetPause(ctx, p)
}

// TestAStoreThatDoesNotTellThePauses leaves the coordinator with those that it knows, is not hammered, and has nothing decided
// while it is certain that there is another.
func TestAStoreThatDoesNotTellThePauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		store := &failingPauses{hookedStore: &hookedStore{Store: w.store}}
		c, _ := w.both(coordinator.Config{Store: store})
		store.downAfterSet.Store(true)
		w.pause(c, "trip")
		if _, err := coordinator.Start(t.Context(), c, w.trips, trip{ID: "a"}, coordinator.Key("a")); !errors.Is(err, errStore) {
			t.Errorf("a start while nobody knows whether it is paused: %v", err)
		}
		time.Sleep(time.Minute)
		store.down.Store(false)
		time.Sleep(time.Second)
		store.down.Store(true)
		store.asked.Store(0)
		id := w.begin(c, w.trips, "a")
		time.Sleep(time.Minute)
		if got := w.sent.of(id); got != 0 {
			t.Errorf("%d commands were sent during the pause", got)
		}
		if n := store.asked.Load(); n > 70 {
			t.Errorf("the store was asked %d times in a minute", n)
		}
		if err := c.Pause(t.Context(), "tour", "ana", "x"); !errors.Is(err, errStore) {
			t.Errorf("Pause meanwhile: %v", err)
		}
		if err := c.Resume(t.Context(), "trip", 0, "ana", "x"); !errors.Is(err, errStore) {
			t.Errorf("Resume meanwhile: %v", err)
		}
		store.down.Store(false)
		store.downAfterSet.Store(false)
		w.resume(c, "trip", 0)
		w.ends(c, id, saga.Completed)
	})
}

// TestAStartWithinATransactionDuringThePause is held as any other.
func TestAStartWithinATransactionDuringThePause(t *testing.T) {
	t.Parallel()
	db, store := sqlStore(t, inMemory)
	w := newPausing(t)
	w.participants()
	c, _ := w.both(coordinator.Config{Store: store})
	w.pause(c, "trip")
	var id saga.ID
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) (err error) {
		id, err = coordinator.Start(ctx, c, w.trips, trip{ID: "a"}, coordinator.Key("a"), coordinator.Within(store.Within(tx)))
		return err
	})
	if err == nil {
		err = c.Wake(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.ends(c, w.begin(c, w.tours, "b"), saga.Completed)
	entries, err := store.History(t.Context(), id, 0, 10)
	if err != nil || len(entries) != 2 || entries[1].Kind != saga.LogHeld {
		t.Errorf("its story is %+v, %v", entries, err)
	}
	w.resume(c, "trip", 0)
	w.ends(c, id, saga.Completed)
}

func TestPauseErrors(t *testing.T) {
	t.Parallel()
	w := newPausing(t)
	c, stop := w.both(coordinator.Config{})
	pause := func(definition, by, why string) error { return c.Pause(t.Context(), definition, by, why) }
	resume := func(definition string, rate int, by, why string) error {
		return c.Resume(t.Context(), definition, rate, by, why)
	}
	for name, test := range map[string]struct{ got, want error }{
		"pause by nobody":            {pause("trip", "", "x"), coordinator.ErrUnwanted},
		"pause without a reason":     {pause("trip", "ana", ""), coordinator.ErrUnwanted},
		"pause with a NUL":           {pause("trip", "ana\x00", "x"), coordinator.ErrUnwanted},
		"resume with bad UTF-8":      {resume("trip", 0, "ana", "\xff"), coordinator.ErrUnwanted},
		"pause of the unknown":       {pause("cruise", "ana", "x"), saga.ErrUnknownDefinition},
		"resume by nobody":           {resume("trip", 0, "", "x"), coordinator.ErrUnwanted},
		"resume without a reason":    {resume("", 0, "ana", ""), coordinator.ErrUnwanted},
		"resume of the unknown":      {resume("cruise", 0, "ana", "x"), saga.ErrUnknownDefinition},
		"resume at a negative rate":  {resume("trip", -1, "ana", "x"), coordinator.ErrUnwanted},
		"resume of what goes on":     {resume("trip", 0, "ana", "x"), nil},
		"resume of all, which go on": {resume("", 5, "ana", "x"), nil},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", name, test.got, test.want)
		}
	}
	if all, err := w.store.PauseHistory(t.Context(), 0, 10); err != nil || len(all) != 0 {
		t.Errorf("the history is %+v, %v", all, err)
	}
	stop()
	if err := pause("trip", "ana", "x"); !errors.Is(err, coordinator.ErrClosed) {
		t.Errorf("a pause by a coordinator that has stopped: %v", err)
	}
}
