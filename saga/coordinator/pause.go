package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// pauseCheck is how old what a coordinator knows of pauses may be when it decides: other processes' take effect within it.
const pauseCheck = time.Second

// releasePause is how often records of a definition that is being released are taken.
const releasePause = 100 * time.Millisecond

// maxRate bounds the records released in a second, which no store reaches.
const maxRate = 1_000_000

// Pause makes the named definition's instances, or with "" those of all, send nothing until [Coordinator.Resume]: what arrives is
// recorded, time-outs and timers stand still. It takes effect here with the next commit, in other processes within a second. What
// is paused already stays as it is. Errors: [ErrUnwanted], [saga.ErrUnknownDefinition].
func (c *Coordinator) Pause(ctx context.Context, definition, by, why string) error {
	c.pauseTurn.Lock()
	defer c.pauseTurn.Unlock()
	open, err := c.pausesOf(ctx, definition, by, why)
	if err != nil || slices.ContainsFunc(open, func(p Pause) bool { return p.Released.IsZero() }) {
		return err
	}
	for _, p := range open { // it is being released: what is left of that waits for the next release
		p.Done = true
		if err := c.setPause(ctx, p); err != nil {
			return err
		}
	}
	return c.setPause(ctx, Pause{Definition: definition, At: c.now(), By: by, Why: why})
}

// Resume ends the pause of the named definition, or with "" that of all definitions, and releases what was held: rate records a second by this
// coordinator, the earliest first, or with 0 everything at once. A definition that is not paused stays as it is. Errors: [ErrUnwanted],
// [saga.ErrUnknownDefinition].
func (c *Coordinator) Resume(ctx context.Context, definition string, rate int, by, why string) error {
	if rate < 0 {
		return fmt.Errorf("%w: the rate %d is negative: use 0 to release everything at once", ErrUnwanted, rate)
	}
	c.pauseTurn.Lock()
	defer c.pauseTurn.Unlock()
	open, err := c.pausesOf(ctx, definition, by, why)
	if err != nil {
		return err
	}
	for i, p := range open {
		p.Released, p.ReleasedBy, p.ReleasedWhy, p.Rate, p.Done = c.now(), by, why, min(rate, maxRate), rate == 0
		if i > 0 { // two processes paused it at the same time: one release goes for both
			p.Rate, p.Done = 0, true
		}
		if err := c.setPause(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Coordinator) now() time.Time { return c.cfg.Now().UTC().Truncate(time.Microsecond) }

// pausesOf checks the request and returns the definition's pauses that are not done: one, unless two processes paused it at the same time.
func (c *Coordinator) pausesOf(ctx context.Context, definition, by, why string) ([]Pause, error) {
	if by == "" || why == "" {
		return nil, fmt.Errorf("%w: the fields by and why are required: say who acts and for what reason", ErrUnwanted)
	}
	known := definition == ""
	for _, d := range c.cfg.Definitions {
		known = known || d.Name() == definition
	}
	if !known {
		return nil, fmt.Errorf("%w: %q", saga.ErrUnknownDefinition, definition)
	}
	pauses, err := c.cfg.Store.Pauses(ctx)
	if err != nil {
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	return slices.DeleteFunc(pauses, func(p Pause) bool { return p.Definition != definition }), nil
}

func (c *Coordinator) setPause(ctx context.Context, p Pause) error {
	if err := c.cfg.Store.SetPause(ctx, p); err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	c.pauses.Add(1)
	return c.submit(ctx)
}

// held reports whether the definition's instances send nothing.
func held(pauses []Pause, definition string) bool {
	for _, p := range pauses {
		if (p.Definition == definition || p.Definition == "") && p.Released.IsZero() && !p.Done {
			return true
		}
	}
	return false
}

// pausing is what the loop knows of pauses.
type pausing struct {
	all  []Pause
	read time.Time
	seen int64
	// granted is until when records of each pause that is being released were granted.
	granted map[string]time.Time
}

// refreshPauses reads the pauses anew if that is due; on an error it goes on with those that it knows.
func (l *loop) refreshPauses(ctx context.Context) {
	now, seen := l.c.cfg.Now(), l.c.pauses.Load()
	if p := &l.pausing; !p.read.IsZero() && p.seen == seen && now.Sub(p.read) < pauseCheck {
		return
	}
	all, err := l.c.cfg.Store.Pauses(ctx)
	if err != nil {
		l.c.cfg.Logger.ErrorContext(ctx, "coordinator: read the pauses", "error", err)
		return
	}
	l.pausing.all, l.pausing.read, l.pausing.seen = all, now, seen
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
	if earliest := now.Add(-time.Second); from.Before(earliest) {
		from = earliest
	}
	count := min(int(now.Sub(from)*time.Duration(p.Rate)/time.Second), l.c.cfg.MaxBatch)
	l.pausing.granted[key] = from.Add(time.Duration(count) * time.Second / time.Duration(p.Rate))
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
