package cqrs

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrNoHandler says that nothing is registered for that type of command or query.
	ErrNoHandler = errors.New("cqrs: no handler")
	// ErrDuplicateHandler says that the type of command or query already has its handler.
	ErrDuplicateHandler = errors.New("cqrs: duplicate handler")
	// ErrBadHandler says that a handler is nil, or that its message is a pointer or an interface.
	ErrBadHandler = errors.New("cqrs: bad handler")
	// ErrResultType says that the caller asked for another type of result than the handler's.
	ErrResultType = errors.New("cqrs: wrong result type")
	// ErrInvalid says that the message's own Validate method refused it.
	ErrInvalid = errors.New("cqrs: invalid message")
)

// MessageError says which message an error is about. Its sentinel is found with [errors.Is].
type MessageError struct {
	// Kind says whether Message is a command or a query.
	Kind Kind
	// Message is the Go type of the message, such as "campaign.Register".
	Message string
	// Err is the reason.
	Err error
}

// Error names the reason and the message's type.
func (e *MessageError) Error() string { return fmt.Sprintf("%v: %v %s", e.Err, e.Kind, e.Message) }

// Unwrap returns Err.
func (e *MessageError) Unwrap() error { return e.Err }

// ResultTypeError is the detail of [ErrResultType].
type ResultTypeError struct {
	// Kind says whether Message is a command or a query.
	Kind Kind
	// Message is the Go type of the message.
	Message string
	// Handler is the Go type that the handler returns.
	Handler string
	// Caller is the Go type that the caller asked for.
	Caller string
}

// Error names all three types.
func (e *ResultTypeError) Error() string {
	return fmt.Sprintf("%v: the handler of %v %s returns %s, the caller wants %s",
		ErrResultType, e.Kind, e.Message, e.Handler, e.Caller)
}

// Unwrap returns [ErrResultType].
func (e *ResultTypeError) Unwrap() error { return ErrResultType }

// PanicError is the error that a panic of a handler or a middleware becomes.
type PanicError struct {
	// Kind says whether Message is a command or a query.
	Kind Kind
	// Message is the Go type of the message that was dispatched.
	Message string
	// Value is what was given to panic.
	Value any
	// Stack is the stack of the goroutine at the panic, as [debug.Stack] formats it.
	Stack []byte
}

// Error names the message's type and the panic's value; the stack is in the field alone.
func (e *PanicError) Error() string {
	return fmt.Sprintf("cqrs: panic in %v %s: %v", e.Kind, e.Message, e.Value)
}

// Unwrap returns the panic's value if it is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// catch is deferred around everything that is not ours.
func catch(kind Kind, message string, err *error) {
	if value := recover(); value != nil {
		*err = &PanicError{Kind: kind, Message: message, Value: value, Stack: debug.Stack()}
	}
}
