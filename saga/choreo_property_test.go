package saga_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// TestPropertyChoreography proves I1, I10, I13, I14, I20 and R1 of choreographies: whatever the order in which the parties see
// the events, they come to the same end, and to the right one.
func TestPropertyChoreography(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if _, err := dancing(dance().Draw(t, "scenario"), saga.Decide); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPropertyChoreographyReach shows that the scenarios go where things happen.
func TestPropertyChoreographyReach(t *testing.T) {
	t.Parallel()
	reached := map[string]int{}
	const runs = 60
	g := dance()
	for seed := range runs {
		c, err := dancing(g.Example(seed), saga.Decide)
		if err != nil {
			t.Fatalf("scenario %d: %v", seed, err)
		}
		for what := range c.seen {
			reached[what]++
		}
	}
	t.Logf("of %d runs: %v", runs, reached)
	for what, least := range map[string]int{
		"completed": 10, "compensated": 10, "parked": 10, "joined": 10, "early": 5, "kept for its turn": 10, "tolerated": 2,
	} {
		if reached[what] < least {
			t.Errorf("only %d runs of %d are %s", reached[what], runs, what)
		}
	}
}

// danceMutants are versions of Decide with one mistake each that shows in choreographies only.
func danceMutants() map[string]decider {
	return map[string]decider{
		"I1 an event that came early is lost": func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
			next, effects, err := saga.Decide(def, s, in, now)
			for i := range next.Root.Nodes {
				next.Root.Nodes[i].Early = nil
			}
			return next, effects, err
		},
		"R1 a party sends another's commands": func(def saga.Any, s saga.State, in saga.Input, now time.Time) (saga.State, []saga.Effect, error) {
			next, effects, err := saga.Decide(def, s, in, now)
			for _, e := range effects {
				if l, ok := e.(saga.Log); ok && l.Kind == saga.LogAwaited {
					effects = append(effects, saga.Send{
						Node: l.Node, Direction: l.Direction, Attempt: 1, ID: saga.MessageID("s1", l.Node, l.Direction, 0), Command: doIt{},
					})
				}
			}
			return next, effects, err
		},
	}
}

// TestPropertyChoreographyFindsMutants shows that the property can fail.
func TestPropertyChoreographyFindsMutants(t *testing.T) {
	t.Parallel()
	for name, mutant := range danceMutants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			invariant, _, _ := strings.Cut(name, " ")
			g := dance()
			var found error
			for seed := range 300 {
				if _, err := dancing(g.Example(seed), mutant); err != nil {
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
