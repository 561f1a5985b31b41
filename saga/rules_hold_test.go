package saga_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// held applies the input while the definition is paused: nothing may be sent.
func (d *driver) held(in saga.Input) {
	d.Helper()
	effects, err := d.apply(saga.Hold{Input: in})
	if err != nil {
		d.Fatalf("held %#v: %v", in, err)
	}
	d.want(sends(effects), "")
	for _, e := range effects {
		if x, ok := e.(saga.Expect); ok {
			d.Fatalf("held %#v: expects %v", in, x)
		}
	}
}

// R1, R4: whatever an input would send is held back while the definition is paused, and sent by ticks that are due at once.
func TestR1HeldInputsSendWithTicks(t *testing.T) {
	t.Parallel()
	reply := func(node string, event any) saga.Reply {
		return saga.Reply{Node: node, Direction: saga.DoDirection, Event: event}
	}
	act := func(action saga.Action, node string) saga.Act {
		return saga.Act{ID: "held", Action: action, Node: node, By: "ana", Why: "paused"}
	}
	nodes := func() []saga.Node[data] {
		return []saga.Node[data]{
			undoable("flight").Attempts(2).Timeout(time.Minute),
			saga.Parallel("all",
				branch("a", wait("nod").Deadline(time.Hour), undoable("a1")),
				branch("b", undoable("b1").UndoUnacknowledged()),
				fan("rooms", undoable("book"), undoable("clean")).AtMost(2).Tolerate(1)),
			choice("vip", undoable("suite")),
			bare("pay").Attempts(1).Pivot(),
			bare("mail").Retriable().Attempts(2).Backoff(time.Second, time.Second),
		}
	}
	past := func(d *driver) {
		d.start(items(3, "rooms"))
		d.ok("flight")
	}
	paid := func(d *driver) {
		past(d)
		d.signal("all/a/nod")
		for _, node := range []string{"all/a/a1", "all/b/b1", "all/rooms[0]/book", "all/rooms[1]/book", "all/rooms[0]/clean", "all/rooms[1]/clean", "all/rooms[2]/book", "all/rooms[2]/clean"} {
			d.ok(node)
		}
	}
	for name, test := range map[string]struct {
		before func(d *driver)
		in     saga.Input
		sent   string
	}{
		"a start":           {func(*driver) {}, saga.Start{ID: "s1", Data: data{}}, "do flight"},
		"a success":         {func(d *driver) { d.start(items(3, "rooms")) }, reply("flight", done{}), "do all/b/b1, do all/rooms[0]/book, do all/rooms[1]/book"},
		"an item's success": {past, reply("all/rooms[1]/book", done{}), "do all/rooms[1]/clean"},
		"the next item": {func(d *driver) { past(d); d.ok("all/rooms[0]/book") },
			reply("all/rooms[0]/clean", done{}), "do all/rooms[2]/book"},
		"a signal":       {past, saga.Signal{Node: "all/a/nod", Event: nod{}}, "do all/a/a1"},
		"a resend":       {func(d *driver) { d.start(data{}); d.now = d.now.Add(time.Minute) }, saga.Tick{}, "do flight a2"},
		"a time-out":     {func(d *driver) { d.start(data{}); d.pass(time.Minute); d.now = d.now.Add(time.Minute) }, saga.Tick{}, "undo flight"},
		"a tolerated":    {func(d *driver) { past(d); d.ok("all/rooms[1]/book") }, reply("all/rooms[1]/clean", refused{}), "undo all/rooms[1]/book"},
		"a cancellation": {past, act(saga.Cancel, ""), "undo all/rooms[0]/book, undo all/rooms[1]/book, undo all/b/b1"},
		"a refusal": {paid, reply("pay", refused{}),
			"undo all/rooms[0]/clean, undo all/rooms[1]/clean, undo all/b/b1, undo all/a/a1"},
		"an undone": {func(d *driver) { past(d); d.ok("all/rooms[0]/book"); d.act(saga.Cancel, "") },
			saga.Reply{Node: "all/rooms[0]/clean", Direction: saga.UndoDirection, Outcome: saga.Nothing}, "undo all/rooms[0]/book"},
		"a retry":            {func(d *driver) { paid(d); d.pass(time.Minute) }, act(saga.Retry, "pay"), "do pay"},
		"a retry under way":  {past, act(saga.Retry, "all/rooms[0]/book"), "do all/rooms[0]/book"},
		"a retry of an undo": {func(d *driver) { past(d); d.act(saga.Cancel, "") }, act(saga.Retry, "all/rooms[1]/book"), "undo all/rooms[1]/book"},
		"a skip":             {func(d *driver) { paid(d); d.pass(time.Minute) }, act(saga.Skip, ""), "do mail"},
		"a skipped wait":     {past, act(saga.Skip, "all/a/nod"), "do all/a/a1"},
		"a retriable's time": {func(d *driver) { paid(d); d.ok("pay"); d.no("mail"); d.now = d.now.Add(time.Second) }, saga.Tick{}, "do mail e1 a2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, twin := drive(t, nodes()...), drive(t, nodes()...)
			test.before(twin)
			twin.want(twin.do(test.in), test.sent)
			test.before(d)
			d.held(test.in)
			later := d.pass(0)
			sent := slices.Sorted(slices.Values(strings.Split(test.sent, ", ")))
			slices.Sort(later)
			equal(t, "sent by the ticks", strings.Join(later, ", "), strings.Join(sent, ", "))
			equal(t, "status", d.header.Status, twin.header.Status)
			equal(t, "nodes", asJSON(nodesOf(d)), asJSON(nodesOf(twin)))
		})
	}
}

