package memsaga

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// endedBefore reports whether the instance is terminal since before the time.
func (i *instance) endedBefore(before time.Time) bool {
	return i.state.Status.Terminal() && i.state.Updated.Before(before)
}

// Ended implements [coordinator.Remover].
func (s *Store) Ended(ctx context.Context, before time.Time, cursor string, limit int) (ids []saga.ID, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	after := 0
	if cursor != "" {
		if after, err = s.parseCursor(cursor); err != nil {
			return nil, "", err
		}
	}
	from, _ := slices.BinarySearchFunc(s.order, after+1, func(id saga.ID, seq int) int { return s.instances[id].seq - seq })
	page := s.order[from:]
	page = page[:min(len(page), limit)]
	old := false
	for _, id := range page {
		i := s.instances[id]
		old = old || i.state.Started.Before(before)
		if i.endedBefore(before) {
			ids = append(ids, id)
		}
	}
	if old && len(page) == limit { // else those behind are younger still
		next = strconv.Itoa(s.instances[page[limit-1]].seq)
	}
	return ids, next, ctx.Err()
}

// Remove implements [coordinator.Remover].
func (s *Store) Remove(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	gone := map[saga.ID]bool{}
	for _, id := range ids {
		if i, exists := s.instances[id]; exists && i.endedBefore(before) {
			gone[id] = true
			delete(s.instances, id)
		}
	}
	s.order = slices.DeleteFunc(s.order, func(id saga.ID) bool { return gone[id] })
	s.expected = slices.DeleteFunc(s.expected, func(e coordinator.Expected) bool { return gone[e.ID] })
	return len(gone), nil
}

// RemovePauses implements [coordinator.Remover].
func (s *Store) RemovePauses(ctx context.Context, before time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	all := len(s.pauses)
	s.pauses = slices.DeleteFunc(s.pauses, func(p coordinator.Pause) bool {
		return p.Done && p.At.Before(before) && p.Released.Before(before)
	})
	return all - len(s.pauses), nil
}
