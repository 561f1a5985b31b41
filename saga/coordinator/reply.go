package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// orphanRetry is how long a reply waits for a coordinator that knows its instance's definition.
const orphanRetry = 5 * time.Second

// replies takes a batch of events: it is done when all of them are committed. Events that answer no command of a saga are none of
// the coordinator's business.
func (c *Coordinator) replies(ctx context.Context, batch []messaging.Message) []error {
	type outcome struct {
		i   int
		err error
	}
	errs := make([]error, len(batch))
	answered := make(chan outcome, len(batch))
	var requests []*request
	for i, m := range batch {
		r, err := c.request(m)
		if err != nil || r == nil {
			errs[i] = err
			continue
		}
		r.reply = func(_ saga.State, err error) { answered <- outcome{i, err} }
		requests = append(requests, r)
	}
	if len(requests) == 0 {
		return errs
	}
	if err := c.submit(context.WithoutCancel(ctx), requests...); err != nil {
		for _, r := range requests {
			r.answer(saga.State{}, err)
		}
	}
	for range requests {
		o := <-answered
		errs[o.i] = verdict(o.err)
	}
	return errs
}

// request reads a reply from its message; nil if it is none.
func (c *Coordinator) request(m messaging.Message) (*request, error) {
	correlation, ok := messaging.CorrelationOf(m)
	outcome := messaging.Outcome(m.Header(messaging.HeaderOutcome))
	if !ok || outcome == "" {
		return nil, nil //nolint:nilnil // no request and no fault
	}
	event, err := c.cfg.Bus.Codec.Decode(m)
	if err != nil {
		return nil, err
	}
	return &request{id: saga.ID(correlation.Saga), input: saga.Reply{
		Node: correlation.Node, Direction: saga.Direction(correlation.Direction), Epoch: correlation.Epoch,
		Outcome: saga.Outcome(outcome), Event: event,
	}}, nil
}

// verdict classifies what became of a reply for the router.
func verdict(err error) error {
	switch {
	case errors.Is(err, saga.ErrUnexpectedReply), errors.Is(err, saga.ErrNotFound):
		return messaging.Permanent(err)
	case errors.Is(err, saga.ErrUnknownDefinition), errors.Is(err, saga.ErrData):
		return messaging.RetryAfter(orphanRetry, err)
	default:
		return err
	}
}
