package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConfigNamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := coordinator.New(coordinator.Config{MaxBatch: -1, Recheck: -1})
	if !errors.Is(err, coordinator.ErrConfig) {
		t.Fatal(err)
	}
	for _, want := range []string{"Store", "Bus.Broker", "Bus.Codec", "Definitions", "MaxBatch", "Recheck"} {
		if !containsText(err, want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	w := newWorld(t)
	if _, err := coordinator.New(coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def, w.def}}); !containsText(err, "twice") {
		t.Errorf("a definition given twice: %v", err)
	}
	var none *saga.Definition[trip]
	if _, err := coordinator.New(coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def, none}}); !errors.Is(err, coordinator.ErrConfig) || !containsText(err, "Definitions[1]") {
		t.Errorf("a nil definition: %v", err)
	}
	c, err := coordinator.New(coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := coordinator.Start(t.Context(), c, none, trip{}); !errors.Is(err, coordinator.ErrConfig) {
		t.Errorf("the start of a nil definition: %v", err)
	}
}

func containsText(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}

func TestSuccessAndCompensation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	var observed sync.Map
	c, _ := w.coordinator(coordinator.Config{Observe: func(tr coordinator.Transition) {
		last, _ := observed.Swap(tr.State.ID, tr.State.Version)
		if last, ok := last.(int64); ok && tr.State.Version <= last {
			t.Errorf("version %d was observed after %d", tr.State.Version, last)
		}
	}})
	good, bad := w.start(c, trip{ID: "t1"}), w.start(c, trip{ID: "t2", Broke: true})
	w.ends(c, good, saga.Completed)
	s := w.ends(c, bad, saga.Compensated)
	if s.Reason != "pay: coordinator_test.payFails" {
		t.Errorf("reason %q", s.Reason)
	}
	for _, what := range []string{"flight", "hotel", "pay"} {
		if w.net(what, "t1") != 1 || w.net(what, "t2") != 0 {
			t.Errorf("%s: net effect %d of the completed saga, %d of the compensated one", what, w.net(what, "t1"), w.net(what, "t2"))
		}
	}
	want := []string{
		"started  ", "sent flight do", "succeeded flight do", "sent hotel do", "succeeded hotel do", "sent pay do", "refused pay do",
		"aborted  ", "sent hotel undo", "undone hotel undo", "sent flight undo", "undone flight undo", "compensated  ",
	}
	if got := w.story(bad); !slices.Equal(got, want) {
		t.Errorf("story %q", got)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	c, _ := w.coordinator(coordinator.Config{})
	first, second := w.start(c, trip{ID: "t1"}), w.start(c, trip{ID: "t1", Broke: true})
	if first != second || first != coordinator.IDOf("trip", "t1") {
		t.Errorf("two starts with one key: %s and %s, IDOf says %s", first, second, coordinator.IDOf("trip", "t1"))
	}
	w.ends(c, first, saga.Completed)
	if again := w.start(c, trip{ID: "t1"}); again != first || w.net("flight", "t1") != 1 {
		t.Errorf("a start after the end: %s, %d flights", again, w.net("flight", "t1"))
	}
	a, err := coordinator.Start(t.Context(), c, w.def, trip{ID: "x"})
	b, err2 := coordinator.Start(t.Context(), c, w.def, trip{ID: "x"})
	if err != nil || err2 != nil || a == b {
		t.Errorf("two starts without a key: %s and %s, %v, %v", a, b, err, err2)
	}
	if _, err := coordinator.Start(t.Context(), c, bookTrip("another"), trip{}); !errors.Is(err, saga.ErrUnknownDefinition) {
		t.Errorf("a definition that is not registered: %v", err)
	}
	if _, err := c.Await(t.Context(), "nobody"); !errors.Is(err, saga.ErrNotFound) {
		t.Errorf("Await of an unknown instance: %v", err)
	}
	w.ends(c, a, saga.Completed)
	w.ends(c, b, saga.Completed)
}

func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	c, stop := w.coordinator(coordinator.Config{})
	if err := c.Run(t.Context()); !errors.Is(err, coordinator.ErrClosed) {
		t.Errorf("a second Run: %v", err)
	}
	id := w.start(c, trip{ID: "t1"})
	stop()
	if _, err := coordinator.Start(t.Context(), c, w.def, trip{ID: "t2"}); !errors.Is(err, coordinator.ErrClosed) {
		t.Errorf("Start after the end: %v", err)
	}
	if _, err := c.Act(t.Context(), id, saga.Act{}); !errors.Is(err, coordinator.ErrClosed) {
		t.Errorf("Act after the end: %v", err)
	}
	again, _ := w.coordinator(coordinator.Config{})
	w.ends(again, id, saga.Completed)
}

func TestTwoCoordinatorsOnOneStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	a, _ := w.coordinator(coordinator.Config{})
	b, _ := w.coordinator(coordinator.Config{})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			c := []*coordinator.Coordinator{a, b}[i%2]
			key := fmt.Sprintf("t%d", i/2) // both start each trip
			id, err := coordinator.Start(context.Background(), c, w.def, trip{ID: key, Broke: i/2%3 == 0}, coordinator.Key(key))
			if err != nil {
				t.Error(err)
				return
			}
			if s, err := c.Await(context.Background(), id); err != nil || !s.Status.Terminal() {
				t.Errorf("%s is %s, %v", key, s.Status, err)
			}
		})
	}
	all.Wait()
	for i := range 50 {
		key, want := fmt.Sprintf("t%d", i), 1
		if i%3 == 0 {
			want = 0
		}
		w.story(coordinator.IDOf("trip", key))
		if got := w.net("flight", key); got != want {
			t.Errorf("%s: net effect %d, want %d", key, got, want)
		}
	}
}

