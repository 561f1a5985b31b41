package sim

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alpespartners/alpespartners/saga"
)

// spot is a node of the definition.
type spot struct {
	saga.NodeDescription
	parent *spot // nil: the definition's own sequence
	place  int   // among its parent's nodes
	kids   []*spot
	// The types of a step's command and of the events of a step or wait.
	command, success, failure, undone, signal reflect.Type
}

func (s *spot) isStep() bool { return s.Kind == saga.KindStep }

// tree is a definition as its description tells it.
type tree struct {
	root   *spot
	spots  map[string]*spot // by path
	steps  []*spot
	waits  []*spot
	places map[string]int // see [run.placeOf]
}

func newTree(def saga.Any) (*tree, error) {
	t := &tree{spots: map[string]*spot{}, places: map[string]int{}}
	types := map[string]reflect.Type{}
	for _, zero := range append(def.Events(), def.Commands()...) {
		event := reflect.TypeOf(zero)
		if other, taken := types[event.String()]; taken && other != event {
			return nil, fmt.Errorf("two types of %s are called %s: give their packages different names", def.Name(), event)
		}
		types[event.String()] = event
	}
	t.root = &spot{NodeDescription: saga.NodeDescription{Kind: saga.KindSequence}}
	t.grow(t.root, def.Describe().Nodes, types)
	return t, nil
}

func (t *tree) grow(parent *spot, nodes []saga.NodeDescription, types map[string]reflect.Type) {
	for i, d := range nodes {
		s := &spot{
			NodeDescription: d, parent: parent, place: i, command: types[d.Command],
			success: types[d.Success], failure: types[d.Failure], undone: types[d.Undone], signal: types[d.Signal],
		}
		parent.kids = append(parent.kids, s)
		t.spots[d.Path] = s
		switch d.Kind {
		case saga.KindStep:
			t.steps = append(t.steps, s)
		case saga.KindWait:
			t.waits = append(t.waits, s)
		default:
		}
		t.grow(s, d.Nodes, types)
	}
}

// fits checks that some step sends the command, and that it knows the event as the answer.
func (t *tree) fits(command, event reflect.Type) error {
	found := false
	for _, s := range t.steps {
		switch command.String() {
		case s.Command:
			found = true
			if s.success != event {
				return fmt.Errorf("step %s succeeds with %s, but what handles %s answers %s", s.Path, s.Success, command, event)
			}
		case s.Undo:
			found = true
			if s.Acknowledged == saga.ByUndoneEvent && s.undone != event {
				return fmt.Errorf("the undo of %s is acknowledged by %s, but what handles %s answers %s", s.Path, s.Undone, command, event)
			}
		}
	}
	if !found {
		return fmt.Errorf("no step sends %s, which is to be handled", command)
	}
	return nil
}

// site is a node of an instance: a node of the definition, and which item of each fan-out around it.
type site struct {
	*spot
	items []int
}

// path is the node's path in the instance.
func (t *tree) path(s site) string {
	var b strings.Builder
	items := s.items
	var write func(*spot)
	write = func(n *spot) {
		if n.parent == nil {
			return
		}
		write(n.parent)
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		b.WriteString(n.Name)
		if n.Kind == saga.KindForEach && n != s.spot && len(items) > 0 {
			b.WriteString("[" + strconv.Itoa(items[0]) + "]")
			items = items[1:]
		}
	}
	write(s.spot)
	return b.String()
}

// site finds the node with a path in the instance, such as "rooms[3]/room".
func (t *tree) site(path string) (site, bool) {
	var s site
	var b strings.Builder
	for part := range strings.SplitSeq(path, "[") {
		number, rest, numbered := strings.Cut(part, "]")
		if n, err := strconv.Atoi(number); numbered && err == nil {
			s.items = append(s.items, n)
			b.WriteString(rest)
			continue
		}
		b.WriteString(part)
	}
	s.spot = t.spots[b.String()]
	return s, s.spot != nil
}

// lineage is the way from the definition to the node.
func lineage(s *spot) []*spot {
	if s == nil {
		return nil
	}
	return append(lineage(s.parent), s)
}

// fansAround counts the fan-outs that the node lies in.
func fansAround(s *spot) int {
	count := 0
	for p := s.parent; p != nil; p = p.parent {
		if p.Kind == saga.KindForEach {
			count++
		}
	}
	return count
}

// up returns the node that contains the one at the site.
func (s site) up() site { return site{s.parent, s.items[:fansAround(s.parent)]} }

// item returns the site of a node in item i of the fan-out at the site.
func (s site) item(i int, kid *spot) site {
	return site{kid, append(slices.Clip(s.items), i)}
}

// within reports whether the node is part of the other.
func (s site) within(other site) bool {
	return slices.Contains(lineage(s.spot), other.spot) && slices.Equal(s.items[:len(other.items)], other.items)
}

// order says whether a comes before b (-1), after it (1), or side by side with it (0).
func order(a, b site) int {
	as, bs := lineage(a.spot), lineage(b.spot)
	fans := 0
	for i := 0; i < len(as) && i < len(bs); i++ {
		if as[i] != bs[i] {
			switch as[i].parent.Kind {
			case saga.KindParallel, saga.KindIf:
				return 0
			default:
				return cmp.Compare(as[i].place, bs[i].place)
			}
		}
		if as[i].Kind == saga.KindForEach && i+1 < len(as) && i+1 < len(bs) {
			if a.items[fans] != b.items[fans] {
				return 0
			}
			fans++
		}
	}
	return 0
}

func itemKey(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
