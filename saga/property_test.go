package saga_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// TestPropertyRandomSagas proves I1, I3, I10, I11, I13-I16, I18-I21, I23 and I38 on random definitions, faults and schedules.
func TestPropertyRandomSagas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if _, err := run(scenarios().Draw(t, "scenario"), saga.Decide); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPropertyReach shows that the scenarios go where things happen.
func TestPropertyReach(t *testing.T) {
	t.Parallel()
	reached := map[string]int{}
	const runs = 100
	g := scenarios()
	for seed := range runs {
		s, err := run(g.Example(seed), saga.Decide)
		if err != nil {
			t.Fatal(err)
		}
		reached[string(s.header.Status)]++
		for what := range s.seen {
			reached[what]++
		}
		if len(s.records) > 100 {
			reached["paged"]++
		}
	}
	t.Logf("of %d runs: %v", runs, reached)
	for what, least := range map[string]int{
		"completed": 15, "compensated": 35, "parked": 10, "cancelled": 4, "paged": 2, "timed out do": 15,
		"chosen then": 5, "chosen else": 5, "beside a failure": 5, "tolerated": 5, "taken over": 1, "held": 4,
		"signal kept": 5, "signal taken": 4, "signal twice": 5, "timed out signal": 5,
	} {
		if reached[what] < least {
			t.Errorf("only %d runs of %d are %s", reached[what], runs, what)
		}
	}
}

