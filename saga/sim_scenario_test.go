package saga_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// spec describes a node of a random definition.
type spec struct {
	Kind saga.Kind
	Name string
	Kids []spec `json:",omitempty"` // all but those of steps, waits and sleeps; an If's for when it holds
	Else []spec `json:",omitempty"` // an If's others
	// Holds is whether an If's condition holds.
	Holds bool `json:",omitempty"`
	// Items is how many items a fan-out has, AtMost its bound, Tolerate how many may fail.
	Items, AtMost, Tolerate int `json:",omitempty"`
	// Deadline is a wait's; GoesOn says that it goes on when that has passed.
	Deadline time.Duration `json:",omitempty"`
	GoesOn   bool          `json:",omitempty"`
	// Of a step:
	Class      saga.Class `json:",omitempty"`
	Service    string     `json:",omitempty"`
	Ack        ack        `json:",omitempty"`
	NeedsReply bool       `json:",omitempty"`
	Attempts   int        `json:",omitempty"`
}

// taken is what an If does.
func (s spec) taken() (name string, kids []spec) {
	if s.Holds {
		return "then", s.Kids
	}
	return "else", s.Else
}

// ack is how a step's undo is acknowledged.
type ack string

const (
	noUndo    ack = "" // NothingToUndo, or not compensable
	anyReply  ack = "any reply"
	ownEvent  ack = "event"
	byFailure ack = "failure event"
	unacked   ack = "none"
)

// nap is how long every sleep of a random definition takes.
const nap = 15 * time.Second // as long as many a deadline: their times come with one tick

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
		return (&generator{T: t}).scenario(drawBehaviour)
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
	// services are those of a choreography; none where it is orchestrated.
	services []string
}

func (g *generator) scenario(draw func(*rapid.T) behaviour) scenario {
	sc := scenario{Root: g.sequence(saga.Compensable, 3, 0)}
	if rapid.Bool().Draw(g.T, "pivot") {
		sc.Root = append(sc.Root, g.pivot())
		if rapid.Bool().Draw(g.T, "retriable") {
			sc.Root = append(sc.Root, g.sequence(saga.Retriable, 2, 0)...)
		}
	}
	sc.Behaviours = rapid.SliceOfN(rapid.Custom(draw), 4, 9).Draw(g.T, "behaviours")
	sc.Seed = rapid.Uint64().Draw(g.T, "seed")
	sc.Events = 1 << pick(g.T, "events", 9)
	return sc
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
	kind := pick(g.T, "kind", 20)
	s := spec{Name: g.name()}
	switch {
	case depth < 3 && kind >= 19:
		s.Kind, s.Kids = saga.KindSequence, g.sequence(class, 2, depth+1)
	case depth < 3 && kind >= 16:
		s.Kind = saga.KindParallel
		s.Kids = append(g.sequence(class, 2, depth+1), g.branch(class, depth+1))
	case depth < 3 && kind >= 12:
		g.fan(&s, class, depth)
	case depth < 3 && kind >= 10:
		s.Kind, s.Holds = saga.KindIf, rapid.Bool().Draw(g.T, "holds")
		s.Kids = g.sequence(class, 2, depth+1)
		if rapid.Bool().Draw(g.T, "else") {
			s.Else = g.sequence(class, 2, depth+1)
		}
	case kind == 9:
		s.Kind = saga.KindWait
		if g.services == nil {
			s.Deadline = []time.Duration{0, 15 * time.Second, time.Minute}[pick(g.T, "deadline", 3)]
			s.GoesOn = s.Deadline > 0 && rapid.Bool().Draw(g.T, "goes on")
		}
	case kind == 8:
		s.Kind = saga.KindSleep
	default:
		g.step(&s, class)
	}
	return s
}

// branch is a sequence of two, as that of a parallel mostly is.
func (g *generator) branch(class saga.Class, depth int) spec {
	return spec{Kind: saga.KindSequence, Name: g.name(), Kids: []spec{g.node(class, depth), g.node(class, depth)}}
}

