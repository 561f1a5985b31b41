package sagatest_test

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// brokenEnv names the broken store that a child process tests.
const brokenEnv = "SAGATEST_BROKEN_STORE"

// store is a store whose parts can be replaced by broken ones; nil parts work.
type store struct {
	*memsaga.Store
	load    func(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error)
	commit  func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error)
	due     func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error)
	adopt   func(ctx context.Context, hashes []string) error
	list    func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error)
	history func(ctx context.Context, id saga.ID, offset, limit int) ([]coordinator.LogEntry, error)
	items   func(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error)
	pending func(ctx context.Context, offset, limit int) ([]messaging.Message, error)
	get     func(ctx context.Context, id saga.ID) (saga.State, error)
	match   func(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error)
	pauses  func(ctx context.Context) ([]coordinator.Pause, error)
	pause   func(ctx context.Context, p coordinator.Pause) error
	paused  func(ctx context.Context, offset, limit int) ([]coordinator.Pause, error)
	ended   func(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error)
	remove  func(ctx context.Context, before time.Time, ids []saga.ID) (int, error)
	unpause func(ctx context.Context, before time.Time) (int, error)
}

func (s *store) Ended(ctx context.Context, before time.Time, cursor string, limit int) ([]saga.ID, string, error) {
	if s.ended != nil {
		return s.ended(ctx, before, cursor, limit)
	}
	return s.Store.Ended(ctx, before, cursor, limit)
}

func (s *store) Remove(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
	if s.remove != nil {
		return s.remove(ctx, before, ids)
	}
	return s.Store.Remove(ctx, before, ids)
}

func (s *store) RemovePauses(ctx context.Context, before time.Time) (int, error) {
	if s.unpause != nil {
		return s.unpause(ctx, before)
	}
	return s.Store.RemovePauses(ctx, before)
}

func (s *store) Match(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
	if s.match != nil {
		return s.match(ctx, keys, messages)
	}
	return s.Store.Match(ctx, keys, messages)
}

func (s *store) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	if s.pauses != nil {
		return s.pauses(ctx)
	}
	return s.Store.Pauses(ctx)
}

func (s *store) SetPause(ctx context.Context, p coordinator.Pause) error {
	if s.pause != nil {
		return s.pause(ctx, p)
	}
	return s.Store.SetPause(ctx, p)
}

func (s *store) PauseHistory(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
	if s.paused != nil {
		return s.paused(ctx, offset, limit)
	}
	return s.Store.PauseHistory(ctx, offset, limit)
}

func (s *store) Get(ctx context.Context, id saga.ID) (saga.State, error) {
	if s.get != nil {
		return s.get(ctx, id)
	}
	return s.Store.Get(ctx, id)
}

func (s *store) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	if s.load != nil {
		return s.load(ctx, wants)
	}
	return s.Store.Load(ctx, wants)
}

func (s *store) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	if s.commit != nil {
		return s.commit(ctx, changes)
	}
	return s.Store.Commit(ctx, changes)
}

func (s *store) Due(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
	if s.due != nil {
		return s.due(ctx, q)
	}
	return s.Store.Due(ctx, q)
}

func (s *store) Adopt(ctx context.Context, hashes []string) error {
	if s.adopt != nil {
		return s.adopt(ctx, hashes)
	}
	return s.Store.Adopt(ctx, hashes)
}

func (s *store) List(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
	if s.list != nil {
		return s.list(ctx, q)
	}
	return s.Store.List(ctx, q)
}

func (s *store) History(ctx context.Context, id saga.ID, offset, limit int) ([]coordinator.LogEntry, error) {
	if s.history != nil {
		return s.history(ctx, id, offset, limit)
	}
	return s.Store.History(ctx, id, offset, limit)
}

func (s *store) Items(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error) {
	if s.items != nil {
		return s.items(ctx, id, offset, limit)
	}
	return s.Store.Items(ctx, id, offset, limit)
}

