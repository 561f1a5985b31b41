package saga_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// chain is three steps: flight and hotel with an undo, then the pivot.
func chain() []saga.Node[data] {
	return []saga.Node[data]{undoable("flight").Attempts(2), undoable("hotel").Attempts(2), bare("pay").Attempts(2).Pivot()}
}

// R1: a step's command is sent when its predecessors succeeded, and not before.
func TestR1CommandFollowsItsPredecessors(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), saga.Sequence("stay", undoable("hotel"), undoable("room")), bare("pay").Pivot())
	d.want(d.start(data{}), "do flight")
	d.want(d.ok("flight"), "do stay/hotel")
	d.want(d.ok("stay/hotel"), "do stay/room")
	d.want(d.ok("stay/room"), "do pay")
	d.is(saga.Running)
	d.want(d.ok("pay"), "")
	d.is(saga.Completed)
}

// R1: a resend is the same message, with the next attempt.
func TestR1ResendIsTheSameMessage(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight").Attempts(3).Timeout(10*time.Second))
	first, err := d.apply(saga.Start{ID: "s1", Data: data{}})
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(10 * time.Second)
	second, err := d.apply(saga.Tick{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := sendOf(t, first), sendOf(t, second)
	equal(t, "attempts", []int{a.Attempt, b.Attempt}, []int{1, 2})
	equal(t, "first", []bool{a.First, b.First}, []bool{true, false})
	a.Attempt, a.First = b.Attempt, b.First
	equal(t, "resent message", b, a)
	equal(t, "id", a.ID, saga.MessageID("s1", "flight", saga.DoDirection, 0))
}

func sendOf(t *testing.T, effects []saga.Effect) saga.Send {
	t.Helper()
	for _, e := range effects {
		if s, ok := e.(saga.Send); ok {
			return s
		}
	}
	t.Fatalf("nothing was sent: %v", effects)
	return saga.Send{}
}

// R1: message ids differ by saga, path, direction and epoch, and by nothing else; they are version 5 UUIDs and never change.
func TestR1MessageID(t *testing.T) {
	t.Parallel()
	ids := []string{
		saga.MessageID("s1", "flight", saga.DoDirection, 0),
		saga.MessageID("s2", "flight", saga.DoDirection, 0),
		saga.MessageID("s1", "hotel", saga.DoDirection, 0),
		saga.MessageID("s1", "flight", saga.UndoDirection, 0),
		saga.MessageID("s1", "flight", saga.DoDirection, 1),
	}
	equal(t, "the first id", ids[0], "5afaa2ce-556b-5c10-b5ea-6a2f766bb1d5")
	slices.Sort(ids)
	equal(t, "distinct ids", len(slices.Compact(ids)), 5)
	for _, id := range ids {
		if len(id) != 36 || id[14] != '5' || id[19] < '8' || id[19] > 'b' {
			t.Errorf("%s is no version 5 UUID", id)
		}
	}
}

// R1: a tick that comes early, twice or late after the reply changes nothing.
func TestR1TicksOnlyActWhenDue(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight").Timeout(time.Minute))
	d.start(data{})
	equal(t, "wake", d.records[""].Wake, epoch.Add(time.Minute))
	d.now = d.now.Add(time.Minute - time.Millisecond)
	d.same(saga.Tick{})
	d.want(d.pass(time.Millisecond), "do flight a2")
	d.same(saga.Tick{})
	d.ok("flight")
	equal(t, "wake of a completed instance", d.records[""].Wake, time.Time{})
	d.now = d.now.Add(time.Hour)
	d.same(saga.Tick{})
}

// R1: duplicates and replies to commands that were never sent change nothing.
func TestR1DuplicateRepliesChangeNothing(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	d.same(saga.Reply{Node: "hotel", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
	d.same(saga.Reply{Node: "flight", Direction: saga.UndoDirection, Outcome: saga.Success, Event: undone{}})
	d.ok("flight")
	d.same(saga.Reply{Node: "flight", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "other"}})
	d.same(refusal("flight", 0))
	d.no("hotel")
	d.same(refusal("hotel", 0))
	d.undoFailed("flight")
	d.same(saga.Reply{Node: "flight", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}}) // not late: it was answered
	d.same(saga.Reply{Node: "flight", Direction: saga.UndoDirection, Outcome: saga.Failure, Event: rejected{}})
}

// R2: a failure event means that the step had no effect: it is not compensated.
func TestR2RefusedStepIsNotCompensated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ refuses, undone string }{
		{"flight", ""}, {"hotel", "undo flight"}, {"pay", "undo hotel"},
	} {
		d := drive(t, chain()...)
		d.start(data{})
		for _, step := range []string{"flight", "hotel", "pay"} {
			if step == test.refuses {
				d.want(d.no(step), test.undone)
				break
			}
			d.ok(step)
		}
		d.phase(test.refuses, saga.PhaseRefused)
		equal(t, "reason", d.header.Reason, test.refuses+": full")
	}
}

