package cqrs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Call is one dispatch as middleware sees it. It is valid until the handler that was given it
// returns, and must not be kept. Only a bus makes calls: a Handler that passes on another than the one it
// was given gets [ErrNoHandler].
type Call struct {
	kind    Kind
	name    string
	message any
	result  any
}

// Kind says whether the message is a command or a query.
func (c *Call) Kind() Kind { return c.kind }

// Name returns the Go type of the message, such as "campaign.Register": good for logs, metrics and
// traces, and not a name to put on a wire.
func (c *Call) Name() string { return c.name }

// Message returns a pointer to the message: for a command of type C, a *C. Treat it as
// read-only and do not log its contents.
func (c *Call) Message() any { return c.message }

// Result returns a pointer to the result: for a handler that returns an R, a *R. It holds the result once
// the next handler has returned nil. A middleware that answers in the handler's place writes its answer there.
func (c *Call) Result() any { return c.result }

// Handler is a handler whose types are erased.
type Handler func(ctx context.Context, call *Call) error

// Middleware wraps next. It is called once for each registered handler. The Handler that it returns may call next
// never, once, or several times one after the other (to retry), but not at the same time; it returns nil only
// after next has returned.
type Middleware func(next Handler) Handler

// Logging logs each dispatch when it ends: the kind and the Go type of the message and, if
// it failed, the error. Success is logged at debug level, failure at warn level. Neither the message
// nor the result is logged. Nil means [slog.Default].
func Logging(logger *slog.Logger) Middleware {
	if logger == nil {
		logger = slog.Default()
	}
	return func(next Handler) Handler {
		return func(ctx context.Context, call *Call) error {
			err := next(ctx, call)
			level, text := slog.LevelDebug, "handled"
			if err != nil {
				level, text = slog.LevelWarn, "not handled"
			}
			if !logger.Enabled(ctx, level) {
				return err
			}
			attrs := []slog.Attr{slog.String("kind", call.kind.String()), slog.String("message", call.name)}
			if err != nil {
				attrs = append(attrs, slog.Any("error", err))
			}
			logger.LogAttrs(ctx, level, text, attrs...)
			return err
		}
	}
}

// Validation refuses a message whose method Validate() error returns an error: that error comes back
// within a [MessageError] that is also [ErrInvalid], and the handler is not called. Messages
// without that method pass.
func Validation() Middleware {
	type validator interface{ Validate() error }
	return func(next Handler) Handler {
		return func(ctx context.Context, call *Call) error {
			if v, ok := call.message.(validator); ok {
				if err := v.Validate(); err != nil {
					return &MessageError{Kind: call.kind, Message: call.name, Err: fmt.Errorf("%w: %w", ErrInvalid, err)}
				}
			}
			return next(ctx, call)
		}
	}
}

// Observe calls begin before each dispatch and the function that begin returns after it, with
// the handler's error: the place for metrics and traces. The handler gets the context that begin
// returns. A nil end is not called.
func Observe(begin func(ctx context.Context, call *Call) (_ context.Context, end func(error))) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, call *Call) error {
			ctx, end := begin(ctx, call)
			err := next(ctx, call)
			if end != nil {
				end(err)
			}
			return err
		}
	}
}

// UnitOfWork runs each command's handler within do, which opens a transaction, calls the function with a
// context that carries it, and commits if that returns nil. The command's error is that of do, or
// else that of the handler. A do that calls its function again (after a serialization failure, say)
// runs the handler again; one that returns nil without calling it fails the command. Queries pass by.
func UnitOfWork(do func(ctx context.Context, handle func(context.Context) error) error) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, call *Call) error {
			if call.kind != Command {
				return next(ctx, call)
			}
			outcome := errNotCalled
			err := do(ctx, func(ctx context.Context) error {
				outcome = next(ctx, call)
				return outcome
			})
			if err != nil {
				return err
			}
			return outcome
		}
	}
}

var errNotCalled = errors.New("cqrs: the unit of work did not call its function")
