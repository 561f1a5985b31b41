package coordinator

import (
	"context"
	"slices"

	"github.com/alpespartners/alpespartners/saga"
)

// maxFlights is how many batches are committed at the same time, each of other instances: one is decided while another is written.
const maxFlights = 2

// flight is a batch on its way into the store.
type flight struct {
	batch     []*request
	found     search
	transits  []*transit
	conflicts []saga.ID
	err       error // why nothing of it was done, as far as one knows
}

// process decides the batch and has it committed, except the requests for instances that are being committed: these wait.
func (l *loop) process(ctx context.Context) {
	events := slices.ContainsFunc(l.batch, func(r *request) bool { return r.event != nil })
	if events {
		l.landAll(ctx) // whose event it is may depend on what is being committed
		l.batch = append(l.carry, l.batch...)
		l.carry = nil
	}
	ready := l.batch[:0]
	for _, r := range l.batch {
		if _, flying := l.flying[r.id]; flying {
			l.waiting = append(l.waiting, r)
			continue
		}
		ready = append(ready, r)
	}
	l.batch = nil
	if len(ready) == 0 {
		return
	}
	f := l.prepare(ctx, ready)
	l.flights++
	for _, t := range f.transits {
		l.flying[t.id] = struct{}{}
	}
	changes := f.changes()
	if events && f.err == nil && len(changes) > 0 { // at once: others look for the same instances
		f.conflicts, f.err = l.c.cfg.Store.Commit(ctx, changes)
		changes = nil
	}
	if f.err != nil || len(changes) == 0 {
		l.land(ctx, f)
		return
	}
	go func() {
		f.conflicts, f.err = l.c.cfg.Store.Commit(ctx, changes)
		l.landed <- f
	}()
}

// prepare decides the batch.
func (l *loop) prepare(ctx context.Context, batch []*request) *flight {
	f := &flight{batch: batch}
	if f.found, f.err = l.c.find(ctx, batch); f.err == nil {
		f.transits, f.err = l.c.decideAll(ctx, f.found.inputs, l.pausing.all)
	}
	return f
}

func (f *flight) changes() []Change {
	changes := make([]Change, 0, len(f.transits))
	for _, t := range f.transits {
		if t.changed() {
			changes = append(changes, t.change())
		}
	}
	return changes
}

// land takes a flight's outcome: only now is sent, answered and observed what it decided.
func (l *loop) land(ctx context.Context, f *flight) {
	l.flights--
	for _, t := range f.transits {
		delete(l.flying, t.id)
	}
	if f.err == nil {
		l.failures = 0
		l.finish(f)
	} else {
		l.failed(ctx, f)
	}
	l.carry = append(l.carry, l.waiting...) // behind what the flight left
	l.waiting = nil
}

// landAll waits for everything that is being committed.
func (l *loop) landAll(ctx context.Context) {
	for l.flights > 0 {
		l.land(ctx, <-l.landed)
	}
}

// finish does what follows a commit.
func (l *loop) finish(f *flight) {
	stale := map[saga.ID]bool{}
	for _, id := range f.conflicts {
		stale[id] = true
		l.c.hot.drop(id)
	}
	for _, t := range f.transits {
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
	l.carry = append(l.carry, f.found.repeated...)
	for _, r := range f.found.unclaimed {
		if r.event.awaitedNow(f.transits) {
			l.carry = append(l.carry, r)
			continue
		}
		r.answer(saga.State{}, nil) // it is nobody's
	}
}

// failed does what is left to do for a batch that was not committed, as far as one knows.
func (l *loop) failed(ctx context.Context, f *flight) {
	l.c.relay.Wake() // the commit may have taken effect all the same
	some := l.isolate(ctx, f.batch, f.err)
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

// attempt does all of the batch or returns why nothing of it was done.
func (l *loop) attempt(ctx context.Context, batch []*request) error {
	f := l.prepare(ctx, batch)
	if changes := f.changes(); f.err == nil && len(changes) > 0 {
		f.conflicts, f.err = l.c.cfg.Store.Commit(ctx, changes)
	}
	if f.err == nil {
		l.finish(f)
	}
	return f.err
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
