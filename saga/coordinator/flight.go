package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

const (
	// maxFlights is how many batches are committed at the same time, each of other instances: one is decided while another is written.
	maxFlights = 2
	// heldUp is after what time a commit waits for something that others hold, a caller's transaction say. It does not count as one of maxFlights any more.
	heldUp = 100 * time.Millisecond
	// maxAloft bounds the commits with those that are held up, each of which takes a connection.
	maxAloft = 8
)

// flight is a batch on its way into the store.
type flight struct {
	began     time.Time
	batch     []*request
	found     search
	transits  []*transit
	conflicts []saga.ID
	apart     map[saga.ID]error // instances that were committed alone, in vain
	committed bool              // or tried to
	err       error             // why nothing of it was done, as far as one knows
}

// full reports whether as much is being committed as can be, and for how long at least.
func (l *loop) full() (rest time.Duration, full bool) {
	young := 0
	rest = heldUp
	for f := range l.aloft {
		if left := heldUp - time.Since(f.began); left > 0 {
			young++
			rest = min(rest, left)
		}
	}
	return rest, young >= maxFlights || len(l.aloft) == maxAloft
}

// settle waits until nothing is being committed but what is held up, and reports whether there is nothing at all.
func (l *loop) settle(ctx context.Context) bool {
	for {
		rest := time.Duration(0)
		for f := range l.aloft {
			rest = max(rest, heldUp-time.Since(f.began))
		}
		if rest <= 0 {
			return len(l.aloft) == 0
		}
		timer := time.NewTimer(rest)
		select {
		case f := <-l.landed:
			l.land(ctx, f)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// process decides the batch and has it committed, except the requests for instances that are being committed: these wait.
func (l *loop) process(ctx context.Context) {
	isEvent := func(r *request) bool { return r.event != nil }
	events := slices.ContainsFunc(l.batch, isEvent)
	if events { // whose event it is may depend on what is being committed
		events = l.settle(ctx) // else they wait
		l.batch = append(l.carry, l.batch...)
		l.carry = nil
	}
	ready := l.batch[:0]
	for _, r := range l.batch {
		if _, flying := l.flying[r.id]; flying || isEvent(r) && !events {
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
	l.aloft[f] = struct{}{}
	for _, t := range f.transits {
		l.flying[t.id] = struct{}{}
	}
	changes := f.changes()
	switch {
	case f.err != nil || len(changes) == 0:
		l.land(ctx, f)
	case events: // at once: others look for the same instances
		l.commit(ctx, f, changes)
		l.land(ctx, f)
	default:
		go func() {
			l.commit(ctx, f, changes)
			l.landed <- f
		}()
	}
}

// prepare decides the batch.
func (l *loop) prepare(ctx context.Context, batch []*request) *flight {
	f := &flight{began: time.Now(), batch: batch}
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

// commit writes the changes together, or each alone if that failed, so that one that the store will never take, or that somebody holds, does not stop the
// others. It uses nothing of the loop's own.
func (l *loop) commit(ctx context.Context, f *flight, changes []Change) {
	store := l.c.cfg.Store
	f.committed = true
	f.conflicts, f.err = store.Commit(ctx, changes)
	if f.err == nil || len(changes) == 1 || l.storeDown(ctx) {
		return
	}
	f.apart = map[saga.ID]error{}
	for _, change := range changes {
		err := f.err
		if len(f.apart) < maxSpoiled {
			var conflicts []saga.ID
			conflicts, err = store.Commit(ctx, []Change{change})
			f.conflicts = append(f.conflicts, conflicts...)
		}
		if err != nil {
			f.apart[change.State.ID] = err
		}
	}
	if len(f.apart) < len(changes) {
		f.err = nil
	}
}

// storeDown reports whether the store cannot even be read. It uses nothing of the loop's own.
func (l *loop) storeDown(ctx context.Context) bool {
	_, _, err := l.c.cfg.Store.Due(ctx, DueQuery{Now: l.c.cfg.Now(), Limit: 1})
	return err != nil
}

// land takes a flight's outcome: only now is sent, answered and observed what it decided.
func (l *loop) land(ctx context.Context, f *flight) {
	delete(l.aloft, f)
	for _, t := range f.transits {
		delete(l.flying, t.id)
	}
	switch {
	case f.err != nil:
		l.failed(ctx, f)
	case f.apart != nil:
		l.finish(ctx, f)
		l.pause(true)
	default:
		l.failures = 0
		l.finish(ctx, f)
	}
	l.carry = append(l.carry, l.waiting...) // behind what the flight left
	l.waiting = nil
}

// landAll waits for everything that is being committed.
func (l *loop) landAll(ctx context.Context) {
	for len(l.aloft) > 0 {
		l.land(ctx, <-l.landed)
	}
}

// finish does what follows a commit.
func (l *loop) finish(ctx context.Context, f *flight) {
	stale := map[saga.ID]bool{}
	for _, id := range f.conflicts {
		stale[id] = true
		l.c.hot.drop(id)
	}
	for _, t := range f.transits {
		again := t.later
		switch err := f.apart[t.id]; {
		case err != nil:
			l.c.hot.drop(t.id)
			failed := make([]*request, len(t.requests))
			for i, r := range t.requests {
				failed[i] = r.request
			}
			l.fail(ctx, failed, err)
		case stale[t.id]:
			again = slices.Concat(t.requests, t.later)
			for _, r := range again {
				r.fresh = false
			}
		default:
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

// failed does what is left to do for a batch of which nothing was committed, as far as one knows.
func (l *loop) failed(ctx context.Context, f *flight) {
	some := false
	if f.committed {
		l.fail(ctx, f.batch, f.err)
	} else {
		some = l.isolate(ctx, f.batch, f.err)
	}
	l.pause(some)
}

// pause follows a failure. Ticks come again, soon but not at once; while everything fails, less and less often.
func (l *loop) pause(some bool) {
	l.c.relay.Wake() // what failed may have been committed all the same
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
		l.finish(ctx, f)
	}
	return f.err
}

// isolate tries each instance of a batch alone that could not be read or decided, so that one that is broken does not stop all
// others; it reports whether some went well.
func (l *loop) isolate(ctx context.Context, batch []*request, err error) (some bool) {
	groups := byInstance(batch)
	if len(groups) == 1 || l.storeDown(ctx) {
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
