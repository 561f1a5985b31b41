package saga

import (
	"fmt"
	"reflect"
	"strings"
)

// Node is a part of a definition over data of type D: what [Step], [Sequence], [Parallel], [ForEach], [Wait], [Sleep], [If] and
// [StartOn] return. Only this package implements it.
type Node[D any] interface{ erase(D) *node }

// Kind is what a node of a definition is.
type Kind string

// The kinds of nodes.
const (
	KindStep     Kind = "step"
	KindSequence Kind = "sequence"
	KindParallel Kind = "parallel"
	KindForEach  Kind = "for-each"
	KindWait     Kind = "wait"
	KindSleep    Kind = "sleep"
	KindIf       Kind = "if"

	// kindStart is no node of the tree: newScope takes it out.
	kindStart Kind = "start-on"
)

// node is a node without its types. It is built by the constructors, completed by compile and read-only from then on.
type node struct {
	kind   Kind
	name   string
	path   string // within its scope's definition: "rooms/room" for a step in a fan-out
	local  string // within its record: "room"
	index  int    // in its record's Nodes
	kids   []*node
	parent *node  // within its scope
	scope  *scope // the scope that the node lies in
	step   *step  // of a step
	each   *each  // of a fan-out
	wait   *wait  // of a wait
	sleep  func(data any) (milliseconds int64)
	cond   func(data any) bool // of an If
	match  *matcher            // of a step or wait whose events are recognised by their payload
	start  *starter            // of a start
	flaws  []string
	gaps   bool // a nil is among the nodes that it was given
}

// scope is a tree of nodes over one data type: the root's, or that of a fan-out's items.
type scope struct {
	path    string
	typ     reflect.Type
	newData func() any // *D
	codec   DataCodec
	maxData int
	starts  []*starter
	root    *node   // a sequence
	nodes   []*node // by index
	byLocal map[string]*node
}

func newScope[D any](nodes []Node[D]) *scope {
	s := &scope{
		root: &node{kind: KindSequence}, typ: reflect.TypeFor[D](), newData: func() any { return new(D) },
		codec: jsonCodec{}, maxData: DefaultMaxData,
	}
	kids, flaws := eraseAll(nodes)
	s.root.flaws, s.root.gaps = flaws, len(flaws) > 0
	for _, kid := range kids {
		if kid.kind == kindStart {
			s.starts = append(s.starts, kid.start)
			s.root.flaws = append(s.root.flaws, kid.flaws...)
			continue
		}
		s.root.kids = append(s.root.kids, kid)
	}
	return s
}

// eraseAll returns the nodes without their types, and the faults of those that are none.
func eraseAll[D any](nodes []Node[D]) (erased []*node, flaws []string) {
	var zero D
	for i, n := range nodes {
		var kid *node
		if n != nil {
			kid = n.erase(zero)
		}
		if kid == nil {
			flaws = append(flaws, fmt.Sprintf("node %d is nil: give it a node, or leave it out", i))
			continue
		}
		erased = append(erased, kid)
	}
	return erased, flaws
}

// clone copies the scope's tree, not what compile adds to it.
func (s *scope) clone() *scope {
	c := *s
	c.root = s.root.clone()
	return &c
}

// clone copies the tree, so that the user may put a node into several definitions and change it afterwards.
func (n *node) clone() *node {
	c := *n
	c.kids = make([]*node, len(n.kids))
	for i, kid := range n.kids {
		c.kids[i] = kid.clone()
	}
	if n.step != nil {
		s := *n.step
		c.step = &s
	}
	if n.wait != nil {
		w := *n.wait
		c.wait = &w
	}
	if n.each != nil {
		e := *n.each
		e.inner = n.each.inner.clone()
		c.each = &e
	}
	return &c
}

// compile gives every node its paths and its place in its scope's records.
func compile(s *scope) {
	s.nodes, s.byLocal = nil, map[string]*node{}
	place(s, s.root, nil)
}

func place(s *scope, n, parent *node) {
	n.scope, n.index, n.parent = s, len(s.nodes), parent
	if parent != nil {
		n.local = strings.TrimPrefix(parent.local+"/"+n.name, "/")
	}
	n.path = joinPath(s.path, n.local)
	s.nodes = append(s.nodes, n)
	s.byLocal[n.local] = n
	for _, kid := range n.kids {
		place(s, kid, n)
	}
	if n.each != nil {
		n.each.inner.path = n.path
		compile(n.each.inner)
	}
}

// walk visits n and all nodes below it, those of fan-outs included, in the order of the definition.
func walk(n *node, visit func(*node)) {
	visit(n)
	for _, kid := range n.kids {
		walk(kid, visit)
	}
	if n.each != nil {
		walk(n.each.inner.root, visit)
	}
}
