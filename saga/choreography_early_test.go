package saga_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

func undoOf(node string) saga.Reply {
	return saga.Reply{Node: node, Direction: saga.UndoDirection, Outcome: saga.Success, Event: undone{}}
}

// R4: a party that learns of the abort by an undo, while it keeps an event for its turn, awaits the undo of what that event tells of.
func TestR4KeptEventsWhenTheSagaIsAborted(t *testing.T) {
	t.Parallel()
	nodes := []saga.Node[data]{by("air", "a"), by("inn", "b"), by("bank", "c")}
	success := func(node string) saga.Reply {
		return saga.Reply{Node: node, Direction: saga.DoDirection, Event: done{}}
	}
	d := partyOf(t, "", data{}, nodes...)
	d.do(success("b")) // kept
	d.do(undoOf("a"))  // given again out of its order: a is not known to have succeeded
	d.is(saga.Compensating)
	d.phase("b", saga.PhaseUndoing)
	d.same(success("a"))
	d.do(undoOf("b"))
	d.is(saga.Compensated)

	d = partyOf(t, "", data{}, nodes...)
	d.do(refusal("b", 0))
	d.do(undoOf("a"))
	d.is(saga.Compensated) // what was refused has nothing to undo

	d = partyOf(t, "", data{}, nodes...)
	d.do(undoOf("a"))
	d.is(saga.Compensated) // nothing is known of b
	d.same(success("b"))
}

// R6: an event that was kept as its function panicked is taken by a retry even when the saga is aborted meanwhile.
func TestR6PanicOverAnothersAnswerThenAbort(t *testing.T) {
	t.Parallel()
	broken := true
	odd := saga.Step("odd", do, saga.On(func(*data, done) {
		if broken {
			panic("bad reply")
		}
	}), undo, undid).Service("inn")
	d := partyOf(t, "", data{}, by("air", "a"), odd, by("bank", "c"))
	d.ok("a")
	d.ok("odd")
	d.is(saga.Parked)
	d.do(undoOf("a"))
	equal(t, "aborted", d.header.Reversing, true)
	d.is(saga.Parked)
	broken = false
	d.act(saga.Retry, "odd")
	d.is(saga.Compensating)
	d.phase("odd", saga.PhaseUndoing)
	d.do(undoOf("odd"))
	d.is(saga.Compensated)
}

// R6: the watcher's data decides nothing, so that nobody edits it; that of a service can be edited.
func TestR6EditOfAParty(t *testing.T) {
	t.Parallel()
	edit := saga.Act{ID: "e", Action: saga.Edit, Data: `{"Refs":{"a":"edited"}}`, By: "ana", Why: "a wrong number"}
	partyOf(t, "", data{}, by("air", "a")).fails(edit, saga.ErrNotAllowed)
	d := partyOf(t, "air", data{}, by("air", "a"))
	d.do(edit)
	equal(t, "data", string(d.records[""].Data), `{"Refs":{"a":"edited"}}`)
}
