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

// first is when the instance's first command was sent.
func (s *sendings) first(id saga.ID) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.all, func(one sending) bool { return one.saga == id })
	if i < 0 {
		return time.Time{}
	}
	return s.all[i].at
}

// firsts are the times at which the instances' first commands were sent, in order.
func (s *sendings) firsts() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []time.Time
	for _, one := range s.all {
		if one.node == "flight" {
			all = append(all, one.at)
		}
	}
	return all
}

// held starts so many trips during the pause.
func (w *pausing) held(c *coordinator.Coordinator, n int) []saga.ID {
	w.Helper()
	w.pause(c, "trip")
	ids := make([]saga.ID, n)
	for i := range ids {
		ids[i] = w.begin(c, w.trips, fmt.Sprint("held", i))
	}
	return ids
}

// TestResumeReleasesGradually lets go at most so many in any second, and not much fewer.
func TestResumeReleasesGradually(t *testing.T) {
	t.Parallel()
	for rate, n := range map[int]int{1: 4, 3: 10, 10: 50, 300: 500} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newPausing(t)
				w.participants()
				c, _ := w.both(coordinator.Config{})
				ids := w.held(c, n)
				time.Sleep(time.Hour) // what was held so long makes no credit
				began := time.Now()
				w.resume(c, "trip", rate)
				w.ends(c, w.begin(c, w.tours, "tour"), saga.Completed)
				for _, id := range ids {
					w.ends(c, id, saga.Completed)
				}
				took, ideal := time.Since(began), time.Duration(n)*time.Second/time.Duration(rate)
				if took > ideal+ideal/10+200*time.Millisecond {
					t.Errorf("%d at %d a second took %s", n, rate, took)
				}
				sent := w.sent.firsts()[1:] // the first is the other definition's
				for i := range len(sent) - rate {
					if within := sent[i+rate].Sub(sent[i]); within < time.Second {
						t.Fatalf("%d were sent within %s", rate+1, within)
					}
				}
				time.Sleep(2 * time.Second)
				if open, err := w.store.Pauses(t.Context()); err != nil || len(open) > 0 {
					t.Errorf("after the release these are open: %+v, %v", open, err)
				}
				late := w.begin(c, w.trips, "late")
				w.ends(c, late, saga.Completed)
			})
		})
	}
}

// TestAReleaseThatNobodyServesMakesNoCredit: a coordinator that starts long after the pause ended lets go no more than the rate.
func TestAReleaseThatNobodyServesMakesNoCredit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		c, stop := w.both(coordinator.Config{})
		ids := w.held(c, 50)
		w.resume(c, "trip", 10)
		stop()
		before := len(w.sent.firsts())
		time.Sleep(time.Hour)
		c, _ = w.both(coordinator.Config{})
		time.Sleep(time.Second)
		if n := len(w.sent.firsts()) - before; n < 10 || n > 20 {
			t.Errorf("a second after the start %d were released, want those of one second, or of two", n)
		}
		for _, id := range ids {
			w.ends(c, id, saga.Completed)
		}
	})
}

// TestResumeOfAllReleasesGradually beside a definition that stays paused and one with a rate of its own.
func TestResumeOfAllReleasesGradually(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		cruises := bookTrip("cruise")
		c, _ := w.coordinator(coordinator.Config{Definitions: []saga.Any{w.trips, w.tours, cruises}, Observe: w.sent.observe})
		w.pause(c, "")
		w.pause(c, "trip")
		w.pause(c, "cruise")
		trips := []saga.ID{w.begin(c, w.trips, "trip")}
		var tours, floating []saga.ID
		for i := range 8 {
			tours = append(tours, w.begin(c, w.tours, fmt.Sprint("tour", i)))
			floating = append(floating, w.begin(c, cruises, fmt.Sprint("cruise", i)))
		}
		w.resume(c, "", 2)
		w.resume(c, "cruise", 4)
		time.Sleep(2*time.Second + time.Millisecond)
		count := func(ids []saga.ID) (n int) {
			for _, id := range ids {
				n += min(w.sent.of(id), 1)
			}
			return n
		}
		if a, b, c := count(trips), count(tours), count(floating); a != 0 || b != 4 || c != 8 {
			t.Errorf("after two seconds %d trips, %d tours and %d cruises are on their way, want 0, 4 and 8", a, b, c)
		}
		for _, id := range append(tours, floating...) {
			w.ends(c, id, saga.Completed)
		}
		w.resume(c, "trip", 0)
		w.ends(c, trips[0], saga.Completed)
	})
}