// nodesOf is how far each node has come, without when and how often.
func nodesOf(d *driver) map[string]saga.NodeState {
	states := map[string]saga.NodeState{}
	for _, v := range saga.View(d.def, d.whole()) {
		states[v.Path] = v.State
	}
	return states
}

// R1: a tick while the definition is paused holds back again; nothing is lost by it.
func TestR1HeldTwice(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot())
	d.held(saga.Start{ID: "s1", Data: data{}})
	equal(t, "wake", d.records[""].Wake, epoch)
	for range 3 {
		d.now = d.now.Add(time.Minute)
		d.held(saga.Tick{})
		d.phase("flight", saga.PhaseIdle)
		equal(t, "wake", d.records[""].Wake, d.now)
	}
	d.want(d.do(saga.Tick{}), "do flight") // the first attempt
	d.ok("flight")
}

// R3: what is held back when the saga is aborted is never sent, and not undone.
func TestR3HeldCommandsAreNotSentAfterTheAbort(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), saga.Parallel("all", undoable("a"), undoable("b"), wait("nod").Deadline(time.Minute)), bare("pay").Pivot())
	d.start(data{})
	d.held(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}})
	d.held(saga.Act{ID: "c", Action: saga.Cancel, By: "ana", Why: "paused"})
	d.want(d.pass(0), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)

	failed := drive(t, saga.Parallel("all", branch("a", wait("nod"), undoable("a1")), undoable("b")))
	failed.start(data{})
	failed.held(saga.Signal{Node: "all/a/nod", Event: nod{}})
	failed.want(failed.no("all/b"), "") // the pause is over, but the tick has not come: a1 was never sent
	failed.is(saga.Compensated)
	failed.want(failed.pass(time.Hour), "")
}

// R9: an item whose command is held back when another fails is not started any more.
func TestR9HeldItems(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", wait("nod"), undoable("book")))
	d.start(items(3, "rooms"))
	d.signal("rooms[0]/nod")
	d.held(saga.Signal{Node: "rooms[1]/nod", Event: nod{}})
	d.held(saga.Reply{Node: "rooms[0]/book", Direction: saga.DoDirection, Event: refused{}})
	d.is(saga.Compensated)
	d.want(d.pass(time.Hour), "")
}

// R4: an undo that nobody acknowledges is not taken for sent while it is held back.
func TestR4HeldUnacknowledgedUndo(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("a"), undoable("b").UndoUnacknowledged(), bare("pay").Pivot())
	d.start(data{})
	d.ok("a")
	d.ok("b")
	d.held(refusal("pay", 0))
	d.phase("b", saga.PhaseDone)
	d.phase("a", saga.PhaseDone)
	d.is(saga.Compensating)
	d.want(d.do(saga.Tick{}), "undo b, undo a")
	d.undone("a")
	d.is(saga.Compensated)
}

// R5: a reply that comes late while the undo is held back tells what there is to undo.
func TestR5LateReplyToAHeldUndo(t *testing.T) {
	t.Parallel()
	for _, refuses := range []bool{false, true} {
		d := drive(t, fan("rooms", undoable("book").Attempts(1).Timeout(time.Minute)))
		d.start(items(1, "rooms"))
		d.now = d.now.Add(time.Minute)
		d.held(saga.Tick{Record: "rooms[0]"})
		d.phase("rooms[0]/book", saga.PhaseUnknown)
		if refuses {
			d.want(d.no("rooms[0]/book"), "")
			d.is(saga.Compensated)
			equal(t, "wake", d.records["rooms[0]"].Wake, time.Time{})
			continue
		}
		d.want(d.ok("rooms[0]/book"), "undo rooms[0]/book")
		d.want(d.pass(0), "")
		d.undone("rooms[0]/book")
		d.is(saga.Compensated)
	}
}

// A held input is the input in every other way: errors, duplicates and what sends nothing.
func TestHeldInputsAreInputs(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot())
	for _, in := range []saga.Input{nil, saga.Hold{}, saga.Hold{Input: saga.Tick{}}, saga.Tick{}} {
		d.fails(saga.Hold{Input: in}, saga.ErrNotFound)
	}
	d.start(data{})
	d.same(saga.Hold{Input: saga.Start{ID: "s1", Data: data{}}})
	d.same(saga.Hold{Input: saga.Tick{}})
	d.fails(saga.Hold{}, saga.ErrNotAllowed)
	d.fails(saga.Hold{Input: saga.Hold{Input: saga.Tick{}}}, saga.ErrNotAllowed)
	d.fails(saga.Hold{Input: saga.Reply{Node: "x"}}, saga.ErrNotFound)
	d.fails(saga.Hold{Input: saga.Act{ID: "r", Action: saga.Retry, Node: "pay", By: "ana", Why: "no"}}, saga.ErrNotAllowed)
	d.ok("flight")
	d.held(saga.Reply{Node: "pay", Direction: saga.DoDirection, Event: done{}})
	d.is(saga.Completed)
	other := saga.MustDefine("other", undoable("flight"))
	d.def = other
	d.fails(saga.Hold{Input: saga.Tick{}}, saga.ErrUnknownDefinition)
	d.same(saga.Hold{Input: saga.Start{ID: "s1", Data: data{}}})
}
