package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// raced is how many instances each action is given to.
const raced = 40

// operators give each instance an action while it goes on, each action from three places at once; every other one only for the version
// that they have seen.
type operators struct {
	*world
	all     sync.WaitGroup
	mu      sync.Mutex
	applied map[saga.ID]saga.Act
	moments map[saga.ID]moment
}

func newOperators(w *world) *operators {
	return &operators{world: w, applied: map[saga.ID]saga.Act{}, moments: map[saga.ID]moment{}}
}

// watch is a [coordinator.Config].Observe that tells of versions that were reached.
func (o *operators) watch(t coordinator.Transition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if m, ok := o.moments[t.State.ID]; ok && (t.State.Version >= m.version || t.State.Status.Terminal()) {
		close(m.come)
		delete(o.moments, t.State.ID)
	}
}

// moment is when an instance reaches a version, or its end.
type moment struct {
	version int64
	come    chan struct{}
}

// at returns when the instance, which is not started yet, reaches the version.
func (o *operators) at(id saga.ID, version int64) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := moment{version, make(chan struct{})}
	o.moments[id] = m
	return m.come
}

// act gives the action to the instance at the moment.
func (o *operators) act(id saga.ID, act saga.Act, versioned bool, at <-chan struct{}, coordinators ...*coordinator.Coordinator) {
	act.ID, act.By, act.Why = "a1", "ana", "test"
	version := sync.OnceValue(func() int64 { return o.loaded(id).Version })
	for i := range 3 {
		c := coordinators[i%len(coordinators)]
		o.all.Go(func() {
			<-at
			act := act
			if versioned {
				act.Version = version()
			}
			switch s, err := c.Act(context.Background(), id, act); {
			case err == nil:
				o.mu.Lock()
				o.applied[id] = act
				o.mu.Unlock()
				if s.Version <= act.Version {
					o.Errorf("%s of version %d led to version %d", act.Action, act.Version, s.Version)
				}
			case errors.Is(err, saga.ErrNotAllowed), errors.Is(err, saga.ErrNotFound), act.Version > 0 && errors.Is(err, saga.ErrConflict):
			default:
				o.Errorf("%s: %v", act.Action, err)
			}
		})
	}
}

// took reports whether the action was applied to the instance, and wants it to be audited then, once, and at the version after the one
// that it was for.
func (o *operators) took(id saga.ID) bool {
	o.Helper()
	o.mu.Lock()
	act, applied := o.applied[id]
	o.mu.Unlock()
	audits, err := o.store.Audits(context.Background(), id)
	if err != nil || len(audits) != map[bool]int{true: 1}[applied] {
		o.Errorf("%s, applied: %t; audits %+v, %v", id, applied, audits, err)
		return applied
	}
	if applied && act.Version > 0 && audits[0].Version != act.Version+1 {
		o.Errorf("%s was for version %d and led to %d", act.Action, act.Version, audits[0].Version)
	}
	return applied
}

// some wants the action to have been applied to some: else the test shows nothing.
func (o *operators) some(what string, want func(n int) bool) {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Logf("%s: %d of %d applied", what, len(o.applied), raced)
	if !want(len(o.applied)) {
		o.Errorf("%s was applied to %d of %d", what, len(o.applied), raced)
	}
}

// race starts tours of three rooms on two coordinators and gives each the action while it goes on.
func race(t *testing.T, action func(i int, name string) saga.Act) (w *touring, o *operators, ids []saga.ID) {
	t.Helper()
	w = newTouring(t)
	w.hotel()
	o = newOperators(w.world)
	a, _ := w.tours(coordinator.Config{Observe: o.watch})
	b, _ := w.tours(coordinator.Config{Observe: o.watch})
	for i := range raced {
		name := fmt.Sprint("t", i)
		id := coordinator.IDOf("tour", name)
		at := o.at(id, int64(1+i/2%6)) // it has six versions at most
		w.book([]*coordinator.Coordinator{a, b}[i%2], tour{ID: name, Rooms: rooms(name, 3)})
		o.act(id, action(i, name), i%2 == 1, at, a, b)
		ids = append(ids, id)
	}
	o.all.Wait()
	for _, id := range ids {
		if s, err := a.Await(t.Context(), id); err != nil || !s.Status.Terminal() {
			t.Fatalf("%s is %s (%s), %v", id, s.Status, s.Reason, err)
		}
		w.story(id)
	}
	return w, o, ids
}

// place returns where in the story the first line that begins with the text is; -1 if there is none.
func place(story []string, text string) int {
	return slices.IndexFunc(story, func(line string) bool { return strings.HasPrefix(line, text) })
}

