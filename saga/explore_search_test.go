package saga_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// vertex is a product that was seen: how it was reached first, which is a shortest way.
type vertex struct {
	from int32
	by   move
}

// edge leads from a product to another one.
type edge struct {
	from, to int32
	operator bool
}

// graph is what an exploration saw.
type graph struct {
	vertices    []vertex
	edges       []edge
	terminal    []int32 // vertices
	transitions int     // moves that were made and judged, those that led nowhere included
	ends        map[saga.Status]int
	parked      int
	cut         bool // it has more states than the subject allowed
}

// String tells what was seen.
func (g *graph) String() string {
	return fmt.Sprintf("%d states, %d edges, %d transitions; in %d states parked, in %v at the end",
		len(g.vertices), len(g.edges), g.transitions, g.parked, g.ends)
}

// violation is a broken rule, with the shortest way to it.
type violation struct {
	error
	path   []string
	states int
}

func (v *violation) Error() string {
	return fmt.Sprintf("%v\nafter %d states, by these %d inputs:\n  %s", v.error, v.states, len(v.path), strings.Join(v.path, "\n  "))
}

// Unwrap returns the broken rule.
func (v *violation) Unwrap() error { return v.error }

// explore walks every product breadth-first.
func explore(sub subject, decide decider) (*graph, error) {
	e, err := newExplorer(sub, decide)
	if err != nil {
		return nil, err
	}
	g := &graph{ends: map[saga.Status]int{}}
	seen := map[digest]int32{}
	add := func(p *product, from int32, by move) (int32, bool) {
		d := p.digest()
		if at, ok := seen[d]; ok {
			return at, false
		}
		at := int32(len(g.vertices))
		seen[d] = at
		g.vertices = append(g.vertices, vertex{from, by})
		g.count(at, &p.state)
		return at, true
	}
	first := &product{actors: make([]actor, len(e.parts))}
	add(first, -1, move{})
	queue := []*product{first}
	for at := int32(0); len(queue) > 0; at++ {
		if sub.most > 0 && len(g.vertices) >= sub.most {
			g.cut = true
			return g, nil
		}
		p := queue[0]
		queue[0] = nil
		queue = queue[1:]
		if err := e.probe(p); err != nil {
			return g, e.violated(g, at, err)
		}
		for _, m := range e.moves(p) {
			next, _, err := e.make(p, m)
			g.transitions++
			if err != nil {
				return g, e.violated(g, at, err, m)
			}
			to, fresh := add(next, at, m)
			if fresh {
				queue = append(queue, next)
			}
			if to != at {
				g.edges = append(g.edges, edge{at, to, m.kind == moveAct})
			}
		}
	}
	return g, e.wayOn(g)
}

func (g *graph) count(at int32, s *saga.State) {
	switch {
	case s.Status.Terminal():
		g.terminal = append(g.terminal, at)
		g.ends[s.Status]++
	case s.Status == saga.Parked:
		g.parked++
	}
}

// wayOn checks the graph as a whole: without an operator no run goes round in circles, so that each comes to its end or parks; and from
// everywhere there is a way to the end, so that an operator's retries lead there from wherever it parks.
func (e *explorer) wayOn(g *graph) error {
	if at, ok := g.cycle(); ok {
		return e.violated(g, at, errors.New("R6: the run may go round in circles from here"))
	}
	if at, ok := g.trap(); ok {
		return e.violated(g, at, errors.New("R6: no way leads to the end from here"))
	}
	return nil
}

// cycle finds a vertex on a cycle of edges that are not an operator's, or behind one.
func (g *graph) cycle() (int32, bool) {
	out, start := g.adjacent(func(e edge) (int32, int32, bool) { return e.from, e.to, !e.operator })
	degree := make([]int32, len(g.vertices))
	for _, to := range out {
		degree[to]++
	}
	var ready []int32
	for v, d := range degree {
		if d == 0 {
			ready = append(ready, int32(v))
		}
	}
	for i := 0; i < len(ready); i++ {
		v := ready[i]
		for _, to := range out[start[v]:start[v+1]] {
			if degree[to]--; degree[to] == 0 {
				ready = append(ready, to)
			}
		}
	}
	at := slices.IndexFunc(degree, func(d int32) bool { return d > 0 })
	return int32(at), at >= 0
}

