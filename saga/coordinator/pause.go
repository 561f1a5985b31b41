package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/saga"
)

// pauseCheck is how old what a coordinator knows of pauses may be when it decides: other processes' take effect within it.
const pauseCheck = time.Second

// releasePause is how often records of a definition that is being released are taken.
const releasePause = 100 * time.Millisecond

// maxRate bounds the records released in a second, which no store reaches.
const maxRate = 1_000_000

// Pause makes the named definition's instances, or with "" those of all, send nothing until [Coordinator.Resume]: what arrives is
// recorded, and no time-out or timer fires; one whose time passes meanwhile fires with the release. It takes effect here with the next commit, in other processes within a second. What
// is paused already stays as it is. Errors: [ErrUnwanted], [saga.ErrUnknownDefinition].
func (c *Coordinator) Pause(ctx context.Context, definition, by, why string) error {
	c.pauseTurn.Lock()
	defer c.pauseTurn.Unlock()
	open, err := c.pausesOf(ctx, definition, by, why)
	if err != nil || held(open, definition) {
		return err
	}
	at := c.now()
	for i := range open { // what is left of its release waits for the next one
		open[i].Done = true
		if !at.After(open[i].At) {
			at = open[i].At.Add(time.Microsecond)
		}
	}
	// The new one comes first, so that nothing slips through between the two.
	return c.setPauses(ctx, append([]Pause{{Definition: definition, At: at, By: by, Why: why}}, open...)...)
}

// Resume ends the pause of the named definition, or with "" the one that was made with "", which leaves those by name, and releases what was held: rate records a second
// by each coordinator of the store, the earliest first, or with 0 everything at once. Until all is released, timers of the definition that
// come due stand in the same queue. A definition that is not paused stays as it is. Errors:
// [ErrUnwanted], [saga.ErrUnknownDefinition].
func (c *Coordinator) Resume(ctx context.Context, definition string, rate int, by, why string) error {
	if rate < 0 {
		return fmt.Errorf("%w: the rate %d is negative: use 0 to release everything at once", ErrUnwanted, rate)
	}
	c.pauseTurn.Lock()
	defer c.pauseTurn.Unlock()
	open, err := c.pausesOf(ctx, definition, by, why)
	if err != nil || len(open) == 0 {
		return err
	}
	for i := range open { // there are several after two paused at the same time: the newest stands for all
		newest := i == len(open)-1
		open[i].Released, open[i].ReleasedBy, open[i].ReleasedWhy = c.now(), by, why
		open[i].Rate, open[i].Done = min(rate, maxRate), rate == 0 || !newest
	}
	return c.setPauses(ctx, open...)
}

func (c *Coordinator) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Microsecond) }

