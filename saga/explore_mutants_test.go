package saga_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// decision is what Decide answered, and to what; a mistake changes it.
type decision struct {
	def     saga.Any
	before  saga.State
	in      saga.Input
	now     time.Time
	next    saga.State
	effects []saga.Effect
	err     error
}

// mistaken is Decide with a mistake in its answers.
func mistaken(mistake func(*decision)) decider {
	return func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
		next, effects, err := saga.Decide(def, s, in, now)
		if err != nil {
			return next, effects, err
		}
		a := &decision{def, s, in, now, next, effects, nil}
		mistake(a)
		if a.err != nil {
			return s, nil, a.err
		}
		return a.next, a.effects, nil
	}
}

// misled is Decide that takes some inputs for others.
func misled(mistake func(saga.Any, saga.State, saga.Input) saga.Input) decider {
	return func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
		return saga.Decide(def, s, mistake(def, s, in), now)
	}
}

// further adds what Decide makes of another input to the decision, as part of the same transition.
func (a *decision) further(in saga.Input) {
	next, effects, err := saga.Decide(a.def, a.next, in, a.now)
	if err != nil {
		a.err = err // it may ask for records
		return
	}
	next.Version = a.next.Version
	a.next, a.effects = next, append(a.effects, effects...)
}

// send adds a command to the decision.
func (a *decision) send(node string, d saga.Direction, command any) {
	a.effects = append(a.effects, first(node, d, command))
}

// first is the first sending of a command.
func first(node string, d saga.Direction, command any) saga.Effect {
	return saga.Send{Node: node, Direction: d, Attempt: 1, ID: saga.MessageID("s1", node, d, 0), Command: command}
}

func (a *decision) has(kind saga.LogKind) bool {
	return slices.ContainsFunc(a.effects, func(e saga.Effect) bool { l, ok := e.(saga.Log); return ok && l.Kind == kind })
}

func viewed(def saga.Any, s saga.State, path string) saga.NodeState {
	for _, v := range saga.View(def, s) {
		if v.Path == path {
			return v.State
		}
	}
	return saga.NodeState{}
}

// planted is a mistake, and where and by which rule it is to be found.
type planted struct {
	what    string
	rule    string
	subject string
	decide  decider
}

// forwardMistakes break the rules that going forward and the decision to abort have.
func forwardMistakes() []planted {
	return []planted{
		{"the second step does not wait for the first", "R1", "three steps", mistaken(func(a *decision) {
			if !a.before.Exists() {
				a.send("b", saga.DoDirection, doIt{Step: "b"})
			}
		})},
		{"a resend is another message", "R1", "a step", mistaken(func(a *decision) {
			for i, e := range a.effects {
				if s, ok := e.(saga.Send); ok && s.Attempt > 1 {
					s.ID = strings.ToUpper(s.ID)
					a.effects[i] = s
				}
			}
		})},
		{"what was refused is undone", "R2", "three steps", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && a.has(saga.LogRefused) {
				a.send(r.Node, saga.UndoDirection, undoIt{Step: r.Node})
			}
		})},
		{"a late success lets the saga go on", "R3", "three steps", mistaken(func(a *decision) {
			if a.has(saga.LogLate) && a.in.(saga.Reply).Node == "a" {
				a.send("b", saga.DoDirection, doIt{Step: "b"})
			}
		})},
		{"the decision to abort is taken back", "R3", "a step", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && a.before.Reversing && r.Outcome == saga.Success {
				a.next.Reversing = false
			}
		})},
		{"a fan-out does not wait for its other items", "R9", "a fan-out", mistaken(func(a *decision) {
			if a.has(saga.LogRefused) {
				a.further(saga.Act{ID: "hasty", Action: saga.Cancel, By: "a", Why: "mistake"})
			}
		})},
		{"another item is started after a failure", "R9", "a fan-out, one at a time", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && r.Node == "f[0]/a" && a.has(saga.LogRefused) {
				a.effects = slices.Insert(a.effects, 0, first("f[1]/a", saga.DoDirection, doIt{Step: "a"}))
			}
		})},
		{"the other branch goes on after a failure", "R9", "a parallel of a sequence", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && r.Node == "p/s/a" && a.has(saga.LogSucceeded) {
				if viewed(a.def, a.before, "p/d").Phase == saga.PhaseRefused {
					a.effects = slices.Insert(a.effects, 0, first("p/s/n", saga.DoDirection, doIt{Step: "n"}))
				}
			}
		})},
		{"a start that comes again begins anew", "R10", "a step", misled(func(_ saga.Any, s saga.State, in saga.Input) saga.Input {
			if _, ok := in.(saga.Start); ok && s.Exists() && len(s.Root.Nodes) > 0 && s.Status == saga.Running {
				return saga.Act{ID: "again", Action: saga.Retry, Node: "a", By: "a", Why: "mistake"}
			}
			return in
		})},
		{"the refusal of an older epoch counts", "R11", "a pivot and a retriable step", misled(func(def saga.Any, s saga.State, in saga.Input) saga.Input {
			if r, ok := in.(saga.Reply); ok && r.Node == "mail" {
				r.Epoch = viewed(def, s, "mail").Epoch
				return r
			}
			return in
		})},
		{"a reply of one item is taken for another's", "R11", "a fan-out", misled(func(_ saga.Any, _ saga.State, in saga.Input) saga.Input {
			if r, ok := in.(saga.Reply); ok && r.Node == "f[1]/a" {
				r.Node = "f[0]/a"
				return r
			}
			return in
		})},
		{"the choice of an If is made again", "R1", "an If that holds", mistaken(func(a *decision) {
			for i := range a.next.Root.Nodes {
				if n := &a.next.Root.Nodes[i]; n.Taken == 1 && n.Phase == saga.PhaseDone {
					n.Taken = 2
				}
			}
		})},
	}
}

