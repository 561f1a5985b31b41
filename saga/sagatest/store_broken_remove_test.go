package sagatest_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// finding breaks what Ended has found.
func finding(spoil func(s *store, found []saga.ID) []saga.ID) func(*store) {
	return func(s *store) {
		s.ended = func(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error) {
			found, next, err := s.Store.Ended(ctx, before, cursor, limit)
			return spoil(s, found), next, err
		}
	}
}

// removing removes instances, then does something that the store should not.
func removing(spoil func(s *store, ids []saga.ID)) func(*store) {
	return func(s *store) {
		s.remove = func(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
			n, err := s.Store.Remove(ctx, before, ids)
			spoil(s, ids)
			return n, err
		}
	}
}

// leavesHistory is a store that still tells the history of instances that were removed.
func leavesHistory(s *store) {
	var mu sync.Mutex
	left := map[saga.ID][]coordinator.LogEntry{}
	s.remove = func(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			lines, err := s.Store.History(ctx, id, 0, 1000)
			if err != nil {
				return 0, err
			}
			left[id] = append(left[id], lines...)
		}
		return s.Store.Remove(ctx, before, ids)
	}
	s.history = func(ctx context.Context, id saga.ID, offset, limit int) ([]coordinator.LogEntry, error) {
		mu.Lock()
		defer mu.Unlock()
		lines, err := s.Store.History(ctx, id, offset, limit)
		return append(slices.Clone(left[id]), lines...), err
	}
}

// leavesExpectations is a store that still finds what instances that were removed have waited for.
func leavesExpectations(s *store) {
	var mu sync.Mutex
	var all []coordinator.Expected
	s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range changes {
			all = append(all, c.Answered...)
		}
		return s.Store.Commit(ctx, changes)
	}
	s.match = func(_ context.Context, _, messages []string) ([]coordinator.Expected, error) {
		mu.Lock()
		defer mu.Unlock()
		return slices.DeleteFunc(slices.Clone(all), func(e coordinator.Expected) bool { return !slices.Contains(messages, e.Answer) }), nil
	}
}

func brokenRemovals() map[string]broken {
	const (
		ended, stay = "EndedFindsWhatEndedLongAgoInTheOrderOfCreation", "PagesOfWhatEndedStayInPlaceWhileInstancesAreRemoved"
		whole       = "RemoveTakesAllOfAnInstanceAndNothingElse"
		again       = "RemoveTakesNothingThatHasNotEndedLongAgo"
		pauses      = "RemovePausesTakesWhatIsDoneAndOld"
	)
	later := func(s *store, by time.Duration) {
		s.ended = func(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error) {
			return s.Store.Ended(ctx, before.Add(by), cursor, limit)
		}
	}
	return map[string]broken{
		"finds the young":         {ended, func(s *store) { later(s, 2*time.Hour) }},
		"finds one too young":     {ended, func(s *store) { later(s, time.Microsecond) }},
		"misses what just is old": {ended, func(s *store) { later(s, -time.Microsecond) }},
		"finds the latest first":  {ended, finding(func(_ *store, found []saga.ID) []saga.ID { slices.Reverse(found); return found })},
		"finds what is parked": {ended, func(s *store) {
			s.ended = func(ctx context.Context, _ time.Time, _ string, _ int) ([]saga.ID, string, error) {
				all, _, err := s.Store.List(ctx, coordinator.ListQuery{Limit: 500})
				var ids []saga.ID
				for _, state := range slices.Backward(all) {
					if state.Status.Terminal() || state.Status == saga.Parked && !state.Orphaned {
						ids = append(ids, state.ID)
					}
				}
				return ids[:min(1, len(ids))], "", err
			}
		}},
		"stops at a page of which it finds nothing": {ended, func(s *store) {
			s.ended = func(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error) {
				found, next, err := s.Store.Ended(ctx, before, cursor, limit)
				if len(found) == 0 {
					next = ""
				}
				return found, next, err
			}
		}},
		"counts pages by what is there": {stay, func(s *store) {
			s.ended = func(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error) {
				offset, _ := strconv.Atoi(cursor)
				found, _, err := s.Store.Ended(ctx, before, "", 1000)
				page := found[min(offset, len(found)):min(offset+limit, len(found))]
				if len(page) < limit {
					return page, "", err
				}
				return page, strconv.Itoa(offset + limit), err
			}
		}},
		"removes the whole page": {stay, removing(func(s *store, _ []saga.ID) {
			all, _, err := s.Ended(context.Background(), time.Now().Add(1e6*time.Hour), "", 2)
			if err == nil {
				_, _ = s.Store.Remove(context.Background(), time.Now().Add(1e6*time.Hour), all)
			}
		})},
		"removes nothing": {whole, func(s *store) {
			s.remove = func(_ context.Context, _ time.Time, ids []saga.ID) (int, error) { return len(ids), nil }
		}},
		"leaves the history":      {whole, leavesHistory},
		"leaves the expectations": {whole, leavesExpectations},
		"removes whatever the case": {whole, func(s *store) {
			s.remove = func(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
				n, err := s.Store.Remove(ctx, before, ids)
				for _, id := range ids {
					if stem, ends := strings.CutSuffix(string(id), "gone"); ends {
						_, _ = s.Store.Remove(ctx, before, []saga.ID{saga.ID(stem + "GONE")})
					}
				}
				return n, err
			}
		}},
		"takes the caller's word": {again, func(s *store) {
			s.remove = func(ctx context.Context, _ time.Time, ids []saga.ID) (int, error) {
				return s.Store.Remove(ctx, time.Now().Add(1e6*time.Hour), ids)
			}
		}},
		"removes for ever": {"ACancelledContextRemovesNothing", func(s *store) {
			s.remove = func(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
				n, err := s.Store.Remove(context.WithoutCancel(ctx), before, ids)
				if err == nil {
					err = ctx.Err()
				}
				return n, err
			}
		}},
		"counts what it was given": {"TwoRemoveTheSameInstancesAtTheSameTime", func(s *store) {
			s.remove = func(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
				_, err := s.Store.Remove(ctx, before, ids)
				return len(ids), err
			}
		}},
		"removes pauses that last": {pauses, func(s *store) {
			s.unpause = func(ctx context.Context, before time.Time) (int, error) {
				open, err := s.Store.Pauses(ctx)
				for _, p := range open {
					p.Done = true
					if err := s.Store.SetPause(ctx, p); err != nil {
						return 0, err
					}
				}
				n, _ := s.Store.RemovePauses(ctx, before)
				return n, err
			}
		}},
		"removes pauses by their beginning": {pauses, func(s *store) {
			s.pause = func(ctx context.Context, p coordinator.Pause) error {
				if p.Done {
					p.Released = time.Time{}
				}
				return s.Store.SetPause(ctx, p)
			}
		}},
		"removes no pauses": {pauses, func(s *store) { s.unpause = func(context.Context, time.Time) (int, error) { return 2, nil } }},
	}
}
