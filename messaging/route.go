package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// panicAttempts is the limit for messages that make their handler panic when MaxAttempts sets none.
const panicAttempts = 5

// route is one subscription with its handler; either handle or batch is set.
type route struct {
	subscription Subscription
	handle       Handler
	batch        BatchHandler
	config       RouterConfig
	logger       *slog.Logger
	attempts     attempts
}

// supervise keeps the subscription going until ctx ends.
func (rt *route) supervise(ctx context.Context, ready func()) error {
	identity := rt.subscription.Topic + "/" + rt.subscription.Name
	for attempt := 1; ; attempt++ {
		err := rt.config.Subscriber.Subscribe(ctx, rt.subscription, func() {
			attempt = 1
			ready()
		}, rt.receive)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, ErrClosed) || errors.Is(err, ErrBusy) {
			return fmt.Errorf("messaging: subscribe %s: %w", identity, err)
		}
		delay := rt.config.Backoff.Delay(attempt, identity)
		rt.logger.WarnContext(ctx, "subscription ended; subscribing again", "error", err, "after", delay)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// receive is the route's [Receiver].
func (rt *route) receive(ctx context.Context, batch []Message) []Disposition {
	one := rt.handle
	if rt.batch != nil {
		errs, fault := rt.callBatch(ctx, batch)
		if fault == nil {
			return rt.settle(ctx, batch, func(i int) error { return errs[i] })
		}
		if len(batch) == 1 {
			return rt.settle(ctx, batch, func(int) error { return fault })
		}
		one = rt.alone
	}
	return rt.settle(ctx, batch, func(i int) error { return rt.call(ctx, batch[i], one) })
}

// settle decides on each message in turn; outcome is not asked about a message that has to wait for an earlier
// one of its key.
func (rt *route) settle(ctx context.Context, batch []Message, outcome func(i int) error) []Disposition {
	dispositions := make([]Disposition, len(batch))
	var held map[string]Disposition
	for i, m := range batch {
		if hold, ok := held[m.Key]; ok {
			dispositions[i] = hold
			continue
		}
		d := rt.verdict(ctx, m, outcome(i))
		dispositions[i] = d
		if d.Redeliver && m.Key != "" && rt.subscription.Type != Shared {
			if held == nil {
				held = make(map[string]Disposition)
			}
			held[m.Key] = d
		}
	}
	return dispositions
}

// call hands one message to h. A message that comes when ctx has ended is not begun.
func (rt *route) call(ctx context.Context, m Message, h Handler) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	fault := guard(func() { err = h(withDelivery(ctx, rt.subscription, m), m) })
	if fault != nil {
		return fault
	}
	return err
}

// callBatch returns one error for each message, or the panic.
func (rt *route) callBatch(ctx context.Context, batch []Message) ([]error, *PanicError) {
	var errs []error
	if fault := guard(func() { errs = rt.batch(ctx, batch) }); fault != nil {
		return nil, fault
	}
	if errs != nil && len(errs) != len(batch) {
		err := fmt.Errorf("messaging: the batch handler returned %d errors for %d messages", len(errs), len(batch))
		errs = make([]error, len(batch))
		for i := range errs {
			errs[i] = err
		}
	}
	if errs == nil {
		errs = make([]error, len(batch))
	}
	return errs, nil
}

func (rt *route) alone(ctx context.Context, m Message) error {
	errs, fault := rt.callBatch(ctx, []Message{m})
	if fault != nil {
		return fault
	}
	return errs[0]
}

// verdict settles one message by its handler's error.
func (rt *route) verdict(ctx context.Context, m Message, err error) Disposition {
	if err == nil {
		rt.attempts.forget(m)
		return Disposition{}
	}
	class, after := classify(err)
	switch class {
	case Delayed:
		return Disposition{Redeliver: true, After: max(after, 0)}
	case Terminal:
		return rt.bury(ctx, m, err, rt.attempts.add(m, false).failures)
	case Transient:
	}
	if ctx.Err() != nil { // a handler cut short has not failed
		return Disposition{Redeliver: true}
	}
	var fault *PanicError
	panicked := errors.As(err, &fault)
	tally := rt.attempts.add(m, panicked)
	if panicked {
		rt.logger.ErrorContext(ctx, "handler panicked", "message", m.Identity(), "type", m.Type, "stack", string(fault.Stack))
	}
	limit := rt.config.MaxAttempts
	if limit > 0 && tally.failures >= limit || limit == 0 && tally.panics >= panicAttempts {
		return rt.bury(ctx, m, err, tally.failures)
	}
	delay := rt.config.Backoff.Delay(tally.failures, m.Identity())
	rt.logger.WarnContext(ctx, "message failed; trying again", "message", m.Identity(), "type", m.Type,
		"attempts", tally.failures, "after", delay, "error", err)
	return Disposition{Redeliver: true, After: delay}
}

// bury acknowledges m once it is stored as a dead letter.
func (rt *route) bury(ctx context.Context, m Message, reason error, attempts int) Disposition {
	letter := DeadLetter{
		Message: m, Subscription: rt.subscription.Name, Reason: reason.Error(), Attempts: attempts, Time: time.Now(),
	}
	var err error
	if fault := guard(func() { err = rt.config.DeadLetters.DeadLetter(ctx, letter) }); fault != nil {
		err = fault
	}
	attrs := []any{"message", m.Identity(), "type", m.Type, "attempts", attempts, "reason", reason}
	if err != nil {
		delay := rt.config.Backoff.Delay(attempts, m.Identity())
		rt.logger.ErrorContext(ctx, "dead letter not stored; trying again", append(attrs, "after", delay, "error", err)...)
		return Disposition{Redeliver: true, After: delay}
	}
	rt.attempts.forget(m)
	rt.logger.ErrorContext(ctx, "message became a dead letter", attrs...)
	return Disposition{}
}

// classify is [Classify] for what reaches a router, where nobody is left to answer with a refusal.
func classify(err error) (Class, time.Duration) {
	class, after := Classify(err)
	var refusal *Refusal
	if class == Transient && errors.As(err, &refusal) {
		class = Terminal
	}
	return class, after
}