// pausesOf checks the request and returns the definition's pauses that are not done, which is one at most as a rule.
func (c *Coordinator) pausesOf(ctx context.Context, definition, by, why string) ([]Pause, error) {
	if by == "" || why == "" {
		return nil, fmt.Errorf("%w: the fields by and why are required: say who acts and for what reason", ErrUnwanted)
	}
	if !legible.Is(by) || !legible.Is(why) {
		return nil, fmt.Errorf("%w: the field by or why is not UTF-8 without NUL: send text", ErrUnwanted)
	}
	known := definition == ""
	for _, d := range c.cfg.Definitions {
		known = known || d.Name() == definition
	}
	if !known {
		return nil, fmt.Errorf("%w: %q is not among the coordinator's Definitions", saga.ErrUnknownDefinition, definition)
	}
	pauses, err := c.cfg.Store.Pauses(ctx)
	if err != nil {
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	return slices.DeleteFunc(slices.Clone(pauses), func(p Pause) bool { return p.Definition != definition }), nil
}

func (c *Coordinator) setPauses(ctx context.Context, all ...Pause) error {
	for _, p := range all {
		if err := c.cfg.Store.SetPause(ctx, p); err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
	}
	c.pauses.Add(1)
	return c.submit(ctx)
}

// held reports whether the definition's instances send nothing.
func held(pauses []Pause, definition string) bool {
	return slices.ContainsFunc(pauses, func(p Pause) bool {
		return (p.Definition == definition || p.Definition == "") && p.Released.IsZero() && !p.Done
	})
}

// pausing is what the loop knows of pauses.
type pausing struct {
	all  []Pause
	read time.Time
	seen int64
	// granted is until when records of each pause that is being released were granted.
	granted map[string]time.Time
}

// refreshPauses reads the pauses anew if that is due. Where the store fails it goes on with those that it knows, unless one was set
// here since: then the error says that nothing is to be decided.
func (l *loop) refreshPauses(ctx context.Context) error {
	now, seen := l.c.cfg.Now(), l.c.pauses.Load()
	p := &l.pausing
	if !p.read.IsZero() && p.seen == seen && now.Sub(p.read) < pauseCheck {
		return nil
	}
	all, err := l.c.cfg.Store.Pauses(ctx)
	p.read = now
	if err != nil {
		l.c.cfg.Logger.ErrorContext(ctx, "coordinator: read the pauses", "error", err)
		if p.seen == seen {
			return nil
		}
		return fmt.Errorf("coordinator: read the pauses: %w", err)
	}
	if !slices.Equal(all, p.all) {
		l.wake = now // what was held may be due
	}
	p.all, p.seen = all, seen
	return nil
}

// dueQueries are the looks at the store that the pauses leave: one for what is not paused, and one for each definition that is
// being released, with as many records as its rate allows now.
func (l *loop) dueQueries(now time.Time) []DueQuery {
	normal := DueQuery{Now: now, Limit: l.c.cfg.MaxBatch}
	released := make([]DueQuery, 0, len(l.pausing.all)+1)
	var everything *DueQuery
	for _, p := range l.pausing.all {
		switch {
		case p.Released.IsZero() && p.Definition == "":
			return nil
		case p.Released.IsZero():
			normal.Skip = append(normal.Skip, p.Definition)
		default:
			released = append(released, DueQuery{Now: now, Limit: l.grant(p, now), Only: p.Definition})
			if p.Definition == "" {
				everything = &released[len(released)-1]
				continue
			}
			normal.Skip = append(normal.Skip, p.Definition)
		}
	}
	if everything != nil { // it stands for what is not paused or released by name
		everything.Skip = normal.Skip
		return released
	}
	return append(released, normal)
}

// grant returns how many records may be released now; what is not taken up in a second is forgone.
func (l *loop) grant(p Pause, now time.Time) int {
	if l.pausing.granted == nil {
		l.pausing.granted = map[string]time.Time{}
	}
	key := p.Definition + "\x00" + p.At.String()
	from, known := l.pausing.granted[key]
	if !known {
		from = p.Released
	}
	if earliest := now.Add(-time.Second); earliest.After(from) {
		from = earliest
	}
	rate := max(p.Rate, 1)
	count := min(int(now.Sub(from)*time.Duration(rate)/time.Second), l.c.cfg.MaxBatch)
	l.pausing.granted[key] = from.Add(time.Duration(count) * time.Second / time.Duration(rate))
	return count
}

// releasing reports whether the definition, or with "" all, is being released.
func (l *loop) releasing(definition string) bool {
	return slices.ContainsFunc(l.pausing.all, func(p Pause) bool { return p.Definition == definition && !p.Released.IsZero() })
}

// released ends the pause whose records are all released.
func (l *loop) released(ctx context.Context, definition string) {
	for _, p := range l.pausing.all {
		if p.Definition != definition || p.Released.IsZero() {
			continue
		}
		p.Done = true
		if err := l.c.cfg.Store.SetPause(ctx, p); err != nil {
			l.c.cfg.Logger.ErrorContext(ctx, "coordinator: end a pause", "error", err)
			continue
		}
		l.c.pauses.Add(1)
	}
}