// R2: a step that timed out is unknown: it may have an effect, so it is compensated.
func TestR2TimedOutStepIsUnknownAndCompensated(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	d.ok("flight")
	d.want(d.pass(time.Minute), "do hotel a2, undo hotel")
	d.is(saga.Compensating)
	d.want(d.undone("hotel"), "undo flight")
	d.undone("flight")
	d.is(saga.Compensated)
	equal(t, "reason", d.header.Reason, "hotel: no reply to 2 sendings")
}

// R2: a step with nothing to undo may stay unknown.
func TestR2UnknownWithNothingToUndo(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("look").NothingToUndo().Attempts(1))
	d.start(data{})
	d.ok("flight")
	d.want(d.pass(time.Minute), "undo flight, undo flight a2")
	d.phase("look", saga.PhaseUnknown)
	d.ok("look") // late: now it is known
	d.phase("look", saga.PhaseDone)
	d.is(saga.Compensating)
	d.undone("flight")
	d.is(saga.Compensated)
}

// R3: the abort decision is persisted, logged once and never taken back; no forward command is first sent after it.
func TestR3NoForwardCommandAfterTheAbort(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	d.ok("flight")
	effects, err := d.apply(refusal("hotel", 0))
	if err != nil {
		t.Fatal(err)
	}
	if !d.header.Reversing || !slices.Contains(effects, saga.Effect(saga.Log{Kind: saga.LogAborted, Detail: "hotel: full"})) {
		t.Fatalf("no abort decision: reversing %t, effects %v", d.header.Reversing, effects)
	}
	d.same(saga.Reply{Node: "hotel", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
	d.undone("flight")
	if !d.header.Reversing {
		t.Error("the abort decision was taken back")
	}
	d.phase("pay", saga.PhaseIdle)
}

// R3: items that an abort has not reached yet, as it goes on in pages, do not move forward either.
func TestR3ItemsBeyondThePageDoNotMoveForward(t *testing.T) {
	t.Parallel()
	d := drive(t, fan("rooms", undoable("book"), undoable("clean")))
	d.start(items(150, "rooms"))
	d.pass(0)
	equal(t, "undos of the first page", len(d.act(saga.Cancel, "")), 100)
	d.want(d.ok("rooms[120]/book"), "") // not "do rooms[120]/clean"
	sent := d.pass(0)
	equal(t, "undos of the second page", len(sent), 50)
	d.phase("rooms[120]/clean", saga.PhaseIdle)
	for i := range 150 {
		d.undone(at("rooms", i, "book"))
	}
	d.is(saga.Compensated)
}

// R3: the same for a fan-out within an item that the abort has not reached.
func TestR3NestedItemsBeyondThePageAreNotStarted(t *testing.T) {
	t.Parallel()
	root := items(150, "rooms")
	root.Items["rooms"][120] = items(250, "beds")
	d := drive(t, fan("rooms", undoable("book"), fan("beds", undoable("make"))))
	d.start(root)
	d.pass(0)
	equal(t, "beds of the first page", len(d.ok("rooms[120]/book")), 100)
	d.act(saga.Cancel, "")
	d.want(d.do(saga.Tick{Record: "rooms[120]"}), "") // not the next page of beds
	for _, sent := range d.pass(0) {
		if sent[:3] == "do " {
			t.Errorf("%s was first sent after the abort", sent)
		}
	}
}

// R7: after the pivot nothing is compensated, and nobody can cancel.
func TestR7NothingIsCompensatedAfterThePivot(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot(), bare("mail").Retriable().Attempts(2).Backoff(time.Second, time.Minute))
	d.start(data{})
	d.ok("flight")
	d.want(d.ok("pay"), "do mail")
	d.want(d.no("mail"), "")
	d.want(d.pass(time.Second), "do mail e1 a2")
	d.no("mail")
	d.is(saga.Parked)
	d.fails(saga.Act{ID: "c", Action: saga.Cancel, By: "ana", Why: "no"}, saga.ErrNotAllowed)
	d.phase("flight", saga.PhaseDone)
	d.want(d.act(saga.Retry, ""), "do mail e2")
	d.ok("mail")
	d.is(saga.Completed)
	equal(t, "reason", d.header.Reason, "")
}

// R7: a retriable step that was refused is issued anew, with a new epoch and growing waits; then it is parked.
func TestR7RetriableRefusedIsIssuedAnew(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("pay").Pivot(), bare("mail").Retriable().Attempts(4).Backoff(2*time.Second, 5*time.Second))
	d.start(data{})
	d.ok("pay")
	for attempt, wait := range []time.Duration{2 * time.Second, 4 * time.Second, 5 * time.Second} {
		d.no("mail")
		d.same(refusal("mail", attempt)) // the refusal of an older epoch
		d.want(d.pass(wait-time.Millisecond), "")
		equal(t, "sent again", len(d.pass(time.Millisecond)), 1)
	}
	d.no("mail")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "mail: full")
	d.ok("mail") // a success of whichever epoch is one
	d.is(saga.Completed)
}

