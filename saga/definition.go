package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Any is a definition without its data type; only [*Definition] implements it.
type Any interface {
	// Name is the definition's name.
	Name() string
	// Hash identifies the definition's structure; see [Definition.Hash].
	Hash() string
	// Commands returns a zero value of every command type, Do and Undo, without duplicates.
	Commands() []any
	// Events returns a zero value of every event type that a step declares, without duplicates.
	Events() []any
	// Describe returns the definition as plain data.
	Describe() Description
	root() *scope
}

// Definition is a validated saga over data of type D. It is immutable and safe for concurrent use.
type Definition[D any] struct {
	name string
	hash string
	tree *scope
}

// Define builds a definition of the nodes, a sequence. Its error wraps [ErrInvalid] and lists every fault with the path of its node.
func Define[D any](name string, nodes ...Node[D]) (*Definition[D], error) {
	tree := newScope(nodes)
	tree.root = tree.root.clone()
	faults := validate(name, tree)
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w %q: %w", ErrInvalid, name, errors.Join(faults...))
	}
	return &Definition[D]{name: name, hash: hashOf(name, tree), tree: tree}, nil
}

// MustDefine is [Define] for definitions in variables; it panics on a fault.
func MustDefine[D any](name string, nodes ...Node[D]) *Definition[D] {
	d, err := Define(name, nodes...)
	if err != nil {
		panic(err)
	}
	return d
}

// Name returns the definition's name.
func (d *Definition[D]) Name() string { return d.name }

// Hash returns 32 hexadecimal digits that depend on what an instance under way depends on: the tree of names, kinds,
// classes and Go types of the commands, events and data. Timeouts, attempts and the functions' code may change without changing it.
func (d *Definition[D]) Hash() string { return d.hash }

func (d *Definition[D]) root() *scope { return d.tree }

// Commands returns a zero value of every command type, in the order of the definition.
func (d *Definition[D]) Commands() []any {
	return distinct(d.tree, func(s *step) []reflect.Type {
		types := []reflect.Type{s.do.typ}
		if s.undo != nil {
			types = append(types, s.undo.typ)
		}
		return types
	})
}

// Events returns a zero value of every event type, in the order of the definition.
func (d *Definition[D]) Events() []any {
	return distinct(d.tree, func(s *step) []reflect.Type {
		var types []reflect.Type
		for _, h := range []*handler{s.on, s.onFailure, s.undone} {
			if h != nil {
				types = append(types, h.typ)
			}
		}
		return types
	})
}

func distinct(tree *scope, of func(*step) []reflect.Type) []any {
	var values []any
	seen := map[reflect.Type]bool{}
	walk(tree.root, func(n *node) {
		if n.step == nil {
			return
		}
		for _, t := range of(n.step) {
			if !seen[t] {
				seen[t] = true
				values = append(values, reflect.Zero(t).Interface())
			}
		}
	})
	return values
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
	if n.each != nil {
		e, inner := *n.each, *n.each.inner
		inner.root = inner.root.clone()
		e.inner = &inner
		c.each = &e
	}
	return &c
}

// compile gives every node its paths and its place in its scope's records.
func compile(s *scope) {
	s.nodes, s.byLocal = nil, map[string]*node{}
	place(s, s.root, "")
}

func place(s *scope, n *node, prefix string) {
	n.scope, n.index = s, len(s.nodes)
	n.local = strings.TrimPrefix(prefix+"/"+n.name, "/")
	if n == s.root {
		n.local = ""
	}
	n.path = joinPath(s.path, n.local)
	s.nodes = append(s.nodes, n)
	s.byLocal[n.local] = n
	for _, kid := range n.kids {
		place(s, kid, n.local)
	}
	if n.each != nil {
		n.each.inner.path = n.path
		compile(n.each.inner)
	}
}

// shape is what a definition's hash is taken of.
type shape struct {
	Kind  Kind    `json:"Kind"`
	Name  string  `json:"Name"`
	Class Class   `json:"Class,omitempty"`
	Types string  `json:"Types,omitempty"`
	Kids  []shape `json:"Kids"`
}

func shapeOf(n *node) shape {
	s := shape{Kind: n.kind, Name: n.name}
	for _, kid := range n.kids {
		s.Kids = append(s.Kids, shapeOf(kid))
	}
	if n.each != nil {
		s.Types = n.each.inner.typ.String()
		s.Kids = append(s.Kids, shapeOf(n.each.inner.root))
	}
	if n.step != nil {
		s.Class = n.step.class
		s.Types = n.step.types()
	}
	return s
}

// types describes what the step exchanges with its participant.
func (s *step) types() string {
	var b strings.Builder
	for _, c := range []*command{s.do, s.undo} {
		if c != nil {
			b.WriteString(c.typ.String())
		}
		b.WriteByte(';')
	}
	for _, h := range []*handler{s.on, s.onFailure, s.undone} {
		if h != nil {
			b.WriteString(h.typ.String())
		}
		b.WriteByte(';')
	}
	fmt.Fprintf(&b, "%t,%t,%t,%t", s.nothing, s.byFailure, s.unacked, s.needsReply)
	return b.String()
}

func hashOf(name string, tree *scope) string {
	described, err := json.Marshal(struct {
		Name string `json:"Name"`
		Data string `json:"Data"`
		Root shape  `json:"Root"`
	}{name, tree.typ.String(), shapeOf(tree.root)})
	if err != nil {
		return "" // strings and lists of strings always marshal
	}
	sum := sha256.Sum256(described)
	return hex.EncodeToString(sum[:16])
}
