package saga_test

import (
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// vip is a choice between two sequences, in the middle of a trip.
func vip() []saga.Node[data] {
	return []saga.Node[data]{
		undoable("flight"),
		choice("vip", undoable("suite"), undoable("car")).Else(undoable("room")),
		bare("pay").Pivot(),
	}
}

// R1: an If goes the way that its condition says, and only that.
func TestR1IfGoesOneWay(t *testing.T) {
	t.Parallel()
	rich := drive(t, vip()...)
	rich.start(yes("vip"))
	effects, err := rich.apply(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}})
	if err != nil {
		t.Fatal(err)
	}
	rich.want(sends(effects), "do vip/then/suite")
	if !slices.Contains(effects, saga.Effect(saga.Log{Kind: saga.LogChosen, Node: "vip", Direction: saga.DoDirection, Detail: "then"})) {
		t.Errorf("the choice is not logged: %v", effects)
	}
	equal(t, "taken", rich.node("vip").Taken, 1)
	rich.want(rich.ok("vip/then/suite"), "do vip/then/car")
	rich.phase("vip", saga.PhaseDoing)
	rich.want(rich.ok("vip/then/car"), "do pay")
	rich.phase("vip", saga.PhaseDone)
	rich.phase("vip/else/room", saga.PhaseIdle)

	poor := drive(t, vip()...)
	poor.start(data{})
	poor.want(poor.ok("flight"), "do vip/else/room")
	equal(t, "taken", poor.node("vip").Taken, 2)
	poor.want(poor.ok("vip/else/room"), "do pay")
}

// R1: without an Else nothing is done where the condition does not hold.
func TestR1IfWithoutElse(t *testing.T) {
	t.Parallel()
	d := drive(t, choice("vip", undoable("suite")), bare("pay").Pivot())
	d.want(d.start(data{}), "do pay")
	d.phase("vip", saga.PhaseDone)
	d = drive(t, choice("vip", undoable("suite")))
	d.start(data{})
	d.is(saga.Completed)
}

// R1: the choice is made when the saga comes to it, once, and kept whatever becomes of the data.
func TestR1ChoiceIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	calls := 0
	d := drive(t, undoable("flight"),
		saga.If("seated", func(d data) bool { calls++; return d.Refs["flight"] == "ref-flight" && d.Refs["suite"] == "" }, undoable("suite"), undoable("car")),
		bare("pay").Pivot())
	d.start(data{})
	equal(t, "calls before it comes to it", calls, 0)
	d.want(d.ok("flight"), "do seated/then/suite") // as the reply has made it true
	made := calls
	d.want(d.ok("seated/then/suite"), "do seated/then/car") // although it would not hold any more
	d.want(d.no("seated/then/car"), "undo seated/then/suite")
	equal(t, "calls after it was made", calls, made)
}

