package outbox

import (
	"context"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// page is how many rows are read at once.
const page = 512

// storeLoop is all that touches the table: deletions and readings take turns, so that no reading
// meets a row whose deletion is under way.
func (r *Relay) storeLoop(ctx context.Context) {
	sweep := time.NewTicker(r.config.Sweep)
	defer sweep.Stop()
	var (
		linger   <-chan time.Time // set while published rows gather
		retry    <-chan time.Time // set after a failure: the table is left alone until then
		failures int
		orphans  map[string]struct{} // rows that the last sweep met and nobody enqueued since
	)
	for {
		flush, sweeping := false, false
		select {
		case <-ctx.Done():
			return
		case <-r.storing:
		case <-linger:
			linger, flush = nil, true
		case <-retry:
			retry, flush = nil, true
		case <-sweep.C:
			sweeping = true
		}
		if retry != nil {
			continue
		}
		var err error
		switch waiting := r.undeleted(); {
		case flush || waiting >= r.config.MaxInFlight/4 && waiting > 0:
			linger = nil
			err = r.deletePublished(ctx)
		case waiting > 0 && linger == nil:
			linger = time.After(r.config.Linger)
		}
		if err == nil && r.wantsRows() {
			err = r.load(ctx)
		}
		if err == nil && sweeping {
			orphans, err = r.adopt(ctx, orphans)
		}
		if err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			failures++
			retry = time.After(r.config.Backoff.Delay(failures, "outbox"))
			r.config.Logger.WarnContext(ctx, "outbox: the table fails, trying again", "attempt", failures, "error", err)
		}
	}
}

func (r *Relay) undeleted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.published)
}

// deletePublished deletes the rows of all messages published so far. What fails stays to be deleted.
func (r *Relay) deletePublished(ctx context.Context) error {
	r.mu.Lock()
	if len(r.published) == 0 {
		r.mu.Unlock()
		return nil
	}
	// A set of its own: a message that is added again with the same ID meanwhile is published, and deleted, again.
	r.deleting, r.published = r.published, map[string]struct{}{}
	ids := make([]string, 0, len(r.deleting))
	for id := range r.deleting {
		ids = append(ids, id)
	}
	r.mu.Unlock()

	err := r.config.Store.Delete(ctx, ids)

	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		for _, id := range ids {
			r.published[id] = struct{}{}
		}
	}
	r.deleting = nil
	return err
}

// wantsRows says that the table should be read: there are rows that are not in memory, and enough room that
// the reading is worth passing over those that are. Messages that only wait for a retry don't keep others out.
func (r *Relay) wantsRows() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.room()
	return r.behind && room > 0 && (room >= (r.config.MaxInFlight+1)/2 || r.queue.idle())
}

// load reads the table, oldest rows first, until its end or until memory is full. At the end, if nothing was
// enqueued in vain meanwhile, memory holds all there is, and messages are taken directly again.
func (r *Relay) load(ctx context.Context) error {
	r.mu.Lock()
	r.missed = false
	r.mu.Unlock()
	for offset := 0; ; offset += page {
		rows, err := r.config.Store.Pending(ctx, offset, page)
		if err != nil {
			return err
		}
		full := r.admit(rows)
		signal(r.publishing)
		if full {
			return nil
		}
		if len(rows) < page {
			r.caughtUp()
			return nil
		}
	}
}

// caughtUp notes that memory holds all that the table has, unless something was enqueued in vain meanwhile.
func (r *Relay) caughtUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.missed {
		signal(r.storing)
		return
	}
	r.behind = false
}

// admit takes the rows that are not known; full says that some found no room.
func (r *Relay) admit(rows []messaging.Message) (full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range rows {
		if r.known(m.ID) {
			continue
		}
		if r.room() <= 0 {
			return true
		}
		r.queue.add(m)
	}
	return false
}

// known is called with the lock held.
func (r *Relay) known(id string) bool {
	if _, ok := r.queue.tasks[id]; ok {
		return true
	}
	if _, ok := r.published[id]; ok {
		return true
	}
	_, ok := r.deleting[id]
	return ok
}

// adopt publishes rows that were met by the sweep before and are still there, and returns those
// that it meets for the first time. They may belong to another relay, which is about to publish them.
func (r *Relay) adopt(ctx context.Context, met map[string]struct{}) (map[string]struct{}, error) {
	fresh := map[string]struct{}{}
	for offset := 0; len(fresh) < r.config.MaxInFlight; offset += page {
		rows, err := r.config.Store.Pending(ctx, offset, page)
		if err != nil {
			return met, err
		}
		var old []messaging.Message
		r.mu.Lock()
		for _, m := range rows {
			if r.known(m.ID) {
				continue
			}
			if _, again := met[m.ID]; again {
				old = append(old, m)
			} else {
				fresh[m.ID] = struct{}{}
			}
		}
		r.mu.Unlock()
		if full := r.admit(old); full {
			r.Wake()
		}
		signal(r.publishing)
		if len(rows) < page {
			break
		}
	}
	return fresh, nil
}
