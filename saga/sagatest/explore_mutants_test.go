package sagatest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// transition is one that a mutant spoils.
type transition struct {
	def     saga.Any
	before  saga.State
	in      saga.Input
	now     time.Time
	next    saga.State
	effects []saga.Effect
	err     error
}

// send adds a command as Decide might have sent it.
func (tr *transition) send(d saga.Direction, path string, command any) {
	tr.effects = append(tr.effects, saga.Send{
		Node: path, Direction: d, Attempt: 1, ID: saga.MessageID(tr.next.ID, path, d, 0), Command: command,
	})
}

// also decides another input on top.
func (tr *transition) also(in saga.Input, now time.Time) bool {
	next, effects, err := saga.Decide(tr.def, tr.next, in, now)
	if err != nil || next.Version == tr.next.Version {
		return false
	}
	next.Version = tr.next.Version
	tr.next, tr.effects = next, append(tr.effects, effects...)
	return true
}

// views are the nodes in the phase.
func (tr *transition) views(phase saga.Phase) []saga.NodeView {
	return slices.DeleteFunc(saga.View(tr.def, tr.next), func(v saga.NodeView) bool { return v.State.Phase != phase || v.Kind != saga.KindStep })
}

func (tr *transition) aborts() bool { return tr.next.Reversing && !tr.before.Reversing }

// logged is the first log line of the kind.
func (tr *transition) logged(kind saga.LogKind) (saga.Log, bool) {
	for _, e := range tr.effects {
		if l, ok := e.(saga.Log); ok && l.Kind == kind {
			return l, true
		}
	}
	return saga.Log{}, false
}

// change changes the commands.
func (tr *transition) change(f func(*saga.Send)) {
	tr.effects = slices.Clone(tr.effects)
	for i, e := range tr.effects {
		if s, ok := e.(saga.Send); ok {
			f(&s)
			tr.effects[i] = s
		}
	}
}

func refusal(in saga.Input) (saga.Reply, bool) {
	r, ok := in.(saga.Reply)
	return r, ok && r.Direction == saga.DoDirection && r.Outcome == saga.Failure
}

