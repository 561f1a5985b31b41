package saga_test

import (
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// R4: compensation covers exactly the steps that succeeded or are unknown and have an undo, in reverse order, each
// after the acknowledgement of the one before.
func TestR4CompensationRunsInReverse(t *testing.T) {
	t.Parallel()
	d := drive(t,
		undoable("a"), bare("look").NothingToUndo(), saga.Sequence("inner", undoable("b"), undoable("c")), undoable("d"), undoable("e"), bare("pay").Pivot())
	d.start(data{})
	for _, step := range []string{"a", "look", "inner/b", "inner/c", "d"} {
		d.ok(step)
	}
	d.want(d.no("e"), "undo d")
	d.want(d.undone("d"), "undo inner/c")
	d.want(d.undone("inner/c"), "undo inner/b")
	d.want(d.undone("inner/b"), "undo a")
	d.is(saga.Compensating)
	d.want(d.undone("a"), "")
	d.is(saga.Compensated)
	d.phase("look", saga.PhaseDone)
}

// R4: an undo gets the data that the step's reply brought.
func TestR4UndoHasTheReplysData(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot())
	d.start(data{})
	d.ok("flight")
	effects, err := d.apply(refusal("pay", 0))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "command", sendOf(t, effects).Command, any(undoIt{Step: "flight", Ref: "ref-flight"}))
}

// R4: the first refusal leaves nothing to undo.
func TestR4FirstStepRefused(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	d.want(d.no("flight"), "")
	d.is(saga.Compensated)
}

// R4: an undo that nobody acknowledges counts as done once it is sent.
func TestR4UnacknowledgedUndo(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("a"), undoable("b").UndoUnacknowledged(), bare("pay").Pivot())
	d.start(data{})
	d.ok("a")
	d.ok("b")
	d.want(d.no("pay"), "undo b, undo a")
	d.same(saga.Reply{Node: "b", Direction: saga.UndoDirection, Outcome: saga.Success, Event: undone{}})
	d.want(d.pass(30*time.Second), "undo a a2")
	d.undone("a")
	d.is(saga.Compensated)
}

// R5: an undo that needs no data of the reply is sent at once, and a late reply is logged once and moves nothing.
func TestR5UndoIsSentAtOnceAndALateReplyIsOnlyLogged(t *testing.T) {
	t.Parallel()
	for name, abort := range map[string]func(*driver) []string{
		"timed out": func(d *driver) []string { return d.pass(time.Minute)[1:] },
		"cancelled": func(d *driver) []string { return d.act(saga.Cancel, "") },
	} {
		d := drive(t, undoable("flight").Attempts(2), bare("pay").Pivot())
		d.start(data{})
		d.want(abort(d), "undo flight")
		late := saga.Reply{Node: "flight", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}}
		effects, err := d.apply(late)
		if err != nil || !slices.Equal(effects, []saga.Effect{saga.Log{Kind: saga.LogLate, Node: "flight", Direction: saga.DoDirection, Detail: "success"}}) {
			t.Fatalf("%s: late reply: %v, %v", name, effects, err)
		}
		d.same(late)
		d.is(saga.Compensating)
		d.undone("flight")
		d.is(saga.Compensated)
	}
}

// slow is a step whose undo needs the reply, between two others.
func slow() []saga.Node[data] {
	return []saga.Node[data]{undoable("flight"), undoable("hotel").UndoNeedsReply().Attempts(2).Timeout(time.Minute), bare("pay").Pivot()}
}

// R5: an undo that needs the reply waits for it until the step's deadline; it is undone with its data.
func TestR5UndoThatNeedsTheReplyWaitsForIt(t *testing.T) {
	t.Parallel()
	d := drive(t, slow()...)
	d.start(data{})
	d.ok("flight")
	d.want(d.act(saga.Cancel, ""), "")
	d.is(saga.Compensating)
	effects, err := d.apply(saga.Reply{Node: "hotel", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "room 7"}})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "undo", sendOf(t, effects).Command, any(undoIt{Step: "hotel", Ref: "room 7"}))
	d.want(d.undone("hotel"), "undo flight")
}

// R5: a refusal that is waited for means that there is nothing to undo.
func TestR5RefusalWhileTheUndoWaits(t *testing.T) {
	t.Parallel()
	d := drive(t, slow()...)
	d.start(data{})
	d.ok("flight")
	d.act(saga.Cancel, "")
	d.want(d.no("hotel"), "undo flight")
	equal(t, "reason", d.header.Reason, "cancelled: customer called")
}

// R5: without the reply the step is parked at its deadline; the late reply unsticks it.
func TestR5DeadlineParksAndTheLateReplyUnsticks(t *testing.T) {
	t.Parallel()
	for name, abort := range map[string]func(*driver){
		"timed out": func(d *driver) { d.want(d.pass(2*time.Minute), "do hotel a2") },
		"cancelled": func(d *driver) { d.act(saga.Cancel, ""); d.want(d.pass(time.Minute), "") },
	} {
		for _, refused := range []bool{false, true} {
			d := drive(t, slow()...)
			d.start(data{})
			d.ok("flight")
			abort(d)
			d.is(saga.Parked)
			d.phase("hotel", saga.PhaseUnknown)
			equal(t, name+": reason", d.header.Reason, "hotel: its undo needs the reply that never came")
			if refused {
				d.want(d.no("hotel"), "undo flight")
			} else {
				d.want(d.ok("hotel"), "undo hotel")
				d.want(d.undone("hotel"), "undo flight")
			}
			d.undone("flight")
			d.is(saga.Compensated)
			if d.header.Reason == "hotel: its undo needs the reply that never came" {
				t.Errorf("%s: the reason for parking outlived it", name)
			}
		}
	}
}

