package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Coordination says how a definition's instances are coordinated.
type Coordination struct {
	// Choreographed is false for an orchestrated definition, whose coordinator sends every command.
	Choreographed bool
	// Service is the service that reacts; "" is the watcher, which sends nothing.
	Service string
	// Family is the hash of the orchestrated definition: all parties of a choreography have the same.
	Family string
}

// CoordinationOf says whether the definition is orchestrated or one party's part in a choreography.
func CoordinationOf(def Any) Coordination {
	if r := def.party(); r != nil {
		return Coordination{Choreographed: true, Service: r.service, Family: r.family}
	}
	return Coordination{Family: def.Hash()}
}

// role is what a choreographed definition adds.
type role struct {
	service string
	family  string
	joins   []*starter
}

// watches reports whether another service sends the step's commands.
func (r *role) watches(s *step) bool { return r != nil && (r.service == "" || s.service != r.service) }

// Join is an event by which a service learns of an instance that began elsewhere; see [JoinOn].
type Join[D any] struct{ start *starter }

// JoinOn makes the events of type E that belong to an instance of the choreography begin it here, with the data that f tells.
func JoinOn[D, E any](f func(E) D) Join[D] {
	return Join[D]{start: &starter{typ: reflect.TypeFor[E](), make: func(event any) (string, any) { return "", f(event.(E)) }}} //nolint:errcheck,forcetypeassert // of typ
}

// Choreograph returns the definition as one party of a choreography follows it. Every party sees all events, decides with the same
// [Decide] and keeps its own state; only the service that a step names ([StepNode.Service]) sends the step's commands, to
// itself. With the service "" it is the watcher's: it sends nothing, keeps the log, and parks an instance where a step is overdue.
//
// Nobody but the participants' events may decide, as all parties must come to the same end. So a refusal aborts the saga, a missing
// answer does not: the service sends the command again until its attempts are used up, then it parks. Fan-outs start all their items, and
// their branches, like those of a [Parallel], run to their end even if one fails. An event that reaches a party before those that it
// follows is kept until its turn; one of an item that the party has not made yet is [ErrEarly]. On functions of steps that run side by side
// must write different fields.
//
// The hash is another one than the orchestrated definition's, so that both can be registered with one coordinator. Its error wraps
// [ErrInvalid] and lists what cannot be choreographed: a step without a service, a wait with a deadline, an undo that only the
// sender sees acknowledged.
func Choreograph[D any](def *Definition[D], service string, joins ...Join[D]) (*Definition[D], error) {
	if def == nil {
		return nil, fmt.Errorf("%w: no definition to choreograph", ErrInvalid)
	}
	if faults := choreographyFaults(def.tree, service); len(faults) > 0 {
		return nil, fmt.Errorf("%w %q: %w", ErrInvalid, def.name, errors.Join(faults...))
	}
	c := *def
	sum := sha256.Sum256([]byte(def.hash + "\x00choreographed\x00" + service))
	c.role = &role{service: service, family: def.hash}
	c.hash = hex.EncodeToString(sum[:16])
	for _, j := range joins {
		if j.start != nil {
			c.role.joins = append(c.role.joins, j.start)
		}
	}
	return &c, nil
}

func choreographyFaults(tree *scope, service string) []error {
	var faults []error
	known := service == ""
	walk(tree.root, func(n *node) {
		switch {
		case n.step != nil && n.step.service == "":
			faults = append(faults, fmt.Errorf("%s: has no Service: say who carries it out", n.path))
		case n.step != nil && n.step.undo != nil && n.step.undone == nil && !n.step.byFailure:
			faults = append(faults, fmt.Errorf("%s: has an undo that no declared event acknowledges, so that the others cannot see it: say Undone or UndoneByFailure", n.path))
		case n.wait != nil && n.wait.deadline > 0:
			faults = append(faults, fmt.Errorf("%s: has a deadline: parties of a choreography cannot agree whether it or the signal came first", n.path))
		}
		known = known || n.step != nil && n.step.service == service
	})
	if !known {
		faults = append(faults, fmt.Errorf("no step has the service %q", service))
	}
	return faults
}

// JoinedBy returns the start, without ID and key, by which the party joins an instance that the event belongs to; ok is false if it does not join by it.
func JoinedBy(def Any, event any) (start Start, ok bool, err error) {
	if r := def.party(); r != nil {
		return begin(r.joins, event)
	}
	return start, false, nil
}

// Reaction is what a service of a choreography does once the events before it are there.
type Reaction struct {
	// Node, Direction and Command (its Go type) say what it does.
	Node      string
	Direction Direction
	Command   string
	// After are the steps that come right before: of a do, those that must have succeeded, none being the start; of an undo, those that
	// must be undone once the saga is aborted.
	After []string
	// On are the Go types of the events that tell so.
	On []string
}