// R7: a retriable step that is not answered is resent as the same message, then parked; a late reply resolves it.
func TestR7RetriableUnansweredParks(t *testing.T) {
	t.Parallel()
	d := drive(t, bare("pay").Pivot(), bare("mail").Retriable().Attempts(2))
	d.start(data{})
	d.ok("pay")
	d.want(d.pass(time.Hour), "do mail a2")
	d.is(saga.Parked)
	d.ok("mail")
	d.is(saga.Completed)
}

// R7, I18: a pivot that is not answered is neither done nor undone: it parks, and a late reply resolves it, either way.
func TestR7UnknownPivotParksAndALateReplyResolvesIt(t *testing.T) {
	t.Parallel()
	park := func() *driver {
		d := drive(t, chain()...)
		d.start(data{})
		d.ok("flight")
		d.ok("hotel")
		d.want(d.pass(time.Hour), "do pay a2")
		d.is(saga.Parked)
		equal(t, "reason", d.header.Reason, "pay: no reply to 2 sendings")
		d.fails(saga.Act{ID: "c", Action: saga.Cancel, By: "ana", Why: "no"}, saga.ErrNotAllowed)
		return d
	}
	yes := park()
	yes.ok("pay")
	yes.is(saga.Completed)
	no := park()
	no.want(no.no("pay"), "undo hotel")
	no.is(saga.Compensating)
	equal(t, "reason", no.header.Reason, "pay: full")
	again := park()
	again.want(again.act(saga.Retry, "pay"), "do pay")
	again.is(saga.Running)
}