// R5, R3: an operator's retry asks for the reply again, with the same message.
func TestR5OperatorRetryAsksAgain(t *testing.T) {
	t.Parallel()
	d := drive(t, slow()...)
	d.start(data{})
	d.ok("flight")
	d.pass(time.Hour)
	d.is(saga.Parked)
	d.want(d.act(saga.Retry, ""), "do hotel")
	d.is(saga.Compensating)
	d.want(d.pass(time.Minute), "")
	d.is(saga.Parked)
	d.act(saga.Retry, "hotel")
	d.want(d.ok("hotel"), "undo hotel")
	d.same(saga.Reply{Node: "hotel", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
}

// R5, R6: an operator who knows can skip the undo instead.
func TestR5SkipGivesUpTheUndo(t *testing.T) {
	t.Parallel()
	d := drive(t, slow()...)
	d.start(data{})
	d.ok("flight")
	d.pass(time.Hour)
	d.want(d.act(saga.Skip, ""), "undo flight")
	d.phase("hotel", saga.PhaseLeft)
	d.undone("flight")
	d.is(saga.Compensated)
}

// failing is one step whose undo is tried twice.
func failing(t *testing.T) *driver {
	t.Helper()
	d := drive(t, undoable("flight"), undoable("hotel").Attempts(2).Backoff(10*time.Second, time.Minute), bare("pay").Pivot())
	d.start(data{})
	d.ok("flight")
	d.ok("hotel")
	d.want(d.no("pay"), "undo hotel")
	return d
}

// R6: a compensation that fails is issued anew, with a new epoch and backoff, then parked with its reason.
func TestR6FailedCompensationIsRetriedThenParked(t *testing.T) {
	t.Parallel()
	d := failing(t)
	d.want(d.undoFailed("hotel"), "")
	d.is(saga.Compensating)
	d.want(d.pass(10*time.Second-time.Millisecond), "")
	d.want(d.pass(time.Millisecond), "undo hotel e1 a2")
	d.same(saga.Reply{Node: "hotel", Direction: saga.UndoDirection, Epoch: 0, Outcome: saga.Failure, Event: rejected{}})
	d.undoFailed("hotel")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "hotel: closed")
	d.want(d.pass(time.Hour), "")
}

// R6: a compensation that is not answered is resent as the same message, then parked; a late acknowledgement resolves it.
func TestR6UnansweredCompensationParks(t *testing.T) {
	t.Parallel()
	d := failing(t)
	d.want(d.pass(time.Hour), "undo hotel a2")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "hotel: no reply to 2 sendings: without Undone it is only seen on a topic of a declared event")
	d.want(d.undone("hotel"), "undo flight")
	d.is(saga.Compensating)
	equal(t, "reason", d.header.Reason, "pay: full")
}

// R6: what an operator can do about a parked compensation.
func TestR6OperatorOnAParkedCompensation(t *testing.T) {
	t.Parallel()
	park := func() *driver {
		d := failing(t)
		d.undoFailed("hotel")
		d.pass(10 * time.Second)
		d.undoFailed("hotel")
		d.is(saga.Parked)
		return d
	}
	retried := park()
	retried.want(retried.act(saga.Retry, ""), "undo hotel e2") // another message: the last was answered for good
	retried.is(saga.Compensating)
	retried.want(retried.undone("hotel"), "undo flight")
	skipped := park()
	skipped.want(skipped.act(saga.Skip, ""), "undo flight")
	skipped.phase("hotel", saga.PhaseLeft)
	skipped.undone("flight")
	skipped.is(saga.Compensated)
	equal(t, "reason", skipped.header.Reason, "pay: full")
	forced := park()
	forced.want(forced.act(saga.Force, ""), "")
	forced.is(saga.Forced)
	equal(t, "reason", forced.header.Reason, "given up")
	equal(t, "stuck", forced.header.Stuck, 0)
}

// R6: attempts of the command do not count for its compensation.
func TestR6CompensationHasAttemptsOfItsOwn(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight").Attempts(3), bare("pay").Pivot())
	d.start(data{})
	d.want(d.pass(time.Minute), "do flight a2, do flight a3")
	d.ok("flight")
	d.want(d.no("pay"), "undo flight")
	d.want(d.pass(time.Minute), "undo flight a2, undo flight a3")
}

// R6: an undo whose function panicked is not mistaken for a step whose reply is missing.
func TestR6PanickingUndoOfAnUnknownStep(t *testing.T) {
	t.Parallel()
	broken := true
	d := drive(t, bare("flight", saga.Undo(func(data) undoIt {
		if broken {
			panic("no ref")
		}
		return undoIt{}
	})).Attempts(1))
	d.start(data{})
	d.want(d.pass(time.Minute), "")
	d.is(saga.Parked)
	broken = false
	d.want(d.act(saga.Retry, ""), "undo flight") // and not the command again
	d.undone("flight")
	d.is(saga.Compensated)
}
