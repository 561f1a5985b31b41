package sagatest_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// oneByOne commits each change for itself; between runs after each.
func oneByOne(s *store, between func(coordinator.Change)) {
	s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
		var conflicts []saga.ID
		for _, c := range changes {
			stale, err := s.Store.Commit(ctx, []coordinator.Change{c})
			if err != nil {
				return nil, err
			}
			conflicts = append(conflicts, stale...)
			between(c)
		}
		return conflicts, nil
	}
}

// torn commits its batch in several transactions; after the first change of an instance it waits for a reading.
func torn(s *store) {
	var open, met sync.Once
	tear, read := make(chan struct{}), make(chan struct{})
	oneByOne(s, func(c coordinator.Change) {
		if c.Before > 0 {
			open.Do(func() {
				close(tear)
				<-read
			})
		}
	})
	s.load = func(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
		select {
		case <-tear: // this reading begins after the first half
			defer met.Do(func() { close(read) })
		default:
		}
		return s.Store.Load(ctx, wants)
	}
}

// racing creates without looking, when several do so at once: all believe that they won.
func racing(s *store) {
	s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
		_, err := s.Store.Commit(ctx, changes)
		return nil, err
	}
}

// brokenReadings break promises about what is found, and about whole commits.
func brokenReadings() map[string]broken {
	return map[string]broken{
		"commits in two transactions":        {"AReaderNeverMeetsHalfACommit", torn},
		"commits what came before a failure": {"AFailedCommitWritesNothing", func(s *store) { oneByOne(s, func(coordinator.Change) {}) }},
		"lets every concurrent creation win": {"OneOfManyConcurrentCreationsWins", racing},
		"lets every concurrent commit win":   {"OneOfManyConcurrentCommitsWins", racing},
		"says nothing of a second change":    {"OfTwoChangesOfOneInstanceInABatchTheSecondConflicts", racing},
		"drops records that it does not have": {"KeepingDataThatWasNeverStoredIsAnError", changing(func(_ *store, c *coordinator.Change) {
			c.Records = slices.DeleteFunc(slices.Clone(c.Records), func(r saga.Record) bool { return r.Data == nil && r.Key != "" })
		})},
		"finds what was never stored": {"LoadLeavesOutWhatDoesNotExist", func(s *store) {
			s.load = func(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
				found, err := s.Store.Load(ctx, wants)
				for _, w := range wants {
					state := found[w.ID]
					found[w.ID] = state
				}
				return found, err
			}
		}},
		"gives away what it keeps": {"NothingIsSharedWithTheCaller", func(s *store) {
			kept := map[saga.ID]saga.State{}
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				for _, c := range changes {
					kept[c.State.ID] = c.State
				}
				return s.Store.Commit(ctx, changes)
			}
			s.load = func(_ context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
				return map[saga.ID]saga.State{wants[0].ID: kept[wants[0].ID]}, nil
			}
		}},
		"tells of roots before items": {"DueOrdersRootsAndItemsTogetherUntilTheirInstanceEnds", func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				due, next, err := s.Store.Due(ctx, q)
				slices.SortStableFunc(due, func(a, b coordinator.Wake) int { return min(len(a.Record), 1) - min(len(b.Record), 1) })
				return due, next, err
			}
		}},
		"adopts after the end": {"ACancelledContextAdoptsNothing", func(s *store) {
			s.adopt = func(ctx context.Context, hashes []string) error {
				if err := s.Store.Adopt(context.WithoutCancel(ctx), hashes); err != nil {
					return err
				}
				return ctx.Err()
			}
		}},
		"moves what is changed to the end": {"AChangedItemKeepsItsPlace", func(s *store) {
			s.items = func(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error) {
				all, err := s.Store.Items(ctx, id, offset, limit)
				slices.SortStableFunc(all, func(a, b saga.Record) int { return len(a.Data) - len(b.Data) })
				return all, err
			}
		}},
		"lists whatever is asked": {"AListsLimitIs50Unsaid500AtMost", func(s *store) {
			s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
				page, next, err := s.Store.List(ctx, q)
				for q.Limit > 500 && next != "" && err == nil {
					var more []saga.State
					q.Cursor = next
					more, next, err = s.Store.List(ctx, q)
					page = append(page, more...)
				}
				return page, next, err
			}
		}},
		"trims text": {"ControlCharactersAndBytesSurvive", changing(func(_ *store, c *coordinator.Change) {
			c.State.Key = strings.TrimSpace(c.State.Key)
		})},
		"has no unknown instances": {"GetOfAnUnknownInstanceIsErrNotFound", func(s *store) {
			s.get = func(ctx context.Context, id saga.ID) (saga.State, error) {
				found, err := s.Store.Load(ctx, []coordinator.Want{{ID: id, Keys: []string{""}}})
				return found[id], err
			}
		}},
		"forgets instances beyond a statement": {"ThousandsOfInstancesGoInAndOutAtOnce", func(s *store) {
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				return s.Store.Commit(ctx, changes[:min(len(changes), 2_047)])
			}
		}},
		"forgets lines beyond a statement": {"ThousandsOfItemsAndLinesGoInAndOutAtOnce", changing(func(_ *store, c *coordinator.Change) {
			c.Log = c.Log[:min(len(c.Log), 3_640)]
		})},
		"shows the outbox of a failed commit": {"AFailedCommitWritesNothing", func(s *store) {
			var mu sync.Mutex
			var all []messaging.Message
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				mu.Lock()
				defer mu.Unlock()
				for _, c := range changes {
					all = append(all, c.Outbox...)
				}
				return s.Store.Commit(ctx, changes)
			}
			s.pending = func(context.Context, int, int) ([]messaging.Message, error) {
				mu.Lock()
				defer mu.Unlock()
				return slices.Clone(all), nil
			}
		}},
	}
}
