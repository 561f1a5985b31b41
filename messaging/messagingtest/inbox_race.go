package messagingtest

import (
	"context"
	"errors"
	"time"

	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// patience is how long a transaction stays open for another one to come as far as it can. A store that makes the other wait passes in that time.
const patience = 300 * time.Millisecond

// meanwhile runs fn beside the caller's transaction until it is done or, for all that can be told, waits for that transaction. The end waits for it.
func meanwhile(fn func() error) (end func() error) {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	select {
	case err := <-done:
		done <- err
	case <-time.After(patience):
	}
	return func() error { return <-done }
}

// count adds one to the epoch of b, which it asks for with a. Who loses a race tries again.
func (s *inboxSuite) count(ctx context.Context) (err error) {
	for range 10 {
		err = s.store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
			found, err := tx.Entries(ctx, consumer, []string{"a", "b"})
			if err != nil {
				return err
			}
			return tx.Put(ctx, []inbox.Entry{entry("b", found["b"].Epoch+1)})
		})
		if err == nil {
			return nil
		}
	}
	return err
}

// raced runs one transaction, in which another counts, and wants both counted.
func (s *inboxSuite) raced(ctx context.Context, before map[string]int, fn func(ctx context.Context, tx inbox.Tx, other func()) error) {
	s.t.Helper()
	var ends []func() error
	err := s.store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
		if err := s.check(ctx, tx, before); err != nil {
			return err
		}
		return fn(ctx, tx, func() { ends = append(ends, meanwhile(func() error { return s.count(context.WithoutCancel(ctx)) })) })
	})
	for _, end := range ends {
		if err := end(); err != nil {
			s.t.Error(err)
		}
	}
	if err != nil { // it lost the race
		if err := s.count(ctx); err != nil {
			s.t.Error(err)
		}
	}
}

// inboxBeside puts an entry beside one that is there: a command that was held up by an undo must not go on as if there were none.
func inboxBeside(s *inboxSuite) {
	s.put(entry("a", 1))
	var end func() error
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		err := errors.Join(s.check(ctx, tx, map[string]int{"a": 1}), tx.Put(ctx, []inbox.Entry{entry("b", 1)}))
		end = meanwhile(func() error {
			return s.store.InTx(context.WithoutCancel(ctx), func(ctx context.Context, tx inbox.Tx) error {
				found, err := tx.Entries(ctx, consumer, []string{"a", "b"})
				if err == nil && len(found) != 2 {
					s.t.Errorf("%d entries were found, want the other transaction's too", len(found))
				}
				return err
			})
		})
		return err
	})
	_ = end() // it may have failed
}

// inboxMissing has both transactions ask for an entry that is not there, before either puts it.
func inboxMissing(s *inboxSuite) {
	s.raced(s.t.Context(), map[string]int{}, func(ctx context.Context, tx inbox.Tx, other func()) error {
		other()
		return tx.Put(ctx, []inbox.Entry{entry("b", 1)})
	})
	s.want(map[string]int{"b": 2})
}

// inboxUndone has the entry put first in a savepoint that fails.
func inboxUndone(s *inboxSuite) {
	s.raced(s.t.Context(), map[string]int{}, func(ctx context.Context, tx inbox.Tx, other func()) error {
		_ = tx.Savepoint(ctx, func(ctx context.Context) error {
			return errors.Join(tx.Put(ctx, []inbox.Entry{entry("b", 1)}), errOnPurpose)
		})
		other()
		return tx.Put(ctx, []inbox.Entry{entry("b", 1)})
	})
	s.want(map[string]int{"b": 2})
}

// forgetRaced handles an old entry again while it is being forgotten.
func forgetRaced(s *inboxSuite) {
	f := s.forgetter()
	s.put(entry("a", 1))
	later()
	before := hence(0)
	later()
	var end func() error
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		err := tx.Put(ctx, []inbox.Entry{entry("a", 2)})
		end = meanwhile(func() error {
			_, err := f.Forget(context.WithoutCancel(ctx), consumer, before, 10)
			return err
		})
		return err
	})
	if err := end(); err != nil {
		s.t.Error(err)
	}
	s.want(map[string]int{"a": 2})
}
