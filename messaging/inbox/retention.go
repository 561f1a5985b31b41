package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/internal/pace"
	"github.com/alpespartners/alpespartners/messaging"
)

// What [Config].Keep may be.
const (
	// DefaultKeep is what zero means: 90 days.
	DefaultKeep = 90 * 24 * time.Hour
	// MinKeep is the shortest: 7 days.
	MinKeep = 7 * 24 * time.Hour
	// KeepForever, like all that is negative, says that nothing is removed.
	KeepForever time.Duration = -1
)

const (
	// forgetPage is how many entries are removed at once.
	forgetPage = 500
	// clockSlack is by how much the clocks of coordinators, brokers, services and databases may differ.
	clockSlack = time.Hour
)

// forget removes entries that are older than Keep until ctx ends.
func (s *Service) forget(ctx context.Context) {
	store, ok := s.config.Store.(Forgetter)
	if !ok || s.config.Keep < 0 {
		return
	}
	pace.Chore(ctx, func(ctx context.Context) error {
		n, err := s.forgetOnce(ctx, store)
		if n > 0 {
			s.config.Logger.InfoContext(ctx, "inbox: removed old entries", "service", s.config.Name, "entries", n)
		}
		if err != nil && ctx.Err() == nil {
			s.config.Logger.ErrorContext(ctx, "inbox: remove old entries", "service", s.config.Name, "error", err)
		}
		return err
	})
}

func (s *Service) forgetOnce(ctx context.Context, store Forgetter) (all int, err error) {
	before := time.Now().Add(-s.config.Keep)
	for {
		n, err := store.Forget(ctx, s.config.Name, before, forgetPage)
		all += n
		if err != nil || n < forgetPage || !pace.BetweenPages(ctx) {
			return all, err
		}
	}
}

// since is the earliest time at which what u has no entry of may have been handled; zero is unknown.
func (u *unit) since() time.Time {
	for _, t := range []time.Time{u.correlation.Since, u.correlation.Started, u.message.Published} {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// remembers returns [ErrForgotten] if u has no entry perhaps only because it was removed. What is younger than any entry that is ever removed
// costs no query.
func (w *work) remembers(ctx context.Context, u *unit) error {
	since := u.since()
	if since.IsZero() || time.Since(since) < MinKeep-clockSlack {
		return nil
	}
	if w.horizon == nil {
		horizon, err := w.tx.Horizon(ctx, w.service.config.Name)
		if err != nil {
			return fmt.Errorf("%w: read the horizon: %w", ErrTx, err)
		}
		w.horizon = &horizon
	}
	if w.horizon.IsZero() || !since.Before(w.horizon.Add(clockSlack)) {
		return nil
	}
	return messaging.Permanent(fmt.Errorf("%w: it may have been handled since %s, and entries from before %s were removed: look whether it took effect, and finish it by hand; a longer Keep avoids this",
		ErrForgotten, since.UTC().Format(time.DateTime), w.horizon.UTC().Format(time.DateTime)))
}
