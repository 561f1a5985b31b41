package cqrs

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
)

// Kind says what a message is for.
type Kind int

// The kinds of message.
const (
	// Command is a message that asks for a change.
	Command Kind = iota
	// Query is a message that asks for an answer and changes nothing.
	Query
)

// String returns "command" or "query".
func (k Kind) String() string {
	if k == Query {
		return "query"
	}
	return "command"
}

// None is the result of a command that has nothing to say beyond its error.
type None struct{}

// Config configures a [Bus].
type Config struct {
	// Middleware wraps every handler, the outermost first. Nil entries are skipped. Zero means none.
	Middleware []Middleware
}

// Bus knows the handler of each type of command and query. The zero Bus is empty, has no
// middleware and is ready for use. A Bus is safe for concurrent use and must not be copied.
type Bus struct {
	middleware []Middleware
	commands   registry
	queries    registry
}

// NewBus returns an empty bus.
func NewBus(c Config) *Bus {
	isNil := func(m Middleware) bool { return m == nil }
	return &Bus{middleware: slices.DeleteFunc(slices.Clone(c.Middleware), isNil)}
}

// Handle registers fn as the handler of commands of type C. A second handler for C gives
// [ErrDuplicateHandler]; a nil fn, or a C that is a pointer or an interface, gives [ErrBadHandler].
func Handle[C, R any](bus *Bus, fn func(ctx context.Context, command C) (R, error)) error {
	return register(&bus.commands, Command, bus.middleware, fn)
}

// HandleQuery registers fn as the handler of queries of type Q; the errors are those of [Handle].
func HandleQuery[Q, R any](bus *Bus, fn func(ctx context.Context, query Q) (R, error)) error {
	return register(&bus.queries, Query, bus.middleware, fn)
}

func register[M, R any](r *registry, kind Kind, middleware []Middleware, fn func(context.Context, M) (R, error)) error {
	message := reflect.TypeFor[M]()
	if k := message.Kind(); fn == nil || k == reflect.Pointer || k == reflect.Interface {
		return &MessageError{Kind: kind, Message: message.String(), Err: ErrBadHandler}
	}
	if !r.add(message, newEndpoint(kind, message.String(), middleware, fn)) {
		return &MessageError{Kind: kind, Message: message.String(), Err: ErrDuplicateHandler}
	}
	return nil
}

// registry holds the endpoints of one kind. The map is replaced as a whole, never written to, so
// that dispatch reads it without a lock.
type registry struct {
	mu      sync.Mutex // serialises add
	current atomic.Pointer[map[reflect.Type]erased]
}

// erased is an endpoint without its types.
type erased interface{ result() reflect.Type }

func (r *registry) find(message reflect.Type) erased {
	if m := r.current.Load(); m != nil {
		return (*m)[message]
	}
	return nil
}

// add reports whether message was new.
func (r *registry) add(message reflect.Type, e erased) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[reflect.Type]erased)
	if m := r.current.Load(); m != nil {
		maps.Copy(next, *m)
	}
	if _, taken := next[message]; taken {
		return false
	}
	next[message] = e
	r.current.Store(&next)
	return true
}