// TestPauseDuringTheRelease stops it at once; the next one ends all.
func TestPauseDuringTheRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		c, _ := w.both(coordinator.Config{})
		ids := w.held(c, 50)
		w.resume(c, "trip", 10)
		time.Sleep(2*time.Second + time.Millisecond)
		w.pause(c, "trip")
		released := len(w.sent.firsts())
		if released != 20 {
			t.Errorf("within two seconds %d were released, want 20", released)
		}
		time.Sleep(time.Hour)
		if got := len(w.sent.firsts()); got != released {
			t.Errorf("after the pause %d more were released", got-released)
		}
		w.resume(c, "trip", 0)
		for _, id := range ids {
			w.ends(c, id, saga.Completed)
		}
		released = len(w.sent.firsts())
		w.pause(c, "trip")
		ids = []saga.ID{w.begin(c, w.trips, "one"), w.begin(c, w.trips, "more")}
		w.resume(c, "trip", 1)
		w.pause(c, "trip") // all at the same moment
		time.Sleep(time.Hour)
		if got := len(w.sent.firsts()); got != released {
			t.Errorf("after the second pause %d more were released", got-released)
		}
		w.resume(c, "trip", 1)
		w.resume(c, "trip", 0) // it may be hurried
		began := time.Now()
		for _, id := range ids {
			w.ends(c, id, saga.Completed)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the release of all took %s", took)
		}
		all, err := w.store.PauseHistory(t.Context(), 0, 10)
		if err != nil || len(all) != 4 || slices.ContainsFunc(all, func(p coordinator.Pause) bool { return !p.Done || p.Released.IsZero() }) {
			t.Errorf("the history is %+v, %v; want four pauses that are done", all, err)
		}
	})
}

// TestPauseAndResumeAreIdempotent and their history tells who did it first.
func TestPauseAndResumeAreIdempotent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		c, _ := w.both(coordinator.Config{})
		began := time.Now().UTC()
		w.pause(c, "trip")
		id := w.begin(c, w.trips, "a")
		time.Sleep(time.Minute)
		if err := c.Pause(t.Context(), "trip", "bob", "me too"); err != nil {
			t.Fatal(err)
		}
		w.resume(c, "trip", 0)
		if err := c.Resume(t.Context(), "trip", 7, "bob", "me too"); err != nil {
			t.Fatal(err)
		}
		w.ends(c, id, saga.Completed)
		want := []coordinator.Pause{{
			Definition: "trip", At: began, By: "ana", Why: "the bank is down",
			Released: began.Add(time.Minute), ReleasedBy: "eve", ReleasedWhy: "the bank is up", Done: true,
		}}
		if all, err := w.store.PauseHistory(t.Context(), 0, 10); err != nil || !slices.Equal(all, want) {
			t.Errorf("the history is %+v, %v; want %+v", all, err, want)
		}
	})
}

// TestResumeEndsEveryPause that two people began at the same time, none of whom saw the other's, and what a process that died
// while it paused anew has left.
func TestResumeEndsEveryPause(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			w := newPausing(t)
			w.participants()
			c, _ := w.both(coordinator.Config{})
			at := time.Now()
			for i, p := range []coordinator.Pause{{Released: at, Rate: 1}, {By: "ana"}, {By: "bob"}} {
				p.Definition, p.At = "trip", at.Add(time.Duration(i)*time.Microsecond)
				if err := w.store.SetPause(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * time.Second)
			id := w.begin(c, w.trips, "a")
			time.Sleep(time.Minute)
			if got, want := w.story(id), []string{"started  ", "held flight do"}; !slices.Equal(got, want) {
				t.Errorf("during the pause its story is %q, want %q", got, want)
			}
			w.resume(c, "trip", rate)
			w.ends(c, id, saga.Completed)
			time.Sleep(2 * time.Second)
			if open, err := w.store.Pauses(t.Context()); err != nil || len(open) > 0 {
				t.Errorf("these are open: %+v, %v", open, err)
			}
		})
	}
}

// TestOtherCoordinatorsNoticeWithinASecond both a pause and its end, also when nobody but they are left to release what was held.
func TestOtherCoordinatorsNoticeWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		a, _ := w.both(coordinator.Config{})
		b, _ := w.both(coordinator.Config{})
		w.pause(a, "trip")
		time.Sleep(time.Second)
		held := w.begin(b, w.trips, "held")
		time.Sleep(10 * time.Second)
		if got := w.sent.of(held); got != 0 {
			t.Errorf("the other one sent %d commands during the pause", got)
		}
		w.resume(a, "trip", 0)
		began := time.Now()
		again := w.begin(b, w.trips, "again") // it does not know yet
		for _, id := range []saga.ID{held, again} {
			w.ends(b, id, saga.Completed)
			if took := w.sent.first(id).Sub(began); took < 0 || took > time.Second {
				t.Errorf("the end of the pause was noticed after %s", took)
			}
		}

		w.pause(b, "trip")
		held = w.begin(b, w.trips, "held again")
		open, err := w.store.Pauses(t.Context())
		if err != nil || len(open) != 1 {
			t.Fatalf("open are %+v, %v", open, err)
		}
		began = time.Now()
		open[0].Released, open[0].Done = began, true // by a process that dies at once
		if err := w.store.SetPause(t.Context(), open[0]); err != nil {
			t.Fatal(err)
		}
		w.ends(b, held, saga.Completed)
		if took := w.sent.first(held).Sub(began); took < 0 || took > time.Second {
			t.Errorf("the end of the second pause was noticed after %s", took)
		}
	})
}

