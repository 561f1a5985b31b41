package saga_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// parked is an instance whose retriable mail is stuck.
func parked(t *testing.T) *driver {
	t.Helper()
	d := drive(t, bare("pay").Pivot(), bare("mail").Retriable().Attempts(1), bare("bill").Retriable())
	d.start(data{})
	d.ok("pay")
	d.no("mail")
	d.is(saga.Parked)
	return d
}

// R6: an action names who and why, is applied once for each id, and only to the version that the operator saw.
func TestR6ActionsAreAuditedIdempotentAndVersioned(t *testing.T) {
	t.Parallel()
	d := parked(t)
	version := d.header.Version
	act := saga.Act{ID: "a1", Action: saga.Retry, Version: version, By: "ana", Why: "mail is back"}
	for _, field := range []*string{&act.ID, &act.By, &act.Why} {
		kept := *field
		*field = ""
		if err := d.fails(act, saga.ErrNotAllowed); !strings.Contains(err.Error(), "required") {
			t.Errorf("error %q does not say what is required", err)
		}
		*field = kept
	}
	stale := act
	stale.Version--
	d.fails(stale, saga.ErrConflict)
	unknown := act
	unknown.Action = "pray"
	d.fails(unknown, saga.ErrNotAllowed)
	effects, err := d.apply(act)
	if err != nil {
		t.Fatal(err)
	}
	audited := act
	audited.Node = "mail"
	if !slices.Contains(effects, saga.Effect(saga.Audit{Act: audited, Before: "doing (stuck)", After: "doing"})) {
		t.Errorf("no audit in %v", effects)
	}
	if !slices.Contains(effects, saga.Effect(saga.Log{Kind: saga.LogOperator, Node: "mail", Detail: "retry by ana: mail is back"})) {
		t.Errorf("no log in %v", effects)
	}
	d.same(act) // although its version is long past
	equal(t, "actions", d.header.Actions, []string{"a1\x00retry"})
	other := act
	other.Action = saga.Force
	d.fails(other, saga.ErrConflict) // the id was another action's
	d.ok("mail")
	d.ok("bill")
	d.is(saga.Completed)
	d.same(act)
}

