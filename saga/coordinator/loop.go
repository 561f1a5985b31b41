package coordinator

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

const (
	// failurePause is how long the loop leaves due records alone after a failure, so that it does not spin. The pause
	// doubles with each further failure, up to failurePauseMax.
	failurePause    = 100 * time.Millisecond
	failurePauseMax = 5 * time.Second
	// pagePause is how long the loop rests between two full pages of due records, so that a page of which nothing comes, as all
	// of it is another version's, does not make it spin.
	pagePause = 5 * time.Millisecond
	// maxSpoiled bounds how many instances are tried alone in vain before the store itself is held to be at fault.
	maxSpoiled = 8
)

// loop is the coordinator's one goroutine that decides: it takes what has arrived, without waiting for more,
// and commits it together. While it commits, the next batch gathers.
func (c *Coordinator) loop(ctx context.Context, pauses []Pause) {
	defer close(c.closed)
	now := c.cfg.Now()
	// Look at once: an earlier run may have left something due.
	l := &loop{c: c, wake: now, adopt: now.Add(c.cfg.Recheck), unusable: map[string]bool{}}
	l.pausing.all = pauses
	work := context.WithoutCancel(ctx) // what was taken is finished
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
		if err := l.refreshPauses(work); err != nil {
			l.fail(work, l.batch, err)
			l.batch = nil
			l.rest(failurePause)
			continue
		}
		l.adoptOrphans(work)
		l.tickDue(work)
		if len(l.batch) > 0 {
			l.process(work)
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
	// adopt is when parked instances are to be taken up that another coordinator could not decide.
	adopt time.Time
	// unusable are the hashes of definitions with an instance whose data this program cannot read: to take such a one up
	// again would only park it again.
	unusable map[string]bool
	// failures counts the batches since one went well.
	failures int
	pausing  pausing
}

func (l *loop) sleep() time.Duration {
	if len(l.carry) > 0 {
		return 0
	}
	now := l.c.cfg.Now()
	rest := min(l.wake.Sub(now), l.c.cfg.Recheck)
	if len(l.pausing.all) > 0 { // another process may end a pause, and is not told what this one holds
		rest = min(rest, l.pausing.read.Add(pauseCheck).Sub(now))
	}
	return max(0, rest)
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

// adoptOrphans takes up, once in a recheck, the instances that a coordinator of an older or newer version parked while this one
// was running already.
func (l *loop) adoptOrphans(ctx context.Context) {
	now := l.c.cfg.Now()
	if now.Before(l.adopt) {
		return
	}
	l.adopt = now.Add(l.c.cfg.Recheck)
	if err := l.c.cfg.Store.Adopt(ctx, l.c.hashes(l.unusable)); err != nil {
		l.c.cfg.Logger.ErrorContext(ctx, "coordinator: take up parked instances", "error", err)
		return
	}
	l.wake = now
}

// tickDue adds ticks for records that are due.
func (l *loop) tickDue(ctx context.Context) {
	now := l.c.cfg.Now()
	if now.Before(l.wake) {
		return
	}
	l.wake = now.Add(l.c.cfg.Recheck)
	for _, q := range l.dueQueries(now) {
		if err := l.tick(ctx, q); err != nil {
			l.c.cfg.Logger.ErrorContext(ctx, "coordinator: look for due records", "error", err)
			l.wake = now.Add(failurePause)
			return
		}
	}
}

// tick adds ticks for the records of one look at the store.
func (l *loop) tick(ctx context.Context, q DueQuery) error {
	releasing := l.releasing(q.Only)
	if releasing {
		l.wakeAt(q.Now.Add(releasePause))
		if q.Limit == 0 {
			return nil
		}
	}
	due, next, err := l.c.cfg.Store.Due(ctx, q)
	if err != nil {
		return err
	}
	for _, w := range due {
		l.batch = append(l.batch, &request{id: w.ID, input: saga.Tick{Record: w.Record}})
	}
	switch {
	case releasing && len(due) < q.Limit:
		l.released(ctx, q.Only)
	case !releasing && len(due) == q.Limit:
		l.wakeAt(q.Now.Add(pagePause)) // there may be more
	}
	l.wakeAt(next)
	return nil
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
	err := l.attempt(ctx, batch)
	if err == nil {
		l.failures = 0
		return
	}
	l.c.relay.Wake() // the commit may have taken effect all the same
	some := l.isolate(ctx, batch, err)
	// Ticks come again, soon but not at once; while everything fails, less and less often.
	now := l.c.cfg.Now()
	pause := min(failurePause<<min(l.failures, 6), failurePauseMax)
	l.failures++
	rest := pause
	if some {
		rest = failurePause
	}
	l.rest(rest)
	l.wakeAt(now.Add(pause))
}

// rest leaves due records alone for so long.
func (l *loop) rest(pause time.Duration) {
	if until := l.c.cfg.Now().Add(pause); l.wake.Before(until) {
		l.wake = until
	}
}

// attempt does all of the batch or returns why nothing of it was done.
func (l *loop) attempt(ctx context.Context, batch []*request) error {
	found, err := l.c.find(ctx, batch)
	if err != nil {
		return err
	}
	transits, err := l.c.decideAll(ctx, found.inputs, l.pausing.all)
	if err != nil {
		return err
	}
	conflicts, err := l.commit(ctx, transits)
	if err != nil {
		return err
	}
	stale := map[saga.ID]bool{}
	for _, id := range conflicts {
		stale[id] = true
		l.c.hot.drop(id)
	}
	for _, t := range transits {
		again := t.later
		if stale[t.id] {
			again = slices.Concat(t.requests, t.later)
			for _, r := range again {
				r.fresh = false
			}
		} else {
			l.done(t)
		}
		for _, r := range again {
			l.carry = append(l.carry, r.request)
		}
	}
	l.carry = append(l.carry, found.repeated...)
	for _, r := range found.unclaimed {
		if r.event.awaitedNow(transits) {
			l.carry = append(l.carry, r)
			continue
		}
		r.answer(saga.State{}, nil) // it is nobody's
	}
	return nil
}

// isolate tries each instance of a batch that failed alone, so that one that the store will never take does not stop all
// others; it reports whether some went well.
func (l *loop) isolate(ctx context.Context, batch []*request, err error) (some bool) {
	groups := byInstance(batch)
	if _, _, down := l.c.cfg.Store.Due(ctx, DueQuery{Now: l.c.cfg.Now(), Limit: 1}); down != nil || len(groups) == 1 {
		l.fail(ctx, batch, err)
		return false
	}
	spoiled := 0
	for _, group := range groups {
		if spoiled < maxSpoiled {
			if err = l.attempt(ctx, group); err == nil {
				some = true
				continue
			}
			spoiled++
		}
		l.fail(ctx, group, err)
	}
	return some
}

func byInstance(batch []*request) [][]*request {
	places := map[saga.ID]int{}
	var groups [][]*request
	for _, r := range batch {
		at, known := places[r.id]
		if !known {
			at = len(groups)
			places[r.id] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], r)
	}
	return groups
}

func (l *loop) fail(ctx context.Context, batch []*request, err error) {
	if len(batch) == 0 {
		return
	}
	l.c.cfg.Logger.ErrorContext(ctx, "coordinator: commit", "error", err, "saga", batch[0].id, "inputs", len(batch))
	for _, r := range batch {
		r.answer(saga.State{}, err)
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
		c.hot.put(t.state)
		c.relay.Enqueue(t.outbox...)
		l.schedule(t)
		if c.cfg.Observe != nil {
			c.cfg.Observe(Transition{State: t.state, Log: t.log})
		}
		if t.state.Status.Terminal() || t.state.Status == saga.Parked {
			c.waiters.tell(t.state)
		}
	}
	for _, r := range t.requests {
		if r.misdirected() {
			l.carry = append(l.carry, r.request)
			continue
		}
		if errors.Is(r.err, saga.ErrData) && t.state.Exists() {
			l.unusable[t.state.Hash] = true
		}
		r.answer(t.state, r.err)
	}
}

// schedule notes when the changed records want to wake; what is due already goes into the next batch.
func (l *loop) schedule(t *transit) {
	if t.state.Status.Terminal() || t.state.Orphaned || held(l.pausing.all, t.state.Definition) {
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
func (c *Coordinator) message(id saga.ID, def saga.Any, send saga.Send) (messaging.Message, error) {
	m, err := c.cfg.Bus.Codec.Encode(send.Command)
	if err != nil {
		return m, err
	}
	m.ID, m.Key = send.ID, string(id)
	correlation := messaging.Correlation{
		Saga: string(id), Node: send.Node, Direction: messaging.Direction(send.Direction), Epoch: send.Epoch,
	}
	if how := saga.CoordinationOf(def); how.Choreographed {
		correlation.Definition = how.Family
	}
	return correlation.Stamp(m), nil
}