// TestTwoCoordinatorsReleaseTogether and send everything once.
func TestTwoCoordinatorsReleaseTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newPausing(t)
		w.participants()
		a, _ := w.both(coordinator.Config{})
		b, _ := w.both(coordinator.Config{})
		ids := w.held(a, 40)
		time.Sleep(2 * time.Second)
		w.resume(b, "trip", 20)
		for _, id := range ids {
			w.ends(a, id, saga.Completed)
			if w.story(id); w.sent.of(id) != 3 {
				t.Errorf("%s sent %d commands", id, w.sent.of(id))
			}
		}
	})
}

// TestPausesRaceEverything pauses and resumes while many trips go on: each ends as it would have.
func TestPausesRaceEverything(t *testing.T) {
	t.Parallel()
	w := newPausing(t)
	w.participants()
	a, _ := w.both(coordinator.Config{})
	b, _ := w.both(coordinator.Config{})
	const n = 60
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c := []*coordinator.Coordinator{a, b}[i%2]
			def := []*saga.Definition[trip]{w.trips, w.tours}[i/2%2]
			name := fmt.Sprint("t", i)
			id, err := coordinator.Start(context.Background(), c, def, trip{ID: name, Broke: i%3 == 0}, coordinator.Key(name))
			if err != nil {
				t.Error(err)
				return
			}
			want, effect := saga.Completed, 1
			if i%3 == 0 {
				want, effect = saga.Compensated, 0
			}
			w.ends(c, id, want)
			if got := w.net("hotel", name); got != effect {
				t.Errorf("%s: net effect %d, want %d", name, got, effect)
			}
		})
	}
	for i := range 20 {
		c := []*coordinator.Coordinator{a, b}[i%2]
		definition := []string{"trip", "tour", ""}[i%3]
		w.pause(c, definition)
		w.resume(c, definition, i%4*1000)
	}
	all.Wait()
}

// SetPause implements [coordinator.Store] for a process with a fuse.
func (s *crashingStore) SetPause(ctx context.Context, p coordinator.Pause) error {
	return s.fuse.around(func() error { return s.Store.SetPause(ctx, p) })
}

// TestPauseCrashPoints stops the coordinator at every boundary of a saga that is paused at its beginning and released again, and takes
// the work up in a new one: what is paused then sends nothing until it is resumed, and the end is always the same.
func TestPauseCrashPoints(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, 5} {
		points := 0
		for n := 1; ; n++ {
			crashed := false
			synctest.Test(t, func(t *testing.T) { crashed = crashPausedAt(t, n, rate) })
			if !crashed {
				break
			}
			points = n
		}
		t.Logf("rate %d: %d crash points", rate, points)
		if points < 16 {
			t.Errorf("rate %d: only %d crash points were met", rate, points)
		}
	}
}

func crashPausedAt(t *testing.T, n, rate int) (crashed bool) {
	t.Helper()
	w := newPausing(t)
	w.participants()
	f := newFuse(n)
	store, broker := &crashingStore{w.store, f}, crashingBroker{w.broker, f}
	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker, Grace: time.Millisecond, Linger: time.Microsecond, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	c, stop := w.both(coordinator.Config{Store: store, Bus: messaging.Bus{Broker: broker, Codec: w.codec}, Relay: relay})
	stopRelay := w.run(relay.Run, nil)
	id := coordinator.IDOf("trip", "a")
	start := func(c *coordinator.Coordinator) error {
		_, err := coordinator.Start(t.Context(), c, w.trips, trip{ID: "a", Broke: true}, coordinator.Key("a"))
		return err
	}
	pause := func(c *coordinator.Coordinator) error { return c.Pause(t.Context(), "trip", "ana", "test") }
	resume := func(c *coordinator.Coordinator) error { return c.Resume(t.Context(), "trip", rate, "ana", "test") }
	var failed error
	for _, do := range []func(*coordinator.Coordinator) error{pause, start, resume} {
		if failed = errors.Join(failed, do(c)); failed != nil {
			crashed = true
			break
		}
	}
	if !crashed {
		crashed = rests(w.world, id, f)
	}
	stop()
	stopRelay()

	before := w.sent.count()
	again, _ := w.both(coordinator.Config{})
	open, err := w.store.Pauses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := start(again); err != nil { // whoever got no answer tries again
		t.Fatal(err)
	}
	if len(open) > 0 && open[0].Released.IsZero() {
		<-time.After(time.Hour)
		if got := w.sent.count(); got != before {
			t.Errorf("crash point %d: %d commands were sent during the pause", n, got-before)
		}
	}
	if err := resume(again); err != nil {
		t.Fatal(err)
	}
	w.ends(again, id, saga.Compensated)
	w.story(id)
	for _, what := range []string{"flight", "hotel", "pay"} {
		if got := w.net(what, "a"); got != 0 {
			t.Errorf("crash point %d: net effect of %s is %d", n, what, got)
		}
	}
	<-time.After(2 * time.Second)
	if open, err := w.store.Pauses(t.Context()); err != nil || len(open) > 0 {
		t.Errorf("crash point %d: open are %+v, %v", n, open, err)
	}
	return crashed
}
