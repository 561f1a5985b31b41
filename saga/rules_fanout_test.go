package saga_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// R9: a fan-out starts every item, succeeds when all have, and only then goes on.
func TestR9FanOutSucceedsWhenAllItemsHave(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")), bare("pay").Pivot())
	d.want(d.start(items(2, "rooms")), "do rooms[0]/book, do rooms[1]/book")
	d.want(d.ok("rooms[1]/book"), "do rooms[1]/clean")
	d.want(d.ok("rooms[1]/clean"), "")
	d.want(d.ok("rooms[0]/book"), "do rooms[0]/clean")
	d.want(d.ok("rooms[0]/clean"), "do pay")
	d.phase("rooms", saga.PhaseDone)
}

// R9: a fan-out that fails waits until every item is settled; then only the succeeded and the unknown items are undone.
func TestR9OnlySucceededOrUnknownItemsAreUndone(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), fan("rooms", undoable("book").Attempts(1)), bare("pay").Pivot())
	d.start(items(4, "rooms"))
	d.ok("flight")
	d.want(d.no("rooms[2]/book"), "")
	d.is(saga.Running) // not settled
	d.want(d.ok("rooms[0]/book"), "")
	d.want(d.no("rooms[1]/book"), "")
	equal(t, "reason", d.header.Reason, "rooms[2]/book: full") // the first
	d.want(d.pass(time.Minute)[:2], "undo rooms[0]/book, undo rooms[3]/book")
	d.want(d.undone("rooms[3]/book"), "")
	d.want(d.undone("rooms[0]/book"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
}

// R9: when an item failed, no further item and no further step is started; what is under way is awaited.
func TestR9NoFurtherItemAfterAFailure(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")).AtMost(2))
	d.start(items(5, "rooms"))
	d.want(d.no("rooms[0]/book"), "")
	d.want(d.ok("rooms[1]/book"), "undo rooms[1]/book")
	d.undone("rooms[1]/book")
	d.is(saga.Compensated)
}

// R9: AtMost bounds how many items are under way, in both directions.
func TestR9AtMost(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book")).AtMost(2), bare("pay").Pivot())
	d.want(d.start(items(5, "rooms")), "do rooms[0]/book, do rooms[1]/book")
	d.want(d.pass(0), "")
	for i, next := range []string{"do rooms[2]/book", "do rooms[3]/book", "do rooms[4]/book", "", "do pay"} {
		d.want(d.ok(at("rooms", i, "book")), next)
	}
	d.want(d.no("pay"), "undo rooms[0]/book, undo rooms[1]/book")
	for i, next := range []string{"undo rooms[2]/book", "undo rooms[3]/book", "undo rooms[4]/book", "", ""} {
		d.want(d.undone(at("rooms", i, "book")), next)
	}
	d.is(saga.Compensated)
}

// R9: a fan-out over no items succeeds at once.
func TestR9NoItems(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), fan("rooms", undoable("book")), bare("pay").Pivot())
	d.start(data{})
	d.want(d.ok("flight"), "do pay")
	d.want(d.no("pay"), "undo flight")
	only := drive(t, fan("rooms", fan("beds", undoable("make"))))
	only.start(items(3, "rooms"))
	only.is(saga.Completed)
}

// R9, R4: fan-outs nest; a failure within undoes exactly what had an effect.
func TestR9NestedFanOut(t *testing.T) {
	t.Parallel()
	root := items(2, "rooms")
	root.Items["rooms"][0] = items(2, "beds")
	root.Items["rooms"][1] = items(1, "beds")
	d := drive(t, fan("rooms", undoable("book"), fan("beds", undoable("make")), undoable("lock")), bare("pay").Pivot())
	d.want(d.start(root), "do rooms[0]/book, do rooms[1]/book")
	d.want(d.ok("rooms[0]/book"), "do rooms[0]/beds[0]/make, do rooms[0]/beds[1]/make")
	d.want(d.ok("rooms[1]/book"), "do rooms[1]/beds[0]/make")
	d.want(d.ok("rooms[0]/beds[1]/make"), "")
	d.want(d.ok("rooms[0]/beds[0]/make"), "do rooms[0]/lock")
	d.want(d.ok("rooms[0]/lock"), "")
	d.want(d.no("rooms[1]/beds[0]/make"), "undo rooms[0]/lock, undo rooms[1]/book")
	d.want(d.undone("rooms[0]/lock"), "undo rooms[0]/beds[0]/make, undo rooms[0]/beds[1]/make")
	d.undone("rooms[1]/book")
	d.undone("rooms[0]/beds[0]/make")
	d.want(d.undone("rooms[0]/beds[1]/make"), "undo rooms[0]/book")
	d.undone("rooms[0]/book")
	d.is(saga.Compensated)
	equal(t, "reason", d.header.Reason, "rooms[1]/beds[0]/make: full")
}

