package saga_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// R1: what comes after a wait is sent once its signal came, and has what the signal brought.
func TestR1WaitForASignal(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), wait("nod"), bare("pay").Pivot())
	d.start(data{})
	equal(t, "log", d.logs(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}), []saga.LogKind{saga.LogSucceeded, saga.LogWaiting})
	d.phase("nod", saga.PhaseWaiting)
	d.is(saga.Running)
	equal(t, "wake of a wait without a deadline", d.records[""].Wake, time.Time{})
	d.want(d.pass(1000*time.Hour), "")
	d.want(d.signal("nod"), "do pay")
	d.phase("nod", saga.PhaseDone)
	if got := string(d.records[""].Data); !strings.Contains(got, `"nod":"ana"`) {
		t.Errorf("the signal is not in the data %s", got)
	}
	d.same(saga.Signal{Node: "nod", Event: nod{By: "bob"}}) // taken once
}

// R1: a signal that comes before its wait is kept, once, and taken when the wait begins.
func TestR1EarlySignalIsKept(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), wait("nod").Deadline(time.Hour), bare("pay").Pivot())
	d.start(data{})
	equal(t, "log", d.logs(saga.Signal{Node: "nod", Event: nod{By: "ana"}}), []saga.LogKind{saga.LogSignalled})
	d.phase("nod", saga.PhaseIdle)
	equal(t, "kept", string(d.node("nod").Signal), `{"By":"ana"}`)
	d.same(saga.Signal{Node: "nod", Event: nod{By: "bob"}})
	d.want(d.ok("flight"), "do pay")
	d.phase("nod", saga.PhaseDone)
	equal(t, "kept after it was taken", d.node("nod").Signal == nil, true)
	if got := string(d.records[""].Data); !strings.Contains(got, `"nod":"ana"`) {
		t.Errorf("the signal is not in the data %s", got)
	}
	d.ok("pay")
	d.is(saga.Completed)
}

// R11: what is no signal of a wait of the instance is refused, and changes nothing.
func TestR11WhatIsNoSignal(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), wait("nod"), sleep("nap", time.Hour), fan("rooms", wait("nod")), bare("pay").Pivot())
	d.fails(saga.Signal{Node: "nod", Event: nod{}}, saga.ErrNotFound) // there is no instance
	d.start(items(2, "rooms"))
	for node, sentinel := range map[string]error{
		"": saga.ErrNotFound, "x": saga.ErrNotFound, "flight": saga.ErrNotFound, "nap": saga.ErrNotFound, "rooms": saga.ErrNotFound, "nod/x": saga.ErrNotFound,
		"pay[0]/nod": saga.ErrNotFound, "rooms[x]/nod": saga.ErrNotFound, "rooms[0]/x": saga.ErrNotFound,
	} {
		d.fails(saga.Signal{Node: node, Event: nod{}}, sentinel)
	}
	for _, event := range []any{nil, done{}, &nod{}, "nod"} {
		d.fails(saga.Signal{Node: "nod", Event: event}, saga.ErrUnexpectedReply)
	}
	d.fails(saga.Reply{Node: "nod", Direction: saga.DoDirection, Event: nod{}}, saga.ErrNotFound)
	d.fails(saga.Reply{Node: "flight", Direction: saga.SignalDirection, Event: done{}}, saga.ErrUnexpectedReply)
	d.ok("flight")
	d.signal("nod")
	d.fails(saga.Signal{Node: "rooms[0]/nod", Event: done{}}, saga.ErrUnexpectedReply)
	d.pass(time.Hour)
	d.fails(saga.Signal{Node: "rooms[2]/nod", Event: nod{}}, saga.ErrNotFound) // there will be none
	d.fails(saga.Signal{Node: "rooms[0]/x", Event: nod{}}, saga.ErrNotFound)
	d.want(d.signal("rooms[0]/nod"), "")
	d.want(d.signal("rooms[1]/nod"), "do pay")
}

// R1: an item that is made but not started keeps its signal; for one that is not made yet its fan-out keeps it.
func TestR1SignalOfAnItemToCome(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", wait("nod"), undoable("book")).AtMost(1))
	d.start(items(150, "rooms"))
	d.want(d.signal("rooms[149]/nod"), "")
	d.same(saga.Signal{Node: "rooms[149]/nod", Event: nod{By: "bob"}}) // the first one counts
	d.want(d.signal("rooms[1]/nod"), "")
	d.want(d.signal("rooms[0]/nod"), "do rooms[0]/book")
	d.want(d.ok("rooms[0]/book"), "do rooms[1]/book") // it need not wait
	d.pass(0)
	equal(t, "kept with the item", d.node("rooms[149]/nod").Signal != nil, true)
	equal(t, "kept with the fan-out", len(d.node("rooms").Kept), 0)
}

