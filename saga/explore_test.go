package saga_test

import (
	"flag"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

var deep = flag.Bool("deep", false, "explore definitions that take minutes, too")

// subjects are the definitions that are explored each time: every class of step, every way to acknowledge an undo, and every shape.
func subjects() []subject {
	pivot, mail, post := ofClass("pay", saga.Pivot), ofClass("mail", saga.Retriable), ofClass("post", saga.Retriable)
	a, b, c := stepOf("a", anyReply), stepOf("b", ownEvent), stepOf("c", byFailure)
	d, e, n := stepOf("d", unacked), stepOf("e", unacked), stepOf("n", noUndo)
	return []subject{
		{name: "a step", plans: []plan{a.tries(2)}, refusals: 3, cancels: true, skips: true},
		{name: "three steps", plans: []plan{a, b, c}, refusals: 1},
		{name: "undos that nobody acknowledges", plans: []plan{d, e, a}, refusals: 2},
		{name: "an undo that needs its reply", plans: []plan{a, b.needing(), n}, refusals: 1, cancels: true},
		{name: "an undo that needs its reply, tried twice", plans: []plan{b.needing().tries(2), n}, refusals: 1, cancels: true},
		{name: "a pivot and a retriable step", plans: []plan{a, pivot.tries(2), mail.tries(2)}, refusals: 3, cancels: true, skips: true},
		{name: "a definition that is paused at times", plans: []plan{a, pivot}, refusals: 2, holds: true, cancels: true},
		{name: "a fan-out", plans: []plan{fanOf("f", a), pivot}},
		{name: "a fan-out, one at a time", plans: []plan{fanOf("f", a).most(1), pivot}, cancels: true},
		{name: "a fan-out of two steps", plans: []plan{fanOf("f", d, n)}, cancels: true},
		{name: "a fan-out that tolerates", plans: []plan{fanOf("f", a).tolerates(1), pivot}},
		{name: "a fan-out that tolerates, one at a time", plans: []plan{fanOf("f", a).tolerates(1).most(1), b}, cancels: true},
		{name: "a parallel", plans: []plan{parallelOf("p", a, b), pivot}},
		{name: "a parallel of a sequence", plans: []plan{parallelOf("p", sequenceOf("s", a, n), d.waits(2*time.Second))}},
		{name: "a parallel whose undo needs its reply", plans: []plan{parallelOf("p", a.needing(), d)}, cancels: true},
		{name: "a parallel after the pivot", plans: []plan{pivot, parallelOf("p", mail, post)}, refusals: 1},
		{name: "a wait", plans: []plan{a, waitOf("w"), b}, refusals: 1, cancels: true},
		{name: "a wait that goes on", plans: []plan{a, waitOf("w").elsewise(), b}, refusals: 1},
		{name: "a wait after the pivot", plans: []plan{a, pivot, waitOf("w"), mail}, refusals: 1, skips: true},
		{name: "a wait in a parallel", plans: []plan{parallelOf("p", sequenceOf("s", waitOf("w").waits(2*time.Second), d), b)}},
		{name: "a wait in a parallel after the pivot", plans: []plan{pivot, parallelOf("p", mail, waitOf("w"))}, refusals: 1},
		{name: "a sleep", plans: []plan{a, sleepOf("w"), b}, refusals: 1, cancels: true},
		{name: "a sleep in a parallel", plans: []plan{parallelOf("p", sequenceOf("s", sleepOf("w"), d), b)}},
		{name: "a sleep in a parallel, behind", plans: []plan{parallelOf("p", b, sequenceOf("s", sleepOf("w"), d))}},
		{name: "a wait for ever", plans: []plan{a, waitOf("w").waits(0)}, cancels: true},
		{name: "an If that holds", plans: []plan{a, ifOf("i", false, []plan{b}, []plan{c}), n}, refusals: 1},
		{name: "an If that does not hold", plans: []plan{a, ifOf("i", true, []plan{b}, []plan{c}), n}, refusals: 1},
	}
}

// deeper are the definitions that take minutes.
func deeper() []subject {
	pivot := ofClass("pay", saga.Pivot)
	a, b, c := stepOf("a", anyReply), stepOf("b", ownEvent), stepOf("c", byFailure)
	d, n := stepOf("d", unacked), stepOf("n", noUndo)
	return []subject{
		{name: "three steps, tried twice", plans: []plan{a.tries(2), b.tries(2), c.tries(2)}, refusals: 2},
		{name: "an undo that needs its reply, in between", plans: []plan{a, b.needing().tries(2), n}, refusals: 2, cancels: true},
		{name: "a fan-out, tried twice", plans: []plan{fanOf("f", a.tries(2)), pivot}, refusals: 2},
		{name: "a fan-out of two undone steps", plans: []plan{fanOf("f", a, b)}},
		{name: "a fan-out of two steps that tolerates", plans: []plan{fanOf("f", a, n).tolerates(1), pivot}},
		{name: "a fan-out that waits and tolerates", plans: []plan{fanOf("f", waitOf("w"), a).tolerates(1)}, refusals: 1},
		{name: "a fan-out of parallels that tolerates", plans: []plan{fanOf("f", parallelOf("p", d, waitOf("w"))).tolerates(1), pivot}, cancels: true},
		{name: "a parallel of a sequence, refusing", plans: []plan{parallelOf("p", sequenceOf("s", a, c), b.waits(2*time.Second))}, refusals: 1},
		{name: "a parallel of fan-outs", plans: []plan{parallelOf("p", fanOf("f", d), a)}, cancels: true},
		{name: "a parallel of fan-outs that tolerate", plans: []plan{parallelOf("p", fanOf("f", d).tolerates(1), a), pivot}},
	}
}

// tally adds up what explorations saw.
type tally struct {
	sync.Mutex
	subjects, states, edges, transitions, parked, cut int
	ends                                              map[saga.Status]int
}

func (y *tally) add(g *graph) {
	y.Lock()
	defer y.Unlock()
	y.subjects++
	y.states += len(g.vertices)
	y.edges += len(g.edges)
	y.transitions += g.transitions
	y.parked += g.parked
	if g.cut {
		y.cut++
	}
	if y.ends == nil {
		y.ends = map[saga.Status]int{}
	}
	for status, n := range g.ends {
		y.ends[status] += n
	}
}

// exploreEach explores the subjects side by side and tells what they came to.
func exploreEach(t *testing.T, all []subject) *tally {
	t.Helper()
	total := &tally{}
	t.Run("each", func(t *testing.T) {
		for _, sub := range all {
			t.Run(sub.name, func(t *testing.T) {
				t.Parallel()
				g, err := explore(sub, saga.Decide)
				if err != nil {
					t.Fatalf("%s\n%v", strings.Join(outline(sub.plans), ", "), err)
				}
				t.Log(g)
				total.add(g)
			})
		}
	})
	t.Logf("%d definitions: %d states, %d edges and %d transitions; in %d states parked, in %v at the end; %d not walked to the end",
		total.subjects, total.states, total.edges, total.transitions, total.parked, total.ends, total.cut)
	return total
}

// TestExplore proves R1 to R11 in every state that the subjects can get into: with every order of replies, refusals, late and
// lost and repeated messages, ticks at any time, crashes, and operators.
func TestExplore(t *testing.T) {
	t.Parallel()
	if n, m := reflect.TypeFor[saga.NodeState]().NumField(), reflect.TypeFor[saga.Fan]().NumField(); n != nodeFields || m != fanFields {
		t.Fatalf("NodeState has %d fields, Fan has %d; appendNode knows %d and %d: add the new ones", n, m, nodeFields, fanFields)
	}
	total := exploreEach(t, subjects())
	for _, end := range []saga.Status{saga.Completed, saga.Compensated} {
		if total.ends[end] == 0 {
			t.Errorf("nothing was %s: the explorer does not get anywhere; it saw %v", end, slices.Sorted(maps.Keys(total.ends)))
		}
	}
}

// TestExploreDeeper does the same for definitions with more states; give -deep, and minutes.
func TestExploreDeeper(t *testing.T) {
	t.Parallel()
	if !*deep {
		t.Skip("give -deep to explore deeper")
	}
	exploreEach(t, deeper())
}