// R8: terminal states never change, whatever comes.
func TestR8TerminalNeverChanges(t *testing.T) {
	t.Parallel()
	ends := map[saga.Status]func(d *driver){
		saga.Completed:   func(d *driver) { d.ok("flight"); d.ok("hotel"); d.ok("pay") },
		saga.Compensated: func(d *driver) { d.ok("flight"); d.no("hotel"); d.undone("flight") },
		saga.Forced:      func(d *driver) { d.ok("flight"); d.act(saga.Force, "") },
	}
	for status, end := range ends {
		d := drive(t, chain()...)
		d.start(data{})
		end(d)
		d.is(status)
		equal(t, "wake", d.records[""].Wake, time.Time{})
		d.now = d.now.Add(time.Hour)
		d.same(saga.Start{ID: "s1", Data: data{}})
		d.same(saga.Tick{})
		for _, step := range []string{"flight", "hotel", "pay"} {
			d.same(refusal(step, 0))
			d.same(saga.Reply{Node: step, Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
			d.same(saga.Reply{Node: step, Direction: saga.UndoDirection, Outcome: saga.Success, Event: undone{}})
		}
		for _, action := range []saga.Action{saga.Retry, saga.Skip, saga.Force, saga.Cancel} {
			d.fails(saga.Act{ID: "late", Action: action, By: "ana", Why: "no"}, saga.ErrNotAllowed)
		}
		if next, effects := saga.ParkOrphan(d.header, "lost", d.now); next.Status != status || effects != nil {
			t.Errorf("a %s instance was parked as an orphan", status)
		}
	}
}

// R8: an instance whose definition is unknown is parked, not failed, and goes on with the first input that can be decided.
func TestR8OrphanParksAndResumes(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	right := d.def
	other, err := saga.Define("trip", chain()[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	d.def = other
	d.fails(saga.Tick{}, saga.ErrUnknownDefinition)
	d.same(saga.Start{ID: "s1", Data: data{}}) // R10 holds all the same
	s := d.whole()
	next, effects := saga.ParkOrphan(s, "no such definition", d.now)
	equal(t, "effects", effects, []saga.Effect{saga.Log{Kind: saga.LogParked, Detail: "no such definition"}})
	if _, again := saga.ParkOrphan(next, "no such definition", d.now); again != nil {
		t.Error("an orphan was parked twice")
	}
	if err := d.save(s, next, effects, 0); err != nil {
		t.Fatal(err)
	}
	d.is(saga.Parked)
	d.def = right
	d.want(d.ok("flight"), "do hotel")
	d.is(saga.Running)
	equal(t, "reason", d.header.Reason, "")
}

// R8, R6: an end can be forced although the definition is lost.
func TestR8OrphanCanBeForced(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	other, err := saga.Define("another", chain()...)
	if err != nil {
		t.Fatal(err)
	}
	d.def = other
	d.fails(saga.Act{ID: "r", Action: saga.Retry, Node: "flight", By: "ana", Why: "no"}, saga.ErrUnknownDefinition)
	d.act(saga.Force, "")
	d.is(saga.Forced)
	equal(t, "definition", d.header.Definition, "trip")
}

// R10: a second start changes nothing; a wrong type of data is an error.
func TestR10StartIsIdempotent(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.fails(saga.Start{ID: "s1", Data: 7}, saga.ErrData)
	d.fails(saga.Start{ID: "s1", Data: nil}, saga.ErrData)
	d.fails(saga.Start{ID: "s1", Data: &data{}}, saga.ErrData)
	d.fails(saga.Tick{}, saga.ErrNotFound)
	d.want(d.start(data{}), "do flight")
	d.same(saga.Start{ID: "s1", Key: "k1", Data: data{}})
	d.same(saga.Start{ID: "s1", Key: "k2", Data: items(3, "other")})
	d.ok("flight")
	d.same(saga.Start{ID: "s1", Key: "k1", Data: data{}})
	equal(t, "header", []any{d.header.ID, d.header.Key, d.header.Definition, d.header.Hash, d.header.Started},
		[]any{saga.ID("s1"), "k1", "trip", d.def.Hash(), epoch})
}

// R11: replies are told by the header's node, direction, epoch and outcome, and by their type.
func TestR11WhatAReplyMeans(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight", saga.Undone(func(*data, undone) {})), undoable("hotel").UndoneByFailure(), undoable("car"), bare("pay").Pivot())
	d.start(data{})
	reply := func(node string, dir saga.Direction, outcome saga.Outcome, event any) saga.Reply {
		return saga.Reply{Node: node, Direction: dir, Outcome: outcome, Event: event}
	}
	for _, nobody := range []string{"", "plane", "flight/x", "flight[0]", "flight[0]/x", "hotel[99999999999999999999]", "]", "[", "[]", "[0]", "pay/"} {
		d.fails(reply(nobody, saga.DoDirection, saga.Success, done{}), saga.ErrNotFound)
	}
	for _, odd := range []saga.Reply{
		reply("flight", "sideways", saga.Success, done{}),
		reply("flight", saga.DoDirection, saga.Success, undone{}),
		reply("flight", saga.DoDirection, saga.Success, nil),
		reply("flight", saga.DoDirection, saga.Failure, done{}),
		reply("flight", saga.DoDirection, saga.Success, refused{}),
		reply("flight", saga.DoDirection, saga.Nothing, nil),
		reply("flight", saga.UndoDirection, saga.Success, done{}),
		reply("hotel", saga.UndoDirection, saga.Success, undone{}),
		reply("pay", saga.UndoDirection, saga.Success, undone{}),
	} {
		d.fails(odd, saga.ErrUnexpectedReply)
	}
	d.want(d.do(reply("flight", saga.DoDirection, saga.Unsaid, done{})), "do hotel")
	d.want(d.do(reply("hotel", saga.DoDirection, saga.Unsaid, done{})), "do car")
	d.want(d.do(reply("car", saga.DoDirection, saga.Success, done{})), "do pay")
	d.want(d.do(reply("pay", saga.DoDirection, saga.Failure, nil)), "undo car") // any event will do, or none, if the outcome is said
	d.want(d.do(reply("car", saga.UndoDirection, saga.Success, rejected{})), "undo hotel")
	d.want(d.do(reply("hotel", saga.UndoDirection, saga.Unsaid, refused{})), "undo flight")
	d.want(d.do(reply("flight", saga.UndoDirection, saga.Unsaid, undone{})), "")
	d.is(saga.Compensated)
}

// R11: an undo that found nothing to undo is acknowledged whatever the step declares.
func TestR11NothingAcknowledgesAnyUndo(t *testing.T) {
	t.Parallel()
	for _, step := range []*saga.StepNode[data]{
		undoable("flight"), undoable("flight").UndoneByFailure(), undoable("flight", saga.Undone(func(*data, undone) {})),
	} {
		d := drive(t, step, bare("pay").Pivot())
		d.start(data{})
		d.ok("flight")
		d.want(d.no("pay"), "undo flight")
		d.do(saga.Reply{Node: "flight", Direction: saga.UndoDirection, Outcome: saga.Nothing})
		d.is(saga.Compensated)
	}
}

// A function of the definition that panics parks the instance at its node; once it is mended a retry heals it.
func TestPanicParksAndARetryHeals(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"do", "on", "failure", "undo", "undone", "items"} {
		broken := where
		trip := func(name string) { // the functions call it with their names
			if name == broken {
				panic("no " + name)
			}
		}
		d := drive(t,
			saga.ForEach("rooms", func(d data) []data { trip("items"); return d.Items["rooms"] }, undoable("room")),
			saga.Step("flight",
				saga.Do(func(data) doIt { trip("do"); return doIt{} }),
				saga.On(func(_ *data, _ done) { trip("on") }),
				saga.Undo(func(data) undoIt { trip("undo"); return undoIt{} }),
				saga.Undone(func(*data, undone) { trip("undone") })),
			bare("look").NothingToUndo(),
			saga.Step("pay",
				saga.Do(func(data) doIt { return doIt{} }),
				saga.On(func(*data, done) {}),
				saga.OnFailure(func(*data, refused) { trip("failure") })).Pivot(),
		)
		inputs := []saga.Input{saga.Start{ID: "s1", Data: data{}}}
		for _, step := range []string{"flight", "look"} {
			inputs = append(inputs, saga.Reply{Node: step, Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}})
		}
		inputs = append(inputs, refusal("pay", 0), saga.Reply{Node: "flight", Direction: saga.UndoDirection, Event: undone{}})
		parked := 0
		for _, in := range inputs {
			d.do(in)
			if d.header.Status == saga.Parked {
				parked++
				d.same(in) // a duplicate panics again, or comes too late
				broken = ""
				d.act(saga.Retry, "")
				d.do(in) // a participant gives its stored answer again
			}
		}
		equal(t, where+": parked", parked, 1)
		d.is(saga.Compensated)
		equal(t, where+": reason", d.header.Reason, "pay: full")
	}
}

// Panics in the methods of the user's types do not reach the caller either.
func TestPanicInMethodsOfTheUsersTypes(t *testing.T) {
	t.Parallel()
	if _, err := saga.Define("x", saga.Step("a", saga.Do(func(explosive) doIt { return doIt{} }), saga.On(func(*explosive, done) {})).NothingToUndo()); !errors.Is(err, saga.ErrInvalid) {
		t.Errorf("a type that cannot be marshalled: %v", err)
	}
	d := drive(t, bare("flight").NothingToUndo())
	d.start(data{})
	d.do(saga.Reply{Node: "flight", Direction: saga.DoDirection, Outcome: saga.Failure, Event: speechless{}})
	equal(t, "reason", d.header.Reason, "flight: FailureReason panicked: no words")
}

type explosive struct{}

func (explosive) MarshalJSON() ([]byte, error) { panic("boom") }

type speechless struct{}

func (speechless) FailureReason() string { panic("no words") }