// R1: a signal to an item within an item that is still to be made goes from fan-out to fan-out.
func TestR1SignalOfAnItemOfAnItemToCome(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), fan("rooms", saga.Sequence("s", fan("beds", wait("nod")))), bare("pay").Pivot())
	d.start(data{Items: map[string][]data{"rooms": {items(1, "beds"), items(2, "beds")}}})
	d.want(d.signal("rooms[1]/s/beds[1]/nod"), "")
	d.want(d.signal("rooms[1]/s/beds[0]/nod"), "")
	d.want(d.ok("flight"), "")
	equal(t, "kept with the fan-out", len(d.node("rooms").Kept), 0)
	d.want(d.signal("rooms[0]/s/beds[0]/nod"), "do pay")
}

// R1: how many signals a fan-out keeps is bounded; one more is to come again later.
func TestR1SignalsOfManyItemsToCome(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), fan("rooms", wait("nod")), bare("pay").Pivot())
	d.start(items(2000, "rooms"))
	for i := range 1000 {
		d.signal(at("rooms", i, "nod"))
	}
	d.fails(saga.Signal{Node: "rooms[1000]/nod", Event: nod{}}, saga.ErrEarly)
}

// R3, R8: a signal to what is compensated, or at its end, changes nothing, wherever its wait stands.
func TestR8SignalThatComesTooLate(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), saga.Parallel("all", wait("nod"), undoable("hotel")), wait("then"), fan("rooms", wait("nod")))
	d.start(items(1, "rooms"))
	d.ok("flight")
	d.want(d.no("all/hotel"), "undo flight")
	d.phase("all/nod", saga.PhaseUndone)
	late := func() {
		t.Helper()
		for _, node := range []string{"all/nod", "then", "rooms[0]/nod"} {
			d.same(saga.Signal{Node: node, Event: nod{}})
		}
	}
	late()
	d.undone("flight")
	d.is(saga.Compensated)
	late()

	paged := drive(t, fan("rooms", wait("nod"), undoable("book")))
	paged.start(items(150, "rooms"))
	paged.pass(0)
	paged.act(saga.Cancel, "")
	paged.same(saga.Signal{Node: "rooms[120]/nod", Event: nod{}}) // the abort has not reached it yet
	paged.pass(0)
	paged.is(saga.Compensated)
}

// R9: a wait within a tolerated item is over with it.
func TestR9SignalToAToleratedItem(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean"), wait("nod")).Tolerate(1), bare("pay").Pivot())
	d.start(items(2, "rooms"))
	d.ok("rooms[0]/book")
	d.want(d.no("rooms[0]/clean"), "undo rooms[0]/book")
	d.same(saga.Signal{Node: "rooms[0]/nod", Event: nod{}})
	d.undone("rooms[0]/book")
	d.same(saga.Signal{Node: "rooms[0]/nod", Event: nod{}})
}

// R9, R7: a deadline that passes aborts the saga before the pivot, and parks it after.
func TestR7DeadlineBeforeAndAfterThePivot(t *testing.T) {
	t.Parallel()
	before := drive(t, undoable("flight"), wait("nod").Deadline(time.Hour), bare("pay").Pivot())
	before.start(data{})
	before.ok("flight")
	equal(t, "wake", before.records[""].Wake, epoch.Add(time.Hour))
	before.want(before.pass(time.Hour-time.Millisecond), "")
	before.want(before.pass(time.Millisecond), "undo flight")
	before.phase("nod", saga.PhaseRefused)
	before.same(saga.Signal{Node: "nod", Event: nod{}})
	before.undone("flight")
	before.is(saga.Compensated)
	equal(t, "reason", before.header.Reason, "nod: no signal within 1h0m0s")

	after := drive(t, bare("pay").Pivot(), wait("nod").Deadline(time.Hour), bare("mail").Retriable())
	after.start(data{})
	after.ok("pay")
	after.want(after.pass(time.Hour), "")
	after.is(saga.Parked)
	after.phase("nod", saga.PhaseWaiting)
	equal(t, "reason", after.header.Reason, "nod: no signal within 1h0m0s")
	after.want(after.act(saga.Retry, ""), "") // waits as long again
	after.is(saga.Running)
	after.want(after.pass(time.Hour), "")
	after.is(saga.Parked)
	after.want(after.signal("nod"), "do mail") // late, but there is nothing else to do
	after.is(saga.Running)
	after.ok("mail")
	after.is(saga.Completed)
}