// mutants are versions of Decide with one mistake each, and what is to be found.
func mutants() map[string]decider {
	type transition struct {
		def     saga.Any
		before  saga.State
		in      saga.Input
		now     time.Time
		next    saga.State
		effects []saga.Effect
	}
	mutant := func(mistake func(*transition)) decider {
		return func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
			next, effects, err := saga.Decide(def, s, in, now)
			if err != nil {
				return next, effects, err
			}
			tr := &transition{def, s, in, now, next, effects}
			mistake(tr)
			return tr.next, tr.effects, nil
		}
	}
	resent := func(e saga.Effect, d saga.Direction) (saga.Send, bool) {
		s, ok := e.(saga.Send)
		return s, ok && s.Direction == d && s.Attempt > 1
	}
	return map[string]decider{
		"I20 an undo is dropped and taken for acknowledged": mutant(func(tr *transition) {
			for i, e := range tr.effects {
				s, ok := e.(saga.Send)
				if !ok || s.Direction != saga.UndoDirection {
					continue
				}
				ack := saga.Reply{Node: s.Node, Direction: saga.UndoDirection, Epoch: s.Epoch, Outcome: saga.Nothing}
				next, more, err := saga.Decide(tr.def, tr.next, ack, tr.now)
				if err != nil {
					return
				}
				next.Version = tr.next.Version
				tr.next, tr.effects = next, append(slices.Delete(slices.Clone(tr.effects), i, i+1), more...)
				return
			}
		}),
		"I13 what was refused is undone": mutant(func(tr *transition) {
			if r, ok := tr.in.(saga.Reply); ok && len(tr.effects) > 0 && r.Direction == saga.DoDirection && r.Outcome == saga.Failure && tr.next.Reversing {
				tr.effects = append(tr.effects, saga.Send{
					Node: r.Node, Direction: saga.UndoDirection, Attempt: 1, ID: saga.MessageID("s1", r.Node, saga.UndoDirection, 0), Command: undoIt{},
				})
			}
		}),
		"I11 a resend is another message": mutant(func(tr *transition) {
			for i, e := range tr.effects {
				if s, ok := resent(e, saga.DoDirection); ok {
					s.ID += "x"
					tr.effects[i] = s
				}
			}
		}),
		"I15 forward goes on after the abort": mutant(func(tr *transition) {
			if !tr.next.Reversing || tr.before.Reversing {
				return
			}
			for _, v := range saga.View(tr.def, tr.next) {
				if v.Class != "" && v.State.Phase == saga.PhaseIdle {
					tr.effects = append(tr.effects, saga.Send{
						Node: v.Path, Direction: saga.DoDirection, Attempt: 1, ID: saga.MessageID("s1", v.Path, saga.DoDirection, 0), Command: doIt{},
					})
					return
				}
			}
		}),
		"I14 everything is undone at once": mutant(func(tr *transition) {
			if !tr.next.Reversing || tr.before.Reversing {
				return
			}
			for _, v := range saga.View(tr.def, tr.next) {
				if v.Class == saga.Compensable && v.State.Phase == saga.PhaseDone {
					tr.effects = append(tr.effects, saga.Send{
						Node: v.Path, Direction: saga.UndoDirection, Attempt: 1, ID: saga.MessageID("s1", v.Path, saga.UndoDirection, 0), Command: undoIt{Ref: "r"},
					})
				}
			}
		}),
		"I21 a late reply reopens a terminal instance": mutant(func(tr *transition) {
			if _, ok := tr.in.(saga.Reply); ok && tr.before.Status.Terminal() {
				tr.next.Status = saga.Running
				tr.next.Version++
			}
		}),
		"I1 a record forgets to wake": mutant(func(tr *transition) { tr.next.Root.Wake = time.Time{} }),
		"R6 a stuck node is not counted": mutant(func(tr *transition) {
			if tr.next.Status == saga.Parked {
				tr.next.Stuck, tr.next.Status = 0, saga.Running
			}
		}),
		"I20 the instance is completed with its first success": mutant(func(tr *transition) {
			if r, ok := tr.in.(saga.Reply); ok && r.Outcome == saga.Success && tr.next.Status == saga.Running {
				tr.next.Status = saga.Completed
			}
		}),
		"I23 a transition without a version": mutant(func(tr *transition) { tr.next.Version = max(1, tr.before.Version) }),
		"I38 the clock of the machine decides": mutant(func() func(*transition) {
			calls := int64(0)
			return func(tr *transition) {
				calls++
				tr.next.Root.Wake = tr.next.Root.Wake.Add(time.Duration(calls))
			}
		}()),
		"R9 a branch goes on beside a failure": mutant(func(tr *transition) {
			if tr.next.Reversing {
				return
			}
			failed := ""
			for _, v := range saga.View(tr.def, tr.next) {
				switch {
				case v.Kind == saga.KindParallel && v.State.Phase == saga.PhaseRefused:
					failed = v.Path
				case failed != "" && strings.HasPrefix(v.Path, failed+"/") && v.Class != "" && v.State.Phase == saga.PhaseIdle:
					tr.effects = append(tr.effects, saga.Send{
						Node: v.Path, Direction: saga.DoDirection, Attempt: 1, ID: saga.MessageID("s1", v.Path, saga.DoDirection, 0), Command: doIt{},
					})
					return
				}
			}
		}),
		"R9 the counts of a fan-out are wrong": mutant(func(tr *transition) {
			for _, n := range tr.next.Root.Nodes {
				if n.Fan != nil && n.Fan.Failed > 0 && n.Phase == saga.PhaseDoing {
					n.Fan.Active--
				}
			}
		}),
		"R1 a kept signal is lost": mutant(func(tr *transition) {
			if _, ok := tr.in.(saga.Signal); ok {
				for i := range tr.next.Root.Nodes {
					tr.next.Root.Nodes[i].Signal = nil
				}
			}
		}),
		"R1 a paused definition sends": func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
			if hold, ok := in.(saga.Hold); ok {
				in = hold.Input
			}
			return saga.Decide(def, s, in, now)
		},
		"R5 an undo does not wait for the reply": mutant(func(tr *transition) {
			if !tr.next.Reversing || tr.before.Reversing {
				return
			}
			for _, v := range saga.View(tr.def, tr.next) {
				if v.Class == saga.Compensable && (v.State.Phase == saga.PhaseDoing || v.State.Stuck) {
					tr.effects = append(tr.effects, saga.Send{
						Node: v.Path, Direction: saga.UndoDirection, Attempt: 1, ID: saga.MessageID("s1", v.Path, saga.UndoDirection, 0), Command: undoIt{},
					})
				}
			}
		}),
	}
}

// TestPropertyFindsMutants shows that the properties can fail: every planted mistake is found, by the invariant that it breaks.
func TestPropertyFindsMutants(t *testing.T) {
	t.Parallel()
	for name, mutant := range mutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			invariant, _, _ := strings.Cut(name, " ")
			g := scenarios()
			var found error
			for seed := range 1000 {
				if _, err := run(g.Example(seed), mutant); err != nil {
					found = errors.Join(found, fmt.Errorf("scenario %d: %w", seed, err))
					if strings.Contains(err.Error(), invariant+":") {
						return
					}
				}
			}
			t.Errorf("the mistake was not found by %s: %v", invariant, found)
		})
	}
}
