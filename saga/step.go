package saga

import (
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

type step struct {
	class       Class
	service     string
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

// StepNode is a step: one command to one participant, and what its answers mean.
type StepNode[D any] struct{ n *node }

func (s *StepNode[D]) erase(D) *node {
	if s == nil {
		return nil
	}
	return s.n
}

// Step makes a step of [Do], [On], [OnFailure], [Undo], [Undone] and [Matching] parts. Do and On are required.
// It is compensable unless [StepNode.Pivot] or [StepNode.Retriable] says otherwise.
func Step[D any](name string, parts ...Part[D]) *StepNode[D] {
	n := &node{kind: KindStep, name: name, step: &step{
		class: Compensable, timeout: DefaultTimeout, attempts: DefaultAttempts,
		backoffBase: DefaultBackoffBase, backoffMax: DefaultBackoffMax,
	}}
	take(n, parts)
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

// Service names the service that carries the step out. A choreography needs it; pictures and reports show it.
func (s *StepNode[D]) Service(name string) *StepNode[D] {
	s.n.step.service = name
	return s
}

// Part is a part of a step over data of type D, made by [Do], [On], [OnFailure], [Undo], [Undone] or [Matching].
type Part[D any] struct{ apply func(*node) }

// take gives the node its parts.
func take[D any](n *node, parts []Part[D]) {
	for i, p := range parts {
		if p.apply == nil {
			n.flaws = append(n.flaws, fmt.Sprintf("part %d is empty: make it with Do, On or another of the functions for parts, or leave it out", i))
			continue
		}
		p.apply(n)
	}
}

func part[D any](slot string, missing bool, taken func(*step) bool, set func(*step)) Part[D] {
	return Part[D]{apply: func(n *node) {
		if n.step == nil {
			n.flaws = append(n.flaws, "has the part "+slot+": only steps have it")
			return
		}
		if missing {
			n.flaws = append(n.flaws, "its "+slot+" has no function: give it one")
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

// OnFailure takes the failure event into the data. A failure event means that the command had no effect (R2). A refusal by an event
// that is not declared is only seen on a topic of one that is.
func OnFailure[D, E any](f func(*D, E)) Part[D] {
	return part[D]("OnFailure", f == nil, func(s *step) bool { return s.onFailure != nil }, func(s *step) { s.onFailure = handlerOf(f) })
}

// Undo gives the step its compensating command. It is acknowledged by any reply to it that echoes its headers, unless
// [Undone], [StepNode.UndoneByFailure] or [StepNode.UndoUnacknowledged] says otherwise. A coordinator reads the topics of declared
// events: a reply whose type has a topic of its own, as each has with package avromsg, is not seen unless Undone declares it.
func Undo[D, C any](f func(D) C) Part[D] {
	return part[D]("Undo", f == nil, func(s *step) bool { return s.undo != nil }, func(s *step) { s.undo = commandOf(f) })
}

// Undone names the event that acknowledges the undo, and takes it into the data. Its topic is then read, whatever else travels there.
func Undone[D, E any](f func(*D, E)) Part[D] {
	return part[D]("Undone", f == nil, func(s *step) bool { return s.undone != nil }, func(s *step) { s.undone = handlerOf(f) })
}
