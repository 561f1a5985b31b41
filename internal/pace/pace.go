package pace

import (
	"context"
	"time"
)

const (
	// choreEvery is how often a chore is done, and choreSoon when it is done first, and again after a failure.
	choreEvery = time.Hour
	choreSoon  = time.Minute
	// pagePause is the rest between two pages of a chore, in which others write.
	pagePause = 100 * time.Millisecond
)

// Chore does what is to be done now and then until ctx ends: first after a minute, then once in an hour, and a minute after a failure.
// do tells its errors itself.
func Chore(ctx context.Context, do func(ctx context.Context) error) {
	for wait := choreSoon; Rest(ctx, wait); {
		wait = choreEvery
		if err := do(ctx); err != nil {
			wait = choreSoon
		}
	}
}

// BetweenPages rests between two pages of a chore, and reports whether ctx goes on.
func BetweenPages(ctx context.Context) bool { return Rest(ctx, pagePause) }

// Rest waits, and reports whether ctx goes on.
func Rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
