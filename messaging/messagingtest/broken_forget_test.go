package messagingtest_test

import (
	"context"
	"maps"
	"time"

	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// forgetting is a store that forgets in another way.
func forgetting(forget func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, limit int) (int, error)) func() *store {
	return func() *store {
		s := newStore()
		s.forget = func(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
			return forget(s.working, ctx, consumer, before, limit)
		}
		return s
	}
}

// withHorizon is a store whose transactions tell another horizon.
func withHorizon(spoil func(consumer string, horizon time.Time) time.Time) func() *store {
	return func() *store {
		return withTx(func(inner inbox.Tx) tx {
			return tx{Tx: inner, horizon: func(ctx context.Context, consumer string) (time.Time, error) {
				horizon, err := inner.Horizon(ctx, consumer)
				return spoil(consumer, horizon), err
			}}
		})
	}
}

// brokenInboxes are brokenStores and those that break a promise of inbox.Forgetter.
func brokenInboxes() map[string]struct {
	fails string
	make  func() *store
} {
	type broken = struct {
		fails string
		make  func() *store
	}
	const (
		oldest  = "ForgetTakesTheOldestOfItsConsumerADoBeforeItsUndo"
		horizon = "ForgetMovesTheHorizonWithWhatItTakesAndNeverBack"
	)
	all := brokenStores()
	maps.Copy(all, map[string]broken{
		"forgets whatever the limit": {oldest, forgetting(func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, _ int) (int, error) {
			return m.Forget(ctx, consumer, before, 1000)
		})},
		"forgets the young": {oldest, forgetting(func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
			return m.Forget(ctx, consumer, before.Add(2*time.Hour), limit)
		})},
		"forgets those of others": {oldest, forgetting(func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
			if _, err := m.Forget(ctx, "another", before, limit); err != nil {
				return 0, err
			}
			return m.Forget(ctx, consumer, before, limit)
		})},
		"forgets nothing": {oldest, forgetting(func(*inbox.Memory, context.Context, string, time.Time, int) (int, error) { return 0, nil })},
		"has no horizon":  {horizon, withHorizon(func(string, time.Time) time.Time { return time.Time{} })},
		"has one horizon for all": {horizon, func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, horizon: func(ctx context.Context, _ string) (time.Time, error) { return inner.Horizon(ctx, "consumer") }}
			})
		}},
		"moves the horizon though it forgets nothing": {horizon, func() *store {
			var last time.Time
			s := withHorizon(func(_ string, horizon time.Time) time.Time {
				if last.After(horizon) {
					return last
				}
				return horizon
			})()
			s.forget = func(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
				last = before
				return s.working.Forget(ctx, consumer, before, limit)
			}
			return s
		}},
		"moves the horizon back": {horizon, func() *store {
			var last time.Time
			s := withHorizon(func(_ string, horizon time.Time) time.Time {
				if last.IsZero() || horizon.IsZero() {
					return horizon
				}
				return last
			})()
			s.forget = func(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
				n, err := s.working.Forget(ctx, consumer, before, limit)
				if n > 0 {
					last = before
				}
				return n, err
			}
			return s
		}},
		"keeps the time of the first handling": {"AnEntryThatIsHandledAgainIsYoung", forgetting(
			func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
				if limit == 1 { // the one that was there first
					return m.Forget(ctx, consumer, before, 2)
				}
				return m.Forget(ctx, consumer, before, limit)
			})},
		"forgets after the end": {"ForgetWithACancelledContextLeavesAll", forgetting(
			func(m *inbox.Memory, ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
				n, err := m.Forget(context.WithoutCancel(ctx), consumer, before, limit)
				if err == nil {
					err = ctx.Err()
				}
				return n, err
			})},
	})
	return all
}
