package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// parkedTour is a tour whose first room cannot be cancelled.
func parkedTour(t *testing.T) (w *touring, c *coordinator.Coordinator, id saga.ID) {
	t.Helper()
	w = newTouring(t)
	w.hotel()
	w.tell("cancel", "t-0", messaging.Refuse(roomFull{}))
	c, _ = w.tours(coordinator.Config{})
	id = w.book(c, tour{ID: "t", Rooms: rooms("t", 2), Broke: true})
	w.ends(c, id, saga.Parked)
	return w, c, id
}

const stuckRoom = "rooms[0]/room"

func TestActRetryAfterTheRepair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, id := parkedTour(t)
		w.tell("cancel", "t-0", nil)
		act := saga.Act{ID: "a1", Action: saga.Retry, Node: stuckRoom, By: "ana", Why: "the hotel is reachable again"}
		s, err := c.Act(t.Context(), id, act)
		if err != nil || s.Status != saga.Compensating {
			t.Fatalf("after the retry it is %s, %v", s.Status, err)
		}
		w.ends(c, id, saga.Compensated)
		w.wantRooms("t", 2, 0)
		audits, err := w.store.Audits(t.Context(), id)
		if err != nil || len(audits) != 1 || audits[0].Act != act || audits[0].Before != "undoing (stuck)" || audits[0].After != "undoing" || audits[0].At.IsZero() {
			t.Errorf("audits %+v, %v", audits, err)
		}
		w.story(id)
	})
}

func TestActSkipAndForceLeaveTheEffect(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		action saga.Action
		node   string
		want   saga.Status
	}{{saga.Skip, stuckRoom, saga.Compensated}, {saga.Force, "", saga.Forced}} {
		synctest.Test(t, func(t *testing.T) {
			w, c, id := parkedTour(t)
			act := saga.Act{ID: "a1", Action: end.action, Node: end.node, By: "ana", Why: "paid by hand"}
			for range 2 { // the second one changes nothing
				if _, err := c.Act(t.Context(), id, act); err != nil {
					t.Fatal(err)
				}
			}
			w.ends(c, id, end.want)
			if w.net("room", "t-0") != 1 || w.net("room", "t-1") != 0 {
				t.Errorf("%s: rooms %d and %d", end.action, w.net("room", "t-0"), w.net("room", "t-1"))
			}
			if audits, err := w.store.Audits(t.Context(), id); err != nil || len(audits) != 1 {
				t.Errorf("audits %+v, %v", audits, err)
			}
			if _, err := c.Act(t.Context(), id, saga.Act{ID: "a2", Action: saga.Retry, By: "ana", Why: "x"}); !errors.Is(err, saga.ErrNotAllowed) {
				t.Errorf("an action on a terminal instance: %v", err)
			}
		})
	}
}

func TestActCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTouring(t)
		w.tell("book", "t-0", messaging.RetryAfter(saga.DefaultTimeout/2, errors.New("not yet"))) // the command is under way for a while
		w.hotel()
		c, _ := w.tours(coordinator.Config{})
		id := w.book(c, tour{ID: "t", Rooms: rooms("t", 1)})
		synctest.Wait()
		s, err := c.Act(t.Context(), id, saga.Act{ID: "a1", Action: saga.Cancel, By: "ana", Why: "the customer left"})
		if err != nil || !s.Reversing {
			t.Fatalf("after the cancel it is %s, %v", s.Status, err)
		}
		w.ends(c, id, saga.Compensated)
		w.tell("book", "t-0", nil) // the command comes after its undo
		synctest.Wait()
		w.wantRooms("t", 1, 0)
	})
}

func TestActErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, id := parkedTour(t)
		retry := func(change func(*saga.Act)) saga.Act {
			act := saga.Act{ID: "a1", Action: saga.Retry, Node: stuckRoom, By: "ana", Why: "x"}
			change(&act)
			return act
		}
		for name, test := range map[string]struct {
			id   saga.ID
			act  saga.Act
			want error
		}{
			"unknown instance": {"nobody", retry(func(*saga.Act) {}), saga.ErrNotFound},
			"unknown node":     {id, retry(func(a *saga.Act) { a.Node = "rooms[0]/bed" }), saga.ErrNotFound},
			"unknown item":     {id, retry(func(a *saga.Act) { a.Node = "rooms[7]/room" }), saga.ErrNotFound},
			"unknown action":   {id, retry(func(a *saga.Act) { a.Action = "dance" }), saga.ErrNotAllowed},
			"nobody acts":      {id, retry(func(a *saga.Act) { a.By = "" }), saga.ErrNotAllowed},
			"no reason":        {id, retry(func(a *saga.Act) { a.Why = "" }), saga.ErrNotAllowed},
			"not stuck":        {id, retry(func(a *saga.Act) { a.Node = "rooms[1]/room" }), saga.ErrNotAllowed},
			"too late":         {id, retry(func(a *saga.Act) { a.Action = saga.Cancel }), saga.ErrNotAllowed},
			"old version":      {id, retry(func(a *saga.Act) { a.Version = 1 }), saga.ErrConflict},
		} {
			before, _ := w.store.Get(t.Context(), id)
			if _, err := c.Act(t.Context(), test.id, test.act); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
			if after, _ := w.store.Get(t.Context(), id); after.Version != before.Version {
				t.Errorf("%s: the instance moved from version %d to %d", name, before.Version, after.Version)
			}
		}
		if audits, err := w.store.Audits(t.Context(), id); err != nil || len(audits) != 0 {
			t.Errorf("audits %+v, %v", audits, err)
		}
	})
}

// TestActRacesReplies has operators cancel, force and retry sagas while their replies come in. Every action that was
// acknowledged is audited once, none that was refused is, and no effect is left of what was cancelled.
func TestActRacesReplies(t *testing.T) {
	t.Parallel()
	w := newTouring(t)
	w.hotel()
	a, _ := w.tours(coordinator.Config{})
	b, _ := w.tours(coordinator.Config{})
	const n, actors = 40, 3
	var applied [n]atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		name := fmt.Sprint("t", i)
		id := w.book(a, tour{ID: name, Rooms: rooms(name, 3), Broke: i%5 == 0})
		for j := range actors {
			all.Go(func() {
				act := saga.Act{ID: fmt.Sprint("a", j), Action: saga.Cancel, By: "ana", Why: "test"}
				if j == 1 {
					act.Action, act.Node = saga.Retry, "rooms[1]/room"
				}
				c := []*coordinator.Coordinator{a, b}[j%2]
				switch _, err := c.Act(context.Background(), id, act); {
				case err == nil:
					applied[i].Add(1)
				case !errors.Is(err, saga.ErrNotAllowed) && !errors.Is(err, saga.ErrNotFound):
					t.Errorf("%s: %v", act.Action, err)
				}
			})
		}
	}
	all.Wait()
	for i := range n {
		name := fmt.Sprint("t", i)
		id := coordinator.IDOf("tour", name)
		s, err := b.Await(t.Context(), id)
		if err != nil || !s.Status.Terminal() {
			t.Fatalf("%s is %s (%s), %v", name, s.Status, s.Reason, err)
		}
		w.wantRooms(name, 3, map[saga.Status]int{saga.Completed: 1}[s.Status])
		audits, err := w.store.Audits(t.Context(), id)
		if err != nil || int64(len(audits)) != applied[i].Load() {
			t.Errorf("%s: %d audits of %d actions, %v", name, len(audits), applied[i].Load(), err)
		}
		w.story(id)
	}
}
