package saga_test

import (
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// pair is a parallel of two branches with two steps each, between a step and the pivot.
func pair(parts ...saga.Node[data]) []saga.Node[data] {
	all := append([]saga.Node[data]{branch("a", undoable("a1"), undoable("a2")), branch("b", undoable("b1"), undoable("b2"))}, parts...)
	return []saga.Node[data]{undoable("flight"), saga.Parallel("all", all...), bare("pay").Pivot()}
}

// R1, R9: the branches of a parallel run side by side, and what comes after it waits for all of them.
func TestR1ParallelBranchesRunSideBySide(t *testing.T) {
	t.Parallel()
	d := drive(t, pair()...)
	d.start(data{})
	d.want(d.ok("flight"), "do all/a/a1, do all/b/b1")
	d.phase("all", saga.PhaseDoing)
	d.want(d.ok("all/b/b1"), "do all/b/b2")
	d.want(d.ok("all/b/b2"), "")
	d.want(d.ok("all/a/a1"), "do all/a/a2")
	d.want(d.ok("all/a/a2"), "do pay")
	d.phase("all", saga.PhaseDone)
	d.ok("pay")
	d.is(saga.Completed)
}

// R4: the branches are undone side by side, each in reverse order, and what came before them after all of them.
func TestR4ParallelBranchesAreUndoneSideBySide(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{
		{"all/a/a2", "all/a/a1", "all/b/b2", "all/b/b1"},
		{"all/b/b2", "all/a/a2", "all/a/a1", "all/b/b1"},
	} {
		d := drive(t, pair()...)
		d.start(data{})
		for _, step := range []string{"flight", "all/a/a1", "all/b/b1", "all/a/a2", "all/b/b2"} {
			d.ok(step)
		}
		d.want(d.no("pay"), "undo all/b/b2, undo all/a/a2")
		for i, step := range order {
			next := map[string]string{"all/a/a2": "undo all/a/a1", "all/b/b2": "undo all/b/b1"}[step]
			if i == 3 {
				next = "undo flight"
			}
			d.want(d.undone(step), next)
		}
		d.undone("flight")
		d.is(saga.Compensated)
	}
}

// R9: when a branch fails, no further step of the others is started; what is under way is awaited, then the parallel fails.
func TestR9ParallelHaltsBesideAFailure(t *testing.T) {
	t.Parallel()
	d := drive(t, pair()...)
	d.start(data{})
	d.ok("flight")
	d.want(d.no("all/b/b1"), "")
	d.is(saga.Running) // a1 is in flight
	d.phase("all", saga.PhaseRefused)
	d.want(d.ok("all/a/a1"), "undo all/a/a1")
	d.phase("all/a/a2", saga.PhaseIdle)
	d.want(d.undone("all/a/a1"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
	equal(t, "reason", d.header.Reason, "all/b/b1: full")
}

// R9: when both branches fail, the first reason is kept and only what had an effect is undone.
func TestR9BothBranchesFail(t *testing.T) {
	t.Parallel()
	d := drive(t, pair()...)
	d.start(data{})
	d.ok("flight")
	d.ok("all/a/a1")
	d.want(d.no("all/a/a2"), "")
	d.want(d.no("all/b/b1"), "undo all/a/a1")
	equal(t, "reason", d.header.Reason, "all/a/a2: full")
	d.want(d.undone("all/a/a1"), "undo flight")
}

// R9, R2: a step of a branch that is never answered is unknown, halts the others, and is undone with them.
func TestR9UnknownStepInABranch(t *testing.T) {
	t.Parallel()
	d := drive(t, saga.Parallel("all", undoable("a").Attempts(1).Timeout(time.Minute), branch("b", undoable("b1").Timeout(time.Hour), undoable("b2"))))
	d.want(d.start(data{}), "do all/a, do all/b/b1")
	d.want(d.pass(time.Minute), "")
	d.phase("all/a", saga.PhaseUnknown)
	d.is(saga.Running)
	d.want(d.ok("all/a"), "") // late: it is known now, and nothing goes forward (R5)
	d.phase("all/a", saga.PhaseDone)
	d.want(d.ok("all/b/b1"), "undo all/b/b1, undo all/a")
	d.undone("all/a")
	d.undone("all/b/b1")
	d.is(saga.Compensated)
	equal(t, "reason", d.header.Reason, "all/a: no reply to 1 sendings")
}

// R9, R6: what waits for an operator in one branch does not hold up the failure of another.
func TestR9StuckStepBesideAFailure(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"do", "on"} {
		odd := saga.Step("odd",
			saga.Do(func(data) doIt {
				if where == "do" {
					panic("no command")
				}
				return doIt{}
			}),
			saga.On(func(*data, done) { panic("no reply") }), undo)
		d := drive(t, undoable("flight"), saga.Parallel("all", odd, branch("b", undoable("b1"), undoable("b2"))))
		d.start(data{})
		d.ok("flight")
		if where == "on" {
			d.ok("all/odd")
		}
		d.is(saga.Parked)
		d.want(d.ok("all/b/b1"), "do all/b/b2") // the other branch goes on
		d.is(saga.Parked)
		sent := d.no("all/b/b2")
		d.is(saga.Compensating)
		if where == "on" { // it was sent: it may have an effect
			d.want(sent, "undo all/b/b1, undo all/odd")
			d.undone("all/odd")
		} else {
			d.want(sent, "undo all/b/b1")
		}
		d.want(d.undone("all/b/b1"), "undo flight")
		equal(t, "reason", d.header.Reason, "all/b/b2: full")
	}
}

// R9, R5: a branch whose undo needs the reply is awaited like any other.
func TestR9BranchWhoseUndoNeedsTheReply(t *testing.T) {
	t.Parallel()
	d := drive(t, saga.Parallel("all", undoable("a").UndoNeedsReply().Timeout(time.Minute).Attempts(1), undoable("b")))
	d.start(data{})
	d.want(d.act(saga.Cancel, ""), "undo all/b")
	d.undone("all/b")
	d.is(saga.Compensating)
	d.pass(time.Minute)
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "all/a: its undo needs the reply that never came")
	d.want(d.ok("all/a"), "undo all/a")
	d.undone("all/a")
	d.is(saga.Compensated)
}

// R9: parallels nest; a failure deep within halts the outer ones, and what has not begun does not begin.
func TestR9NestedParallel(t *testing.T) {
	t.Parallel()
	nodes := func() []saga.Node[data] {
		return []saga.Node[data]{saga.Parallel("out",
			branch("left", undoable("l1"), saga.Parallel("in", undoable("x"), branch("y", undoable("y1"), undoable("y2")))),
			branch("right", undoable("r1"), undoable("r2")))}
	}
	d := drive(t, nodes()...)
	d.want(d.start(data{}), "do out/left/l1, do out/right/r1")
	d.want(d.ok("out/left/l1"), "do out/left/in/x, do out/left/in/y/y1")
	d.want(d.no("out/left/in/x"), "")
	d.want(d.ok("out/right/r1"), "") // halted, although its own branch is well
	d.want(d.ok("out/left/in/y/y1"), "undo out/right/r1, undo out/left/in/y/y1")
	d.undone("out/right/r1")
	d.want(d.undone("out/left/in/y/y1"), "undo out/left/l1")
	d.undone("out/left/l1")
	d.is(saga.Compensated)

	d = drive(t, nodes()...)
	d.start(data{})
	d.no("out/right/r1")
	d.want(d.ok("out/left/l1"), "undo out/left/l1")
	d.phase("out/left/in", saga.PhaseIdle) // it never began
}

// R9: two branches whose times come with one tick: what fails halts what would begin, in whichever order they stand.
func TestR9FailureAndBeginningInOneTick(t *testing.T) {
	t.Parallel()
	begins := branch("begins", sleep("nap", time.Minute), undoable("step"))
	fails := wait("nod").Deadline(time.Minute)
	for _, branches := range [][]saga.Node[data]{{begins, fails}, {fails, begins}, {saga.Parallel("in", begins, sleep("long", time.Hour)), fails}} {
		d := drive(t, saga.Parallel("all", branches...))
		d.start(data{})
		d.now = d.now.Add(time.Minute)
		d.want(d.do(saga.Tick{}), "")
		d.is(saga.Compensated)
		equal(t, "reason", d.header.Reason, "all/nod: no signal within 1m0s")
	}
}

// R9: a fan-out in a branch and a step in another: the failure of either halts the other, down to what lies within its items.
func TestR9FanOutInABranch(t *testing.T) {
	t.Parallel()
	nodes := []saga.Node[data]{saga.Parallel("all",
		fan("rooms", undoable("book"), fan("beds", undoable("make"), undoable("air")), undoable("lock")).AtMost(2), branch("b", undoable("b1"), undoable("b2")))}
	root := items(3, "rooms")
	for i := range root.Items["rooms"] {
		root.Items["rooms"][i] = items(2, "beds")
	}
	d := drive(t, nodes...)
	d.want(d.start(root), "do all/rooms[0]/book, do all/rooms[1]/book, do all/b/b1")
	d.want(d.ok("all/rooms[0]/book"), "do all/rooms[0]/beds[0]/make, do all/rooms[0]/beds[1]/make")
	d.want(d.ok("all/rooms[0]/beds[0]/make"), "do all/rooms[0]/beds[0]/air")
	d.want(d.no("all/b/b1"), "")
	d.want(d.ok("all/rooms[1]/book"), "") // its beds are not made
	d.want(d.ok("all/rooms[0]/beds[1]/make"), "")
	d.is(saga.Running)
	d.want(d.ok("all/rooms[0]/beds[0]/air"), "undo all/rooms[0]/beds[0]/air, undo all/rooms[0]/beds[1]/make, undo all/rooms[1]/book")
	d.phase("all/rooms[1]/beds", saga.PhaseIdle)
	d.undone("all/rooms[1]/book")
	d.want(d.undone("all/rooms[0]/beds[0]/air"), "undo all/rooms[0]/beds[0]/make")
	d.undone("all/rooms[0]/beds[0]/make")
	d.want(d.undone("all/rooms[0]/beds[1]/make"), "undo all/rooms[0]/book")
	d.undone("all/rooms[0]/book")
	d.is(saga.Compensated)

	d = drive(t, nodes...)
	d.start(root)
	d.ok("all/b/b1")
	d.want(d.no("all/rooms[1]/book"), "")
	d.want(d.ok("all/b/b2"), "")
	d.want(d.ok("all/rooms[0]/book"), "undo all/b/b2, undo all/rooms[0]/book")
}

// R9: a parallel within an item fails the item alone; the items beside it are halted.
func TestR9ParallelInAnItem(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", saga.Parallel("all", branch("a", undoable("a1"), undoable("a2")), undoable("b"))))
	d.want(d.start(items(2, "rooms")), "do rooms[0]/all/a/a1, do rooms[0]/all/b, do rooms[1]/all/a/a1, do rooms[1]/all/b")
	d.want(d.no("rooms[0]/all/b"), "")
	d.want(d.ok("rooms[1]/all/a/a1"), "do rooms[1]/all/a/a2") // room 0 is not at its end: nothing has failed for room 1
	d.want(d.ok("rooms[0]/all/a/a1"), "")
	d.want(d.ok("rooms[1]/all/b"), "")
	d.want(d.ok("rooms[1]/all/a/a2"), "undo rooms[0]/all/a/a1, undo rooms[1]/all/b, undo rooms[1]/all/a/a2")
	d.undone("rooms[0]/all/a/a1")
	d.undone("rooms[1]/all/b")
	d.want(d.undone("rooms[1]/all/a/a2"), "undo rooms[1]/all/a/a1")
	d.undone("rooms[1]/all/a/a1")
	d.is(saga.Compensated)
}

// R7: after the pivot a stuck branch waits for its operator while the others go on to their end.
func TestR7ParallelAfterThePivot(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("pay").Pivot(), saga.Parallel("all", bare("mail").Retriable().Attempts(1), branch("b", bare("b1").Retriable(), bare("b2").Retriable())))
	d.start(data{})
	d.want(d.ok("pay"), "do all/mail, do all/b/b1")
	d.no("all/mail")
	d.is(saga.Parked)
	d.want(d.ok("all/b/b1"), "do all/b/b2")
	d.ok("all/b/b2")
	d.is(saga.Parked)
	d.want(d.act(saga.Skip, ""), "")
	d.is(saga.Completed)
}

// R3: a cancelled parallel undoes what is in flight, side by side, and starts nothing.
func TestR3CancelledParallel(t *testing.T) {
	t.Parallel()
	d := drive(t, pair(wait("nod"), sleep("nap", time.Hour))...)
	d.start(data{})
	d.ok("flight")
	d.ok("all/a/a1")
	d.want(d.act(saga.Cancel, ""), "undo all/b/b1, undo all/a/a2")
	d.phase("all/nod", saga.PhaseUndone)
	d.phase("all/nap", saga.PhaseUndone)
	d.want(d.undone("all/a/a2"), "undo all/a/a1")
	d.undone("all/a/a1")
	d.want(d.undone("all/b/b1"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
	equal(t, "wake", d.records[""].Wake, time.Time{})
}