// TestSilentParticipant lets the clock run: commands that nobody answers are sent again, then given up as unknown, and
// compensation that nobody answers parks the instance until an operator skips it.
func TestSilentParticipant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights()
		c, stop := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		began := time.Now()
		s := w.ends(c, id, saga.Parked)
		if waited := time.Since(began); waited < 2*5*saga.DefaultTimeout || waited > 2*5*saga.DefaultTimeout+time.Minute {
			t.Errorf("parked after %s, want after five time-outs each way", waited)
		}
		act := saga.Act{ID: "a1", Action: saga.Skip, Version: s.Version, By: "ana", Why: "the hotel has closed"}
		if _, err := c.Act(t.Context(), id, saga.Act{ID: "a0", Action: saga.Skip, Version: 1, By: "ana", Why: "x"}); !errors.Is(err, saga.ErrConflict) {
			t.Errorf("an action on another version: %v", err)
		}
		for range 2 {
			if _, err := c.Act(t.Context(), id, act); err != nil {
				t.Fatal(err)
			}
		}
		w.ends(c, id, saga.Compensated)
		if audits, err := w.store.Audits(t.Context(), id); err != nil || len(audits) != 1 || audits[0].Act.By != "ana" {
			t.Errorf("audits %+v, %v", audits, err)
		}
		if w.net("flight", "t1") != 0 {
			t.Error("the flight was not cancelled")
		}
		stop()
	})
}

// TestLateParticipant shows that a timer's resend is what a participant gets that was away.
func TestLateParticipant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights()
		c, _ := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1", Broke: true})
		time.Sleep(saga.DefaultTimeout * 3 / 2)
		w.others()
		w.ends(c, id, saga.Compensated)
		if w.net("flight", "t1") != 0 || w.net("hotel", "t1") != 0 {
			t.Error("something is left")
		}
	})
}

func TestOrphanParksAndIsTakenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights()
		c, stop := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		stop()
		// A version without the definition parks it, as soon as something is to be decided.
		c, stop = w.coordinator(coordinator.Config{Definitions: []saga.Any{bookTrip("another")}})
		s := w.ends(c, id, saga.Parked)
		if !s.Orphaned {
			t.Errorf("parked, but not for its definition: %q", s.Reason)
		}
		stop()
		w.others()
		c, _ = w.coordinator(coordinator.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for s.Status == saga.Parked && ctx.Err() == nil {
			time.Sleep(time.Minute)
			s, _ = w.store.Get(ctx, id)
		}
		if s.Status != saga.Completed {
			t.Errorf("with the definition it is %s (%s)", s.Status, s.Reason)
		}
		_ = c
	})
}

func TestWhatCannotBeUnderstoodIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	c, stop := w.coordinator(coordinator.Config{})
	id := w.start(c, trip{ID: "t1"})
	w.ends(c, id, saga.Completed)
	running := coordinator.IDOf("trip", "never")
	stamp := func(m messaging.Message, node string, of saga.ID) messaging.Message {
		m = messaging.Correlation{Saga: string(of), Node: node, Direction: messaging.Do}.Stamp(m)
		return m.WithHeader(messaging.HeaderOutcome, string(messaging.Success))
	}
	good, err := w.codec.Encode(hotelBooked{})
	if err != nil {
		t.Fatal(err)
	}
	garbage, unknown := good, good
	garbage.Payload, unknown.Type = []byte("{"), "nobody knows"
	for i, m := range []messaging.Message{
		stamp(good, "hotel", running), stamp(garbage, "hotel", id), stamp(unknown, "hotel", id),
		good, stamp(good, "hotel", id), // an event of no saga, and a reply to a terminal instance: nobody's business
	} {
		m.ID = fmt.Sprint("m", i)
		if err := messaging.Publish(t.Context(), w.broker, m); err != nil {
			t.Fatal(err)
		}
	}
	next := w.start(c, trip{ID: "t2"})
	w.ends(c, next, saga.Completed)
	stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	var letters []string
	for _, d := range w.dead {
		letters = append(letters, d.Message.ID)
	}
	slices.Sort(letters)
	if !slices.Equal(letters, []string{"m0", "m1", "m2"}) {
		t.Errorf("dead letters %v", letters)
	}
}

func TestStartWithin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.participants()
	c, _ := w.coordinator(coordinator.Config{})
	id, err := coordinator.Start(t.Context(), c, w.def, trip{ID: "t1"}, coordinator.Key("t1"), coordinator.Within(w.store))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Wake(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.ends(c, id, saga.Completed)
	empty := memsaga.New()
	if _, err := coordinator.Start(t.Context(), c, w.def, trip{ID: "t9"}, coordinator.Within(empty)); err != nil {
		t.Fatal(err)
	}
	if page, _, err := w.store.List(t.Context(), coordinator.ListQuery{}); err != nil || len(page) != 1 {
		t.Errorf("a start within another store reached this one: %v, %v", page, err)
	}
}
