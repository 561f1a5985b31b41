package coordinator_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// placed returns the ids of all orders, newest first.
func (w *ordering) placed() []saga.ID {
	w.Helper()
	page, _, err := w.store.List(context.Background(), coordinator.ListQuery{})
	if err != nil {
		w.Fatal(err)
	}
	ids := make([]saga.ID, len(page))
	for i, s := range page {
		ids[i] = s.ID
	}
	return ids
}

// TestAnEventStartsAnInstance for each key once, whoever tells it and how often (R10).
func TestAnEventStartsAnInstance(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	c, stop := w.orders(coordinator.Config{})
	first := w.event(orderPlaced{"a", "north"})
	w.deliver(first)
	w.deliver(first)
	w.tellAll(orderPlaced{"a", "south"})
	if id := w.place(c, "a", "east"); id != orderID("a") {
		t.Errorf("a start with the event's key made %s", id)
	}
	stop()
	w.orders(coordinator.Config{})
	w.deliver(first)
	if got, want := w.placed(), []saga.ID{orderID("a")}; !slices.Equal(got, want) {
		t.Fatalf("there are %v, want %v", got, want)
	}
	s, data := w.now("a")
	if data.Lane != "north" || s.Key != "a" || s.Version != 1 {
		t.Errorf("it has the data %+v, the key %q and version %d", data, s.Key, s.Version)
	}
	if got, want := w.story(s.ID), []string{"started  ", "sent ship do"}; !slices.Equal(got, want) {
		t.Errorf("its story is %q, want %q", got, want)
	}
}

// TestAnEventWithoutKeyStartsAnInstance for each message, which is told by its id or, without one, by the broker's.
func TestAnEventWithoutKeyStartsAnInstance(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	w.orders(coordinator.Config{})
	named, foreign := w.event(orderPlaced{"", "north"}), w.event(orderPlaced{"", "south"})
	foreign.ID = ""
	w.deliver(named)
	w.deliver(named)
	w.deliver(foreign)
	w.deliver(foreign) // to the broker, another message
	all := w.placed()
	if len(all) != 3 || all[2] != coordinator.IDOf("order", named.ID) {
		t.Errorf("there are %v, want one of %q and two more", all, named.ID)
	}
	for _, id := range all {
		if s, err := w.store.Get(t.Context(), id); err != nil || s.Key != "" {
			t.Errorf("%s has the key %q, %v", id, s.Key, err)
		}
	}
	w.noLetters()
}

// TestTheFirstDefinitionThatStartsOnAnEventIsStarted lets old instances go on with the old version.
func TestTheFirstDefinitionThatStartsOnAnEventIsStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		old := w.def
		w.def = saga.MustDefine("order", saga.StartOn(func(e orderPlaced) (string, order) { return e.Order, order{ID: e.Order, Lane: e.Lane} }),
			shipping(), billing())
		_, stop := w.orders(coordinator.Config{Definitions: []saga.Any{old}})
		w.tellAll(orderPlaced{"old", "north"})
		stop()
		c, _ := w.orders(coordinator.Config{Definitions: []saga.Any{w.def, old}})
		w.tellAll(orderPlaced{"old", "south"}, orderPlaced{"new", "north"}, shipped{"north", "t1"}, shipped{"north", "t2"})
		if s := w.ends(c, orderID("new"), saga.Completed); s.Hash != w.def.Hash() {
			t.Error("the new one was started with the old definition")
		}
		w.tellAll(approved{"north", "ana"})
		if s := w.ends(c, orderID("old"), saga.Completed); s.Hash != old.Hash() {
			t.Error("the old one went on with the new definition")
		}
		w.wantTrackings("both versions", []string{"t1", "t2"}, "old", "new")
	})
}

// TestAnAnswerStartsNothing although its type is one that starts.
func TestAnAnswerStartsNothing(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	w.orders(coordinator.Config{})
	answer := messaging.Correlation{Saga: "somebody's", Node: "x", Direction: messaging.Do}.Stamp(w.event(orderPlaced{"a", "north"}))
	w.deliver(answer)
	w.deliver(answer.WithHeader(messaging.HeaderOutcome, string(messaging.Success)))
	if got := w.placed(); len(got) > 0 {
		t.Errorf("there are %v", got)
	}
}