func (g *generator) fan(s *spec, class saga.Class, depth int) {
	s.Kind = saga.KindForEach
	s.Items = pick(g.T, "items", 5)
	many := depth == 0 && pick(g.T, "many", 8) == 0
	s.AtMost = []int{0, 0, 1, 2, 40}[pick(g.T, "at most", 5)]
	if class == saga.Compensable {
		s.Tolerate = []int{0, 0, 1, 2}[pick(g.T, "tolerate", 4)]
	}
	s.Kids = g.sequence(class, 2, depth+1)
	if many && (g.services == nil || !nests(s.Kids)) { // each party of a choreography sees it all
		s.Items += 100
	}
}

// nests reports whether there is a fan-out among the nodes or within them.
func nests(specs []spec) bool {
	return slices.ContainsFunc(specs, func(s spec) bool { return s.Kind == saga.KindForEach || nests(s.Kids) || nests(s.Else) })
}

func (g *generator) step(s *spec, class saga.Class) {
	s.Kind, s.Class = saga.KindStep, class
	s.Attempts = 1 + pick(g.T, "attempts", 3)
	if class == saga.Compensable {
		s.Ack = []ack{noUndo, anyReply, anyReply, ownEvent, byFailure, unacked}[pick(g.T, "ack", 6)]
		s.NeedsReply = s.Ack != noUndo && pick(g.T, "needs reply", 4) == 0
	}
	if g.services != nil {
		s.Service = g.services[pick(g.T, "service", len(g.services))]
		if s.Ack == anyReply || s.Ack == unacked {
			s.Ack = ownEvent
		}
	}
}

func (g *generator) pivot() spec {
	s := spec{Name: g.name()}
	g.step(&s, saga.Pivot)
	if rapid.Bool().Draw(g.T, "named") {
		return spec{Kind: saga.KindSequence, Name: g.name(), Kids: []spec{s}}
	}
	return s
}

// nodes builds the definition's nodes.
func nodes(specs []spec) []saga.Node[data] {
	built := make([]saga.Node[data], len(specs))
	for i, s := range specs {
		switch s.Kind {
		case saga.KindForEach:
			built[i] = fan(s.Name, nodes(s.Kids)...).AtMost(s.AtMost).Tolerate(s.Tolerate)
		case saga.KindParallel:
			built[i] = saga.Parallel(s.Name, nodes(s.Kids)...)
		case saga.KindSequence:
			built[i] = saga.Sequence(s.Name, nodes(s.Kids)...)
		case saga.KindIf:
			built[i] = s.choice()
		case saga.KindWait:
			built[i] = s.wait()
		case saga.KindSleep:
			built[i] = sleep(s.Name, nap)
		default:
			built[i] = s.step()
		}
	}
	return built
}

// choice is an If whose condition would be another one once its first step has succeeded.
func (s spec) choice() saga.Node[data] {
	return saga.If(s.Name, func(d data) bool {
		return d.Yes[s.Name] && d.Refs[s.Kids[0].Name] == ""
	}, nodes(s.Kids)...).Else(nodes(s.Else)...)
}

func (s spec) wait() saga.Node[data] {
	w := wait(s.Name).Deadline(s.Deadline)
	if s.GoesOn {
		w.OnDeadline(func(d *data) { d.note(s.Name, "nobody") })
	}
	return w
}

func (s spec) step() *saga.StepNode[data] {
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
	return n.Service(s.Service).Attempts(s.Attempts).Timeout(10*time.Second).Backoff(time.Second, 4*time.Second)
}

// dataOf is the data with the items of the specs' fan-outs and what the conditions look at.
func dataOf(specs []spec) data {
	d := data{Items: map[string][]data{}, Yes: map[string]bool{}}
	for _, s := range specs {
		if s.Kind == saga.KindForEach {
			list := make([]data, s.Items)
			for i := range list {
				list[i] = dataOf(s.Kids)
			}
			d.Items[s.Name] = list
			continue
		}
		if s.Kind == saga.KindIf {
			d.Yes[s.Name] = s.Holds
		}
		for _, kids := range [][]spec{s.Kids, s.Else} {
			within := dataOf(kids)
			maps.Copy(d.Items, within.Items)
			maps.Copy(d.Yes, within.Yes)
		}
	}
	return d
}