// R9, R7: a fan-out after the pivot is retried item by item.
func TestR9RetriableItems(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("pay").Pivot(), fan("mails", bare("mail").Retriable().Attempts(1)))
	d.start(items(2, "mails"))
	d.ok("pay")
	d.no("mails[0]/mail")
	d.is(saga.Parked)
	d.ok("mails[1]/mail")
	d.is(saga.Parked)
	d.fails(saga.Act{ID: "r", Action: saga.Retry, By: "ana", Why: "no"}, saga.ErrNotAllowed) // an item is to be named
	d.want(d.act(saga.Retry, "mails[0]/mail"), "do mails[0]/mail e1")
	d.ok("mails[0]/mail")
	d.is(saga.Completed)
}

// R9, R5: items cancelled in flight, one of them waiting for the reply that its undo needs.
func TestR9ItemsCancelledInFlight(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book").UndoNeedsReply().Attempts(3).Timeout(time.Minute)), bare("pay").Pivot())
	d.start(items(3, "rooms"))
	d.ok("rooms[0]/book")
	d.want(d.act(saga.Cancel, ""), "undo rooms[0]/book")
	d.want(d.ok("rooms[1]/book"), "undo rooms[1]/book")
	d.undone("rooms[0]/book")
	d.undone("rooms[1]/book")
	d.want(d.pass(time.Minute), "")
	d.is(saga.Parked)
	d.want(d.act(saga.Skip, "rooms[2]/book"), "")
	d.is(saga.Compensated)
}

// R9: the late reply of an item that was given up does not move it, but tells what there is to undo.
func TestR9LateReplyOfAnItem(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book").Attempts(1).Timeout(time.Second), undoable("clean")), bare("pay").Pivot())
	d.start(items(2, "rooms"))
	d.ok("rooms[0]/book") // cleaning
	d.pass(time.Second)
	d.phase("rooms[1]/book", saga.PhaseUnknown)
	d.want(d.no("rooms[1]/book"), "") // late, and no effect
	d.phase("rooms[1]/book", saga.PhaseRefused)
	d.want(d.ok("rooms[0]/clean"), "undo rooms[0]/clean")
	d.want(d.undone("rooms[0]/clean"), "undo rooms[0]/book")
	d.undone("rooms[0]/book")
	d.is(saga.Compensated)
}

// R9, R6: an item list that changes between pages parks the fan-out instead of mixing items up.
func TestR9ChangedItemsPark(t *testing.T) {
	t.Parallel()
	n := 150
	list := func(data) []data { return make([]data, n) }
	d := drive(t, saga.ForEach("rooms", list, undoable("book")), bare("pay").Pivot())
	d.start(data{})
	n = 149
	d.pass(0)
	d.is(saga.Parked)
	n = 150
	equal(t, "sent", len(d.act(saga.Retry, "")), 50)
	d.is(saga.Running)
	d.want(d.act(saga.Cancel, "")[:1], "undo rooms[0]/book")
}

// Pages: more than 100 items are created, started and compensated in transitions of at most 100 each.
func TestPagesOfManyItems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ items, atMost int }{{100, 0}, {101, 0}, {250, 0}, {1000, 0}, {250, 7}, {250, 120}} {
		t.Run(fmt.Sprintf("%d at most %d", test.items, test.atMost), func(t *testing.T) {
			t.Parallel()
			d := drive(t, fan("rooms", undoable("book")).AtMost(test.atMost), bare("pay").Pivot())
			d.once = test.items > 250
			limit := test.items
			if test.atMost > 0 {
				limit = test.atMost
			}
			most := d.paged(d.start(items(test.items, "rooms")), saga.DoDirection, limit)
			equal(t, "at once", most, limit)
			d.phase("pay", saga.PhaseDoing)
			most = d.paged(d.no("pay"), saga.UndoDirection, limit)
			equal(t, "undone at once", most, limit)
			d.is(saga.Compensated)
		})
	}
}

// paged answers what was sent, last sent first, until nothing is; it returns how much was under way at once.
func (d *driver) paged(sent []string, direction saga.Direction, limit int) (most int) {
	d.Helper()
	open := map[string]bool{}
	take := func(sent []string) {
		if len(sent) > 100 || d.changed > 101 {
			d.Fatalf("one transition sent %d commands and wrote %d records", len(sent), d.changed)
		}
		for _, s := range sent {
			if s != "do pay" {
				open[s[len(direction)+1:]] = true
			}
		}
		most = max(most, len(open))
	}
	take(sent)
	for {
		for keys, _ := d.due(); len(keys) > 0; keys, _ = d.due() {
			take(d.do(saga.Tick{Record: keys[0]}))
		}
		if len(open) == 0 {
			return most
		}
		if len(open) > limit {
			d.Fatalf("%d items under way, at most %d", len(open), limit)
		}
		for path := range open {
			delete(open, path)
			if direction == saga.DoDirection {
				take(d.ok(path))
			} else {
				take(d.undone(path))
			}
			break
		}
	}
}

