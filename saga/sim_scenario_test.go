package saga_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// spec describes a node of a random definition.
type spec struct {
	Name string
	Kids []spec // of a sequence or a fan-out
	Fan  bool
	// Items is how many items a fan-out has, AtMost its bound.
	Items, AtMost int
	// Of a step:
	Class      saga.Class
	Ack        ack
	NeedsReply bool
	Attempts   int
}

func (s spec) step() bool { return len(s.Kids) == 0 }

// ack is how a step's undo is acknowledged.
type ack string

const (
	noUndo    ack = "" // NothingToUndo, or not compensable
	anyReply  ack = "any reply"
	ownEvent  ack = "event"
	byFailure ack = "failure event"
	unacked   ack = "none"
)

// behaviour is what a participant does wrong.
type behaviour struct {
	Refuses   int  // so many epochs are refused; a step that is not retriable has one only
	Deaf      bool // commands to do are lost, until it is mended
	Silent    bool // does and does not answer, until it is mended
	UndoFails int  // so many undos fail
	UndoDeaf  bool // commands to undo are lost, until it is mended
}

// scenario is a definition, what its participants do wrong, and what happens to the messages.
type scenario struct {
	Root       []spec
	Behaviours []behaviour // the participant at a path has one of them
	Seed       uint64      // of what happens, see [sim.event]
	Events     int         // how much of it
}

// behaviour of the participant at the path is a function of the path, so that items of a fan-out differ.
func (sc scenario) behaviour(path string) behaviour {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path))
	return sc.Behaviours[h.Sum32()%uint32(len(sc.Behaviours))]
}

// scenarios draws scenarios; most participants behave.
func scenarios() *rapid.Generator[scenario] {
	return rapid.Custom(func(t *rapid.T) scenario {
		g := &generator{T: t}
		sc := scenario{Root: g.sequence(saga.Compensable, 3, 0)}
		if rapid.Bool().Draw(t, "pivot") {
			sc.Root = append(sc.Root, g.pivot())
			if rapid.Bool().Draw(t, "retriable") {
				sc.Root = append(sc.Root, g.sequence(saga.Retriable, 2, 0)...)
			}
		}
		sc.Behaviours = rapid.SliceOfN(rapid.Custom(drawBehaviour), 4, 9).Draw(t, "behaviours")
		sc.Seed = rapid.Uint64().Draw(t, "seed")
		sc.Events = 1 << pick(t, "events", 9)
		return sc
	})
}

// pick draws a number below n, evenly; rapid's own ranges prefer small ones.
func pick(t *rapid.T, label string, n int) int {
	x := 0
	for range 8 {
		x <<= 1
		if rapid.Bool().Draw(t, label) {
			x |= 1
		}
	}
	return x % n
}

func drawBehaviour(t *rapid.T) behaviour {
	var b behaviour
	switch pick(t, "behaviour", 14) {
	case 0, 1:
		b.Refuses = 1 + pick(t, "refuses", 5)
	case 2:
		b.Deaf = true
	case 3:
		b.Silent = true
	case 4, 5:
		b.UndoFails = 1 + pick(t, "undo fails", 5)
	case 6:
		b.UndoDeaf = true
	}
	return b
}

type generator struct {
	*rapid.T
	names int
}

func (g *generator) name() string {
	g.names++
	return fmt.Sprintf("n%d", g.names)
}

func (g *generator) sequence(class saga.Class, most, depth int) []spec {
	nodes := make([]spec, 1+pick(g.T, "nodes", most))
	for i := range nodes {
		nodes[i] = g.node(class, depth)
	}
	return nodes
}

func (g *generator) node(class saga.Class, depth int) spec {
	kind := pick(g.T, "kind", 10)
	s := spec{Name: g.name()}
	switch {
	case depth < 2 && kind >= 8:
		s.Kids = g.sequence(class, 2, depth+1)
	case depth < 2 && kind >= 5:
		s.Fan = true
		s.Items = pick(g.T, "items", 5)
		if depth == 0 && pick(g.T, "many", 20) == 0 {
			s.Items += 100
		}
		s.AtMost = []int{0, 0, 1, 2, 40}[pick(g.T, "at most", 5)]
		s.Kids = g.sequence(class, 2, depth+1)
	default:
		s.Class = class
		s.Attempts = 1 + pick(g.T, "attempts", 3)
		if class == saga.Compensable {
			s.Ack = []ack{noUndo, anyReply, anyReply, ownEvent, byFailure, unacked}[pick(g.T, "ack", 6)]
			s.NeedsReply = s.Ack != noUndo && pick(g.T, "needs reply", 4) == 0
		}
	}
	return s
}

func (g *generator) pivot() spec {
	s := spec{Name: g.name(), Class: saga.Pivot, Attempts: 1 + pick(g.T, "attempts", 3)}
	if rapid.Bool().Draw(g.T, "named") {
		return spec{Name: g.name(), Kids: []spec{s}}
	}
	return s
}

// nodes builds the definition's nodes.
func nodes(specs []spec) []saga.Node[data] {
	var built []saga.Node[data]
	for _, s := range specs {
		switch {
		case s.Fan:
			built = append(built, fan(s.Name, nodes(s.Kids)...).AtMost(s.AtMost))
		case !s.step():
			built = append(built, saga.Sequence(s.Name, nodes(s.Kids)...))
		default:
			built = append(built, s.build())
		}
	}
	return built
}

func (s spec) build() *saga.StepNode[data] {
	var n *saga.StepNode[data]
	switch s.Ack {
	case noUndo:
		n = bare(s.Name)
		if s.Class == saga.Compensable {
			n.NothingToUndo()
		}
	case ownEvent:
		n = undoable(s.Name, saga.Undone(func(*data, undone) {}))
	case byFailure:
		n = undoable(s.Name).UndoneByFailure()
	case unacked:
		n = undoable(s.Name).UndoUnacknowledged()
	default:
		n = undoable(s.Name)
	}
	switch s.Class {
	case saga.Pivot:
		n.Pivot()
	case saga.Retriable:
		n.Retriable()
	}
	if s.NeedsReply {
		n.UndoNeedsReply()
	}
	return n.Attempts(s.Attempts).Timeout(10*time.Second).Backoff(time.Second, 4*time.Second)
}

// dataOf is the data with the items of the specs' fan-outs.
func dataOf(specs []spec) data {
	d := data{Items: map[string][]data{}}
	for _, s := range specs {
		switch {
		case s.Fan:
			list := make([]data, s.Items)
			for i := range list {
				list[i] = dataOf(s.Kids)
			}
			d.Items[s.Name] = list
		case !s.step():
			maps.Copy(d.Items, dataOf(s.Kids).Items)
		}
	}
	return d
}

// leaf is a step of an instance, and which steps come before and after it.
type leaf struct {
	spec
	path          string
	before, after []*leaf
}

// leaves lists the instance's steps.
func leaves(prefix string, specs []spec) []*leaf {
	var all []*leaf
	for _, s := range specs {
		path := s.Name
		if prefix != "" {
			path = prefix + "/" + s.Name
		}
		var part []*leaf
		switch {
		case s.Fan:
			for i := range s.Items {
				part = append(part, leaves(fmt.Sprintf("%s[%d]", path, i), s.Kids)...)
			}
		case !s.step():
			part = leaves(path, s.Kids)
		default:
			part = []*leaf{{spec: s, path: path}}
		}
		for _, earlier := range all {
			for _, later := range part {
				earlier.after = append(earlier.after, later)
				later.before = append(later.before, earlier)
			}
		}
		all = append(all, part...)
	}
	return all
}
