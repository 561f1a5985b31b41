package coordinator

import (
	"context"
	"time"

	"github.com/alpespartners/alpespartners/internal/pace"
	"github.com/alpespartners/alpespartners/saga"
)

// What [Retention].Keep may be.
const (
	// DefaultKeep is what zero means: 30 days.
	DefaultKeep = 30 * 24 * time.Hour
	// MinKeep is the shortest: 7 days. Until an instance is removed, a repeated start or reply finds it and changes nothing.
	MinKeep = 7 * 24 * time.Hour
	// KeepForever, like all that is negative, says that nothing is removed.
	KeepForever time.Duration = -1
)

// removePage is how many instances are looked at, and removed, at once.
const removePage = 200

// Retention says how long instances that ended are kept. The zero value is on.
//
// Instances that are completed, compensated or ended by force are removed, with their items, log and audit, once their last transition is
// Keep ago; those that are under way or parked never are. Pauses go at the same age. It is done in small batches, once in an hour; any number of
// coordinators may do it at the same time. What is removed is not found any more: a late reply to it becomes a dead letter, and a start with its key, or by
// the event that started it, begins a new instance under the same id. So Keep must be longer than the broker keeps or replays messages, and
// than a caller may try a start again.
type Retention struct {
	// Keep is how long an instance is kept after its end. Zero means [DefaultKeep], negative for ever; see [KeepForever]. Less than [MinKeep]: [ErrConfig].
	Keep time.Duration
	// Archive is called with each instance before it is removed, one after the other, and may read all of it. If it fails the instance stays, and it
	// is called again later. It may be called for one instance several times, by several coordinators too. Nil means that nothing is archived.
	Archive func(ctx context.Context, r Reader, id saga.ID) error
}

func (r Retention) validate(store Store, need func(ok bool, format string, args ...any)) {
	need(r.Keep < 0 || r.Keep >= MinKeep, "Retention.Keep is %v, in which repeated starts and replies may still come: set it to %v or more, or to KeepForever", r.Keep, MinKeep)
	need(r.Keep >= 0 || r.Archive == nil, "Retention.Archive is set, and Retention.Keep says that nothing is removed: leave one of them out")
	if _, removes := store.(Remover); store != nil && r.Keep >= 0 {
		need(removes, "Retention is set, and %T is no Remover", store)
	}
	if _, reads := store.(Reader); store != nil && r.Archive != nil {
		need(reads, "Retention.Archive is set, and %T is no Reader for it", store)
	}
}

// removeEnded removes what is too old until ctx ends.
func (c *Coordinator) removeEnded(ctx context.Context) {
	store, ok := c.cfg.Store.(Remover)
	if !ok || c.cfg.Retention.Keep < 0 {
		return
	}
	pace.Chore(ctx, func(ctx context.Context) error {
		instances, pauses, err := c.removeOnce(ctx, store)
		if instances+pauses > 0 {
			c.cfg.Logger.InfoContext(ctx, "coordinator: removed what has ended", "sagas", instances, "pauses", pauses)
		}
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.ErrorContext(ctx, "coordinator: remove what has ended", "error", err)
		}
		return err
	})
}

// removeOnce goes through all instances that are old enough to have ended long ago.
func (c *Coordinator) removeOnce(ctx context.Context, store Remover) (instances, pauses int, err error) {
	before := c.now().Add(-c.cfg.Retention.Keep)
	for cursor, more := "", true; more; more = cursor != "" && pace.BetweenPages(ctx) {
		var ids []saga.ID
		if ids, cursor, err = store.Ended(ctx, before, cursor, removePage); err != nil {
			return instances, 0, err
		}
		if ids = c.archived(ctx, ids); len(ids) == 0 {
			continue
		}
		n, err := store.Remove(ctx, before, ids)
		instances += n
		if err != nil {
			return instances, 0, err
		}
	}
	if ctx.Err() != nil {
		return instances, 0, ctx.Err()
	}
	pauses, err = store.RemovePauses(ctx, before)
	return instances, pauses, err
}

// archived returns those of the instances that may be removed.
func (c *Coordinator) archived(ctx context.Context, ids []saga.ID) []saga.ID {
	archive := c.cfg.Retention.Archive
	reader, ok := c.cfg.Store.(Reader)
	if archive == nil || !ok {
		return ids
	}
	var done []saga.ID
	for _, id := range ids {
		if ctx.Err() != nil {
			return done
		}
		if err := archive(ctx, reader, id); err != nil {
			c.cfg.Logger.ErrorContext(ctx, "coordinator: archive: the saga stays until it succeeds", "saga", id, "error", err)
			continue
		}
		done = append(done, id)
	}
	return done
}