// A transition touches a constant number of records however many items there are.
func TestTransitionsTouchAConstantNumberOfRecords(t *testing.T) {
	t.Parallel()
	touched := func(n int) (counts [][2]int) {
		d := drive(t, fan("rooms", undoable("book"), undoable("clean")), bare("pay").Pivot())
		d.once = n > 1000
		d.start(items(n, "rooms"))
		d.pass(0)
		note := func([]string) { counts = append(counts, [2]int{d.loaded, d.changed}) }
		last := n - 1
		note(d.ok(at("rooms", last, "book")))
		note(d.do(saga.Reply{Node: at("rooms", 0, "book"), Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}}))
		note(d.ok(at("rooms", last, "clean")))
		d.now = d.now.Add(time.Minute)
		note(d.do(saga.Tick{Record: fmt.Sprintf("rooms[%d]", last/2)}))
		note(d.no(at("rooms", last/2, "book")))
		return counts
	}
	few := touched(10)
	equal(t, "records loaded and written", few, [][2]int{{1, 1}, {1, 1}, {1, 2}, {1, 1}, {1, 2}})
	equal(t, "the same with 10,000 items", touched(10_000), few)
}

// Changed tells a store what to write: new and changed records, and data only where it changed.
func TestChanged(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")), bare("pay").Pivot())
	start := func(n int) (saga.State, saga.State) {
		before := saga.State{}
		after, _, err := saga.Decide(d.def, before, saga.Start{ID: "s1", Data: items(n, "rooms")}, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return before, after
	}
	before, after := start(12)
	var keys []string
	for _, r := range saga.Changed(before, after) {
		keys = append(keys, r.Key)
		if r.Data == nil {
			t.Errorf("%q is new and has no data", r.Key)
		}
	}
	equal(t, "keys", keys[:4], []string{"", "rooms[0]", "rooms[1]", "rooms[2]"})
	equal(t, "last key", keys[12], "rooms[11]")
	equal(t, "unchanged", len(saga.Changed(after, after)), 0)
	next, _, err := saga.Decide(d.def, after, saga.Reply{Node: "rooms[3]/book", Direction: saga.DoDirection, Event: done{Ref: "x"}}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	changed := saga.Changed(after, next)
	if len(changed) != 1 || changed[0].Key != "rooms[3]" || string(changed[0].Data) != `{"Refs":{"book":"x"}}` {
		t.Errorf("changed %+v", changed)
	}
}

// View lists nodes in an order that people expect, items within items after what contains them.
func TestViewOrder(t *testing.T) {
	t.Parallel()
	root := items(11, "rooms")
	for i := range root.Items["rooms"] {
		root.Items["rooms"][i] = items(1, "beds")
	}
	d := drive(t, fan("rooms", fan("beds", undoable("make"))), bare("pay").Pivot())
	d.start(root)
	var paths []string
	for _, v := range saga.View(d.def, d.whole()) {
		paths = append(paths, v.Path)
	}
	equal(t, "first", paths[:4], []string{"rooms", "pay", "rooms[0]/beds", "rooms[0]/beds[0]/make"})
	equal(t, "last", paths[len(paths)-4:], []string{"rooms[9]/beds", "rooms[9]/beds[0]/make", "rooms[10]/beds", "rooms[10]/beds[0]/make"})
	s := d.whole()
	s.Items["gone[0]"] = saga.Record{Key: "gone[0]"}
	s.Items["rooms[0]/gone[0]"] = saga.Record{}
	s.Items["nonsense"] = saga.Record{}
	equal(t, "views with unknown records", len(saga.View(d.def, s)), len(paths))
}

// Records that do not exist are an error, not asked for.
func TestUnknownRecords(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book")), bare("pay").Pivot())
	d.start(items(2, "rooms"))
	for _, key := range []string{"x", "rooms", "rooms[2]", "rooms[-1]", "rooms[01]", "rooms[+1]", "pay[0]", "rooms[0]/book[0]", "rooms[0", "[0]"} {
		d.fails(saga.Tick{Record: key}, saga.ErrNotFound)
		d.fails(saga.Reply{Node: key + "/book", Direction: saga.DoDirection, Event: done{}}, saga.ErrNotFound)
	}
	for _, path := range []string{"rooms[0]book", "rooms[0]//book", "rooms[0]/", "rooms[0]"} {
		d.fails(saga.Reply{Node: path, Direction: saga.DoDirection, Event: done{}}, saga.ErrNotFound)
	}
	if !slices.Equal(d.do(saga.Reply{Node: "rooms[1]/book", Direction: saga.DoDirection, Event: done{}}), []string{}) {
		t.Error("the right path is not found")
	}
}
