package sagatest_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// brokenFields break promises about single fields, moments and pages.
func brokenFields() map[string]broken {
	waking := func(change func(now time.Time) time.Time, told func(next time.Time) time.Time) func(*store) {
		return func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				due, next, err := s.Store.Due(ctx, coordinator.DueQuery{Now: change(q.Now), Limit: q.Limit, Skip: q.Skip, Only: q.Only})
				return due, told(next), err
			}
		}
	}
	asItIs := func(t time.Time) time.Time { return t }
	return map[string]broken{
		"swaps two flags": {"EveryFlagIsKeptForItself", loading(func(state *saga.State) {
			state.Reversing, state.Pivoted = state.Pivoted, state.Reversing
		})},
		"never clears a flag": {"EveryFlagIsKeptForItself", changing(func(s *store, c *coordinator.Change) {
			found, _ := s.Store.Load(context.Background(), []coordinator.Want{{ID: c.State.ID}})
			c.State.Pivoted = c.State.Pivoted || found[c.State.ID].Pivoted
		})},
		"rounds the time of a line": {"EveryFieldOfLogAndAuditIsKept", changing(func(_ *store, c *coordinator.Change) {
			c.Log = slices.Clone(c.Log)
			for i := range c.Log {
				c.Log[i].At = c.Log[i].At.Truncate(time.Second)
			}
		})},
		"forgets what the operator saw": {"EveryFieldOfLogAndAuditIsKept", changing(func(_ *store, c *coordinator.Change) {
			c.Audit = slices.Clone(c.Audit)
			for i := range c.Audit {
				c.Audit[i].Act.Version = 0
			}
		})},
		"is a moment late":       {"DueComesToTheMillisecondAndNeverEarly", waking(func(now time.Time) time.Time { return now.Add(-1) }, asItIs)},
		"is a moment early":      {"DueComesToTheMillisecondAndNeverEarly", waking(func(now time.Time) time.Time { return now.Add(1) }, asItIs)},
		"tells what is too soon": {"DueComesToTheMillisecondAndNeverEarly", waking(asItIs, func(next time.Time) time.Time { return next.Truncate(time.Millisecond) })},
		"pages by offset":        {"PagesStayInPlaceWhileInstancesAreCreated", pagesByOffset},
		"filters its pages":      {"PagesStayInPlaceWhileInstancesAreCreated", filtersPages},
		"publishes what the caller changed": {"PagesAndMessagesAreNotSharedEither", func(s *store) {
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
		"gives away its list": {"PagesAndMessagesAreNotSharedEither", func(s *store) {
			var once sync.Once
			var page []saga.State
			var failed error
			s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
				once.Do(func() { page, _, failed = s.Store.List(ctx, q) })
				return page, "", failed
			}
		}},
	}
}

// pagesByOffset has cursors that count from the newest instance, which moves.
func pagesByOffset(s *store) {
	s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
		offset, _ := strconv.Atoi(q.Cursor)
		limit := q.Limit
		q.Cursor, q.Limit = "", 500
		all, _, err := s.Store.List(ctx, q)
		page := all[min(offset, len(all)):]
		if len(page) <= limit {
			return page, "", err
		}
		return page[:limit], strconv.Itoa(offset + limit), err
	}
}

// filtersPages applies the status to each page of all instances, and ends with the first that is empty.
func filtersPages(s *store) {
	s.list = func(ctx context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
		status := q.Status
		q.Status = ""
		page, next, err := s.Store.List(ctx, q)
		page = slices.DeleteFunc(page, func(state saga.State) bool { return status != "" && state.Status != status })
		if len(page) == 0 {
			next = ""
		}
		return page, next, err
	}
}