// R4: only what was taken is undone, in reverse.
func TestR4OnlyWhatWasTakenIsUndone(t *testing.T) {
	t.Parallel()
	d := drive(t, vip()...)
	d.start(yes("vip"))
	for _, step := range []string{"flight", "vip/then/suite", "vip/then/car"} {
		d.ok(step)
	}
	d.want(d.no("pay"), "undo vip/then/car")
	d.want(d.undone("vip/then/car"), "undo vip/then/suite")
	d.want(d.undone("vip/then/suite"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)

	within := drive(t, vip()...)
	within.start(yes("vip"))
	within.ok("flight")
	within.ok("vip/then/suite")
	within.want(within.no("vip/then/car"), "undo vip/then/suite")
	within.phase("vip", saga.PhaseRefused)

	unknown := drive(t, vip()...)
	unknown.start(data{})
	unknown.ok("flight")
	unknown.want(unknown.act(saga.Cancel, ""), "undo vip/else/room")
	unknown.want(unknown.undone("vip/else/room"), "undo flight")
}

// R6: a condition that panics parks the instance: it can be retried or cancelled, but nobody can say which way a skip would go.
func TestR6PanickingCondition(t *testing.T) {
	t.Parallel()
	for _, action := range []saga.Action{saga.Retry, saga.Cancel} {
		broken := true
		d := drive(t, undoable("flight"), saga.If("vip", func(data) bool {
			if broken {
				panic("no list")
			}
			return true
		}, undoable("suite")), bare("pay").Pivot())
		d.start(data{})
		d.want(d.ok("flight"), "")
		d.is(saga.Parked)
		equal(t, "reason", d.header.Reason, "vip: the condition panicked: no list")
		d.fails(saga.Act{ID: "s", Action: saga.Skip, Node: "vip", By: "ana", Why: "no"}, saga.ErrNotAllowed)
		d.act(saga.Retry, "")
		d.is(saga.Parked)
		broken = false
		if action == saga.Cancel {
			d.want(d.act(saga.Cancel, ""), "undo flight")
			d.is(saga.Compensating)
			d.undone("flight")
			d.is(saga.Compensated)
			continue
		}
		d.want(d.act(saga.Retry, ""), "do vip/then/suite")
		d.is(saga.Running)
	}
}

// R9: an If beside a failure makes no choice, and one that was made begins nothing.
func TestR9IfBesideAFailure(t *testing.T) {
	t.Parallel()
	d := drive(t, saga.Parallel("all", branch("a", undoable("a1"), choice("vip", undoable("suite"))), branch("b", choice("vip", undoable("b1"), undoable("b2"))), undoable("c")))
	d.start(yes("vip"))
	d.no("all/c")
	d.want(d.ok("all/a/a1"), "")
	d.phase("all/a/vip", saga.PhaseIdle)
	d.want(d.ok("all/b/vip/then/b1"), "undo all/b/vip/then/b1, undo all/a/a1")
	equal(t, "taken", d.node("all/a/vip").Taken, 0)
}

// R1, R4, R9: every shape within every other: choices in branches in items in branches, forward and back.
func TestR4EveryShapeWithinEveryOther(t *testing.T) {
	t.Parallel()
	room := items(2, "beds")
	room.Yes = map[string]bool{"view": true}
	root := items(0)
	root.Items["rooms"] = []data{room, {}}
	root.Yes = map[string]bool{"trip": true}
	d := drive(t,
		choice("trip",
			saga.Parallel("all",
				fan("rooms",
					choice("view", undoable("sea"), saga.Parallel("in", fan("beds", wait("nod"), undoable("make")), branch("nap", sleep("short", time.Second), undoable("air")))).
						Else(undoable("yard")),
					undoable("lock")),
				branch("b", sleep("long", time.Minute), undoable("b1")))),
		bare("pay").Pivot())
	rooms := "trip/then/all/rooms"
	sea, yard, air, b1 := rooms+"[0]/view/then/sea", rooms+"[1]/view/else/yard", rooms+"[0]/view/then/in/nap/air", "trip/then/all/b/b1"
	bed := func(i int, node string) string { return at(rooms+"[0]/view/then/in/beds", i, node) }
	d.want(d.start(root), "do "+sea+", do "+yard)
	d.want(d.ok(sea), "")
	d.want(d.pass(time.Second), "do "+air)
	d.want(d.signal(bed(1, "nod")), "do "+bed(1, "make"))
	d.want(d.signal(bed(0, "nod")), "do "+bed(0, "make"))
	d.want(d.ok(yard), "do "+rooms+"[1]/lock")
	d.ok(bed(0, "make"))
	d.ok(air)
	d.want(d.ok(bed(1, "make")), "do "+rooms+"[0]/lock")
	d.ok(rooms + "[1]/lock")
	d.ok(rooms + "[0]/lock")
	d.want(d.pass(time.Minute - time.Second)[:1], "do "+b1)
	d.want(d.ok(b1), "do pay")
	d.want(d.no("pay"), "undo "+b1+", undo "+rooms+"[0]/lock, undo "+rooms+"[1]/lock")
	d.undone(b1)
	d.want(d.undone(rooms+"[1]/lock"), "undo "+yard)
	d.want(d.undone(rooms+"[0]/lock"), "undo "+air+", undo "+bed(0, "make")+", undo "+bed(1, "make"))
	d.undone(bed(1, "make"))
	d.undone(air)
	d.undone(yard)
	d.want(d.undone(bed(0, "make")), "undo "+sea)
	d.want(d.undone(sea), "")
	d.is(saga.Compensated)
}
