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

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

const day = 24 * time.Hour

// wantSagas wants these instances to be stored and no others, each with its history.
func (w *world) wantSagas(want ...saga.ID) {
	w.Helper()
	page, _, err := w.store.List(context.Background(), coordinator.ListQuery{Limit: 500})
	if err != nil {
		w.Fatal(err)
	}
	got := make([]saga.ID, 0, len(page))
	for _, s := range page {
		got = append(got, s.ID)
		if len(w.story(s.ID)) == 0 {
			w.Errorf("%s has no history", s.ID)
		}
	}
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		w.Errorf("stored are %v, want %v", got, want)
	}
}

// relay is one that is not run, for stores that send nothing.
func (w *world) relay() *outbox.Relay {
	w.Helper()
	relay, err := outbox.NewRelay(outbox.Config{Store: w.store, Publisher: w.broker, Logger: quiet()})
	if err != nil {
		w.Fatal(err)
	}
	return relay
}

func TestWhatEndedIsRemovedByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, _ := w.coordinator(coordinator.Config{Recheck: day})
		completed, compensated := w.start(c, trip{ID: "t1"}), w.start(c, trip{ID: "t2", Broke: true})
		w.ends(c, completed, saga.Completed)
		w.ends(c, compensated, saga.Compensated)
		forced := saga.ID("forced")
		old := w.ends(c, completed, saga.Completed)
		for _, s := range []struct {
			id     saga.ID
			status saga.Status
		}{{forced, saga.Forced}, {"parked", saga.Parked}, {"running", saga.Running}} {
			state := old
			state.ID, state.Status, state.Version, state.Stuck = s.id, s.status, 1, 1
			entry := coordinator.LogEntry{Version: 1, At: state.Updated, Log: saga.Log{Kind: saga.LogStarted}}
			_, err := w.store.Commit(t.Context(), []coordinator.Change{{
				State: state, Records: []saga.Record{{Data: []byte("{}")}}, Log: []coordinator.LogEntry{entry},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * day)
		later := w.start(c, trip{ID: "t3"})
		w.ends(c, later, saga.Completed)
		time.Sleep(9 * day)
		w.wantSagas(completed, compensated, forced, "parked", "running", later)
		time.Sleep(day + 2*time.Hour)
		w.wantSagas("parked", "running", later)
		if _, err := c.Await(t.Context(), completed); !errors.Is(err, saga.ErrNotFound) {
			t.Errorf("a removed instance: %v", err)
		}
		time.Sleep(60 * day)
		w.wantSagas("parked", "running")
	})
}

// A key is used again after its instance was removed: the new one has the same id, and the participants still remember the old one.
func TestAKeyIsFreeOnceItsInstanceIsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, _ := w.coordinator(coordinator.Config{Recheck: day})
		first := w.start(c, trip{ID: "t1", Broke: true})
		w.ends(c, first, saga.Compensated)
		time.Sleep(29 * day)
		if again := w.start(c, trip{ID: "t1"}); again != first || w.ends(c, first, saga.Compensated).Version == 0 {
			t.Error("the key began another instance before its time")
		}
		time.Sleep(2 * day)
		w.wantSagas()
		started := time.Now()
		second := w.start(c, trip{ID: "t1"})
		if s := w.ends(c, second, saga.Completed); s.Started.Before(started) || second != first {
			t.Errorf("the second instance is %s, started %v", second, s.Started)
		}
		if w.net("flight", "t1") != 1 || w.net("hotel", "t1") != 1 || w.net("pay", "t1") != 1 {
			t.Errorf("the second instance had no effect of its own: %v", w.effects)
		}

		// A late answer to the first is none to the second.
		correlation := messaging.Correlation{Saga: string(first), Node: "flight", Direction: messaging.Do, Started: started.Add(-31 * day)}
		late, err := w.codec.Encode(flightBooked{Seat: "99Z"})
		if err != nil {
			t.Fatal(err)
		}
		late = correlation.Stamp(late).WithHeader(messaging.HeaderOutcome, string(messaging.Success))
		if err := messaging.Publish(t.Context(), w.broker, late); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.dead) != 1 || !strings.Contains(w.dead[0].Reason, "was started") {
			t.Errorf("dead letters are %v, want the late answer", w.dead)
		}
	})
}

