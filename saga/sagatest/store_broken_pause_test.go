package sagatest_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// pausing breaks each pause before it is set.
func pausing(spoil func(p *coordinator.Pause)) func(*store) {
	return func(s *store) {
		s.pause = func(ctx context.Context, p coordinator.Pause) error {
			spoil(&p)
			return s.Store.SetPause(ctx, p)
		}
	}
}

// pauseLog is a store of pauses that adds each to what is there.
type pauseLog struct {
	mu  sync.Mutex
	all []coordinator.Pause
}

func (l *pauseLog) set(_ context.Context, p coordinator.Pause) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p)
	return nil
}

func (l *pauseLog) open(context.Context) ([]coordinator.Pause, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.all), func(p coordinator.Pause) bool { return p.Done }), nil
}

// selecting breaks what Due is asked.
func selecting(spoil func(q *coordinator.DueQuery)) func(*store) {
	return func(s *store) {
		s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
			spoil(&q)
			return s.Store.Due(ctx, q)
		}
	}
}

// half breaks one half of what Due answers, by what another query would.
func half(spoil func(q *coordinator.DueQuery), due, next bool) func(*store) {
	return func(s *store) {
		s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
			wakes, at, err := s.Store.Due(ctx, q)
			if err != nil {
				return nil, at, err
			}
			spoil(&q)
			otherWakes, otherAt, err := s.Store.Due(ctx, q)
			if due {
				wakes = otherWakes
			}
			if next {
				at = otherAt
			}
			return wakes, at, err
		}
	}
}

// itemsUnselected is a store that asks only roots for their definition.
func itemsUnselected(s *store) {
	s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
		right, next, err := s.Store.Due(ctx, q)
		if err != nil {
			return nil, next, err
		}
		all, _, err := s.Store.Due(ctx, coordinator.DueQuery{Now: q.Now, Limit: q.Limit})
		return slices.DeleteFunc(all, func(w coordinator.Wake) bool { return w.Record == "" && !slices.Contains(right, w) }), next, err
	}
}