// Reactions lists what the service does in the choreography of the definition, in the order of the definition. Its error is that of [Choreograph].
func Reactions(def Any, service string) ([]Reaction, error) {
	tree := def.root()
	if faults := choreographyFaults(tree, service); len(faults) > 0 {
		return nil, fmt.Errorf("%w %q: %w", ErrInvalid, def.Name(), errors.Join(faults...))
	}
	var reactions []Reaction
	o := orderOf(tree)
	walk(tree.root, func(n *node) {
		if n.step == nil || n.step.service != service {
			return
		}
		do := Reaction{Node: n.path, Direction: DoDirection, Command: n.step.do.typ.String()}
		for _, before := range o.before[n] {
			do.After = append(do.After, before.path)
			do.On = appendNew(do.On, before.step.on.typ.String())
		}
		reactions = append(reactions, do)
	})
	walk(tree.root, func(n *node) {
		if n.step == nil || n.step.service != service || n.step.undo == nil {
			return
		}
		undo := Reaction{Node: n.path, Direction: UndoDirection, Command: n.step.undo.typ.String()}
		for _, after := range o.reverting(n, nil) {
			if after.step.onFailure != nil {
				undo.On = appendNew(undo.On, after.step.onFailure.typ.String())
			}
			if after.step.undo == nil {
				continue
			}
			undo.After = append(undo.After, after.path)
			if after.step.undone != nil {
				undo.On = appendNew(undo.On, after.step.undone.typ.String())
			}
		}
		reactions = append(reactions, undo)
	})
	return reactions, nil
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// order tells the steps right before and right after each step.
type order struct{ before, after map[*node][]*node }

func orderOf(tree *scope) order {
	o := order{map[*node][]*node{}, map[*node][]*node{}}
	o.follow(tree.root, nil)
	return o
}

// reverting returns the steps whose failure, or undo, makes the step be undone: those right after it, and behind those that have nothing to undo the next.
func (o order) reverting(n *node, seen []*node) []*node {
	for _, after := range o.after[n] {
		if slices.Contains(seen, after) {
			continue
		}
		seen = append(seen, after)
		if after.step.class == Compensable && after.step.undo == nil {
			seen = o.reverting(after, seen)
		}
	}
	return seen
}

// follow walks n, which comes after the steps last, and returns the steps that come last of it.
func (o order) follow(n *node, last []*node) []*node {
	switch {
	case n.step != nil:
		o.before[n] = last
		for _, before := range last {
			o.after[before] = append(o.after[before], n)
		}
		return []*node{n}
	case n.each != nil:
		return o.follow(n.each.inner.root, last)
	case n.kind == KindParallel || n.kind == KindIf:
		var ends []*node
		for _, kid := range n.kids {
			for _, end := range o.follow(kid, last) {
				if !slices.Contains(ends, end) {
					ends = append(ends, end)
				}
			}
		}
		return ends
	default:
		for _, kid := range n.kids {
			last = o.follow(kid, last)
		}
		return last
	}
}

// EarlyReply is an event of a choreography that reached a party before those that it follows: it is taken in its turn, so that whatever
// looks at the data finds the same with all parties.
type EarlyReply struct {
	// Failure says that the command was refused, for the Reason.
	Failure bool   `json:"f,omitempty"`
	Reason  string `json:"r,omitempty"`
	Epoch   int    `json:"e,omitempty"`
	// Event is the event, encoded like data.
	Event []byte `json:"m,omitempty"`
}

// keepForItsTurn keeps a reply to a command that, as far as this party knows, was not sent yet. Once the step is compensated there is no turn to wait for.
func (m *machine) keepForItsTurn(r *record, n *node, in Reply, outcome Outcome) (kept bool, err error) {
	unwinding, err := m.unwinding(r)
	if err != nil || unwinding || m.reversing(r) {
		return false, err
	}
	return true, m.keepReply(r, n, in, outcome)
}

func (m *machine) keepReply(r *record, n *node, in Reply, outcome Outcome) error {
	st := r.at(n)
	early := EarlyReply{Failure: outcome == Failure, Epoch: in.Epoch}
	if early.Failure {
		early.Reason = reasonOf(in.Event)
	}
	if slices.ContainsFunc(st.Early, func(e EarlyReply) bool { return e.Failure == early.Failure && e.Epoch == early.Epoch }) {
		return nil
	}
	if h := n.step.handlerOf(early.Failure); h != nil && h.typ == reflect.TypeOf(in.Event) {
		var err error
		if early.Event, err = r.scope.encode(in.Event); err != nil {
			return fmt.Errorf("%s: %w", in.Node, err)
		}
	}
	st.Early, m.changed = append(slices.Clip(st.Early), early), true
	return nil
}

// handlerOf is that of the event that answers the command.
func (s *step) handlerOf(failure bool) *handler {
	if failure {
		return s.onFailure
	}
	return s.on
}

// takeEarly takes the replies that came before their turn.
func (m *machine) takeEarly(r *record, n *node) error {
	st := r.at(n)
	early := st.Early
	st.Early, m.changed = nil, true
	for i, e := range early {
		in := Reply{Node: r.path(n), Direction: DoDirection, Epoch: e.Epoch, Event: refusal(e.Reason)}
		outcome := Success
		if e.Failure {
			outcome = Failure
		}
		if e.Event != nil {
			event := reflect.New(n.step.handlerOf(e.Failure).typ)
			if err := r.scope.read(e.Event, event.Interface()); err != nil {
				return fmt.Errorf("%s: %w", in.Node, err)
			}
			in.Event = event.Elem().Interface()
		}
		if st.Phase != PhaseDoing {
			return nil
		}
		st.Epoch = max(st.Epoch, e.Epoch)
		if _, err := m.answer(r, n, in, outcome); err != nil {
			return err
		}
		if st.Stuck && st.Phase == PhaseDoing { // a function panicked: an operator's retry takes it again
			st.Early = early[i:]
			return nil
		}
	}
	return nil
}

// refusal stands for a failure event that the step does not declare.
type refusal string

// FailureReason is why the command was refused.
func (r refusal) FailureReason() string { return string(r) }
