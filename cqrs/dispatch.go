package cqrs

import (
	"context"
	"reflect"
	"slices"
	"sync"
)

// Send dispatches a command to its handler and returns what the handler returns; the result means
// nothing if there is an error. A command that nobody handles gives [ErrNoHandler]; an R that is not
// the handler's gives [ErrResultType], and the handler is not called; a panic gives [*PanicError].
func Send[R, C any](ctx context.Context, bus *Bus, command C) (result R, err error) {
	e, err := lookup[C, R](&bus.commands, Command)
	if err != nil {
		return result, err
	}
	defer catch(Command, e.name, &err)
	return e.run(ctx, command)
}

// Ask dispatches a query to its handler; results and errors are as for [Send].
func Ask[R, Q any](ctx context.Context, bus *Bus, query Q) (result R, err error) {
	e, err := lookup[Q, R](&bus.queries, Query)
	if err != nil {
		return result, err
	}
	defer catch(Query, e.name, &err)
	return e.run(ctx, query)
}

func lookup[M, R any](r *registry, kind Kind) (*endpoint[M, R], error) {
	found := r.find(reflect.TypeFor[M]())
	if e, ok := found.(*endpoint[M, R]); ok {
		return e, nil
	}
	return nil, mismatch(kind, reflect.TypeFor[M](), reflect.TypeFor[R](), found)
}

func mismatch(kind Kind, message, result reflect.Type, found erased) error {
	if found == nil {
		return &MessageError{Kind: kind, Message: message.String(), Err: ErrNoHandler}
	}
	return &ResultTypeError{
		Kind: kind, Message: message.String(),
		Handler: found.result().String(), Caller: result.String(),
	}
}

// endpoint is one registered handler. It keeps its types, so that a dispatch costs one lookup, one
// type assertion and the call: no boxing, no reflection.
type endpoint[M, R any] struct {
	kind   Kind
	name   string
	fn     func(context.Context, M) (R, error)
	run    func(context.Context, M) (R, error) // fn, or callChain
	chain  Handler
	frames sync.Pool
}

func newEndpoint[M, R any](kind Kind, name string, middleware []Middleware, fn func(context.Context, M) (R, error)) *endpoint[M, R] {
	e := &endpoint[M, R]{kind: kind, name: name, fn: fn, run: fn}
	if len(middleware) == 0 {
		return e
	}
	e.frames.New = func() any { return newFrame[M, R](kind, name) }
	e.run = e.callChain
	e.chain = e.innermost
	for _, wrap := range slices.Backward(middleware) {
		e.chain = wrap(e.chain)
	}
	return e
}

func (e *endpoint[M, R]) result() reflect.Type { return reflect.TypeFor[R]() }

// callChain runs the handler within its middleware.
func (e *endpoint[M, R]) callChain(ctx context.Context, message M) (result R, err error) {
	f, _ := e.frames.Get().(*frame[M, R])
	f.message = message
	if err := e.chain(ctx, &f.call); err != nil {
		// The frame is left to the collector: a middleware that gave up waiting may have left a
		// handler running that still uses it.
		return result, err
	}
	result = f.result
	f.clear()
	e.frames.Put(f)
	return result, nil
}

// innermost is the Handler at the end of the chain. It catches panics, so that the middleware
// sees them as errors.
func (e *endpoint[M, R]) innermost(ctx context.Context, call *Call) (err error) {
	message, ours := call.message.(*M)
	result, same := call.result.(*R)
	if !ours || !same {
		return &MessageError{Kind: e.kind, Message: e.name, Err: ErrNoHandler}
	}
	defer catch(e.kind, e.name, &err)
	*result, err = e.fn(ctx, *message)
	return err
}

// frame is where a message and its result are while the middleware, which does not know their types, is at
// work. Frames are reused, so that a dispatch through middleware allocates nothing either.
type frame[M, R any] struct {
	call    Call
	message M
	result  R
}

func newFrame[M, R any](kind Kind, name string) *frame[M, R] {
	f := &frame[M, R]{call: Call{kind: kind, name: name}}
	f.call.message, f.call.result = &f.message, &f.result
	return f
}

// clear lets go of what the message and the result refer to.
func (f *frame[M, R]) clear() {
	var message M
	var result R
	f.message, f.result = message, result
}
