package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

var errCrashed = errors.New("the process has crashed")

// fuse counts the boundaries that a process passes (before and after each commit, publication and deletion) and blows at
// the n-th: what is before it has happened, what is behind it never does.
type fuse struct {
	mu    sync.Mutex
	left  int
	blown chan struct{}
}

func newFuse(n int) *fuse { return &fuse{left: n, blown: make(chan struct{})} }

// pass reports whether the process still lives behind the next boundary.
func (f *fuse) pass() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == 0 {
		return false
	}
	if f.left--; f.left == 0 {
		close(f.blown)
	}
	return f.left > 0
}

// around does something between two boundaries.
func (f *fuse) around(do func() error) error {
	if !f.pass() {
		return errCrashed
	}
	err := do()
	if !f.pass() {
		return errCrashed
	}
	return err
}

// crashingStore is the store of a process with a fuse.
type crashingStore struct {
	*memsaga.Store
	fuse *fuse
}

func (s *crashingStore) Commit(ctx context.Context, changes []coordinator.Change) (conflicts []saga.ID, err error) {
	err = s.fuse.around(func() error {
		conflicts, err = s.Store.Commit(ctx, changes)
		return err
	})
	return conflicts, err
}

func (s *crashingStore) Delete(ctx context.Context, ids []string) error {
	return s.fuse.around(func() error { return s.Store.Delete(ctx, ids) })
}

// crashingBroker is the broker's client of that process.
type crashingBroker struct {
	messaging.Broker
	fuse *fuse
}

func (b crashingBroker) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	if !b.fuse.pass() {
		done(errCrashed)
		return
	}
	b.Broker.Publish(ctx, m, func(err error) {
		if !b.fuse.pass() {
			err = errCrashed
		}
		done(err)
	})
}

// TestCrashPoints stops the coordinator and its relay at every boundary in turn, for a saga that succeeds and for one
// that is compensated, and takes the work up in a new one: the end is always the same (G1, G2).
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	for _, broke := range []bool{false, true} {
		points := 0
		for n := 1; crashAt(t, n, broke); n++ {
			points = n
		}
		t.Logf("broke=%t: %d crash points", broke, points)
		if points < 12 {
			t.Errorf("only %d crash points were met", points)
		}
	}
}

// crashAt reports whether the saga got as far as the n-th boundary.
func crashAt(t *testing.T, n int, broke bool) (crashed bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { // so that what is given up at the crash costs no time
		w := newWorld(t)
		w.participants()
		f := newFuse(n)
		store, broker := &crashingStore{w.store, f}, crashingBroker{w.broker, f}
		relay, err := outbox.NewRelay(outbox.Config{
			Store: store, Publisher: broker, Grace: time.Millisecond, Linger: time.Microsecond, Logger: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		c, stop := w.coordinator(coordinator.Config{
			Store: store, Bus: messaging.Bus{Broker: broker, Codec: w.codec}, Relay: relay,
		})
		stopRelay := w.run(relay.Run, nil)
		data := trip{ID: "t1", Broke: broke}
		id, startErr := coordinator.Start(t.Context(), c, w.def, data, coordinator.Key("t1"))
		want := saga.Completed
		if broke {
			want = saga.Compensated
		}
		if startErr == nil {
			crashed = rests(w, id, f)
		} else {
			crashed = true
		}
		stop()
		stopRelay()

		again, _ := w.coordinator(coordinator.Config{})
		if startErr != nil { // a client that got no answer starts again with the same key
			id = w.start(again, data)
		}
		w.ends(again, id, want)
		w.story(id)
		applied := 1
		if broke {
			applied = 0
		}
		for _, what := range []string{"flight", "hotel", "pay"} {
			if got := w.net(what, "t1"); got != applied {
				t.Errorf("crash point %d, broke=%t: net effect of %s is %d, want %d", n, broke, what, got, applied)
			}
		}
	})
	return crashed
}

// rests waits until the fuse has blown or the saga has ended with its messages deleted, and says which.
func rests(w *world, id saga.ID, f *fuse) (blown bool) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-f.blown:
			return true
		case <-poll.C:
		}
		s, err := w.store.Get(context.Background(), id)
		if err != nil {
			w.Fatal(err)
		}
		if rows, err := w.store.Pending(context.Background(), 0, 1); err == nil && len(rows) == 0 && s.Status.Terminal() {
			return false
		}
	}
}

// TestStoreThatFailsForAWhile shows that an outage of the store costs time and nothing else: commits that fail before they are
// executed, and such that fail after it.
func TestStoreThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, _ := w.coordinator(coordinator.Config{Store: &unreliableStore{Store: w.store}})
		for i := range 20 {
			key := fmt.Sprint("t", i)
			var id saga.ID
			err := errCrashed
			for err != nil { // the caller tries again with the same key
				id, err = coordinator.Start(t.Context(), c, w.def, trip{ID: key, Broke: i%2 == 0}, coordinator.Key(key))
			}
			began := time.Now()
			if s, err := c.Await(t.Context(), id); err != nil || !s.Status.Terminal() {
				t.Fatalf("%s is %s, %v", key, s.Status, err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s took %s: a message that was committed waited for the relay's sweep or for a time-out", key, took)
			}
			if got, want := w.net("hotel", key), i%2; got != want {
				t.Errorf("%s: net effect %d, want %d", key, got, want)
			}
		}
	})
}

// unreliableStore fails every third commit before and every fifth after it was executed.
type unreliableStore struct {
	*memsaga.Store
	mu sync.Mutex
	n  int
}

func (s *unreliableStore) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	s.mu.Lock()
	s.n++
	before, after := s.n%3 == 0, s.n%5 == 0
	s.mu.Unlock()
	if before {
		return nil, errCrashed
	}
	conflicts, err := s.Store.Commit(ctx, changes)
	if after {
		return nil, errCrashed
	}
	return conflicts, err
}