func TestCancelRacesReplies(t *testing.T) {
	t.Parallel()
	w, o, ids := race(t, func(int, string) saga.Act { return saga.Act{Action: saga.Cancel} })
	for i, id := range ids {
		want, effect := saga.Completed, 1
		if o.took(id) {
			want, effect = saga.Compensated, 0
		}
		if s := w.loaded(id); s.Status != want {
			t.Errorf("%s is %s, want %s", id, s.Status, want)
		}
		w.wantRooms(fmt.Sprint("t", i), 3, effect)
	}
	o.some("cancel", func(n int) bool { return n > 0 })
}

func TestRetryRacesReplies(t *testing.T) {
	t.Parallel()
	w, o, ids := race(t, func(i int, _ string) saga.Act {
		return saga.Act{Action: saga.Retry, Node: fmt.Sprintf("rooms[%d]/room", i%3)}
	})
	for i, id := range ids {
		o.took(id)
		if s := w.loaded(id); s.Status != saga.Completed {
			t.Errorf("%s is %s", id, s.Status)
		}
		w.wantRooms(fmt.Sprint("t", i), 3, 1)
	}
	o.some("retry", func(n int) bool { return n > 0 })
}

func TestForceRacesReplies(t *testing.T) {
	t.Parallel()
	w, o, ids := race(t, func(int, string) saga.Act { return saga.Act{Action: saga.Force} })
	for _, id := range ids {
		s := w.loaded(id)
		if forced := o.took(id); forced != (s.Status == saga.Forced) {
			t.Errorf("%s is %s; forced: %t", id, s.Status, forced)
		}
		if story := w.story(id); s.Status == saga.Forced && place(story, "forced") != len(story)-1 {
			t.Errorf("something came after its end: %q", story)
		}
		page, err := w.store.Items(t.Context(), id, 0, 10)
		for _, item := range page {
			if !item.Wake.IsZero() || err != nil {
				t.Errorf("%s wakes at %s after the end, %v", item.Key, item.Wake, err)
			}
		}
	}
	o.some("force", func(n int) bool { return n > 0 })
}

// TestEditRacesReplies makes tours broke whose data says that they are not: they are refused if the edit came before the
// confirmation was asked for.
func TestEditRacesReplies(t *testing.T) {
	t.Parallel()
	w, o, ids := race(t, func(_ int, name string) saga.Act {
		data, err := json.Marshal(tour{ID: name, Rooms: rooms(name, 3), Broke: true})
		if err != nil {
			t.Error(err)
		}
		return saga.Act{Action: saga.Edit, Data: string(data)}
	})
	for i, id := range ids {
		story := w.story(id)
		edited, asked := place(story, "operator"), place(story, "sent confirm")
		if took := o.took(id); took != (edited >= 0) {
			t.Errorf("%s was edited: %t; its story is %q", id, took, story)
		}
		want, effect := saga.Completed, 1
		if edited >= 0 && edited < asked {
			want, effect = saga.Compensated, 0
		}
		s := w.loaded(id)
		var data tour
		if decode(w.world, s, &data); s.Status != want || data.Broke != (edited >= 0) {
			t.Errorf("%s is %s with %+v, want %s; its story is %q", id, s.Status, data, want, story)
		}
		w.wantRooms(fmt.Sprint("t", i), 3, effect)
	}
	o.some("edit", func(n int) bool { return n > 0 })
}

// TestSkipRacesSignals has operators skip waits while the signals come in by call and by event: every wait ends by one of them.
func TestSkipRacesSignals(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	w.till()
	o := newOperators(w.world)
	a, _ := w.orders(coordinator.Config{})
	b, _ := w.orders(coordinator.Config{})
	for i := range raced {
		name := fmt.Sprint("o", i)
		id := w.place(a, name, name)
		w.tellAll(shipped{name, "t"})
		signed := w.event(approved{name, "by event"})
		now := make(chan struct{})
		close(now)
		o.act(id, saga.Act{Action: saga.Skip, Node: "approval"}, i%2 == 1, now, a, b)
		o.all.Go(func() { w.deliver(signed) })
		o.all.Go(func() {
			if err := b.Signal(context.Background(), id, "approval", approved{name, "by call"}); err != nil {
				t.Error(err)
			}
		})
	}
	o.all.Wait()
	signalled := 0
	for i := range raced {
		name := fmt.Sprint("o", i)
		data := order{}
		decode(w.world, w.ends(a, orderID(name), saga.Completed), &data)
		story := w.story(orderID(name))
		ends := len(slices.DeleteFunc(slices.Clone(story), func(line string) bool {
			return !strings.HasPrefix(line, "operator approval") && !strings.HasPrefix(line, "signalled approval")
		}))
		if skipped := o.took(orderID(name)); skipped == (data.Approved != "") || ends != 1 {
			t.Errorf("%s was skipped: %t, approved by %q; its story is %q", name, skipped, data.Approved, story)
		}
		if data.Approved != "" {
			signalled++
		}
	}
	o.some("skip", func(n int) bool { return n+signalled == raced })
}