// trap finds a vertex from which no terminal one can be reached.
func (g *graph) trap() (int32, bool) {
	in, start := g.adjacent(func(e edge) (int32, int32, bool) { return e.to, e.from, true })
	reaches := make([]bool, len(g.vertices))
	queue := slices.Clone(g.terminal)
	for _, v := range queue {
		reaches[v] = true
	}
	for i := 0; i < len(queue); i++ {
		v := queue[i]
		for _, from := range in[start[v]:start[v+1]] {
			if !reaches[from] {
				reaches[from] = true
				queue = append(queue, from)
			}
		}
	}
	at := slices.Index(reaches, false)
	return int32(at), at >= 0
}

// adjacent lists the neighbours of each vertex v, as neighbours[start[v]:start[v+1]].
func (g *graph) adjacent(ends func(edge) (of, neighbour int32, use bool)) (neighbours, start []int32) {
	start = make([]int32, len(g.vertices)+1)
	for _, e := range g.edges {
		if of, _, use := ends(e); use {
			start[of+1]++
		}
	}
	for v := range g.vertices {
		start[v+1] += start[v]
	}
	neighbours = make([]int32, start[len(g.vertices)])
	next := slices.Clone(start)
	for _, e := range g.edges {
		if of, neighbour, use := ends(e); use {
			neighbours[next[of]] = neighbour
			next[of]++
		}
	}
	return neighbours, start
}

// violated tells how the vertex was reached, and by which moves the rule was broken there.
func (e *explorer) violated(g *graph, at int32, err error, then ...move) error {
	path := then
	for v := at; v > 0; v = g.vertices[v].from {
		path = append([]move{g.vertices[v].by}, path...)
	}
	p := &product{actors: make([]actor, len(e.parts))}
	var told []string
	for _, m := range path {
		line := e.tell(p, m)
		next, effects, _ := e.make(p, m)
		if sent := sends(effects); len(sent) > 0 {
			line += " → sends " + strings.Join(sent, ", ")
		}
		if is := next.state.Status; is != p.state.Status {
			line += fmt.Sprintf(" → %s", is)
		}
		told, p = append(told, line), next
	}
	return &violation{error: err, path: told, states: len(g.vertices)}
}

// tell describes the move in words.
func (e *explorer) tell(p *product, m move) string {
	words := map[said]string{unasked: "answers as before", succeeds: "succeeds", refuses: "refuses", findsNothing: "finds nothing to undo"}
	message, paused := "", ""
	if m.held {
		paused = " while the definition is paused"
	}
	if m.kind == moveCommand || m.kind == moveReply {
		message = sendText(saga.Send{Node: m.node, Direction: directionOf(m.direction), Epoch: m.epoch})
	}
	switch m.kind {
	case moveStart:
		return "start"
	case moveCommand:
		a := &p.actors[e.byPath[m.node].index]
		if m.direction == doing && a.last[undoing] != unasked {
			return fmt.Sprintf("command %q arrives and is barred", message)
		}
		return fmt.Sprintf("command %q arrives: the participant %s", message, words[m.said])
	case moveSignal:
		return fmt.Sprintf("signal to %q%s", m.node, paused)
	case moveReply:
		return fmt.Sprintf("reply to %q arrives: %s%s", message, m.said.outcome(), paused)
	case moveTick:
		return fmt.Sprintf("tick of record %q%s", m.node, paused)
	case movePass:
		_, wait, _ := later(p.state)
		return fmt.Sprintf("%s pass", wait.Round(time.Millisecond))
	default:
		return strings.TrimSpace(fmt.Sprintf("operator: %s %s", m.action, m.node)) + paused
	}
}