// R6: an operator skips a wait or a sleep, stuck or not; to retry one that only waits makes no sense.
func TestR6OperatorOnWaitsAndSleeps(t *testing.T) {
	t.Parallel()
	d := drive(t, wait("nod"), sleep("nap", time.Hour), bare("pay").Pivot(), wait("then").Deadline(time.Hour))
	d.start(data{})
	for _, node := range []string{"nod", "nap", "then"} {
		d.fails(saga.Act{ID: "r", Action: saga.Retry, Node: node, By: "ana", Why: "no"}, saga.ErrNotAllowed)
	}
	d.fails(saga.Act{ID: "s", Action: saga.Skip, Node: "nap", By: "ana", Why: "no"}, saga.ErrNotAllowed) // not begun
	d.want(d.act(saga.Skip, "nod"), "")
	d.phase("nod", saga.PhaseSkipped)
	d.same(saga.Signal{Node: "nod", Event: nod{}})
	d.phase("nap", saga.PhaseWaiting)
	d.want(d.act(saga.Skip, "nap"), "do pay")
	equal(t, "wake", d.records[""].Wake, epoch.Add(30*time.Second)) // the sleep's time is forgotten
	d.ok("pay")
	d.pass(time.Hour)
	d.is(saga.Parked)
	d.act(saga.Skip, "")
	d.is(saga.Completed)
}

// R1: OnDeadline makes the saga go on, before the pivot and after; a signal is too late then.
func TestR1OnDeadlineGoesOn(t *testing.T) {
	t.Parallel()
	for _, pivoted := range []bool{false, true} {
		nodes := []saga.Node[data]{undoable("flight"), wait("nod").Deadline(time.Hour).OnDeadline(func(d *data) { d.note("nod", "nobody") })}
		if pivoted {
			nodes[0] = bare("flight").Pivot()
		}
		d := drive(t, nodes...)
		d.start(data{})
		d.ok("flight")
		d.pass(time.Hour)
		d.is(saga.Completed)
		if got := string(d.records[""].Data); !strings.Contains(got, `"nod":"nobody"`) {
			t.Errorf("OnDeadline is not in the data %s", got)
		}
		d.same(saga.Signal{Node: "nod", Event: nod{}})
	}
}

// R6: an OnDeadline function that panics parks the instance, and a retry calls it again, at once.
func TestR6PanickingOnDeadline(t *testing.T) {
	t.Parallel()
	broken := true
	d := drive(t, wait("nod").Deadline(time.Hour).OnDeadline(func(*data) {
		if broken {
			panic("no time")
		}
	}), undoable("flight"))
	d.start(data{})
	d.pass(time.Hour)
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "nod: the OnDeadline function panicked: no time")
	d.act(saga.Retry, "")
	d.is(saga.Parked) // not mended yet
	broken = false
	d.want(d.act(saga.Retry, ""), "do flight")
	d.is(saga.Running)
	equal(t, "reason", d.header.Reason, "")
}

// R6: a signal whose function panics is kept, and a retry takes it; so is one that came early.
func TestR6PanickingSignal(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		for _, mend := range []saga.Action{saga.Retry, saga.Skip} {
			broken := true
			d := drive(t, undoable("flight"), saga.Wait("nod", func(d *data, s nod) {
				if broken {
					panic("bad signal")
				}
				d.note("nod", s.By)
			}).Deadline(time.Hour), bare("pay").Pivot())
			d.start(data{})
			if early {
				d.signal("nod")
				d.want(d.ok("flight"), "")
			} else {
				d.ok("flight")
				d.want(d.signal("nod"), "")
			}
			d.is(saga.Parked)
			d.same(saga.Signal{Node: "nod", Event: nod{By: "bob"}})
			d.want(d.pass(2*time.Hour), "") // it has come: the deadline is no matter
			d.want(d.act(saga.Retry, "nod"), "")
			d.is(saga.Parked)
			broken = false
			d.want(d.act(mend, ""), "do pay")
			taken := strings.Contains(string(d.records[""].Data), `"nod":"ana"`)
			equal(t, "taken after "+string(mend), taken, mend == saga.Retry)
		}
	}
}

