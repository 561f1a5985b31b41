package saga_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// tolerant is a fan-out of rooms with two steps each, of which k may fail, between a step and the pivot.
func tolerant(k int) []saga.Node[data] {
	return []saga.Node[data]{undoable("flight"), fan("rooms", undoable("book"), undoable("clean")).Tolerate(k), bare("pay").Pivot()}
}

// fanOf returns the counts of the fan-out.
func (d *driver) fanOf(path string) saga.Fan {
	d.Helper()
	st := d.node(path)
	if st.Fan == nil {
		d.Fatalf("%s has no counts", path)
	}
	return *st.Fan
}

// R9: an item whose failure is tolerated is undone on its own, at once, while the others go on; the fan-out succeeds without it.
func TestR9ToleratedItemIsUndoneOnItsOwn(t *testing.T) {
	t.Parallel()
	d := drive(t, tolerant(1)...)
	d.start(items(3, "rooms"))
	d.ok("flight")
	d.ok("rooms[1]/book")
	effects, err := d.apply(refusal("rooms[1]/clean", 0))
	if err != nil {
		t.Fatal(err)
	}
	d.want(sends(effects), "undo rooms[1]/book")
	if !slices.Contains(effects, saga.Effect(saga.Log{Kind: saga.LogTolerated, Node: "rooms[1]", Detail: "rooms[1]/clean: full"})) {
		t.Errorf("it is not logged: %v", effects)
	}
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 3, Created: 3, Started: 3, Active: 3, Resting: 1, Failed: 1, Alone: 1})
	d.is(saga.Running)
	d.want(d.ok("rooms[0]/book"), "do rooms[0]/clean") // the others go on
	d.want(d.undone("rooms[1]/book"), "")
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 3, Created: 3, Started: 3, Active: 2, Failed: 1})
	d.ok("rooms[0]/clean")
	d.ok("rooms[2]/book")
	d.want(d.ok("rooms[2]/clean"), "do pay")
	equal(t, "reason", d.header.Reason, "")
	d.want(d.no("pay"), "undo rooms[0]/clean, undo rooms[2]/clean") // room 1 is undone already
	d.undone("rooms[0]/clean")
	d.undone("rooms[2]/clean")
	d.undone("rooms[0]/book")
	d.want(d.undone("rooms[2]/book"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 3, Created: 3, Started: 3, Failed: 1, Reversing: 3})
}

// R9: the fan-out waits for the undo of what it tolerated before it succeeds.
func TestR9FanOutWaitsForToleratedUndos(t *testing.T) {
	t.Parallel()
	d := drive(t, tolerant(2)...)
	d.start(items(2, "rooms"))
	d.ok("flight")
	d.want(d.no("rooms[0]/book"), "") // nothing to undo
	d.ok("rooms[1]/book")
	d.want(d.no("rooms[1]/clean"), "undo rooms[1]/book")
	d.fails(saga.Act{ID: "s", Action: saga.Skip, Node: "rooms", By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.want(d.undone("rooms[1]/book"), "do pay") // although every item has failed
	d.ok("pay")
	d.is(saga.Completed)
}

// R9: with one failure more than is tolerated the fan-out fails, once what is under way has settled; undos under way are taken over as they are.
func TestR9OneFailureTooMany(t *testing.T) {
	t.Parallel()
	d := drive(t, tolerant(1)...)
	d.start(items(4, "rooms"))
	d.ok("flight")
	for i := range 3 {
		d.ok(at("rooms", i, "book"))
	}
	d.want(d.no("rooms[1]/clean"), "undo rooms[1]/book") // tolerated
	d.want(d.no("rooms[2]/clean"), "")                   // one too many; rooms 0 and 3 are under way
	d.is(saga.Running)
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 4, Created: 4, Started: 4, Active: 3, Resting: 1, Failed: 2, Alone: 1})
	d.want(d.ok("rooms[3]/book"), "") // halted
	d.want(d.ok("rooms[0]/clean"), "undo rooms[0]/clean, undo rooms[2]/book, undo rooms[3]/book")
	d.is(saga.Compensating)
	equal(t, "reason", d.header.Reason, "rooms[2]/clean: full")
	d.undone("rooms[2]/book")
	d.undone("rooms[0]/clean")
	d.undone("rooms[3]/book")
	d.want(d.undone("rooms[0]/book"), "") // room 1 is still being undone
	equal(t, "undoing", d.fanOf("rooms").Undoing, 1)
	d.want(d.undone("rooms[1]/book"), "undo flight")
	equal(t, "undoing", d.fanOf("rooms").Undoing, 0)
	d.undone("flight")
	d.is(saga.Compensated)
}