func TestArchiveComesBeforeTheRemoval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		var mu sync.Mutex
		archived := map[saga.ID]int{}
		broken := true
		var stuck saga.ID
		retention := coordinator.Retention{Keep: 10 * day, Archive: func(ctx context.Context, r coordinator.Reader, id saga.ID) error {
			mu.Lock()
			defer mu.Unlock()
			s, err := r.Get(ctx, id)
			lines, historyErr := r.History(ctx, id, 0, 1000)
			if err := errors.Join(err, historyErr); err != nil || !s.Status.Terminal() || len(lines) == 0 {
				t.Errorf("the hook sees %s with %d lines, %v", s.Status, len(lines), err)
			}
			archived[id]++
			if id == stuck && broken {
				return errors.New("the archive is full")
			}
			return nil
		}}
		c, _ := w.coordinator(coordinator.Config{Recheck: day, Retention: retention})
		mu.Lock()
		stuck = w.start(c, trip{ID: "t1"})
		mu.Unlock()
		good := w.start(c, trip{ID: "t2"})
		w.ends(c, stuck, saga.Completed)
		w.ends(c, good, saga.Completed)
		time.Sleep(10*day + 150*time.Minute)
		w.wantSagas(stuck)
		mu.Lock()
		if archived[good] != 1 || archived[stuck] < 2 {
			t.Errorf("archived %v times, want the good one once and the other one again", archived)
		}
		broken = false
		mu.Unlock()
		time.Sleep(2 * time.Hour)
		w.wantSagas()
	})
}

func TestCoordinatorsRemoveSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		config := coordinator.Config{Recheck: day, Retention: coordinator.Retention{Keep: coordinator.MinKeep}}
		c, _ := w.coordinator(config)
		w.coordinator(config)
		if err := c.Pause(t.Context(), "trip", "ana", "a test"); err != nil {
			t.Fatal(err)
		}
		if err := c.Resume(t.Context(), "trip", 0, "ana", "a test"); err != nil {
			t.Fatal(err)
		}
		for i := range 450 { // more than two pages
			w.ends(c, w.start(c, trip{ID: fmt.Sprint("t", i)}), saga.Completed)
		}
		time.Sleep(8 * day)
		w.wantSagas()
		if all, err := w.store.PauseHistory(t.Context(), 0, 10); err != nil || len(all) > 0 {
			t.Errorf("pauses are left: %v, %v", all, err)
		}
	})
}

// failing is a store that cannot remove, until it can.
type failing struct {
	coordinator.Store
	coordinator.Reader
	coordinator.Remover
	fails int
	calls []time.Time
}

func (f *failing) Remove(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
	f.calls = append(f.calls, time.Now())
	if f.fails--; f.fails >= 0 {
		return 0, errors.New("the database is down")
	}
	return f.Remover.Remove(ctx, before, ids)
}

func TestAFailedRemovalIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, stop := w.coordinator(coordinator.Config{})
		w.ends(c, w.start(c, trip{ID: "t1"}), saga.Completed)
		stop()
		time.Sleep(40 * day)
		f := &failing{Store: w.store, Remover: w.store, Reader: w.store, fails: 2}
		_, stop = w.coordinator(coordinator.Config{Store: f, Relay: w.relay(), Recheck: day})
		time.Sleep(10 * time.Minute)
		stop()
		w.wantSagas()
		if len(f.calls) != 3 || f.calls[2].Sub(f.calls[0]) > 5*time.Minute {
			t.Errorf("removed at %v, want three times in a few minutes", f.calls)
		}
	})
}

func TestRetentionIsChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def}}
	hook := func(context.Context, coordinator.Reader, saga.ID) error { return nil }
	plain := struct{ coordinator.Store }{w.store}
	for name, c := range map[string]struct {
		store coordinator.Store
		keep  coordinator.Retention
		says  string // "" is no fault
	}{
		"shortest":                {w.store, coordinator.Retention{Keep: coordinator.MinKeep, Archive: hook}, ""},
		"for ever":                {w.store, coordinator.Retention{Keep: coordinator.KeepForever}, ""},
		"any negative":            {w.store, coordinator.Retention{Keep: -time.Hour}, ""},
		"left out":                {plain, coordinator.Retention{}, ""},
		"for ever, cannot remove": {plain, coordinator.Retention{Keep: coordinator.KeepForever}, ""},
		"too short":               {w.store, coordinator.Retention{Keep: coordinator.MinKeep - 1}, "Retention.Keep is 167h59m59.999999999s, in which repeated starts and replies may still come: set it to 168h0m0s or more, or to KeepForever"},
		"archive of nothing":      {w.store, coordinator.Retention{Keep: coordinator.KeepForever, Archive: hook}, "leave one of them out"},
		"cannot remove":           {plain, coordinator.Retention{Keep: day * 100}, "is no Remover"},
		"cannot archive":          {plain, coordinator.Retention{Archive: hook}, "is no Reader"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := good
			config.Store, config.Retention, config.Relay = c.store, c.keep, w.relay()
			_, err := coordinator.New(config)
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, coordinator.ErrConfig) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("New: %v, want a fault that says %q", err, c.says)
			}
		})
	}
}

// A step's entry is removed while its saga is parked: when it goes back at last, the undo is refused, and the saga parks for it.
func TestARemovedEntryParksItsSaga(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights()
		c, _ := w.coordinator(coordinator.Config{Recheck: day})
		id := w.start(c, trip{ID: "t1"})
		s := w.ends(c, id, saga.Parked) // the hotel neither books nor cancels
		time.Sleep(100 * day)
		w.others()
		act := saga.Act{ID: "a1", Action: saga.Retry, Version: s.Version, By: "ana", Why: "the hotel is back"}
		if _, err := c.Act(t.Context(), id, act); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day)
		s = w.ends(c, id, saga.Parked)
		if w.net("flight", "t1") != 1 || !strings.HasPrefix(s.Reason, "flight: no reply") {
			t.Errorf("the flight was booked %d times; the saga is parked: %s", w.net("flight", "t1"), s.Reason)
		}
	})
}

// Another coordinator ends an instance, removes it and starts another one with its key, which comes to the version that this one remembers.
func TestAnInstanceThatWasReplacedIsNotRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights()
		c, _ := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		synctest.Wait()
		first, err := w.store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		ended := first
		ended.Version, ended.Status = first.Version+1, saga.Completed
		if _, err = w.store.Commit(t.Context(), []coordinator.Change{{Before: first.Version, State: ended}}); err == nil {
			_, err = w.store.Remove(t.Context(), time.Now().Add(day), []saga.ID{id})
		}
		second := first
		second.Started = first.Started.Add(40 * day)
		second.Root.Wake = time.Now().UTC().Add(10 * time.Minute)
		second.Root.Nodes = slices.Clone(first.Root.Nodes)
		for i := range second.Root.Nodes {
			if second.Root.Nodes[i].Due != 0 {
				second.Root.Nodes[i].Due = second.Root.Wake.UnixMilli()
			}
		}
		if err == nil {
			_, err = w.store.Commit(t.Context(), []coordinator.Change{{State: second, Records: []saga.Record{second.Root}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(11 * time.Minute)
		s, err := w.store.Get(t.Context(), id)
		if err != nil || s.Version == second.Version || !s.Started.Equal(second.Started) {
			t.Errorf("the second instance is at version %d and started %v, %v; want it to go on as itself", s.Version, s.Started, err)
		}
	})
}
