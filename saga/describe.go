package saga

import (
	"reflect"
	"time"
)

// Description is a definition as plain data: what tools read and what a user keeps as a golden file, see [Diff].
// The order of its nodes is the definition's.
type Description struct {
	// Name is the definition's name, and Hash its [Definition.Hash].
	Name string `json:"name"`
	Hash string `json:"hash"`
	// Data is the Go type of the data.
	Data string `json:"data"`
	// StartsOn are the types of the events that start an instance.
	StartsOn []string `json:"startsOn,omitempty"`
	// Nodes are the nodes at the top.
	Nodes []NodeDescription `json:"nodes"`
}

// NodeDescription is one node of a [Description]. Fields that its kind does not have are zero. Types are Go types, such as "partner.Register".
type NodeDescription struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Path is the node's path, without numbers of items: "rooms/room".
	Path string `json:"path"`

	// Of a step: its class, the service that carries it out, and the types of what is exchanged.
	Class   Class  `json:"class,omitempty"`
	Service string `json:"service,omitempty"`
	Command string `json:"command,omitempty"`
	Success string `json:"success,omitempty"`
	Failure string `json:"failure,omitempty"`
	Undo    string `json:"undo,omitempty"`
	Undone  string `json:"undone,omitempty"`
	// Acknowledged says what acknowledges the undo; empty where there is none.
	Acknowledged Acknowledged `json:"acknowledged,omitempty"`
	// NeedsReply says that the undo needs data that only the reply brings.
	NeedsReply bool `json:"needsReply,omitempty"`
	// Matched says that its replies are recognised by their payload too.
	Matched bool `json:"matched,omitempty"`
	// The step's policy.
	Timeout     time.Duration `json:"timeout,omitempty"`
	Attempts    int           `json:"attempts,omitempty"`
	BackoffBase time.Duration `json:"backoffBase,omitempty"`
	BackoffMax  time.Duration `json:"backoffMax,omitempty"`

	// Of a fan-out: its items' type, how many are under way at once (0: all) and how many may fail.
	Item     string `json:"item,omitempty"`
	AtMost   int    `json:"atMost,omitempty"`
	Tolerate int    `json:"tolerate,omitempty"`

	// Of a wait: its signal's type, how long it waits (0: for ever) and whether it goes on when that has passed.
	Signal   string        `json:"signal,omitempty"`
	Deadline time.Duration `json:"deadline,omitempty"`
	GoesOn   bool          `json:"goesOn,omitempty"`

	// Nodes are the nodes below: of a sequence or fan-out in their order, of a parallel its branches, of an If the
	// sequences "then" and "else".
	Nodes []NodeDescription `json:"nodes,omitempty"`
}

// Acknowledged says what acknowledges an undo.
type Acknowledged string

// What acknowledges an undo.
const (
	ByAnyReply     Acknowledged = "any reply"
	ByUndoneEvent  Acknowledged = "its own event"
	ByFailureEvent Acknowledged = "the failure event"
	ByNothing      Acknowledged = "nothing"
)

// Describe returns the definition as plain data.
func (d *Definition[D]) Describe() Description {
	described := Description{Name: d.name, Hash: d.Hash(), Data: d.tree.typ.String(), Nodes: describeAll(d.tree.root.kids)}
	for _, s := range d.tree.starts {
		described.StartsOn = append(described.StartsOn, s.typ.String())
	}
	return described
}

func describeAll(nodes []*node) []NodeDescription {
	described := make([]NodeDescription, 0, len(nodes))
	for _, n := range nodes {
		described = append(described, describe(n))
	}
	return described
}

func describe(n *node) NodeDescription {
	d := NodeDescription{Kind: n.kind, Name: n.name, Path: n.path}
	d.Matched = n.match != nil
	switch n.kind {
	case KindStep:
		n.step.describe(&d)
	case KindWait:
		d.Signal, d.Deadline, d.GoesOn = n.wait.on.typ.String(), n.wait.deadline, n.wait.onDeadline != nil
	case KindForEach:
		d.Item, d.AtMost, d.Tolerate = n.each.inner.typ.String(), n.each.atMost, n.each.tolerate
		d.Nodes = describeAll(n.each.inner.root.kids)
	default:
		d.Nodes = describeAll(n.kids)
	}
	return d
}

func (s *step) describe(d *NodeDescription) {
	name := func(t reflect.Type) string { return t.String() }
	d.Service = s.service
	d.Class, d.Command, d.Success = s.class, name(s.do.typ), name(s.on.typ)
	d.Timeout, d.Attempts, d.BackoffBase, d.BackoffMax = s.timeout, s.attempts, s.backoffBase, s.backoffMax
	if s.onFailure != nil {
		d.Failure = name(s.onFailure.typ)
	}
	if s.undo == nil {
		return
	}
	d.Undo, d.NeedsReply, d.Acknowledged = name(s.undo.typ), s.needsReply, ByAnyReply
	switch {
	case s.undone != nil:
		d.Undone, d.Acknowledged = name(s.undone.typ), ByUndoneEvent
	case s.byFailure:
		d.Acknowledged = ByFailureEvent
	case s.unacked:
		d.Acknowledged = ByNothing
	}
}
