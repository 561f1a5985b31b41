package saga

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Class says what may happen to a step once its saga fails.
type Class string

// The classes. See the package documentation.
const (
	// Compensable steps are undone. It is the default.
	Compensable Class = "compensable"
	// Pivot is the step that decides: before it the saga can go back, after it only forward.
	Pivot Class = "pivot"
	// Retriable steps follow the pivot: they are tried until they succeed, then parked.
	Retriable Class = "retriable"
)

// The defaults of a step's policy.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultAttempts    = 5
	DefaultBackoffBase = time.Second
	DefaultBackoffMax  = time.Minute
)

// Node is a part of a definition over data of type D: a [*StepNode], [*SequenceNode] or [*ForEachNode]. Only this package implements it.
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
)

// node is a node without its types. It is built by the constructors, completed by compile and read-only from then on.
type node struct {
	kind  Kind
	name  string
	path  string // within its scope's definition: "rooms/room" for a step in a fan-out
	local string // within its record: "room"
	index int    // in its record's Nodes
	kids  []*node
	scope *scope // the scope that the node lies in
	step  *step  // of a step
	each  *each  // of a fan-out
	flaws []string
}

type step struct {
	class       Class
	timeout     time.Duration
	attempts    int
	backoffBase time.Duration
	backoffMax  time.Duration
	do          *command
	undo        *command
	on          *handler
	onFailure   *handler
	undone      *handler
	nothing     bool // NothingToUndo
	byFailure   bool // UndoneByFailure
	unacked     bool // UndoUnacknowledged
	needsReply  bool // UndoNeedsReply
}

type command struct {
	typ  reflect.Type
	make func(data any) any // data is *D
}

type handler struct {
	typ   reflect.Type
	apply func(data, event any) // data is *D, event is of typ
}

type each struct {
	items  func(data any) (values []any)
	atMost int
	inner  *scope
}

// scope is a tree of nodes over one data type: the root's, or that of a fan-out's items.
type scope struct {
	path    string
	typ     reflect.Type
	newData func() any // *D
	root    *node      // a sequence
	nodes   []*node    // by index
	byLocal map[string]*node
}

func newScope[D any](nodes []Node[D]) *scope {
	var zero D
	root := &node{kind: KindSequence}
	for i, n := range nodes {
		var kid *node
		if n != nil {
			kid = n.erase(zero)
		}
		if kid == nil {
			root.flaws = append(root.flaws, fmt.Sprintf("node %d is nil", i))
			continue
		}
		root.kids = append(root.kids, kid)
	}
	return &scope{root: root, typ: reflect.TypeFor[D](), newData: func() any { return new(D) }}
}

// decode returns the data as *D.
func (s *scope) decode(data []byte) (any, error) {
	d := s.newData()
	var err error
	if panicked := guard("UnmarshalJSON", func() { err = json.Unmarshal(data, d) }); panicked != nil {
		err = panicked
	}
	if err != nil {
		return nil, fmt.Errorf("%w: as %s: %w", ErrData, s.typ, err)
	}
	return d, nil
}

// encode takes *D, or D.
func (s *scope) encode(data any) ([]byte, error) {
	var b []byte
	var err error
	if panicked := guard("MarshalJSON", func() { b, err = json.Marshal(data) }); panicked != nil {
		err = panicked
	}
	if err != nil {
		return nil, fmt.Errorf("%w: of %s: %w", ErrData, s.typ, err)
	}
	return b, nil
}

// StepNode is a step: one command to one participant, and what its answers mean.
type StepNode[D any] struct{ n *node }

func (s *StepNode[D]) erase(D) *node {
	if s == nil {
		return nil
	}
	return s.n
}

// Step makes a step of [Do], [On], [OnFailure], [Undo] and [Undone] parts. Do and On are required.
// It is compensable unless [StepNode.Pivot] or [StepNode.Retriable] says otherwise.
func Step[D any](name string, parts ...Part[D]) *StepNode[D] {
	n := &node{kind: KindStep, name: name, step: &step{
		class: Compensable, timeout: DefaultTimeout, attempts: DefaultAttempts,
		backoffBase: DefaultBackoffBase, backoffMax: DefaultBackoffMax,
	}}
	for _, p := range parts {
		p.apply(n)
	}
	return &StepNode[D]{n: n}
}

// Timeout sets how long a reply is waited for after each sending, for the command and for its compensation. The default is [DefaultTimeout].
func (s *StepNode[D]) Timeout(d time.Duration) *StepNode[D] {
	s.n.step.timeout = d
	return s
}

// Attempts sets how often the command, and its compensation, is sent at most. The default is [DefaultAttempts].
func (s *StepNode[D]) Attempts(n int) *StepNode[D] {
	s.n.step.attempts = n
	return s
}

// Backoff sets the wait before a refused retriable command or a failed compensation is issued again: base, doubled
// each time up to limit. The defaults are [DefaultBackoffBase] and [DefaultBackoffMax].
func (s *StepNode[D]) Backoff(base, limit time.Duration) *StepNode[D] {
	s.n.step.backoffBase, s.n.step.backoffMax = base, limit
	return s
}

// Pivot makes this the step after which the saga only goes forward.
func (s *StepNode[D]) Pivot() *StepNode[D] {
	s.n.step.class = Pivot
	return s
}

