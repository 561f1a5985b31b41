package messaging

import (
	"errors"
	"fmt"
	"time"
)

// The sentinels of this package and its drivers; test for them with [errors.Is].
var (
	// ErrClosed says that the broker or client was closed.
	ErrClosed = errors.New("messaging: closed")
	// ErrBusy says that an exclusive subscription already has its consumer.
	ErrBusy = errors.New("messaging: subscription is busy")
	// ErrNotDeadLetter says that a message does not tell which topic it was given up on.
	ErrNotDeadLetter = errors.New("messaging: not a dead letter")
	// ErrUnknownType says that no Go type, or no wire name, of that kind is registered.
	ErrUnknownType = errors.New("messaging: unknown type")
	// ErrMalformed says that a payload is not one whole value of its type.
	ErrMalformed = errors.New("messaging: malformed payload")
	// ErrUnsupported says that the broker has no such capability.
	ErrUnsupported = errors.New("messaging: not supported by this broker")
)

// Class says what the router does about a handler's error.
type Class int

// The error classes.
const (
	// Transient errors are tried again with backoff. It is the class of every error that says nothing else.
	Transient Class = iota
	// Terminal errors never get better: the message becomes a dead letter.
	Terminal
	// Delayed errors name the time after which to try again.
	Delayed
)

// String returns the class's name in lower case, as in logs and metrics.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Terminal:
		return "terminal"
	case Delayed:
		return "delayed"
	default:
		return fmt.Sprintf("Class(%d)", int(c))
	}
}

type classified struct {
	err   error
	class Class
	after time.Duration
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }

// Permanent marks err as one that no retry cures: the message goes to the dead letters with err's
// text as the reason. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, class: Terminal}
}

// RetryAfter asks for the message again after d, without counting it as a failed attempt.
// RetryAfter(d, nil) is nil.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &classified{err: err, class: Delayed, after: d}
}

// Classify returns the class of err and, for Delayed, the time to wait. The outermost mark in
// err's chain decides. [ErrMalformed] and [ErrUnknownType] are terminal without a mark.
func Classify(err error) (Class, time.Duration) {
	var c *classified
	switch {
	case errors.As(err, &c):
		return c.class, c.after
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrUnknownType):
		return Terminal, 0
	default:
		return Transient, 0
	}
}

// Refusal is the error of a participant that says no for a business reason: the command had no
// effect, and Event is the failure event to answer with. It is an answer, not a fault: nothing is retried.
type Refusal struct {
	// Event is the failure event, a plain struct of a registered type.
	Event any
}

// Error returns the event's type and nothing of its contents.
func (r *Refusal) Error() string { return fmt.Sprintf("messaging: refused with %T", r.Event) }

// Refuse returns the error with which a participant's handler answers that it will not do what
// the command asks; event becomes the failure event.
func Refuse(event any) error { return &Refusal{Event: event} }

func joinErrors(all []error) error {
	if len(all) == 1 {
		return all[0]
	}
	return errors.Join(all...)
}