// R9: two tolerated items, one undone and one not, when the fan-out fails while nothing is in flight.
func TestR9ToleratedItemsWhenTheFanOutFails(t *testing.T) {
	t.Parallel()
	d := drive(t, tolerant(2)...)
	d.start(items(3, "rooms"))
	d.ok("flight")
	for i := range 3 {
		d.ok(at("rooms", i, "book"))
	}
	d.no("rooms[0]/clean")
	d.no("rooms[1]/clean")
	d.undone("rooms[0]/book")
	d.want(d.no("rooms[2]/clean"), "undo rooms[2]/book")
	d.is(saga.Compensating)
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 3, Created: 3, Started: 3, Active: 1, Resting: 1, Failed: 3, Reversing: 3, Undoing: 2})
	d.undone("rooms[2]/book")
	d.want(d.undone("rooms[1]/book"), "undo flight")
}

// R9, R6: a tolerated item whose undo is stuck parks the instance; its fan-out may fail meanwhile, and an operator may give it up.
func TestR9ToleratedItemIsStuck(t *testing.T) {
	t.Parallel()
	park := func() *driver {
		d := drive(t, undoable("flight"), fan("rooms", undoable("book").Attempts(1), undoable("clean")).Tolerate(1), bare("pay").Pivot())
		d.start(items(2, "rooms"))
		d.ok("flight")
		d.ok("rooms[0]/book")
		d.no("rooms[0]/clean")
		d.undoFailed("rooms[0]/book")
		d.is(saga.Parked)
		return d
	}
	d := park()
	d.want(d.act(saga.Skip, "rooms[0]/book"), "")
	d.is(saga.Running)
	d.phase("rooms[0]/book", saga.PhaseLeft)
	d.ok("rooms[1]/book")
	d.want(d.ok("rooms[1]/clean"), "do pay")

	d = park()
	d.ok("rooms[1]/book")
	d.want(d.ok("rooms[1]/clean"), "") // it waits for the tolerated one
	d.want(d.act(saga.Retry, "rooms[0]/book"), "undo rooms[0]/book e1")
	d.want(d.undone("rooms[0]/book"), "do pay")

	d = park()
	d.want(d.no("rooms[1]/book"), "") // one too many
	d.is(saga.Parked)
	equal(t, "reversing", d.header.Reversing, true)
	d.want(d.act(saga.Skip, "rooms[0]/book"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
	equal(t, "reason", d.header.Reason, "rooms[1]/book: full")
}

// R9, R3: a cancelled fan-out takes its tolerated items over as they are.
func TestR3CancelWhileAToleratedItemIsUndone(t *testing.T) {
	t.Parallel()
	d := drive(t, tolerant(1)...)
	d.start(items(3, "rooms"))
	d.ok("flight")
	d.ok("rooms[1]/book")
	d.no("rooms[1]/clean")
	d.want(d.act(saga.Cancel, ""), "undo rooms[0]/book, undo rooms[2]/book")
	equal(t, "undoing", d.fanOf("rooms").Undoing, 3)
	d.undone("rooms[1]/book")
	d.undone("rooms[2]/book")
	d.want(d.undone("rooms[0]/book"), "undo flight")
}

// R9: a tolerated item keeps its place among those that are under way at once until it is undone.
func TestR9ToleratedItemAndAtMost(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")).AtMost(1).Tolerate(1), bare("pay").Pivot())
	d.start(items(2, "rooms"))
	d.ok("rooms[0]/book")
	d.want(d.no("rooms[0]/clean"), "undo rooms[0]/book")
	d.want(d.pass(0), "")
	d.want(d.undone("rooms[0]/book"), "do rooms[1]/book")
	d.ok("rooms[1]/book")
	d.want(d.ok("rooms[1]/clean"), "do pay")
}

// R9, R2, R7: an item fails by an unanswered step or a missed deadline as by a refusal; a late reply to it moves nothing.
func TestR9ToleratedItemsFailInEveryWay(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book").Attempts(1).Timeout(time.Minute), wait("nod").Deadline(time.Hour)).Tolerate(2), bare("pay").Pivot())
	d.start(items(3, "rooms"))
	d.ok("rooms[1]/book")
	d.ok("rooms[2]/book")
	d.want(d.pass(time.Minute), "undo rooms[0]/book")
	effects, err := d.apply(saga.Reply{Node: "rooms[0]/book", Direction: saga.DoDirection, Event: done{}})
	if err != nil || len(effects) != 1 {
		t.Fatalf("late reply: %v, %v", effects, err)
	}
	d.undone("rooms[0]/book")
	d.signal("rooms[2]/nod")
	d.want(d.pass(time.Hour)[:1], "undo rooms[1]/book")
	d.want(d.undone("rooms[1]/book"), "do pay")
}

// R9: fan-outs within tolerated items are undone with them, and nothing further of them is started.
func TestR9ToleratedItemWithItemsOfItsOwn(t *testing.T) {
	t.Parallel()
	root := items(2, "rooms")
	root.Items["rooms"][0] = items(150, "beds")
	d := drive(t, fan("rooms", saga.Parallel("all", fan("beds", wait("nod"), undoable("make")), undoable("book"))).Tolerate(1), bare("pay").Pivot())
	d.start(root)
	d.signal("rooms[0]/all/beds[7]/nod")
	d.signal("rooms[0]/all/beds[9]/nod")
	d.ok("rooms[0]/all/beds[7]/make")
	d.want(d.no("rooms[0]/all/book"), "")
	d.want(d.no("rooms[0]/all/beds[9]/make"), "undo rooms[0]/all/beds[7]/make")
	d.same(saga.Signal{Node: "rooms[0]/all/beds[8]/nod", Event: nod{}})
	d.want(d.pass(0), "")
	d.want(d.ok("rooms[1]/all/book"), "")
	d.want(d.undone("rooms[0]/all/beds[7]/make"), "do pay")
}

// R9: a tolerant fan-out within a tolerant fan-out: the inner one's failure is one failure of the outer one.
func TestR9ToleranceNests(t *testing.T) {
	t.Parallel()
	root := items(2, "rooms")
	for i := range root.Items["rooms"] {
		root.Items["rooms"][i] = items(3, "beds")
	}
	d := drive(t, fan("rooms", fan("beds", undoable("make"), undoable("air")).Tolerate(1)).Tolerate(1), bare("pay").Pivot())
	d.start(root)
	bed := func(room, i int, step string) string { return fmt.Sprintf("rooms[%d]/beds[%d]/%s", room, i, step) }
	d.want(d.no(bed(0, 0, "make")), "") // tolerated by room 0
	d.ok(bed(0, 1, "make"))
	d.want(d.no(bed(0, 1, "air")), "") // too many for room 0, while its bed 2 is under way
	d.is(saga.Running)
	d.want(d.ok(bed(0, 2, "make")), "undo rooms[0]/beds[1]/make, undo rooms[0]/beds[2]/make") // room 0 is tolerated
	for i := range 3 {
		d.want(d.ok(bed(1, i, "make")), "do "+bed(1, i, "air")) // and does not concern room 1
		d.ok(bed(1, i, "air"))
	}
	d.undone(bed(0, 2, "make"))
	d.want(d.undone(bed(0, 1, "make")), "do pay")
	equal(t, "outer counts", d.fanOf("rooms"), saga.Fan{Total: 2, Created: 2, Started: 2, Failed: 1})
}

// R9: tolerance over pages: the counts are right with more items than a transition looks at.
func TestR9ToleranceOverPages(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")).Tolerate(120), bare("pay").Pivot())
	d.start(items(250, "rooms"))
	d.pass(0)
	for i := range 250 {
		d.ok(at("rooms", i, "book"))
	}
	for i := range 120 {
		d.no(at("rooms", 2*i, "clean"))
	}
	equal(t, "counts", d.fanOf("rooms"), saga.Fan{Total: 250, Created: 250, Started: 250, Active: 250, Resting: 120, Failed: 120, Alone: 120})
	for i := range 60 {
		d.undone(at("rooms", 2*i, "book"))
	}
	d.want(d.no("rooms[1]/clean"), "")
	for i := 3; i < 250; i += 2 {
		d.ok(at("rooms", i, "clean"))
	}
	for i := 240; i < 250; i += 2 {
		d.ok(at("rooms", i, "clean"))
	}
	d.is(saga.Compensating)
	d.pass(0)
	for i := range 250 {
		if i%2 == 1 && i != 1 || i >= 240 {
			d.undone(at("rooms", i, "clean"))
		}
	}
	for i := range 250 {
		if i%2 == 1 || i >= 120 {
			d.undone(at("rooms", i, "book"))
		}
	}
	d.is(saga.Compensated)
	equal(t, "counts", d.fanOf("rooms").Undoing, 0)
}
