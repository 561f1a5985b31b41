package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	l := &loop{
		c: c, wake: now, adopt: now.Add(c.cfg.Recheck), unusable: map[string]bool{},
		flying: map[saga.ID]struct{}{}, aloft: map[*flight]struct{}{}, landed: make(chan *flight, maxAloft),
	}
	l.pausing.all = pauses
	work := context.WithoutCancel(ctx) // what was taken is finished
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		requests, sleep := c.requests, l.sleep()
		if rest, full := l.full(); full { // what comes meanwhile makes the next batch larger
			requests, sleep = nil, rest
		}
		timer.Reset(sleep)
		select {
		case <-ctx.Done():
			l.landAll(work)
			l.abandon()
			return
		case f := <-l.landed:
			l.land(work, f)
		case requests := <-requests:
			l.take(requests)
		case <-timer.C:
		}
		if _, full := l.full(); full {
			continue
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

	// aloft are the batches that are being committed, flying are their instances, and waiting are requests for these.
	aloft   map[*flight]struct{}
	flying  map[saga.ID]struct{}
	waiting []*request
	landed  chan *flight
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

// adoptOrphans, once in a recheck, reads the clock, forgets instances that nothing happened to, and takes up the instances that a coordinator of an older or newer version parked while this one
// was running already.
func (l *loop) adoptOrphans(ctx context.Context) {
	if l.c.cfg.Now().Before(l.adopt) {
		return
	}
	l.c.hot.age()
	if err := l.c.clock.refresh(ctx, l.c.cfg.Store, 0); err != nil {
		l.c.cfg.Logger.WarnContext(ctx, "coordinator: time goes by this host's clock since the last reading", "error", err)
	}
	now := l.c.cfg.Now()
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

// rest leaves due records alone for so long.
func (l *loop) rest(pause time.Duration) {
	if until := l.c.cfg.Now().Add(pause); l.wake.Before(until) {
		l.wake = until
	}
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
func (c *Coordinator) message(s saga.State, def saga.Any, send saga.Send, now time.Time) (messaging.Message, error) {
	m, err := c.cfg.Bus.Codec.Encode(send.Command)
	if err != nil {
		return m, err
	}
	m.ID, m.Key = send.ID, string(s.ID)
	correlation := messaging.Correlation{
		Saga: string(s.ID), Node: send.Node, Direction: messaging.Direction(send.Direction), Epoch: send.Epoch, Started: s.Started,
	}
	if send.First {
		correlation.Since = now
	}
	if how := saga.CoordinationOf(def); how.Choreographed {
		correlation.Definition = how.Family
	}
	return correlation.Stamp(m), nil
}

// clock tells the shared clock's time, which it reads now and then; in between it measures with the host's. As it takes what was read for the time
// at which the answer came, it is late by the way there and never early. It may be used from several goroutines.
type clock struct {
	host func() time.Time

	mu sync.Mutex
	// read is what the shared clock told at the host's time at. Zero: the host's clock counts.
	read, at time.Time
}

func (c *clock) now() time.Time {
	host := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read.IsZero() {
		return host
	}
	return c.read.Add(host.Sub(c.at))
}

// refresh reads the store's clock, if it has one and the last reading is as old as that. After an error the last one counts.
func (c *clock) refresh(ctx context.Context, store Store, age time.Duration) error {
	shared, ok := store.(Clock)
	if !ok || !c.older(age) {
		return nil
	}
	read, err := shared.Time(ctx)
	if err != nil {
		return fmt.Errorf("coordinator: read the store's clock: %w", err)
	}
	at := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.at = read, at
	return nil
}

func (c *clock) older(age time.Duration) bool {
	host := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.IsZero() || host.Sub(c.at) >= age || host.Before(c.at)
}