// backwardMistakes break the rules that compensation, parking and the ends have.
func backwardMistakes() []planted {
	return []planted{
		{"everything is undone at once", "R4", "three steps", mistaken(func(a *decision) {
			if a.has(saga.LogAborted) && viewed(a.def, a.next, "a").Phase == saga.PhaseDone {
				a.send("a", saga.UndoDirection, undoIt{Step: "a", Ref: "ref-a"})
			}
		})},
		{"an undo is dropped and taken for acknowledged", "R4", "three steps", mistaken(func(a *decision) {
			for i, e := range a.effects {
				if s, ok := e.(saga.Send); ok && s.Direction == saga.UndoDirection && s.Node == "a" {
					a.effects = slices.Delete(slices.Clone(a.effects), i, i+1)
					a.further(saga.Reply{Node: s.Node, Direction: saga.UndoDirection, Epoch: s.Epoch, Outcome: saga.Nothing})
					return
				}
			}
		})},
		{"an undo does not wait for the reply that it needs", "R5", "an undo that needs its reply", mistaken(func(a *decision) {
			if a.has(saga.LogAborted) && viewed(a.def, a.next, "b").Stuck {
				a.send("b", saga.UndoDirection, undoIt{Step: "b"})
			}
		})},
		{"a late reply is not recorded", "R5", "three steps", mistaken(func(a *decision) {
			if a.has(saga.LogLate) {
				a.next, a.effects = a.before, nil
			}
		})},
		{"a stuck node is not counted", "R6", "a step", mistaken(func(a *decision) {
			if a.next.Status == saga.Parked {
				a.next.Stuck, a.next.Status = 0, saga.Compensating
			}
		})},
		{"an undo is tried for ever", "R6", "a step", mistaken(func(a *decision) {
			if _, ok := a.in.(saga.Tick); ok && a.has(saga.LogParked) {
				a.further(saga.Act{ID: "self", Action: saga.Retry, By: "a", Why: "mistake"})
				a.next.Actions = a.before.Actions
			}
		})},
		{"a record forgets to wake", "R6", "a step", mistaken(func(a *decision) { a.next.Root.Wake = time.Time{} })},
		{"a pivot that was not answered is taken for refused", "R7", "a pivot and a retriable step", mistaken(func(a *decision) {
			if a.has(saga.LogParked) && viewed(a.def, a.next, "pay").Stuck {
				a.further(refusal("pay", 0))
			}
		})},
		{"a retriable step that was refused is given up", "R7", "a pivot and a retriable step", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && r.Node == "mail" && a.has(saga.LogRefused) {
				a.next.Reversing = true
				a.effects = append(a.effects, saga.Log{Kind: saga.LogAborted})
			}
		})},
		{"a late reply reopens what has ended", "R8", "three steps", mistaken(func(a *decision) {
			if r, ok := a.in.(saga.Reply); ok && a.before.Status == saga.Compensated && r.Direction == saga.DoDirection {
				a.next.Status = saga.Compensating
				a.next.Version++
			}
		})},
		{"a tolerated item is not undone", "R4", "a fan-out that tolerates", mistaken(func(a *decision) {
			for i, e := range a.effects {
				if s, ok := e.(saga.Send); ok && s.Direction == saga.UndoDirection && a.has(saga.LogTolerated) {
					a.effects = slices.Delete(slices.Clone(a.effects), i, i+1)
					a.further(saga.Reply{Node: s.Node, Direction: saga.UndoDirection, Epoch: s.Epoch, Outcome: saga.Nothing})
					return
				}
			}
		})},
		{"a transition has no version", "version", "a step", mistaken(func(a *decision) { a.next.Version = max(1, a.before.Version) })},
		{"what is paused is sent", "hold", "a definition that is paused at times", misled(func(_ saga.Any, _ saga.State, in saga.Input) saga.Input {
			if h, ok := in.(saga.Hold); ok {
				return h.Input
			}
			return in
		})},
		{"the decision depends on what was loaded", "determinism", "a fan-out", mistaken(func(a *decision) {
			if len(a.before.Items) == 1 {
				a.next.Reason = "mistake"
			}
		})},
	}
}

// TestExploreFindsMistakes shows that the explorer can fail: every planted mistake is found, by the rule that it breaks, on a shortest path.
func TestExploreFindsMistakes(t *testing.T) {
	t.Parallel()
	for _, m := range append(forwardMistakes(), backwardMistakes()...) {
		t.Run(m.rule+" "+m.what, func(t *testing.T) {
			t.Parallel()
			all := subjects()
			sub := all[slices.IndexFunc(all, func(s subject) bool { return s.name == m.subject })]
			_, err := explore(sub, m.decide)
			v, ok := errors.AsType[*violation](err)
			if !ok || !strings.HasPrefix(v.Unwrap().Error(), m.rule+":") {
				t.Fatalf("%s: not found by %s, but: %v", sub.name, m.rule, err)
			}
			t.Logf("%s: %v", sub.name, v)
		})
	}
}

// TestExploreFindsMutants shows that the explorer finds what the random runs find.
func TestExploreFindsMutants(t *testing.T) {
	t.Parallel()
	for name, mutant := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, most := range []int{100, 1000, 0} { // most mistakes show early, in one subject or the other
				for _, sub := range subjects() {
					sub.most = most
					_, err := explore(sub, mutant)
					if v, ok := errors.AsType[*violation](err); ok {
						t.Logf("%s, after %d states: %v", sub.name, v.states, v.Unwrap())
						return
					}
				}
			}
			t.Error("no subject shows the mistake")
		})
	}
}