// R6: skip declares a stuck step done; the saga goes on.
func TestR6SkipGoingForward(t *testing.T) {
	t.Parallel()
	d := parked(t)
	d.fails(saga.Act{ID: "s", Action: saga.Skip, Node: "bill", By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.want(d.act(saga.Skip, ""), "do bill")
	d.phase("mail", saga.PhaseSkipped)
	d.same(saga.Reply{Node: "mail", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
	d.ok("bill")
	d.is(saga.Completed)
}

// R6, R7: a pivot that an operator skips has been passed.
func TestR6SkippedPivotIsPassed(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot().Attempts(1), bare("mail").Retriable())
	d.start(data{})
	d.ok("flight")
	d.pass(time.Hour)
	d.is(saga.Parked)
	d.want(d.act(saga.Skip, "pay"), "do mail")
	if !d.header.Pivoted {
		t.Error("the pivot was not passed")
	}
	d.fails(saga.Act{ID: "c", Action: saga.Cancel, By: "ana", Why: "no"}, saga.ErrNotAllowed)
}

// R6: a retry of a command that is under way, or waits for its backoff, issues it now.
func TestR6RetryOfWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight").Attempts(2), bare("pay").Pivot(), bare("mail").Retriable().Backoff(time.Hour, time.Hour))
	d.start(data{})
	d.want(d.pass(30*time.Second), "do flight a2")
	d.want(d.act(saga.Retry, "flight"), "do flight") // with fresh attempts
	d.want(d.pass(30*time.Second), "do flight a2")
	d.ok("flight")
	d.fails(saga.Act{ID: "r", Action: saga.Retry, Node: "flight", By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.fails(saga.Act{ID: "r", Action: saga.Retry, Node: "mail", By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.ok("pay")
	d.no("mail")
	d.want(d.act(saga.Retry, "mail"), "do mail e1")
	d.want(d.pass(time.Minute), "do mail e1 a2, do mail e1 a3")
}

// R6: an action on a node that is not there, or on no node when there are several, is refused.
func TestR6ActionNeedsItsNode(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("mails", saga.Sequence("part", undoable("mail"))), bare("pay").Pivot())
	d.start(items(2, "mails"))
	for _, path := range []string{"x", "mails[2]/part/mail", "mails[0]/part", "mails[0]", "mails[00]/part/mail"} {
		d.fails(saga.Act{ID: "r", Action: saga.Retry, Node: path, By: "ana", Why: "no"}, saga.ErrNotFound)
	}
	d.fails(saga.Act{ID: "r", Action: saga.Retry, By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.want(d.act(saga.Retry, "mails[1]/part/mail"), "do mails[1]/part/mail")

	shapes := drive(t, saga.Parallel("all", fan("mails", undoable("mail")), choice("vip", undoable("call"))))
	root := items(1, "mails")
	root.Yes = map[string]bool{"vip": true}
	shapes.start(root)
	for _, path := range []string{"all", "all/mails", "all/vip"} { // they are doing, but send nothing themselves
		shapes.phase(path, saga.PhaseDoing)
		shapes.fails(saga.Act{ID: "r", Action: saga.Retry, Node: path, By: "ana", Why: "no"}, saga.ErrNotAllowed)
		shapes.fails(saga.Act{ID: "s", Action: saga.Skip, Node: path, By: "ana", Why: "no"}, saga.ErrNotAllowed)
	}
}

// R6: force ends an instance wherever it is; nothing of it wakes any more.
func TestR6Force(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot())
	d.start(data{})
	effects, err := d.apply(saga.Act{ID: "f", Action: saga.Force, By: "ana", Why: "a test instance"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "audit", effects[0], saga.Effect(saga.Audit{
		Act: saga.Act{ID: "f", Action: saga.Force, By: "ana", Why: "a test instance"}, Before: "running", After: "forced",
	}))
	d.is(saga.Forced)
	equal(t, "wake", d.records[""].Wake, time.Time{})
	equal(t, "reason", d.header.Reason, "a test instance")
}

// R3, R6, R7: cancel is possible before the pivot, not while it is in flight or after.
func TestR6Cancel(t *testing.T) {
	t.Parallel()
	cancel := saga.Act{ID: "c", Action: saga.Cancel, By: "ana", Why: "customer called"}
	d := drive(t, undoable("flight"), saga.Sequence("end", bare("pay").Pivot(), bare("mail").Retriable()))
	d.start(data{})
	d.want(d.do(cancel), "undo flight") // in flight: it may have an effect
	d.is(saga.Compensating)
	equal(t, "reason", d.header.Reason, "cancelled: customer called")
	d.fails(saga.Act{ID: "c2", Action: saga.Cancel, By: "ana", Why: "again"}, saga.ErrNotAllowed)
	d.undone("flight")
	d.is(saga.Compensated)

	for _, reached := range []int{1, 2} {
		d := drive(t, undoable("flight"), saga.Sequence("end", bare("pay").Pivot(), bare("mail").Retriable()))
		d.start(data{})
		for _, step := range []string{"flight", "end/pay"}[:reached] {
			d.ok(step)
		}
		d.fails(cancel, saga.ErrNotAllowed)
	}

	done := drive(t, undoable("flight"), undoable("hotel"), bare("pay").Pivot())
	done.start(data{})
	done.ok("flight")
	done.ok("hotel")
	done.fails(cancel, saga.ErrNotAllowed)
}

// R3, R6: cancel while steps are stuck, and while pages are under way.
func TestR6CancelOfAParkedInstance(t *testing.T) {
	t.Parallel()
	broken := true
	d := drive(t, undoable("flight"), saga.Step("hotel",
		saga.Do(func(data) doIt {
			if broken {
				panic("no hotel")
			}
			return doIt{}
		}), saga.On(func(*data, done) {}), saga.Undo(func(data) undoIt { return undoIt{} })), bare("pay").Pivot())
	d.start(data{})
	d.ok("flight")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "hotel: the Do function panicked: no hotel")
	d.want(d.act(saga.Cancel, ""), "undo flight") // hotel was never sent
	d.is(saga.Compensating)
	equal(t, "reason", d.header.Reason, "cancelled: customer called")
}

// R6: the reason tells of what still waits, not of what was mended.
func TestR6ReasonWhenSeveralAreStuck(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("pay").Pivot(), fan("mails", bare("mail").Retriable().Attempts(1)))
	d.start(items(2, "mails"))
	d.ok("pay")
	d.no("mails[0]/mail")
	d.no("mails[1]/mail")
	equal(t, "stuck", d.header.Stuck, 2)
	d.ok("mails[1]/mail")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "nodes that wait for an operator: 1")
	d.ok("mails[0]/mail")
	d.is(saga.Completed)
	equal(t, "reason", d.header.Reason, "")
}

// R6: a fan-out's failed item keeps the reason for the abort while another is parked and repaired.
func TestR6AbortReasonOutlivesParking(t *testing.T) {
	t.Parallel()
	broken := true
	d := drive(t, fan("rooms", bare("book", saga.Undo(func(data) undoIt {
		if broken {
			panic("no ref")
		}
		return undoIt{}
	}))), bare("pay").Pivot())
	d.start(items(2, "rooms"))
	d.no("rooms[0]/book")
	d.want(d.ok("rooms[1]/book"), "")
	d.is(saga.Parked)
	equal(t, "reason while parked", d.header.Reason, "rooms[1]/book: the Undo function panicked: no ref")
	broken = false
	d.want(d.act(saga.Retry, "rooms[1]/book"), "undo rooms[1]/book")
	equal(t, "reason", d.header.Reason, "rooms[0]/book: full")
}

// A skipped fan-out is passed going forward, but what its items did is undone going back.
func TestR6SkippedFanOut(t *testing.T) {
	t.Parallel()
	n := 120
	d := drive(t, saga.ForEach("rooms", func(data) []data { return make([]data, n) }, undoable("book")), bare("pay").Pivot())
	d.start(data{})
	n = 1
	d.pass(0)
	d.is(saga.Parked)
	d.fails(saga.Act{ID: "early", Action: saga.Skip, Node: "rooms", By: "ana", Why: "x"}, saga.ErrNotAllowed) // its items are under way
	for i := range 100 {
		d.ok(fmt.Sprintf("rooms[%d]/book", i))
	}
	d.want(d.act(saga.Skip, "rooms"), "do pay")
	sent := d.no("pay")
	equal(t, "undone", len(sent), 100)
	for i := range 100 {
		d.undone(fmt.Sprintf("rooms[%d]/book", i))
	}
	d.is(saga.Compensated)
}
