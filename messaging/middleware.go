package messaging

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// PanicError is the error that a handler's panic becomes. It is transient, but the router gives up a message
// that keeps causing it; see [RouterConfig.MaxAttempts].
type PanicError struct {
	// Value is what was panicked with. Nil means that the handler called [runtime.Goexit].
	Value any
	// Stack is the goroutine's stack, as text.
	Stack []byte
}

// Error names the value if it is an error or a string, else only its type, since it may hold a payload.
func (e *PanicError) Error() string {
	switch v := e.Value.(type) {
	case nil:
		return "messaging: handler ended its goroutine"
	case error, string:
		return fmt.Sprintf("messaging: handler panicked: %v", v)
	default:
		return fmt.Sprintf("messaging: handler panicked with %T", v)
	}
}

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard calls f and returns its panic. It does so on a goroutine of its own because nothing else survives
// runtime.Goexit, which testing's FailNow calls.
func guard(f func()) *PanicError {
	done := make(chan *PanicError, 1)
	go func() {
		returned := false
		defer func() {
			if value := recover(); value != nil || !returned {
				done <- &PanicError{Value: value, Stack: debug.Stack()}
				return
			}
			done <- nil
		}()
		f()
		returned = true
	}()
	return <-done
}

// Recover is the middleware that turns a panic into a [PanicError]. The router has it built in, innermost.
func Recover(next Handler) Handler {
	return func(ctx context.Context, m Message) (err error) {
		defer func() {
			if value := recover(); value != nil {
				err = &PanicError{Value: value, Stack: debug.Stack()}
			}
		}()
		return next(ctx, m)
	}
}

// Timeout is the middleware that ends a handler's context after d; zero or less means no limit. A handler that
// then returns the context's error is tried again like after any other transient error.
func Timeout(d time.Duration) Middleware {
	return func(next Handler) Handler {
		if d <= 0 {
			return next
		}
		return func(ctx context.Context, m Message) error {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			return next(ctx, m)
		}
	}
}

// Observation is one handled message, for metrics.
type Observation struct {
	// Topic and Subscription say where the message came from.
	Topic, Subscription string
	// Type is the message's wire name. It is the sender's choice: bound the label values that you make of it.
	Type string
	// Err is what the handler returned; nil means that it handled the message.
	Err error
	// Class is what the router makes of Err. It says nothing where Err is nil.
	Class Class
	// Duration is the time the handler took.
	Duration time.Duration
}

// Observe is the middleware that reports each handled message to f. f is called from several goroutines at
// once.
func Observe(f func(Observation)) Middleware {
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			start := time.Now()
			err := next(ctx, m)
			o := Observation{Topic: m.Topic, Type: m.Type, Err: err, Duration: time.Since(start)}
			if d, ok := ctx.Value(deliveryKey{}).(delivery); ok {
				o.Subscription = d.subscription
			}
			if err != nil {
				o.Class, _ = classify(err)
			}
			f(o)
			return err
		}
	}
}

// Logging is the middleware that logs one line for each handled message at level Info: what it was, how long it
// took and the class of its error. The error's text is in the router's own log; payloads are in neither. A nil
// logger means [slog.Default].
func Logging(logger *slog.Logger) Middleware {
	if logger == nil {
		logger = slog.Default()
	}
	return func(next Handler) Handler {
		return func(ctx context.Context, m Message) error {
			return Observe(func(o Observation) {
				outcome := "handled"
				if o.Err != nil {
					outcome = o.Class.String()
				}
				logger.InfoContext(ctx, "message", "outcome", outcome, "id", m.Identity(), "type", o.Type, "topic", o.Topic,
					"subscription", o.Subscription, "delivery", m.Delivery, "duration", o.Duration)
			})(next)(ctx, m)
		}
	}
}

type deliveryKey struct{}

type delivery struct {
	message      Message
	subscription string
}

func withDelivery(ctx context.Context, s Subscription, m Message) context.Context {
	return context.WithValue(ctx, deliveryKey{}, delivery{message: m, subscription: s.Name})
}

// FromContext returns the message that the handler with this context was called with, so that code below it can
// log the identity or go on with the trace of its "traceparent" header. ok is false outside of a router's
// handler.
func FromContext(ctx context.Context) (m Message, ok bool) {
	d, ok := ctx.Value(deliveryKey{}).(delivery)
	return d.message, ok
}
