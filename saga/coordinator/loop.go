package coordinator

import (
	"context"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// failurePause is how long the loop rests after the store failed, so that it does not spin.
const failurePause = 100 * time.Millisecond

// loop is the coordinator's one goroutine that decides: it takes what has arrived, without waiting for more,
// and commits it together. While it commits, the next batch gathers.
func (c *Coordinator) loop(ctx context.Context) {
	defer close(c.closed)
	l := &loop{c: c, wake: c.cfg.Now()} // look at once: an earlier run may have left something due
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(l.sleep())
		select {
		case <-ctx.Done():
			l.abandon()
			return
		case requests := <-c.requests:
			l.take(requests)
		case <-timer.C:
		}
		l.gather()
		l.tickDue(ctx)
		if len(l.batch) > 0 {
			l.process(ctx)
		}
	}
}

// loop is what the goroutine knows between two batches.
type loop struct {
	c     *Coordinator
	batch []*request
	// carry are requests for the next batch: conflicts and pages of fan-outs.
	carry []*request
	// wake is when the store is to be looked at for due records.
	wake time.Time
}

func (l *loop) sleep() time.Duration {
	if len(l.carry) > 0 {
		return 0
	}
	return max(0, min(l.wake.Sub(l.c.cfg.Now()), l.c.cfg.Recheck))
}

// take adds requests to the batch. None at all ask for a look at the store.
func (l *loop) take(requests []*request) {
	if len(requests) == 0 {
		l.wake = l.c.cfg.Now()
	}
	l.batch = append(l.batch, requests...)
}

// gather adds whatever else is there.
func (l *loop) gather() {
	l.batch = append(l.carry, l.batch...)
	l.carry = nil
	for len(l.batch) < l.c.cfg.MaxBatch {
		select {
		case requests := <-l.c.requests:
			l.take(requests)
		default:
			return
		}
	}
}

// tickDue adds ticks for records that are due.
func (l *loop) tickDue(ctx context.Context) {
	now := l.c.cfg.Now()
	if now.Before(l.wake) {
		return
	}
	due, next, err := l.c.cfg.Store.Due(ctx, now, l.c.cfg.MaxBatch)
	if err != nil {
		l.c.cfg.Logger.ErrorContext(ctx, "coordinator: look for due records", "error", err)
		l.wake = now.Add(failurePause)
		return
	}
	for _, w := range due {
		l.batch = append(l.batch, &request{id: w.ID, input: saga.Tick{Record: w.Record}})
	}
	l.wake = now.Add(l.c.cfg.Recheck)
	if len(due) == l.c.cfg.MaxBatch {
		l.wake = now // there may be more
	}
	if !next.IsZero() {
		l.wakeAt(next)
	}
}

func (l *loop) wakeAt(t time.Time) {
	if !t.IsZero() && t.Before(l.wake) {
		l.wake = t
	}
}

// process decides the batch, commits it, and only then sends, answers and observes.
func (l *loop) process(ctx context.Context) {
	batch := l.batch
	l.batch = nil
	transits, err := l.c.decideAll(ctx, batch)
	var conflicts []saga.ID
	if err == nil {
		conflicts, err = l.commit(ctx, transits)
	}
	if err != nil {
		l.c.cfg.Logger.ErrorContext(ctx, "coordinator: commit", "error", err, "inputs", len(batch))
		for _, r := range batch {
			r.answer(saga.State{}, err)
		}
		l.wakeAt(l.c.cfg.Now().Add(failurePause)) // ticks come again
		return
	}
	stale := map[saga.ID]bool{}
	for _, id := range conflicts {
		stale[id] = true
	}
	for _, t := range transits {
		if stale[t.id] {
			for _, r := range t.requests {
				l.carry = append(l.carry, r.request)
			}
			continue
		}
		l.done(t)
	}
}

func (l *loop) commit(ctx context.Context, transits []*transit) ([]saga.ID, error) {
	var changes []Change
	for _, t := range transits {
		if t.changed() {
			changes = append(changes, t.change())
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	return l.c.cfg.Store.Commit(ctx, changes)
}

// done carries out what was committed.
func (l *loop) done(t *transit) {
	c := l.c
	if t.changed() {
		c.relay.Enqueue(t.outbox...)
		l.schedule(t)
		if c.cfg.Observe != nil {
			c.cfg.Observe(Transition{State: t.state, Log: t.log})
		}
		if t.state.Status.Terminal() || t.state.Status == saga.Parked {
			c.waiters.tell(t.id)
		}
	}
	for _, r := range t.requests {
		r.answer(t.state, r.err)
	}
}

// schedule notes when the changed records want to wake; what is due already goes into the next batch.
func (l *loop) schedule(t *transit) {
	if t.state.Status.Terminal() || t.state.Orphaned {
		return
	}
	now := l.c.cfg.Now()
	for _, r := range t.records {
		switch {
		case r.Wake.IsZero():
		case r.Wake.After(now):
			l.wakeAt(r.Wake)
		default:
			l.carry = append(l.carry, &request{id: t.id, input: saga.Tick{Record: r.Key}})
		}
	}
}

// abandon tells those whose requests were not taken up.
func (l *loop) abandon() {
	for _, r := range append(l.carry, l.batch...) {
		r.answer(saga.State{}, ErrClosed)
	}
}

// message makes a command's message. Its key is the saga, so that one saga's commands stay in order.
func (c *Coordinator) message(id saga.ID, send saga.Send) (messaging.Message, error) {
	m, err := c.cfg.Bus.Codec.Encode(send.Command)
	if err != nil {
		return m, err
	}
	m.ID, m.Key = send.ID, string(id)
	return messaging.Correlation{
		Saga: string(id), Node: send.Node, Direction: messaging.Direction(send.Direction), Epoch: send.Epoch,
	}.Stamp(m), nil
}