// mutants are mistakes in Decide, each with the rule that finds it.
func mutants() map[string]func(*transition) {
	return map[string]func(*transition){
		"R1: the last step is sent with the first": func(tr *transition) {
			if !tr.before.Exists() {
				tr.send(saga.DoDirection, "charge", charge{})
			}
		},
		"R1: a resend is another message": func(tr *transition) {
			tr.change(func(s *saga.Send) {
				if s.Attempt > 1 {
					s.ID += "x"
				}
			})
		},
		"R1: a resend says something else": func(tr *transition) {
			tr.change(func(s *saga.Send) {
				if _, ok := s.Command.(holdMoney); ok && s.Attempt > 1 {
					s.Command = holdMoney{Order: "another"}
				}
			})
		},
		"R1: both sequences of a choice are sent": func(tr *transition) {
			if l, ok := tr.logged(saga.LogChosen); ok && l.Node == "gift" && l.Detail == "else" {
				tr.send(saga.DoDirection, "gift/then/wrap", wrap{})
			}
		},
		"R1: a wait does not wait": func(tr *transition) {
			if l, ok := tr.logged(saga.LogWaiting); ok && l.Node == "approval" {
				tr.also(saga.Signal{Node: l.Node, Event: approval{}}, tr.now)
			}
		},
		"R1: a sleep is over at once": func(tr *transition) {
			if l, ok := tr.logged(saga.LogWaiting); ok && l.Node == "gift/else/cool down" {
				tr.also(saga.Tick{}, tr.now.Add(time.Hour))
			}
		},
		"R1: an instance is completed with its pivot": func(tr *transition) {
			if tr.next.Pivoted && !tr.next.Status.Terminal() {
				tr.next.Status, tr.next.Stuck = saga.Completed, 0
			}
		},
		"R3: forward goes on after the abort": func(tr *transition) {
			if tr.aborts() {
				for _, v := range tr.views(saga.PhaseIdle) {
					tr.send(saga.DoDirection, v.Path, charge{})
				}
			}
		},
		"R3: the abort decision is not kept": func(tr *transition) {
			if tr.aborts() {
				tr.next.Reversing = false
			}
		},
		"R3: the decision to abort is made again": func(tr *transition) {
			if _, ok := tr.logged(saga.LogUndone); ok && tr.before.Reversing {
				tr.effects = append(tr.effects, saga.Log{Kind: saga.LogAborted})
			}
		},
		"R1: a choice is made again": func(tr *transition) {
			if r, ok := tr.in.(saga.Reply); ok && r.Node == "gift/then/wrap" && tr.next.Version > tr.before.Version {
				tr.effects = append(tr.effects, saga.Log{Kind: saga.LogChosen, Node: "gift", Detail: "else"})
			}
		},
		"R7: the pivot is forgotten": func(tr *transition) {
			if tr.before.Pivoted {
				tr.next.Pivoted = false
			}
		},
		"R9: an item is given up that has not failed": func(tr *transition) {
			if r, ok := tr.in.(saga.Reply); ok && strings.HasSuffix(r.Node, "lines[0]/reserve") && r.Outcome == saga.Success {
				if _, done := tr.logged(saga.LogSucceeded); done {
					tr.effects = append(tr.effects, saga.Log{Kind: saga.LogTolerated, Node: "prepare/stock/lines[0]"})
				}
			}
		},
		"R4: what was refused is undone": func(tr *transition) {
			if r, ok := refusal(tr.in); ok && tr.aborts() && r.Node == "prepare/money" {
				tr.send(saga.UndoDirection, r.Node, releaseMoney{})
			}
		},
		"R4: all is undone at once": func(tr *transition) {
			if tr.aborts() {
				for _, v := range tr.views(saga.PhaseDone) {
					if strings.HasSuffix(v.Path, "/reserve") {
						tr.send(saga.UndoDirection, v.Path, unreserve{})
					}
				}
			}
		},
		"R4: the first acknowledgement ends the compensation": func(tr *transition) {
			if _, ok := tr.logged(saga.LogUndone); ok && tr.next.Reversing {
				tr.next.Status, tr.next.Stuck = saga.Compensated, 0
			}
		},
		"R4: what was never sent is undone": func(tr *transition) {
			if l, ok := tr.logged(saga.LogAborted); ok && l.Node == "" {
				for _, v := range tr.views(saga.PhaseIdle) {
					if v.Path == "gift/then/wrap" {
						tr.send(saga.UndoDirection, v.Path, unwrap{})
					}
				}
			}
		},
		"R4: what has no undo is undone": func(tr *transition) {
			if tr.aborts() {
				tr.send(saga.UndoDirection, "prepare/credit", unwrap{})
			}
		},
		"R3: something is undone without a decision": func(tr *transition) {
			for _, v := range tr.views(saga.PhaseDone) {
				if v.Path == "prepare/money" && !tr.next.Reversing {
					tr.send(saga.UndoDirection, v.Path, releaseMoney{})
				}
			}
		},
		"R3: an abort without a cause": func(tr *transition) {
			if l, ok := tr.logged(saga.LogChosen); ok && l.Node == "gift" {
				tr.also(saga.Act{ID: "x", Action: saga.Cancel, By: "x", Why: "x"}, tr.now)
			}
		},
		"R1: a command for nobody": func(tr *transition) { tr.send(saga.DoDirection, "prepare/nothing", charge{}) },
		"R5: an undo does not wait for the reply": func(tr *transition) {
			if tr.next.Reversing {
				for _, v := range tr.views(saga.PhaseDoing) {
					tr.send(saga.UndoDirection, v.Path, releaseMoney{})
				}
			}
		},
		"R6: what is stuck is not counted": func(tr *transition) {
			if tr.next.Status == saga.Parked {
				tr.next.Stuck, tr.next.Status = 0, saga.Running
			}
		},
		"R6: parked without a reason": func(tr *transition) {
			if tr.next.Status == saga.Parked {
				tr.next.Reason = ""
			}
		},
		"R6: an attempt is made twice": func(tr *transition) {
			for _, e := range slices.Clone(tr.effects) {
				if s, ok := e.(saga.Send); ok && s.Attempt == 2 && s.Node == "prepare/credit" {
					tr.effects = append(tr.effects, s)
				}
			}
		},
		"R7: after the pivot all is undone": func(tr *transition) {
			if tr.next.Pivoted && !tr.before.Pivoted {
				tr.also(saga.Act{ID: "x", Action: saga.Cancel, By: "x", Why: "x"}, tr.now)
				tr.next.Reversing = true
				tr.effects = append(tr.effects, saga.Log{Kind: saga.LogAborted})
				tr.send(saga.UndoDirection, "prepare/money", releaseMoney{})
			}
		},
		"R8: a late reply reopens the instance": func(tr *transition) {
			if _, ok := tr.in.(saga.Reply); ok && tr.before.Status.Terminal() {
				tr.next.Status = saga.Running
				tr.next.Version++
			}
		},
		"R9: a refusal aborts at once": func(tr *transition) {
			if r, ok := refusal(tr.in); ok && r.Node == "prepare/credit" && !tr.next.Reversing && tr.next.Version > tr.before.Version {
				tr.also(saga.Act{ID: "x", Action: saga.Cancel, By: "x", Why: "x"}, tr.now)
			}
		},
		"R9: after a refusal the other branches go on": func(tr *transition) {
			if r, ok := refusal(tr.in); ok && r.Node == "prepare/money" && !tr.next.Reversing && tr.next.Version > tr.before.Version {
				for _, v := range tr.views(saga.PhaseIdle) {
					if strings.HasPrefix(v.Path, "prepare/stock/lines[") {
						tr.send(saga.DoDirection, v.Path, reserve{})
					}
				}
				tr.send(saga.DoDirection, "prepare/stock/lines[1]/reserve", reserve{})
			}
		},
		"R4: an undo that nobody acknowledges is dropped": func(tr *transition) {
			tr.effects = slices.DeleteFunc(slices.Clone(tr.effects), func(e saga.Effect) bool {
				s, ok := e.(saga.Send)
				return ok && s.Direction == saga.UndoDirection && s.Node == "gift/then/wrap"
			})
		},
		"R4: an undo is dropped and taken for acknowledged": func(tr *transition) {
			for i, e := range tr.effects {
				if s, ok := e.(saga.Send); ok && s.Direction == saga.UndoDirection {
					tr.effects = slices.Delete(slices.Clone(tr.effects), i, i+1)
					tr.also(saga.Reply{Node: s.Node, Direction: saga.UndoDirection, Epoch: s.Epoch, Outcome: saga.Nothing}, tr.now)
					return
				}
			}
		},
		"end: the instance wants to wake at its end": func(tr *transition) {
			if tr.next.Status.Terminal() && tr.next.Version > tr.before.Version {
				tr.next.Root.Wake = tr.now.Add(time.Hour)
			}
		},
		"end: the timer never rests": func(tr *transition) {
			if _, ok := tr.in.(saga.Tick); ok && tr.next.Version == tr.before.Version {
				tr.next.Version++
			}
			if tr.next.Version > tr.before.Version && !tr.next.Status.Terminal() {
				tr.next.Root.Wake = tr.now
			}
		},
		"reply: a reply is turned away": func(tr *transition) {
			if _, ok := tr.in.(saga.Reply); ok {
				tr.err = saga.ErrUnexpectedReply
			}
		},
		"transition: a record is asked for that there is not": func(tr *transition) {
			if _, ok := tr.in.(saga.Reply); ok {
				tr.err = &saga.NeedError{Keys: []string{"prepare/stock/lines[7]"}}
			}
		},
		"transition: records are asked for and none is named": func(tr *transition) {
			if _, ok := tr.in.(saga.Reply); ok {
				tr.err = &saga.NeedError{}
			}
		},
		"definition: something is parked for nothing": func(tr *transition) {
			if l, ok := tr.logged(saga.LogSent); ok && l.Node == "prepare/credit" {
				tr.effects = append(tr.effects, saga.Log{Kind: saga.LogParked, Node: l.Node, Direction: saga.DoDirection})
			}
		},
		"end: the root forgets to wake":      func(tr *transition) { tr.next.Root.Wake = time.Time{} },
		"transition: a version stands still": func(tr *transition) { tr.next.Version = max(1, tr.before.Version) },
		"transition: an effect without a version": func(tr *transition) {
			if tr.next.Version == tr.before.Version {
				tr.effects = []saga.Effect{saga.Log{Kind: saga.LogLate}}
			}
		},
		"purity: the argument is modified": func(tr *transition) {
			if len(tr.before.Root.Nodes) > 0 {
				tr.before.Root.Nodes[0].Attempt++
			}
		},
		"purity: a counter decides": func() func(*transition) {
			calls := 0
			return func(tr *transition) {
				calls++
				tr.next.Root.Wake = tr.next.Root.Wake.Add(time.Duration(calls))
			}
		}(),
	}
}

// TestExploreFindsMistakesInDecide shows that the simulator can fail: every mistake is found, by the rule that it breaks.
func TestExploreFindsMistakesInDecide(t *testing.T) {
	t.Parallel()
	for name, spoil := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := sagatest.Check(everyShape(), sagatest.Schedules(500), sagatest.DecideWith(
				func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
					next, effects, err := saga.Decide(def, s, in, now)
					if err != nil {
						return next, effects, err
					}
					tr := &transition{def: def, before: s, in: in, now: now, next: next, effects: effects}
					spoil(tr)
					if tr.err != nil {
						return s, nil, tr.err
					}
					return tr.next, tr.effects, nil
				}))
			rule, _, _ := strings.Cut(name, ":")
			finding, ok := errors.AsType[*sagatest.Finding](err)
			if !ok || string(finding.Rule) != rule {
				t.Fatalf("want a finding by the rule %s, got: %v", rule, err)
			}
			t.Log(err)
		})
	}
}
