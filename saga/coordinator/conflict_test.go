package coordinator_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// rival is another coordinator on the store, whose transitions change nothing but the version.
type rival struct {
	*touring
	mu   sync.Mutex
	last int64 // the version of its last transition
	wins int
}

// strike comes first, unless it did so just before or the instance is not under way.
func (r *rival) strike(id saga.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	loaded, err := r.store.Load(context.Background(), []coordinator.Want{{ID: id}})
	s := loaded[id]
	if err != nil || !s.Exists() || s.Status.Terminal() || s.Version == r.last {
		return
	}
	s.Version++
	s.Root, s.Items = saga.Record{}, nil
	conflicts, err := r.store.Commit(context.Background(), []coordinator.Change{{
		Before: s.Version - 1, State: s,
		Log: []coordinator.LogEntry{{Version: s.Version, Log: saga.Log{Kind: saga.LogOperator, Detail: "the rival"}}},
	}})
	if err == nil && len(conflicts) == 0 {
		r.last = s.Version
		r.wins++
	}
}

// TestWhatTheOtherDidIsTakenUp has a rival come first with every transition, before the commit and between the loading of an
// instance and of its further records: what was decided meanwhile is decided again at once, from what the rival left.
func TestWhatTheOtherDidIsTakenUp(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the commit", "before a load"} {
		synctest.Test(t, func(t *testing.T) {
			w := newTouring(t)
			w.hotel()
			other := &rival{touring: w}
			id := coordinator.IDOf("tour", "t")
			store := &hookedStore{Store: w.store}
			if when == "before a load" {
				store.load = func() error { other.strike(id); return nil }
			} else {
				store.commit = func([]coordinator.Change) error { other.strike(id); return nil }
			}
			c, _ := w.tours(coordinator.Config{Store: store})
			began := time.Now()
			w.book(c, tour{ID: "t", Rooms: rooms("t", 3), Broke: true})
			w.ends(c, id, saga.Compensated)
			if took := time.Since(began); took >= time.Second {
				t.Errorf("%s: it took %s, so something waited for a timer", when, took)
			}
			if other.wins < 2 {
				t.Errorf("%s: the rival came first %d times only", when, other.wins)
			}
			w.wantRooms("t", 3, 0)
			w.story(id)
		})
	}
}

// TestAStartThatLosesTheRace finds the instance that another coordinator has just made.
func TestAStartThatLosesTheRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		first := true
		c, _ := w.coordinator(coordinator.Config{Store: &hookedStore{Store: w.store, commit: func(changes []coordinator.Change) error {
			if !first {
				return nil
			}
			first = false
			_, err := w.store.Commit(context.Background(), changes)
			return err
		}}})
		id := w.start(c, trip{ID: "t1"})
		if err := c.Wake(t.Context()); err != nil { // the other one's relay would send what it committed
			t.Fatal(err)
		}
		w.ends(c, id, saga.Completed)
		if w.net("flight", "t1") != 1 {
			t.Errorf("%d flights", w.net("flight", "t1"))
		}
		w.story(id)
	})
}