// R1: a sleep lets its time go by, to the millisecond; one of no length does not wait.
func TestR1Sleep(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), sleep("nap", 90*time.Minute), bare("pay").Pivot())
	d.start(data{})
	d.want(d.ok("flight"), "")
	d.phase("nap", saga.PhaseWaiting)
	d.now = d.now.Add(90*time.Minute - time.Millisecond)
	d.same(saga.Tick{})
	d.want(d.pass(time.Millisecond), "do pay")
	d.phase("nap", saga.PhaseDone)
	for _, length := range []time.Duration{0, -time.Hour, time.Millisecond - 1} {
		d := drive(t, sleep("nap", length), bare("pay").Pivot())
		d.want(d.start(data{}), "do pay")
	}
}

// R6: a sleep whose function panics parks the instance; it can be retried, skipped and cancelled.
func TestR6PanickingSleep(t *testing.T) {
	t.Parallel()
	for action, sent := range map[saga.Action]string{saga.Retry: "", saga.Skip: "do pay", saga.Cancel: "undo flight"} {
		broken := true
		d := drive(t, undoable("flight"), saga.Sleep("nap", func(data) time.Duration {
			if broken {
				panic("no time")
			}
			return time.Hour
		}), bare("pay").Pivot())
		d.start(data{})
		d.ok("flight")
		d.is(saga.Parked)
		equal(t, "reason", d.header.Reason, "nap: the Sleep function panicked: no time")
		broken = false
		d.want(d.act(action, ""), sent)
		if action == saga.Retry {
			d.is(saga.Running)
			d.want(d.pass(time.Hour)[:1], "do pay")
		}
	}
}

// R4, R9: waits and sleeps of what is compensated are given up: their times are forgotten.
func TestR4WaitsAreGivenUp(t *testing.T) {
	t.Parallel()
	d := drive(t, saga.Parallel("all", wait("nod").Deadline(time.Minute), sleep("nap", time.Minute), undoable("flight")),
		saga.Sequence("rest", wait("then").Deadline(time.Minute)))
	d.start(data{})
	d.act(saga.Cancel, "")
	for node, phase := range map[string]saga.Phase{"all/nod": saga.PhaseUndone, "all/nap": saga.PhaseUndone, "rest/then": saga.PhaseIdle} {
		d.phase(node, phase)
	}
	equal(t, "wake", d.records[""].Wake, epoch.Add(30*time.Second)) // of the undo only
	d.want(d.pass(time.Minute), "undo all/flight a2, undo all/flight a3")
	d.undone("all/flight")
	d.is(saga.Compensated)
}

// R9: an item that waits does not hold up the failure of another; one that is signalled while it is halted begins nothing.
func TestR9ItemsThatWait(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", wait("nod").Deadline(time.Hour), undoable("book"), sleep("nap", time.Hour), undoable("clean")))
	d.want(d.start(items(4, "rooms")), "")
	for i := range 3 {
		d.signal(at("rooms", i, "nod"))
	}
	d.ok("rooms[0]/book") // 0 sleeps, 1 and 2 are in flight, 3 waits
	d.want(d.no("rooms[1]/book"), "")
	d.want(d.signal("rooms[3]/nod"), "") // halted
	d.phase("rooms[3]/nod", saga.PhaseDone)
	d.is(saga.Running)
	d.want(d.ok("rooms[2]/book"), "undo rooms[0]/book, undo rooms[2]/book")
	d.phase("rooms[0]/nap", saga.PhaseUndone)
	d.undone("rooms[0]/book")
	d.undone("rooms[2]/book")
	d.is(saga.Compensated)

	d = drive(t, fan("rooms", wait("nod").Deadline(time.Hour), undoable("book")))
	d.start(items(3, "rooms"))
	d.signal("rooms[0]/nod")
	d.ok("rooms[0]/book")
	d.want(d.pass(time.Hour)[:1], "undo rooms[0]/book") // the first item whose time passed decides, as nothing is in flight
	equal(t, "reason", d.header.Reason, "rooms[1]/nod: no signal within 1h0m0s")
}

// R11: a signal that does not fit into the data is its sender's fault, kept or taken: the instance goes on waiting.
func TestR11SignalTooLarge(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", undoable("flight"), wait("nod"), bare("pay").Pivot()).WithMaxData(100)
	d := &driver{t, newWorld(def)}
	d.start(data{})
	large := saga.Signal{Node: "nod", Event: nod{By: strings.Repeat("a", 200)}}
	d.fails(large, saga.ErrUnexpectedReply)
	d.ok("flight")
	if err := d.fails(large, saga.ErrUnexpectedReply); errors.Is(err, saga.ErrData) || !strings.Contains(err.Error(), "data too large") {
		t.Errorf("error %v", err)
	}
	d.want(d.signal("nod"), "do pay")
}
