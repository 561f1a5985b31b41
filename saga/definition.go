package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
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
	// Events returns a zero value of every event type that a step declares, a wait takes as its signal or an instance starts on, without duplicates.
	Events() []any
	// Describe returns the definition as plain data.
	Describe() Description
	root() *scope
	party() *role
}

// Definition is a validated saga over data of type D. It is immutable and safe for concurrent use.
type Definition[D any] struct {
	name string
	hash string
	tree *scope
	role *role // of a choreography; nil where it is orchestrated
}

// Define builds a definition of the nodes, a sequence. Its error wraps [ErrInvalid] and lists every fault with the path of its node.
func Define[D any](name string, nodes ...Node[D]) (*Definition[D], error) {
	tree := newScope(nodes).clone()
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

func (d *Definition[D]) party() *role { return d.role }

// Commands returns a zero value of every command type, in the order of the definition.
func (d *Definition[D]) Commands() []any {
	var types []reflect.Type
	walk(d.tree.root, func(n *node) {
		if n.step == nil {
			return
		}
		types = append(types, n.step.do.typ)
		if n.step.undo != nil {
			types = append(types, n.step.undo.typ)
		}
	})
	return zeros(types)
}

// Events returns a zero value of every event type that a step declares, a wait takes as its signal or an instance starts
// on, in the order of the definition.
func (d *Definition[D]) Events() []any {
	var types []reflect.Type
	starts := d.tree.starts
	if d.role != nil {
		starts = append(slices.Clone(starts), d.role.joins...)
	}
	for _, s := range starts {
		types = append(types, s.typ)
	}
	walk(d.tree.root, func(n *node) {
		for _, h := range n.handlers() {
			types = append(types, h.typ)
		}
	})
	return zeros(types)
}

// handlers are those of the events that the node takes.
func (n *node) handlers() []*handler {
	var all []*handler
	switch {
	case n.wait != nil:
		all = []*handler{n.wait.on}
	case n.step != nil:
		all = []*handler{n.step.on, n.step.onFailure, n.step.undone}
	}
	return slices.DeleteFunc(all, func(h *handler) bool { return h == nil })
}

// zeros returns a zero value of each type, without duplicates.
func zeros(types []reflect.Type) []any {
	var values []any
	seen := map[reflect.Type]bool{}
	for _, t := range types {
		if !seen[t] {
			seen[t] = true
			values = append(values, reflect.Zero(t).Interface())
		}
	}
	return values
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
	if n.wait != nil {
		s.Types = n.wait.on.typ.String()
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