func (s *store) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	if s.pending != nil {
		return s.pending(ctx, offset, limit)
	}
	return s.Store.Pending(ctx, offset, limit)
}

// broken is a planted fault and the case that has to find it.
type broken struct {
	fails string
	plant func(s *store)
}

// changing breaks each change before it is committed.
func changing(spoil func(s *store, c *coordinator.Change)) func(*store) {
	return func(s *store) {
		s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
			changes = slices.Clone(changes)
			for i := range changes {
				spoil(s, &changes[i])
			}
			return s.Store.Commit(ctx, changes)
		}
	}
}

// loading breaks each state that is loaded.
func loading(spoil func(state *saga.State)) func(*store) {
	return func(s *store) {
		s.load = func(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
			found, err := s.Store.Load(ctx, wants)
			for id, state := range found {
				spoil(&state)
				found[id] = state
			}
			return found, err
		}
	}
}

func brokenCommits() map[string]broken {
	return map[string]broken{
		"forgets the version check": {"AStaleVersionWritesNothingAndTheRestOfTheBatchIsWritten", changing(func(s *store, c *coordinator.Change) {
			if found, err := s.Store.Load(context.Background(), []coordinator.Want{{ID: c.State.ID}}); err == nil {
				c.Before = found[c.State.ID].Version
			}
		})},
		"creates twice": {"CreatingTwiceConflicts", func(s *store) {
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				_, err := s.Store.Commit(ctx, changes)
				return nil, err
			}
		}},
		"fails the batch for one conflict": {"AStaleVersionWritesNothingAndTheRestOfTheBatchIsWritten", func(s *store) {
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				if len(changes) < 3 {
					return s.Store.Commit(ctx, changes)
				}
				return []saga.ID{changes[0].State.ID, changes[2].State.ID}, nil
			}
		}},
		"writes the outbox of a stale change": {"AStaleVersionWritesNothingAndTheRestOfTheBatchIsWritten", func(s *store) {
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
		"loses the outbox": {"OutboxRowsAreThereIffTheChangeWasCommitted", changing(func(_ *store, c *coordinator.Change) { c.Outbox = nil })},
		"loses the log":    {"TheLogIsInOrderAndPaged", changing(func(_ *store, c *coordinator.Change) { c.Log = nil })},
		"loses the audit":  {"AuditsAreKept", changing(func(_ *store, c *coordinator.Change) { c.Audit = nil })},
		"loses a field":    {"CommitThenLoadReturnsEveryField", loading(func(state *saga.State) { state.Pivoted = false })},
		"loses a node flag": {"CommitThenLoadReturnsEveryField", loading(func(state *saga.State) {
			for i := range state.Root.Nodes {
				state.Root.Nodes[i].Again = false
			}
		})},
		"nil data erases": {"NilDataKeepsWhatIsStored", changing(func(_ *store, c *coordinator.Change) {
			c.Records = slices.Clone(c.Records)
			for i := range c.Records {
				if c.Records[i].Data == nil {
					c.Records[i].Data = []byte{}
				}
			}
		})},
		"ignores what is wanted": {"LoadBringsOnlyTheWantedRecords", func(s *store) {
			s.load = func(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
				wants = slices.Clone(wants)
				for i := range wants {
					wants[i].Keys = append(slices.Clone(wants[i].Keys), "")
				}
				return s.Store.Load(ctx, wants)
			}
		}},
		"folds case": {"IdsAndKeysAreCaseSensitiveAndOddTextSurvives", changing(func(_ *store, c *coordinator.Change) {
			c.State.ID = saga.ID(strings.ToLower(string(c.State.ID)))
		})},
		"ignores cancellation": {"ACancelledContextCommitsNothing", func(s *store) {
			s.commit = func(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
				return s.Store.Commit(context.WithoutCancel(ctx), changes)
			}
		}},
		"truncates data": {"BigDataSurvives", loading(func(state *saga.State) {
			state.Root.Data = state.Root.Data[:min(len(state.Root.Data), 1<<16)]
		})},
		"ticks early": {"DueIsEarliestFirstAndBounded", func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				return s.Store.Due(ctx, coordinator.DueQuery{Now: q.Now.Add(time.Second), Limit: q.Limit, Skip: q.Skip, Only: q.Only})
			}
		}},
		"latest first": {"DueIsEarliestFirstAndBounded", func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				due, next, err := s.Store.Due(ctx, q)
				slices.Reverse(due)
				return due, next, err
			}
		}},
		"never tells the next": {"DueTellsTheNextWakeUp", func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				due, _, err := s.Store.Due(ctx, q)
				return due, time.Time{}, err
			}
		}},
		"forgets items": {"DueFindsItems", func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				due, next, err := s.Store.Due(ctx, q)
				return slices.DeleteFunc(due, func(w coordinator.Wake) bool { return w.Record != "" }), next, err
			}
		}},
		"wakes the dead": {"DuePassesOverTerminalAndOrphanedInstances", changing(func(_ *store, c *coordinator.Change) { c.State.Status = saga.Running })},
		"wakes orphans":  {"DuePassesOverTerminalAndOrphanedInstances", changing(func(_ *store, c *coordinator.Change) { c.State.Orphaned = false })},
		"never adopts":   {"AdoptMakesOrphansDueAgain", func(s *store) { s.adopt = func(context.Context, []string) error { return nil } }},
		"lists the oldest first": {"ListIsNewestFirstFilteredAndPaged", func(s *store) {
			s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
				page, next, err := s.Store.List(ctx, q)
				slices.Reverse(page)
				return page, next, err
			}
		}},
		"ignores the filters": {"ListIsNewestFirstFilteredAndPaged", func(s *store) {
			s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
				q.Status = ""
				return s.Store.List(ctx, q)
			}
		}},
		"takes any cursor": {"AMalformedCursorIsErrCursor", func(s *store) {
			s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
				q.Cursor = ""
				return s.Store.List(ctx, q)
			}
		}},
		"ignores the offset": {"TheLogIsInOrderAndPaged", func(s *store) {
			s.history = func(ctx context.Context, id saga.ID, _, limit int) ([]coordinator.LogEntry, error) {
				return s.Store.History(ctx, id, 0, limit)
			}
		}},
		"orders items by text": {"ItemsArePagedInTheOrderOfCreation", func(s *store) {
			s.items = func(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error) {
				all, err := s.Store.Items(ctx, id, 0, 1000)
				slices.SortFunc(all, func(a, b saga.Record) int { return strings.Compare(a.Key, b.Key) })
				from := min(offset, len(all))
				return all[from:min(from+limit, len(all))], err
			}
		}},
	}
}

