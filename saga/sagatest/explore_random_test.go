package sagatest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// bag is the data of every scope of a random definition, so that a tree of any shape can be built at run time.
type bag struct {
	Refs  map[string]string // what replies and signals brought, by node
	Yes   map[string]bool   // the conditions
	Items map[string][]bag  // the items of fan-outs
}

// The messages of all its steps.
type (
	doIt   struct{ Step string }
	undoIt struct{ Step, Ref string }
	did    struct{ Ref string }
	wont   struct{ Why string }
	undid  struct{}
)

func note(name string) func(*bag, did) {
	return func(b *bag, e did) {
		if b.Refs == nil {
			b.Refs = map[string]string{}
		}
		b.Refs[name] = e.Ref
	}
}

// grower grows random definitions.
type grower struct {
	*rand.Rand
	names      int
	fans, asks []string // the names of fan-outs and conditions
}

func (g *grower) name() string {
	g.names++
	return fmt.Sprintf("n%d", g.names)
}

func (g *grower) some(class saga.Class, depth int) []saga.Node[bag] {
	nodes := make([]saga.Node[bag], 1+g.IntN(3))
	for i := range nodes {
		nodes[i] = g.node(class, depth)
	}
	return nodes
}

func (g *grower) node(class saga.Class, depth int) saga.Node[bag] {
	name, kind := g.name(), g.IntN(16)
	if depth == 0 {
		kind = g.IntN(9)
	}
	switch kind {
	case 0, 1, 2, 3, 4, 5, 6:
		return g.step(name, class)
	case 7:
		w := saga.Wait(name, note(name))
		if g.IntN(4) > 0 {
			w.Deadline(time.Minute)
			if g.IntN(2) == 0 {
				w.OnDeadline(func(b *bag) { note(name)(b, did{Ref: "too late"}) })
			}
		}
		return w
	case 8:
		return saga.Sleep(name, func(bag) time.Duration { return time.Duration(len(name)-2) * time.Minute })
	case 9:
		return saga.Sequence(name, g.some(class, depth-1)...)
	case 10, 11:
		return saga.Parallel(name, append(g.some(class, depth-1), g.node(class, depth-1))...)
	case 12:
		g.asks = append(g.asks, name)
		n := saga.If(name, func(b bag) bool { return b.Yes[name] }, g.some(class, depth-1)...)
		if g.IntN(2) == 0 {
			n.Else(g.some(class, depth-1)...)
		}
		return n
	default:
		g.fans = append(g.fans, name)
		n := saga.ForEach(name, func(b bag) []bag { return b.Items[name] }, g.some(class, depth-1)...).AtMost(g.IntN(3))
		if class == saga.Compensable {
			n.Tolerate(g.IntN(3))
		}
		return n
	}
}

func (g *grower) step(name string, class saga.Class) *saga.StepNode[bag] {
	parts := []saga.Part[bag]{
		saga.Do(func(bag) doIt { return doIt{Step: name} }),
		saga.On(note(name)),
	}
	refuses := g.IntN(4) > 0
	if refuses {
		parts = append(parts, saga.OnFailure(func(*bag, wont) {}))
	}
	if class != saga.Compensable {
		n := saga.Step(name, parts...).Attempts(1 + g.IntN(3)).Retriable()
		if class == saga.Pivot {
			n.Pivot()
		}
		return n
	}
	how := g.IntN(6)
	if how == 0 {
		return saga.Step(name, parts...).NothingToUndo().Attempts(1 + g.IntN(3))
	}
	needs := g.IntN(3) == 0
	parts = append(parts, saga.Undo(func(b bag) undoIt {
		if needs {
			return undoIt{Step: name, Ref: b.Refs[name]}
		}
		return undoIt{Step: name}
	}))
	if how == 1 {
		parts = append(parts, saga.Undone(func(*bag, undid) {}))
	}
	n := saga.Step(name, parts...).Attempts(1 + g.IntN(3)).Timeout(time.Duration(1+g.IntN(20)) * time.Second)
	switch {
	case how == 2:
		n.UndoUnacknowledged()
	case how == 3 && refuses:
		n.UndoneByFailure()
	}
	if needs {
		n.UndoNeedsReply()
	}
	return n
}

// start makes data with items for all fan-outs, in which there are items again.
func (g *grower) start(r *rand.Rand, depth int) bag {
	b := bag{Yes: map[string]bool{}, Items: map[string][]bag{}}
	for _, name := range g.asks {
		b.Yes[name] = r.IntN(2) == 0
	}
	for _, name := range g.fans {
		for range r.IntN(4) * min(depth, 1) {
			b.Items[name] = append(b.Items[name], g.start(r, depth-1))
		}
	}
	return b
}

const randomDefinitions = 10

// TestExploreRandomDefinitions shows that sound definitions of any shape give no finding.
func TestExploreRandomDefinitions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(randomDefinitions) {
		g := &grower{Rand: rand.New(rand.NewPCG(seed, 1))}
		nodes := g.some(saga.Compensable, 3)
		if g.IntN(2) == 0 {
			nodes = append(nodes, g.step(g.name(), saga.Pivot))
			nodes = append(nodes, g.some(saga.Retriable, 2)...)
		}
		def, err := saga.Define("random", nodes...)
		if err != nil {
			t.Fatal(err)
		}
		start := sagatest.Start(func(r *rand.Rand) bag { return g.start(r, 2) })
		if err := sagatest.Check(def, start, sagatest.Schedules(15)); err != nil {
			t.Errorf("definition %d: %v", seed, err)
		}
	}
}
