package messagingtest

import (
	"context"
	"time"

	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// forgetter is the store, if it can forget; else the case has nothing to test.
func (s *inboxSuite) forgetter() inbox.Forgetter {
	s.t.Helper()
	f, ok := s.store.(inbox.Forgetter)
	if !ok {
		s.t.Skip("the store is no inbox.Forgetter")
	}
	return f
}

// hence is a time so long after all entries of the case were handled, to the millisecond.
func hence(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Millisecond) }

// later returns when every store's clock has gone on.
func later() { <-time.After(5 * time.Millisecond) }

func (s *inboxSuite) forget(f inbox.Forgetter, before time.Time, limit, want int) {
	s.t.Helper()
	if n, err := f.Forget(s.t.Context(), consumer, before, limit); err != nil || n != want {
		s.t.Errorf("Forget returned %d, %v, want %d", n, err, want)
	}
}

func (s *inboxSuite) wantHorizon(of string, want time.Time) {
	s.t.Helper()
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		got, err := tx.Horizon(ctx, of)
		if err == nil && !got.Equal(want) {
			s.t.Errorf("the horizon of %s is %v, want %v", of, got, want)
		}
		return err
	})
}

func forgetOldest(s *inboxSuite) {
	f := s.forgetter()
	other := entry("a", 7)
	other.Consumer = "another"
	s.put(entry("b", 1), entry("c", 1), entry("d", 1), other) // of one time: by their keys
	later()
	s.put(entry("a", 2))
	s.forget(f, hence(-time.Hour), 10, 0)
	s.want(map[string]int{"a": 2, "b": 1, "c": 1, "d": 1})
	s.forget(f, hence(time.Hour), 1, 1)
	s.want(map[string]int{"a": 2, "c": 1, "d": 1})
	s.forget(f, hence(time.Hour), 2, 2)
	s.want(map[string]int{"a": 2})
	s.forget(f, hence(time.Hour), 10, 1)
	s.forget(f, hence(time.Hour), 10, 0)
	s.want(nil)
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		found, err := tx.Entries(ctx, other.Consumer, []string{"a"})
		if err == nil && len(found) != 1 {
			s.t.Error("another consumer's entry was forgotten")
		}
		return err
	})
}

func forgetHorizon(s *inboxSuite) {
	f := s.forgetter()
	s.wantHorizon(consumer, time.Time{})
	s.forget(f, hence(time.Hour), 10, 0)
	s.put(entry("a", 1))
	s.forget(f, hence(-time.Hour), 10, 0)
	s.wantHorizon(consumer, time.Time{})
	first, second := hence(time.Hour), hence(3*time.Hour)
	s.forget(f, first, 10, 1)
	s.wantHorizon(consumer, first)
	s.wantHorizon("another", time.Time{})
	for _, before := range []time.Time{second, first} {
		s.put(entry("b", 1))
		s.forget(f, before, 10, 1)
		s.wantHorizon(consumer, second)
	}
	s.tx(func(ctx context.Context, tx inbox.Tx) error { return tx.Put(ctx, []inbox.Entry{entry("a", 3)}) })
	s.want(map[string]int{"a": 3})
}

func forgetRenewed(s *inboxSuite) {
	f := s.forgetter()
	s.put(entry("a", 1))
	s.put(entry("b", 1))
	later()
	s.put(entry("a", 2))
	s.forget(f, hence(time.Hour), 1, 1)
	s.want(map[string]int{"a": 2})
}

func forgetCancelled(s *inboxSuite) {
	f := s.forgetter()
	s.put(entry("a", 1))
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	if n, err := f.Forget(ctx, consumer, hence(time.Hour), 10); err == nil {
		s.t.Errorf("Forget with a cancelled context returned %d and no error", n)
	}
	s.want(map[string]int{"a": 1})
	s.wantHorizon(consumer, time.Time{})
}