// brokenPauses break promises about pauses, and about what they leave of what is due.
func brokenPauses() map[string]broken {
	all := brokenSelections()
	all["forgets who released"] = broken{"EveryFieldOfAPauseIsKept", pausing(func(p *coordinator.Pause) { p.ReleasedBy = "" })}
	all["forgets the rate"] = broken{"EveryFieldOfAPauseIsKept", pausing(func(p *coordinator.Pause) { p.Rate = 0 })}
	all["rounds the time of a pause"] = broken{"EveryFieldOfAPauseIsKept", pausing(func(p *coordinator.Pause) { p.Released = p.Released.Truncate(time.Millisecond) })}
	all["adds pauses only"] = broken{"SetPauseReplacesTheOneOfTheDefinitionThatBeganThen", func(s *store) {
		l := &pauseLog{}
		s.pause, s.pauses = l.set, l.open
	}}
	all["has one pause of each definition"] = broken{"SetPauseReplacesTheOneOfTheDefinitionThatBeganThen", pausing(func(p *coordinator.Pause) { p.At = p.At.Truncate(time.Hour) })}
	all["folds the case of definitions"] = broken{"SetPauseReplacesTheOneOfTheDefinitionThatBeganThen", pausing(func(p *coordinator.Pause) { p.Definition = strings.ToLower(p.Definition) })}
	all["keeps a pause as it was set first"] = broken{"SetPauseReplacesTheOneOfTheDefinitionThatBeganThen", func(s *store) {
		s.pause = func(ctx context.Context, p coordinator.Pause) error {
			all, err := s.Store.PauseHistory(ctx, 0, 1000)
			if err != nil || slices.ContainsFunc(all, func(old coordinator.Pause) bool { return old.Definition == p.Definition && old.At.Equal(p.At) }) {
				return err
			}
			return s.Store.SetPause(ctx, p)
		}
	}}
	all["tells pauses as they were set"] = broken{"PausesAreInTheOrderOfTheirBeginningWithoutThoseThatAreDone", func(s *store) {
		l := &pauseLog{}
		s.pause, s.pauses = l.set, l.open
	}}
	all["tells pauses that are done"] = broken{"PausesAreInTheOrderOfTheirBeginningWithoutThoseThatAreDone", pausing(func(p *coordinator.Pause) { p.Done = false })}
	all["tells no pauses that are being released"] = broken{"PausesAreInTheOrderOfTheirBeginningWithoutThoseThatAreDone", func(s *store) {
		s.pauses = func(ctx context.Context) ([]coordinator.Pause, error) {
			open, err := s.Store.Pauses(ctx)
			return slices.DeleteFunc(open, func(p coordinator.Pause) bool { return !p.Released.IsZero() }), err
		}
	}}
	all["tells the oldest pause first"] = broken{"PauseHistoryIsNewestFirstAndPaged", func(s *store) {
		s.paused = func(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
			all, err := s.Store.PauseHistory(ctx, 0, 1000)
			slices.Reverse(all)
			from := min(offset, len(all))
			return all[from:min(from+limit, len(all))], err
		}
	}}
	all["turns the order of one moment round"] = broken{"PauseHistoryIsNewestFirstAndPaged", func(s *store) {
		s.paused = func(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
			all, err := s.Store.PauseHistory(ctx, 0, 1000)
			slices.Reverse(all)
			slices.SortStableFunc(all, func(a, b coordinator.Pause) int { return b.At.Compare(a.At) })
			from := min(offset, len(all))
			return all[from:min(from+limit, len(all))], err
		}
	}}
	all["has no history of pauses that are done"] = broken{"PauseHistoryIsNewestFirstAndPaged", func(s *store) {
		s.paused = func(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
			page, err := s.Store.PauseHistory(ctx, offset, limit)
			return slices.DeleteFunc(page, func(p coordinator.Pause) bool { return p.Done }), err
		}
	}}
	all["pauses after the end"] = broken{"ACancelledContextSetsNoPause", func(s *store) {
		s.pause = func(ctx context.Context, p coordinator.Pause) error {
			if err := s.Store.SetPause(context.WithoutCancel(ctx), p); err != nil {
				return err
			}
			return ctx.Err()
		}
	}}
	return all
}

// brokenSelections break promises about the definitions that Due looks at.
func brokenSelections() map[string]broken {
	const skip, only = "DuePassesOverTheDefinitionsToSkip", "DueLooksAtOnlyOneDefinitionIfAsked"
	noSkip := func(q *coordinator.DueQuery) { q.Skip = nil }
	noOnly := func(q *coordinator.DueQuery) { q.Only = "" }
	return map[string]broken{
		"skips nothing":  {skip, selecting(noSkip)},
		"skips one only": {skip, selecting(func(q *coordinator.DueQuery) { q.Skip = q.Skip[:min(len(q.Skip), 1)] })},
		"skips whatever the case": {skip, selecting(func(q *coordinator.DueQuery) {
			q.Skip = slices.Clone(q.Skip)
			for i, name := range q.Skip {
				if stem, ends := strings.CutSuffix(name, "A"); ends {
					q.Skip[i] = stem + "a"
				}
			}
		})},
		"tells the next wake-up of what it skips": {skip, half(noSkip, false, true)},
		"skips no items": {skip, itemsUnselected},
		"counts what it skips": {skip, func(s *store) {
			s.due = func(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
				right, next, err := s.Store.Due(ctx, q)
				if err != nil {
					return nil, next, err
				}
				all, _, err := s.Store.Due(ctx, coordinator.DueQuery{Now: q.Now, Limit: q.Limit})
				return slices.DeleteFunc(all, func(w coordinator.Wake) bool { return !slices.Contains(right, w) }), next, err
			}
		}},
		"looks at all definitions":                  {only, selecting(noOnly)},
		"tells the next wake-up of all definitions": {only, half(noOnly, false, true)},
		"looks at the items of all definitions":     {only, itemsUnselected},
		"forgets what to skip where only one is asked for": {only, selecting(func(q *coordinator.DueQuery) {
			if q.Only != "" {
				q.Skip = nil
			}
		})},
	}
}
