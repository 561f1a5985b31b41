package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func TestLargeFanOutGoesOnInPages(t *testing.T) {
	t.Parallel()
	for _, broke := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newTouring(t)
			w.hotel()
			c, _ := w.tours(coordinator.Config{})
			const n = 250
			began := time.Now()
			id := w.book(c, tour{ID: "big", Rooms: rooms("big", n), Broke: broke})
			want, booked := saga.Completed, 1
			if broke {
				want, booked = saga.Compensated, 0
			}
			w.ends(c, id, want)
			if took := time.Since(began); took >= saga.DefaultTimeout {
				t.Errorf("it took %s: a page waited for a time-out", took)
			}
			w.wantRooms("big", n, booked)
			w.story(id)
			items, err := w.store.Items(t.Context(), id, 0, 2*n)
			if err != nil || len(items) != n {
				t.Errorf("%d items, %v", len(items), err)
			}
		})
	}
}

// wire is the coordinator's connection. The at-th message on it, in either direction, is lost or comes twice.
type wire struct {
	messaging.Broker
	mu    sync.Mutex
	at    int
	twice bool
	hit   bool
}

// strikes reports whether this is the message.
func (w *wire) strikes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at--
	w.hit = w.hit || w.at == 0
	return w.at == 0
}

func (w *wire) struck() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hit
}

func (w *wire) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	if w.strikes() {
		if !w.twice {
			done(nil) // nobody knows that it is lost
			return
		}
		w.Broker.Publish(ctx, m, func(error) {})
	}
	w.Broker.Publish(ctx, m, done)
}

func (w *wire) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	return w.Broker.Subscribe(ctx, s, ready, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		all := make([]messaging.Disposition, len(batch))
		var kept []messaging.Message
		var places []int
		for i, m := range batch {
			switch {
			case !w.strikes():
				kept, places = append(kept, m), append(places, i)
			case w.twice:
				kept, places = append(kept, m, m), append(places, i, i)
			}
		}
		if len(kept) == 0 {
			return all
		}
		for i, d := range r(ctx, kept) {
			all[places[i]] = d
		}
		return all
	})
}

// TestLostAndRepeatedMessages loses and repeats every message between coordinator and participant in turn: a time-out, or
// the barrier, makes up for it (G1).
func TestLostAndRepeatedMessages(t *testing.T) {
	t.Parallel()
	for _, twice := range []bool{false, true} {
		for _, broke := range []bool{false, true} {
			struck := true
			n := 0
			for ; struck; n++ {
				synctest.Test(t, func(t *testing.T) {
					w := newTouring(t)
					w.hotel()
					line := &wire{Broker: w.broker, at: n + 1, twice: twice}
					c, _ := w.tours(coordinator.Config{Bus: messaging.Bus{Broker: line, Codec: w.codec}})
					w.settled(c, w.book(c, tour{ID: "t", Rooms: rooms("t", 3), Broke: broke}), broke)
					struck = line.struck()
				})
			}
			if n < 8 {
				t.Errorf("twice=%t broke=%t: only %d messages", twice, broke, n)
			}
		}
	}
}

// settled wants the tour "t" of three rooms to end, with all effects or none.
func (w *touring) settled(c *coordinator.Coordinator, id saga.ID, broke bool) {
	w.Helper()
	if broke {
		w.ends(c, id, saga.Compensated)
		w.wantRooms("t", 3, 0)
	} else {
		w.ends(c, id, saga.Completed)
		w.wantRooms("t", 3, 1)
	}
	if want := map[bool]int{false: 1, true: 0}[broke]; w.net("confirm", "t") != want {
		w.Errorf("confirmed %d times, want %d", w.net("confirm", "t"), want)
	}
	w.story(id)
}

// TestCrashPointsOfAFanOut is [TestCrashPoints] for a fan-out: the coordinator stops at every boundary in turn.
func TestCrashPointsOfAFanOut(t *testing.T) {
	t.Parallel()
	for _, broke := range []bool{false, true} {
		var end saga.State
		n, crashed := 0, true
		for ; crashed; n++ {
			synctest.Test(t, func(t *testing.T) {
				var s saga.State
				s, crashed = crashTour(t, n+1, broke)
				if n == 0 {
					end = s
				}
				if !slices.EqualFunc(s.Root.Nodes, end.Root.Nodes, func(a, b saga.NodeState) bool { return a.Phase == b.Phase }) {
					t.Errorf("crash point %d: nodes %+v, want the phases of %+v", n+1, s.Root.Nodes, end.Root.Nodes)
				}
			})
		}
		if n < 12 {
			t.Errorf("broke=%t: only %d crash points", broke, n)
		}
	}
}

func crashTour(t *testing.T, n int, broke bool) (end saga.State, crashed bool) {
	t.Helper()
	w := newTouring(t)
	w.hotel()
	f := newFuse(n)
	store, broker := &crashingStore{w.store, f}, crashingBroker{w.broker, f}
	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker, Grace: time.Millisecond, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	c, stop := w.tours(coordinator.Config{Store: store, Bus: messaging.Bus{Broker: broker, Codec: w.codec}, Relay: relay})
	stopRelay := w.run(relay.Run, nil)
	data := tour{ID: "t", Rooms: rooms("t", 3), Broke: broke}
	id, startErr := coordinator.Start(t.Context(), c, w.def, data, coordinator.Key("t"))
	crashed = startErr != nil || rests(w.world, id, f)
	stop()
	stopRelay()
	again, _ := w.tours(coordinator.Config{})
	if startErr != nil { // a client that got no answer starts again with the same key
		id = w.book(again, data)
	}
	w.settled(again, id, broke)
	end, err = w.store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return end, crashed
}

// TestTwoCoordinatorsOfAFanOut has both decide about the items of the same tours, on a broker that repeats and reorders.
func TestTwoCoordinatorsOfAFanOut(t *testing.T) {
	t.Parallel()
	w := newTouring(t)
	w.hotel()
	line := func(n int) messaging.Bus {
		return messaging.Bus{Broker: &wire{Broker: w.broker, at: n, twice: true}, Codec: w.codec}
	}
	a, _ := w.tours(coordinator.Config{Bus: line(20)})
	b, _ := w.tours(coordinator.Config{Bus: line(30)})
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			name := fmt.Sprint("t", i)
			c := []*coordinator.Coordinator{a, b}[i%2]
			id, err := coordinator.Start(context.Background(), c, w.def, tour{ID: name, Rooms: rooms(name, 10), Broke: i%4 == 0}, coordinator.Key(name))
			if err == nil {
				_, err = c.Await(context.Background(), id)
			}
			if err != nil {
				t.Error(errors.Join(err, fmt.Errorf("tour %s", name)))
			}
		})
	}
	all.Wait()
	for i := range 20 {
		name := fmt.Sprint("t", i)
		w.story(coordinator.IDOf("tour", name))
		w.wantRooms(name, 10, map[bool]int{true: 0, false: 1}[i%4 == 0])
	}
}
