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
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// trackings returns what the carrier told of each order.
func (w *ordering) trackings(ids ...string) []string {
	w.Helper()
	all := make([]string, len(ids))
	for i, id := range ids {
		_, data := w.now(id)
		all[i] = data.Tracking
	}
	return all
}

func (w *ordering) wantTrackings(what string, want []string, ids ...string) {
	w.Helper()
	if got := w.trackings(ids...); !slices.Equal(got, want) {
		w.Errorf("%s: the trackings are %q, want %q", what, got, want)
	}
}

// TestTheInstanceThatWaitedLongestGetsTheEvent has three orders wait for the same lane, and goes on to their end (R11).
func TestTheInstanceThatWaitedLongestGetsTheEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		c, _ := w.orders(coordinator.Config{})
		ids := []string{"c", "a", "b"} // in the order of their beginning
		for _, id := range ids {
			w.place(c, id, "north")
		}
		w.place(c, "other", "south")
		w.tellAll(shipped{"north", "t1"})
		w.wantTrackings("one event", []string{"t1", "", "", ""}, "c", "a", "b", "other")
		w.tellAll(shipped{"north", "t2"}, shipped{"south", "t3"}, shipped{"north", "t4"})
		w.wantTrackings("four events", []string{"t1", "t2", "t4", "t3"}, "c", "a", "b", "other")
		w.tellAll(shipped{"north", "t5"}, shipped{"nowhere", "t6"}, shipped{"", "t7"})
		w.wantTrackings("events that fit nobody", []string{"t1", "t2", "t4", "t3"}, "c", "a", "b", "other")
		w.tellAll(approved{"north", "eve"}, approved{"north", "ana"}, approved{"north", "bob"})
		for i, id := range ids {
			data := order{}
			decode(w.world, w.ends(c, orderID(id), saga.Completed), &data)
			if want := []string{"eve", "ana", "bob"}[i]; data.Approved != want || w.net("bill", id) != 1 {
				t.Errorf("%s is approved by %q and billed %d times, want %s and once", id, data.Approved, w.net("bill", id), want)
			}
		}
		w.noLetters()
	})
}

// TestEventsOfOneBatch has one batch hold what came in any number of them.
func TestEventsOfOneBatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		messages func(w *ordering) []messaging.Message
		want     []string // the trackings of a and b
	}{
		"two events of one lane": {func(w *ordering) []messaging.Message {
			return []messaging.Message{w.event(shipped{"north", "t1"}), w.event(shipped{"north", "t2"})}
		}, []string{"t1", "t2"}},
		"one event twice": {func(w *ordering) []messaging.Message {
			m := w.event(shipped{"north", "t1"})
			return []messaging.Message{m, m, m}
		}, []string{"t1", ""}},
		"one event twice, then another": {func(w *ordering) []messaging.Message {
			m := w.event(shipped{"north", "t1"})
			return []messaging.Message{m, m, w.event(shipped{"north", "t2"}), m}
		}, []string{"t1", "t2"}},
		"more events than orders": {func(w *ordering) []messaging.Message {
			return []messaging.Message{
				w.event(shipped{"north", "t1"}), w.event(weatherWarns{"pass"}), w.event(shipped{"north", "t2"}), w.event(shipped{"north", "t3"}),
			}
		}, []string{"t1", "t2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newOrdering(t)
			c, stop := w.orders(coordinator.Config{})
			w.place(c, "a", "north")
			w.place(c, "b", "north")
			stop()
			taken := w.together(test.messages(w)...)
			w.orders(coordinator.Config{})
			taken()
			w.wantTrackings(name, test.want, "a", "b")
			w.noLetters()
		})
	}
}

// TestAnEventBehindTheStartOfWhatAwaitsIt shows that one batch does with an event what two would: it has the event that starts an
// instance, and the signal and the reply that the instance waits for from then on.
func TestAnEventBehindTheStartOfWhatAwaitsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		taken := w.together(w.event(orderPlaced{"a", "north"}), w.event(approved{"north", "ana"}), w.event(shipped{"north", "t1"}))
		c, _ := w.orders(coordinator.Config{})
		taken()
		data := order{}
		decode(w.world, w.ends(c, orderID("a"), saga.Completed), &data)
		if want := (order{ID: "a", Lane: "north", Tracking: "t1", Approved: "ana"}); data != want {
			t.Errorf("it ended with %+v, want %+v", data, want)
		}
	})
}

// TestACrowdOfWaitersHidesNobody has more orders wait for one lane than the store tells of at once, in front of one that
// waits for another lane.
func TestACrowdOfWaitersHidesNobody(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	c, stop := w.orders(coordinator.Config{})
	for i := range coordinator.MaxMatches + 1 {
		w.place(c, fmt.Sprint(i), "crowded")
	}
	w.place(c, "behind", "north")
	stop()
	first := w.event(shipped{"crowded", "t1"})
	taken := w.together(first, w.event(shipped{"north", "t2"}))
	w.orders(coordinator.Config{})
	taken()
	w.wantTrackings("two events", []string{"t1", "", "t2"}, "0", "1", "behind")
	w.deliver(first)
	w.wantTrackings("the first one again", []string{"t1", "", "t2"}, "0", "1", "behind")
}