// brokenStores are all of them, by what they do.
func brokenStores() map[string]broken {
	all := brokenCommits()
	maps.Copy(all, brokenReadings())
	maps.Copy(all, brokenFields())
	maps.Copy(all, brokenMatches())
	maps.Copy(all, brokenPauses())
	maps.Copy(all, brokenRemovals())
	return all
}

// TestSuiteOnBrokenStore runs the suite on a broken store, in the child process of the next test only.
func TestSuiteOnBrokenStore(t *testing.T) {
	b, ok := brokenStores()[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("only in a child process of TestRunStoreFailsOnBrokenStores")
	}
	sagatest.RunStore(t, sagatest.StoreHarness{New: func(*testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
		s := &store{Store: memsaga.New()}
		b.plant(s)
		return s, s, s
	}})
}

func TestRunStoreFailsOnBrokenStores(t *testing.T) {
	t.Parallel()
	for name, b := range brokenStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			executable, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), executable, "-test.run", "^TestSuiteOnBrokenStore$/^"+b.fails+"$", "-test.v", "-test.timeout", "60s")
			child.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := child.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestSuiteOnBrokenStore/"+b.fails) {
				t.Errorf("%s does not fail for a store that %s (%v):\n%s", b.fails, name, err, out)
			}
		})
	}
}