// TestSignalsByEvent come early and are kept, come in time, and come twice.
func TestSignalsByEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		c, _ := w.orders(coordinator.Config{})
		w.place(c, "a", "north")
		w.tellAll(approved{"north", "early"}, approved{"north", "too many"})
		if s, data := w.now("a"); data.Approved != "" || s.Status != saga.Running {
			t.Errorf("before its wait it is %s with %+v", s.Status, data)
		}
		w.place(c, "b", "north")
		w.tellAll(approved{"north", "for b"}, shipped{"north", "t1"})
		data := order{}
		if decode(w.world, w.ends(c, orderID("a"), saga.Completed), &data); data.Approved != "early" {
			t.Errorf("a was approved by %q", data.Approved)
		}
		w.tellAll(shipped{"north", "t2"})
		if decode(w.world, w.ends(c, orderID("b"), saga.Completed), &data); data.Approved != "for b" {
			t.Errorf("b was approved by %q", data.Approved)
		}
		w.place(c, "c", "north")
		w.tellAll(shipped{"north", "t3"}, approved{"north", "in time"})
		if decode(w.world, w.ends(c, orderID("c"), saga.Completed), &data); data.Approved != "in time" {
			t.Errorf("c was approved by %q", data.Approved)
		}
		w.noLetters()
	})
}

// TestEventsAfterTheEnd concern nobody: what an instance waited for is forgotten with its end.
func TestEventsAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till("a")
		recalled := make(chan struct{})
		c, _ := w.orders(coordinator.Config{Observe: func(t coordinator.Transition) {
			if t.State.Status == saga.Compensating {
				close(recalled)
			}
		}})
		w.place(c, "a", "north")
		w.tellAll(shipped{"north", "t1"}, approved{"north", "ana"})
		<-recalled // the till has said no
		w.tellAll(shipRefused{"north", "recalled"})
		end := w.ends(c, orderID("a"), saga.Compensated)
		w.place(c, "b", "north")
		w.tellAll(shipRefused{"north", "snow"}, shipped{"north", "t2"}, approved{"north", "eve"})
		if s, _ := w.now("b"); s.Status != saga.Compensated {
			t.Errorf("the event went to what had ended: the other one is %s", s.Status)
		}
		if s, _ := w.now("a"); s.Version != end.Version {
			t.Errorf("it moved from version %d to %d after its end", end.Version, s.Version)
		}
		w.noLetters()
	})
}

// TestEventCrashPoints stops the coordinator at every boundary of orders that nobody who knows of sagas takes part in but the
// till, and takes the work up in a new one: every event is taken by one of two orders, and both end.
func TestEventCrashPoints(t *testing.T) {
	t.Parallel()
	points := 0
	for n := 1; ; n++ {
		crashed := false
		synctest.Test(t, func(t *testing.T) { crashed = crashEventsAt(t, n) })
		if !crashed {
			break
		}
		points = n
	}
	t.Logf("%d crash points", points)
	if points < 15 {
		t.Errorf("only %d crash points were met", points)
	}
}

func crashEventsAt(t *testing.T, n int) (crashed bool) {
	t.Helper()
	w := newOrdering(t)
	w.till()
	f := newFuse(n)
	store, broker := &crashingStore{w.store, f}, crashingBroker{w.broker, f}
	_, stop := w.orders(coordinator.Config{Store: store, Bus: messaging.Bus{Broker: broker, Codec: w.codec}})
	told := make(chan struct{})
	go func() { // each event comes when the one before it was taken, by whichever coordinator
		defer close(told)
		w.tellAll(orderPlaced{"a", "north"}, orderPlaced{"b", "north"}, shipped{"north", "t1"}, approved{"north", "ana"},
			shipped{"north", "t2"}, approved{"north", "bob"})
	}()
	select {
	case <-f.blown:
		crashed = true
	case <-told:
		crashed = rests(w.world, orderID("b"), f)
	}
	stop()
	again, _ := w.orders(coordinator.Config{})
	<-told
	got := map[order]bool{}
	for _, id := range []string{"a", "b"} {
		data := order{}
		decode(w.world, w.ends(again, orderID(id), saga.Completed), &data)
		got[data] = true
		w.story(orderID(id))
		if w.net("bill", id) != 1 {
			t.Errorf("crash point %d: %s was billed %d times", n, id, w.net("bill", id))
		}
	}
	for _, want := range []order{{ID: "a", Lane: "north", Tracking: "t1", Approved: "ana"}, {ID: "b", Lane: "north", Tracking: "t2", Approved: "bob"}} {
		if !got[want] {
			t.Errorf("crash point %d: the orders ended as %v, want %+v among them", n, got, want)
		}
	}
	<-time.After(time.Minute) // nothing is sent any more
	w.noLetters()
	return crashed
}