// TestARepeatedEventIsTakenOnce repeats events that were acknowledged, beside another order that waits for them, also in a later life of
// the coordinator and after the order's end.
func TestARepeatedEventIsTakenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		w.till()
		c, stop := w.orders(coordinator.Config{})
		w.place(c, "a", "north")
		w.place(c, "b", "north")
		sent, signed := w.event(shipped{"north", "t1"}), w.event(approved{"north", "ana"})
		for range 2 {
			w.deliver(sent)
			w.deliver(signed)
		}
		w.ends(c, orderID("a"), saga.Completed)
		stop()
		w.orders(coordinator.Config{})
		w.deliver(sent)
		w.deliver(signed)
		if _, b := w.now("b"); b.Tracking != "" || b.Approved != "" {
			t.Errorf("the other order got what was taken: %+v", b)
		}
		w.noLetters()
	})
}

// TestEventsOfAnUnreliableStore has commits fail before and after they take effect: every event is taken by one order, and each order
// takes one.
func TestEventsOfAnUnreliableStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		c, stop := w.orders(coordinator.Config{})
		const n = 30
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("o%02d", i)
			w.place(c, ids[i], "north")
		}
		stop()
		w.orders(coordinator.Config{Store: &unreliableStore{Store: w.store}})
		var all sync.WaitGroup
		want := make([]string, n)
		for i := range n {
			want[i] = fmt.Sprintf("t%02d", i)
			m := w.event(shipped{"north", want[i]})
			all.Go(func() { w.deliver(m) })
		}
		all.Wait()
		got := w.trackings(ids...)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the trackings are %q, want each of %d once", got, n)
		}
		w.noLetters()
	})
}

// TestTwoCoordinatorsShareTheEvents has two decide about orders of one lane at the same time, with some events told twice.
func TestTwoCoordinatorsShareTheEvents(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	a, _ := w.orders(coordinator.Config{MaxBatch: 3})
	w.orders(coordinator.Config{MaxBatch: 3})
	const n = 60
	ids, want := make([]string, n), make([]string, n)
	for i := range ids {
		ids[i], want[i] = fmt.Sprintf("o%02d", i), fmt.Sprintf("t%02d", i)
		w.place(a, ids[i], "north")
	}
	var all sync.WaitGroup
	for i := range n {
		m := w.event(shipped{"north", want[i]})
		for range 1 + i%2 {
			all.Go(func() { w.deliver(m) })
		}
	}
	all.Wait()
	got := w.trackings(ids...)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the trackings are %q, want each of %d once", got, n)
	}
	for _, id := range ids {
		w.story(orderID(id))
	}
}

// TestTheNextCandidateGetsWhatTheFirstDoesNotNeed has the first order's reply come with headers, so that it still seems to wait for
// the event.
func TestTheNextCandidateGetsWhatTheFirstDoesNotNeed(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	c, _ := w.orders(coordinator.Config{})
	for _, id := range []string{"a", "b", "c"} {
		w.place(c, id, "north")
	}
	for _, id := range []string{"a", "b"} {
		reply := messaging.Correlation{Saga: string(orderID(id)), Node: "ship", Direction: messaging.Do}.Stamp(w.event(shipped{"north", "t " + id}))
		w.deliver(reply.WithHeader(messaging.HeaderOutcome, string(messaging.Success)))
	}
	w.tellAll(shipped{"north", "t1"}, shipped{"north", "t2"})
	w.wantTrackings("after an event", []string{"t a", "t b", "t1"}, "a", "b", "c")
	w.noLetters()
}

// TestAnEventAnswersTheUndoBeforeTheDo has an event that both directions of a step take: it is the undo's, which came later. The order
// that has waited longer comes first all the same.
func TestAnEventAnswersTheUndoBeforeTheDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		c, _ := w.orders(coordinator.Config{})
		w.place(c, "older", "north")
		w.place(c, "a", "north")
		cancel := saga.Act{ID: "a1", Action: saga.Cancel, By: "ana", Why: "the customer left"}
		if s, err := c.Act(t.Context(), orderID("a"), cancel); err != nil || s.Status != saga.Compensating {
			t.Fatalf("after the cancel it is %s, %v", s.Status, err)
		}
		w.tellAll(shipRefused{"north", "snow"})
		if s, _ := w.now("older"); s.Status != saga.Compensated || s.Reason != "ship: snow" {
			t.Errorf("the older order is %s (%s)", s.Status, s.Reason)
		}
		if s, _ := w.now("a"); s.Status != saga.Compensating {
			t.Errorf("the one that was cancelled is %s", s.Status)
		}
		w.tellAll(shipRefused{"north", "recalled"})
		w.ends(c, orderID("a"), saga.Compensated)
		want := []string{"started  ", "sent ship do", "operator  ", "aborted  ", "sent ship undo", "undone ship undo", "compensated  "}
		if got := w.story(orderID("a")); !slices.Equal(got, want) {
			t.Errorf("its story is %q, want %q", got, want)
		}
	})
}