// Retriable makes this a step that is tried until it succeeds. It must come after the pivot.
func (s *StepNode[D]) Retriable() *StepNode[D] {
	s.n.step.class = Retriable
	return s
}

// NothingToUndo says that a compensable step has no compensation because it has no effect worth undoing.
func (s *StepNode[D]) NothingToUndo() *StepNode[D] {
	s.n.step.nothing = true
	return s
}

// UndoneByFailure says that the step's failure event, seen during compensation, acknowledges the undo.
func (s *StepNode[D]) UndoneByFailure() *StepNode[D] {
	s.n.step.byFailure = true
	return s
}

// UndoUnacknowledged says that the participant never answers an undo: it counts as done once it is sent.
func (s *StepNode[D]) UndoUnacknowledged() *StepNode[D] {
	s.n.step.unacked = true
	return s
}

// UndoNeedsReply says that the undo command needs data that only the command's reply brings: a step
// that may have an effect but was not answered waits for the reply, then parks (R5).
func (s *StepNode[D]) UndoNeedsReply() *StepNode[D] {
	s.n.step.needsReply = true
	return s
}

// Part is a part of a step over data of type D, made by [Do], [On], [OnFailure], [Undo] or [Undone].
type Part[D any] struct{ apply func(*node) }

func part[D any](slot string, missing bool, taken func(*step) bool, set func(*step)) Part[D] {
	return Part[D]{apply: func(n *node) {
		if missing {
			n.flaws = append(n.flaws, "has a "+slot+" without a function: give it one")
			return
		}
		if taken(n.step) {
			n.flaws = append(n.flaws, "has more than one "+slot+": keep one")
			return
		}
		set(n.step)
	}}
}

func commandOf[D, C any](f func(D) C) *command {
	return &command{typ: reflect.TypeFor[C](), make: func(data any) any { return f(*data.(*D)) }} //nolint:errcheck,forcetypeassert // its scope's data
}

func handlerOf[D, E any](f func(*D, E)) *handler {
	return &handler{typ: reflect.TypeFor[E](), apply: func(data, event any) { f(data.(*D), event.(E)) }} //nolint:errcheck,forcetypeassert // of typ
}

// Do gives the step its command. f must be pure; so must all functions of a definition.
func Do[D, C any](f func(D) C) Part[D] {
	return part[D]("Do", f == nil, func(s *step) bool { return s.do != nil }, func(s *step) { s.do = commandOf(f) })
}

// On takes the success event into the data.
func On[D, E any](f func(*D, E)) Part[D] {
	return part[D]("On", f == nil, func(s *step) bool { return s.on != nil }, func(s *step) { s.on = handlerOf(f) })
}

// OnFailure takes the failure event into the data. A failure event means that the command had no effect (R2).
func OnFailure[D, E any](f func(*D, E)) Part[D] {
	return part[D]("OnFailure", f == nil, func(s *step) bool { return s.onFailure != nil }, func(s *step) { s.onFailure = handlerOf(f) })
}

// Undo gives the step its compensating command. It is acknowledged by any reply to it that echoes its headers, unless
// [Undone], [StepNode.UndoneByFailure] or [StepNode.UndoUnacknowledged] says otherwise.
func Undo[D, C any](f func(D) C) Part[D] {
	return part[D]("Undo", f == nil, func(s *step) bool { return s.undo != nil }, func(s *step) { s.undo = commandOf(f) })
}

// Undone names the event that acknowledges the undo, and takes it into the data.
func Undone[D, E any](f func(*D, E)) Part[D] {
	return part[D]("Undone", f == nil, func(s *step) bool { return s.undone != nil }, func(s *step) { s.undone = handlerOf(f) })
}

// SequenceNode is a list of nodes, one after the other.
type SequenceNode[D any] struct{ n *node }

func (s *SequenceNode[D]) erase(D) *node {
	if s == nil {
		return nil
	}
	return s.n
}

// Sequence groups nodes under a name. A definition is a sequence already; use it to name a part.
func Sequence[D any](name string, nodes ...Node[D]) *SequenceNode[D] {
	inner := newScope(nodes)
	inner.root.name = name
	return &SequenceNode[D]{n: inner.root}
}

// ForEachNode is a fan-out: a sequence of nodes for each item.
type ForEachNode[D any] struct{ n *node }

func (f *ForEachNode[D]) erase(D) *node {
	if f == nil {
		return nil
	}
	return f.n
}

// ForEach runs the nodes, a sequence, once for each item that items finds in the data; the nodes' data is the item. Every item has
// a record of its own. The fan-out succeeds when every item has; when one fails no further one is
// started, those under way come to their end, and what had an effect is undone (R9).
func ForEach[D, I any](name string, items func(D) []I, nodes ...Node[I]) *ForEachNode[D] {
	var flaws []string
	if items == nil {
		flaws = append(flaws, "has no function that finds its items: give it one")
	}
	return &ForEachNode[D]{n: &node{kind: KindForEach, name: name, flaws: flaws, each: &each{
		inner: newScope(nodes),
		items: func(data any) []any {
			list := items(*data.(*D)) //nolint:errcheck,forcetypeassert // its scope's data
			values := make([]any, len(list))
			for i := range list {
				values[i] = list[i]
			}
			return values
		},
	}}}
}

// AtMost bounds how many items are under way at once. Zero, the default, is no bound.
func (f *ForEachNode[D]) AtMost(n int) *ForEachNode[D] {
	f.n.each.atMost = n
	return f
}
