package saga

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
)

// matcher recognises by their payload the events of participants that know nothing of sagas (R11).
type matcher struct {
	of     func(data any) string // data is *D
	events []EventKey
}

func (m *matcher) keyOf(t reflect.Type) *EventKey {
	for i := range m.events {
		if m.events[i].typ == t {
			return &m.events[i]
		}
	}
	return nil
}

// EventKey tells the key of events of one type; see [KeyOf].
type EventKey struct {
	typ reflect.Type
	key func(event any) string
}

// KeyOf tells by what an event of type E is recognised. An event whose key is empty is not. f must be pure.
func KeyOf[E any](f func(E) string) EventKey {
	k := EventKey{typ: reflect.TypeFor[E]()}
	if f != nil {
		k.key = func(event any) string { return f(event.(E)) } //nolint:errcheck,forcetypeassert // of typ
	}
	return k
}

// Matching recognises the replies to a step, or the signal of a [Wait], by their payload: those events belong to it whose key equals the one
// that of finds in the data. It is for participants that echo no headers (R11); replies that do echo them need no
// key. Every event that the step declares needs its [KeyOf]. A step's key is taken when its command is sent, a wait's when its record is
// made: with the instance, or of an item when its fan-out makes the item, before which its events are nobody's. Of several instances that wait for the same key the one that has waited longest gets the event.
func Matching[D any](of func(D) string, events ...EventKey) Part[D] {
	return Part[D]{apply: func(n *node) {
		switch {
		case of == nil:
			n.flaws = append(n.flaws, "has a Matching without a function: give it one")
		case n.match != nil:
			n.flaws = append(n.flaws, "has more than one Matching: keep one")
		default:
			n.match = &matcher{of: func(data any) string { return of(*data.(*D)) }, events: events} //nolint:errcheck,forcetypeassert // its scope's data
		}
	}}
}

// matchKey is the key as stores keep it: 64 hexadecimal digits.
func matchKey(definition, path, key string) string {
	sum := sha256.Sum256([]byte(definition + "\x00" + path + "\x00" + key))
	return hex.EncodeToString(sum[:])
}

// MatchKeys returns the keys under which instances of the definition, of whatever version, may wait for the event; see [Expect].
func MatchKeys(def Any, event any) ([]string, error) {
	var keys []string
	var failed error
	t := reflect.TypeOf(event)
	walk(def.root().root, func(n *node) {
		if n.match == nil || failed != nil {
			return
		}
		k := n.match.keyOf(t)
		if k == nil {
			return
		}
		var key string
		if err := guard("the KeyOf function for "+t.String(), func() { key = k.key(event) }); err != nil {
			failed = fmt.Errorf("%w: %s: %w", ErrUnexpectedReply, n.path, err)
			return
		}
		if key != "" {
			keys = append(keys, matchKey(def.Name(), n.path, key))
		}
	})
	return keys, failed
}

// Accepts reports whether the event is one that the node at the path takes in that direction.
func Accepts(def Any, path string, d Direction, event any) bool {
	n, t := nodeAt(def, path), reflect.TypeOf(event)
	is := func(h *handler) bool { return h != nil && h.typ == t }
	switch {
	case n == nil:
		return false
	case n.wait != nil:
		return d == SignalDirection && is(n.wait.on)
	case n.step == nil:
		return false
	case d == UndoDirection:
		return is(n.step.undone) || n.step.byFailure && is(n.step.onFailure)
	default:
		return d == DoDirection && (is(n.step.on) || is(n.step.onFailure))
	}
}

// Answers reports whether a step takes the event, which is no command, for an answer if it echoes the headers of the command of the node at the
// path in that direction, and tells no outcome: where any answer acknowledges an undo, any event is one.
func Answers(def Any, path string, d Direction, event any) bool {
	n := nodeAt(def, path)
	if n == nil || n.step == nil {
		return false
	}
	s := n.step
	return Accepts(def, path, d, event) || d == UndoDirection && s.undo != nil && s.undone == nil && !s.byFailure
}

// nodeAt returns the node at the path of an instance; nil if there is none.
func nodeAt(def Any, path string) *node {
	s := def.root()
	key, local := splitPath(path)
	if key != "" {
		s = scopeOf(s, key)
	}
	if s == nil {
		return nil
	}
	return s.byLocal[local]
}

// expect says that the node now waits for an event with its key.
func (m *machine) expect(r *record, n *node, data any, d Direction, epoch int) {
	if n.match == nil {
		return
	}
	var key string
	if err := guard("the Matching function", func() { key = n.match.of(data) }); err != nil {
		m.stick(r, n, err.Error())
		return
	}
	if key != "" {
		m.effects = append(m.effects, Expect{Node: r.path(n), Direction: d, Epoch: epoch, Key: matchKey(m.def.Name(), n.path, key)})
	}
}

// expectSignals says for what the waits of a new record wait, so that a signal that comes early is kept.
func (m *machine) expectSignals(r *record) error {
	for _, n := range r.scope.nodes {
		if n.wait == nil {
			continue
		}
		if err := m.expectEvent(r, n, SignalDirection, 0); err != nil {
			return err
		}
	}
	return nil
}

// expectEvent is [machine.expect] with the record's data.
func (m *machine) expectEvent(r *record, n *node, d Direction, epoch int) error {
	if n.match == nil {
		return nil
	}
	data, err := m.data(r)
	if err == nil {
		m.expect(r, n, data, d, epoch)
	}
	return err
}

// starter is an event that starts an instance.
type starter struct {
	typ  reflect.Type
	make func(event any) (key string, data any)
}

type startNode[D any] struct{ n *node }

func (s startNode[D]) erase(D) *node { return s.n }

// StartOn makes events of type E start an instance (R10), with the business key and the data that f tells: a second event with the same key
// changes nothing. With an empty key, the message's id is the key; with one that no instance can have (see [MaxKey]) the event is a dead letter. Events that answer a saga's command start nothing. It stands among the nodes of
// [Define], not within others.
func StartOn[D, E any](f func(E) (key string, data D)) Node[D] {
	n := &node{kind: kindStart, start: &starter{typ: reflect.TypeFor[E]()}}
	if f == nil {
		n.flaws = append(n.flaws, "has a StartOn without a function: give it one")
	}
	n.start.make = func(event any) (string, any) { return f(event.(E)) } //nolint:errcheck,forcetypeassert // of typ
	return startNode[D]{n: n}
}

// StartedBy returns the start that the event asks for, without its ID; ok is false if it asks for none.
func StartedBy(def Any, event any) (start Start, ok bool, err error) {
	return begin(def.root().starts, event)
}

func begin(starts []*starter, event any) (start Start, ok bool, err error) {
	t := reflect.TypeOf(event)
	for _, s := range starts {
		if s.typ != t {
			continue
		}
		err := guard("the function that starts on "+t.String(), func() { start.Key, start.Data = s.make(event) })
		if err != nil {
			return start, false, fmt.Errorf("%w: %w", ErrUnexpectedReply, err)
		}
		return start, true, nil
	}
	return start, false, nil
}