// TestAnEventOfAnUnreadableInstanceWaits has a program read the data that another one wrote: what comes meanwhile is not lost.
func TestAnEventOfAnUnreadableInstanceWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		c, stop := w.orders(coordinator.Config{})
		w.place(c, "a", "north")
		stop()
		taken := w.together(w.event(shipped{"north", "t1"}))
		c, stop = w.orders(coordinator.Config{Definitions: []saga.Any{w.def.WithCodec(unreadable{})}})
		if s := w.ends(c, orderID("a"), saga.Parked); !s.Orphaned {
			t.Errorf("parked, but not for its data: %q", s.Reason)
		}
		time.Sleep(time.Minute)
		stop()
		w.orders(coordinator.Config{})
		taken()
		w.wantTrackings("with the right program", []string{"t1"}, "a")
		w.noLetters()
	})
}

// unreadable is the codec of a program that cannot read what is stored.
type unreadable struct{}

func (unreadable) Encode(any) ([]byte, error) { return []byte("?"), nil }
func (unreadable) Decode([]byte, any) error   { return errors.New("it is written in another hand") }

// TestAnEventThatCannotBeUnderstoodStopsNoOther has payloads that are none, types that nobody knows, and a KeyOf that panics.
func TestAnEventThatCannotBeUnderstoodStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	c, stop := w.orders(coordinator.Config{})
	w.place(c, "a", "north")
	w.place(c, "b", "bad")
	stop()
	garbage, null, unknown := w.event(shipped{"north", "t1"}), w.event(shipped{"north", "t1"}), w.event(shipped{"north", "t1"})
	garbage.Payload, null.Payload, unknown.Type = []byte("{"), []byte("null"), "nobody knows"
	taken := w.together(garbage, w.event(shipped{"bad", "t1"}), null, unknown, w.event(shipped{"north", "t2"}))
	w.orders(coordinator.Config{})
	taken()
	w.wantTrackings("behind poison", []string{"t2", ""}, "a", "b")
	reasons := w.letters()
	for _, want := range []string{"malformed", "malformed", "unknown type", "panicked: no such lane"} {
		i := slices.IndexFunc(reasons, func(r string) bool { return strings.Contains(r, want) })
		if i < 0 {
			t.Fatalf("no dead letter says %q: %q", want, reasons)
		}
		reasons = slices.Delete(reasons, i, i+1)
	}
	if len(reasons) > 0 {
		t.Errorf("dead letters too many: %q", reasons)
	}
}

// TestAStartFunctionThatPanics leaves a dead letter too.
func TestAStartFunctionThatPanics(t *testing.T) {
	t.Parallel()
	w := newOrdering(t)
	w.def = saga.MustDefine("order", saga.StartOn(func(e orderPlaced) (string, order) {
		if e.Lane == "" {
			panic("an order without a lane")
		}
		return e.Order, order{ID: e.Order, Lane: e.Lane}
	}), shipping(), approval(), billing())
	w.orders(coordinator.Config{})
	w.tellAll(orderPlaced{"a", ""}, orderPlaced{"b", "north"}, shipped{"north", "t1"})
	w.wantTrackings("behind the panic", []string{"t1"}, "b")
	if got := w.letters(); len(got) != 1 || !strings.Contains(got[0], "an order without a lane") {
		t.Errorf("dead letters %q", got)
	}
}

// TestAForcedOrphanWaitsForNothing ends an instance whose definition is lost: what it waited for goes to the next.
func TestAForcedOrphanWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newOrdering(t)
		c, stop := w.orders(coordinator.Config{})
		id := w.place(c, "a", "north")
		stop()
		c, _ = w.orders(coordinator.Config{Definitions: []saga.Any{saga.MustDefine("another", billing())}})
		w.ends(c, id, saga.Parked)
		force := saga.Act{ID: "a1", Action: saga.Force, By: "ana", Why: "shipped by hand"}
		if _, err := c.Act(t.Context(), id, force); err != nil {
			t.Fatal(err)
		}
		keys, err := saga.MatchKeys(w.def, shipped{Lane: "north"})
		if err != nil {
			t.Fatal(err)
		}
		if left, err := w.store.Match(context.Background(), keys, nil); err != nil || len(left) > 0 {
			t.Errorf("it still waits for %+v, %v", left, err)
		}
	})
}
