package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// RunInbox tests a store against the contract of [inbox.Store]. newStore returns an empty store of its own; each
// case calls it once. The outbox side has its own suite: see [RunOutbox].
func RunInbox(t *testing.T, newStore func(t *testing.T) inbox.Store) {
	for _, c := range []struct {
		promise string
		run     func(*inboxSuite)
	}{
		{"AnEntryIsFoundAfterItsCommitWithAllItsFields", inboxFields},
		{"UnknownKeysAreAbsent", inboxUnknown},
		{"ATransactionSeesItsOwnEntries", inboxOwnWrites},
		{"AFailedTransactionLeavesNothingAndReturnsTheError", inboxRollback},
		{"APanickingTransactionLeavesNothingAndTheStoreUsable", (*inboxSuite).panics},
		{"ATransactionWhoseContextEndedLeavesNothing", inboxContext},
		{"PutReplacesTheEntryOfTheSameConsumerAndKey", inboxReplace},
		{"OfOneKeyTwiceInOnePutTheLastIsKept", inboxTwice},
		{"ConsumersDoNotSeeEachOther", inboxConsumers},
		{"AFailedSavepointUndoesItsOwnChangesOnly", inboxSavepoint},
		{"ASavepointReturnsItsFunctionsError", inboxSavepointError},
		{"SavepointsNest", inboxNested},
		{"TransactionsThatAskForOneKeyTakeEffectOneAfterTheOther", inboxSerial},
		{"WhoWaitedForAnEntrySeesWhatWasPutBesideIt", inboxBeside},
		{"OfTwoThatPutAMissingEntryOneDecidesAfterTheOther", inboxMissing},
		{"AMissingEntryIsMissingAgainAfterAFailedSavepoint", inboxUndone},
		{"ThousandsOfEntriesGoInAndOutAtOnce", inboxMany},
		{"ForgetTakesTheOldestOfItsConsumerADoBeforeItsUndo", forgetOldest},
		{"ForgetMovesTheHorizonWithWhatItTakesAndNeverBack", forgetHorizon},
		{"AnEntryThatIsHandledAgainIsYoung", forgetRenewed},
		{"AnEntryThatIsHandledWhileItIsForgottenIsKept", forgetRaced},
		{"ForgetWithACancelledContextLeavesAll", forgetCancelled},
	} {
		t.Run(c.promise, func(t *testing.T) {
			t.Parallel()
			c.run(&inboxSuite{t: t, store: newStore(t)})
		})
	}
}

// inboxSuite is one case's store.
type inboxSuite struct {
	t     *testing.T
	store inbox.Store
}

const consumer = "consumer"

func entry(key string, epoch int) inbox.Entry {
	return inbox.Entry{Consumer: consumer, Key: key, Epoch: epoch, Outcome: messaging.Success}
}

func sameEntry(a, b inbox.Entry) bool {
	return a.Consumer == b.Consumer && a.Key == b.Key && a.Epoch == b.Epoch && a.Outcome == b.Outcome && a.Started.Equal(b.Started) && sameMessage(a.Reply, b.Reply)
}

// tx runs fn in a transaction that must succeed.
func (s *inboxSuite) tx(fn func(ctx context.Context, tx inbox.Tx) error) {
	s.t.Helper()
	if err := s.store.InTx(s.t.Context(), fn); err != nil {
		s.t.Fatalf("InTx: %v", err)
	}
}

func (s *inboxSuite) put(entries ...inbox.Entry) {
	s.t.Helper()
	s.tx(func(ctx context.Context, tx inbox.Tx) error { return tx.Put(ctx, entries) })
}

// want checks the epochs of the consumer's entries among the keys that this suite uses.
func (s *inboxSuite) want(epochs map[string]int) {
	s.t.Helper()
	s.tx(func(ctx context.Context, tx inbox.Tx) error { return s.check(ctx, tx, epochs) })
}

func (s *inboxSuite) check(ctx context.Context, tx inbox.Tx, epochs map[string]int) error {
	s.t.Helper()
	found, err := tx.Entries(ctx, consumer, []string{"a", "b", "c", "d"})
	got := map[string]int{}
	for key, e := range found {
		got[key] = e.Epoch
	}
	if err == nil && !maps.Equal(got, epochs) {
		s.t.Errorf("entries have the epochs %v, want %v", got, epochs)
	}
	return err
}

func inboxFields(s *inboxSuite) {
	var all []inbox.Entry
	for i, reply := range awkward() {
		all = append(all, inbox.Entry{Consumer: consumer, Key: "saga/ñode[3]/" + reply.ID, Epoch: i, Outcome: messaging.Failure,
			Started: time.UnixMicro(1_700_000_000_123_456 + int64(i)), Reply: reply})
	}
	all = append(all, inbox.Entry{Consumer: consumer, Key: "?'\"%_$1:x"})
	s.put(slices.Clone(all)...) // a store that changes what it is given must not hide it
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		keys := []string{"none"}
		for _, e := range all {
			keys = append(keys, e.Key)
		}
		found, err := tx.Entries(ctx, consumer, keys)
		if err == nil && len(found) != len(all) {
			s.t.Errorf("%d entries were found, want %d", len(found), len(all))
		}
		for _, want := range all {
			if got := found[want.Key]; !sameEntry(got, want) {
				s.t.Errorf("entry %q was found with other fields", want.Key)
			}
		}
		return err
	})
}

func inboxUnknown(s *inboxSuite) {
	s.want(nil)
	s.put(entry("a", 1))
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		for _, keys := range [][]string{nil, {"A"}, {"a "}, {"x", "y"}} {
			found, err := tx.Entries(ctx, consumer, keys)
			if err != nil || len(found) != 0 {
				s.t.Errorf("Entries of %q returned %d, %v; want none", keys, len(found), err)
			}
		}
		return nil
	})
}

func inboxOwnWrites(s *inboxSuite) {
	s.put(entry("a", 1))
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		return errors.Join(
			tx.Put(ctx, []inbox.Entry{entry("a", 2), entry("b", 1)}),
			s.check(ctx, tx, map[string]int{"a": 2, "b": 1}),
		)
	})
}

func inboxRollback(s *inboxSuite) {
	s.put(entry("a", 1))
	err := s.store.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		return errors.Join(tx.Put(ctx, []inbox.Entry{entry("a", 2), entry("b", 1)}), errOnPurpose)
	})
	if !errors.Is(err, errOnPurpose) {
		s.t.Errorf("InTx returned %v, want the function's error", err)
	}
	s.want(map[string]int{"a": 1})
}

func (s *inboxSuite) panics() {
	func() {
		defer func() {
			if recover() == nil {
				s.t.Error("InTx swallowed the panic")
			}
		}()
		_ = s.store.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
			if err := tx.Put(ctx, []inbox.Entry{entry("a", 1)}); err != nil {
				s.t.Errorf("Put: %v", err)
			}
			panic("on purpose")
		})
	}()
	s.want(nil)
	s.put(entry("b", 1))
	s.want(map[string]int{"b": 1})
}

func inboxContext(s *inboxSuite) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	err := s.store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
		err := tx.Put(ctx, []inbox.Entry{entry("a", 1)})
		cancel()
		return err
	})
	if err == nil {
		s.t.Error("InTx succeeded although its context ended before the commit")
	}
	s.want(nil)
}

func inboxReplace(s *inboxSuite) {
	first, second := entry("a", 1), entry("a", 2)
	first.Reply = awkward()[0]
	second.Outcome, second.Reply = messaging.Nothing, messaging.Message{ID: "second", Topic: "topic"}
	s.put(first, entry("b", 1))
	s.put(second)
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		found, err := tx.Entries(ctx, consumer, []string{"a"})
		if err == nil && !sameEntry(found["a"], second) {
			s.t.Error("the first entry is still there, in part or in whole")
		}
		return err
	})
	s.want(map[string]int{"a": 2, "b": 1})
}

func inboxTwice(s *inboxSuite) {
	s.put(entry("a", 1), entry("b", 1), entry("a", 2))
	s.want(map[string]int{"a": 2, "b": 1})
}

func inboxConsumers(s *inboxSuite) {
	other := entry("a", 9)
	other.Consumer = "other"
	s.put(entry("a", 1), other)
	s.want(map[string]int{"a": 1})
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		found, err := tx.Entries(ctx, "other", []string{"a", "b"})
		if err == nil && (len(found) != 1 || !sameEntry(found["a"], other)) {
			s.t.Errorf("the other consumer finds %d entries, want its own", len(found))
		}
		return err
	})
}

func inboxSavepoint(s *inboxSuite) {
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		err := tx.Put(ctx, []inbox.Entry{entry("a", 1)})
		_ = tx.Savepoint(ctx, func(ctx context.Context) error {
			return errors.Join(tx.Put(ctx, []inbox.Entry{entry("a", 2), entry("b", 2)}), errOnPurpose)
		})
		return errors.Join(err,
			s.check(ctx, tx, map[string]int{"a": 1}),
			tx.Savepoint(ctx, func(ctx context.Context) error { return tx.Put(ctx, []inbox.Entry{entry("c", 3)}) }),
			tx.Put(ctx, []inbox.Entry{entry("d", 4)}))
	})
	s.want(map[string]int{"a": 1, "c": 3, "d": 4})
}

func inboxSavepointError(s *inboxSuite) {
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		err := tx.Savepoint(ctx, func(context.Context) error { return errOnPurpose })
		if !errors.Is(err, errOnPurpose) || errors.Is(err, inbox.ErrTx) {
			s.t.Errorf("Savepoint returned %v, want the function's error and not inbox.ErrTx", err)
		}
		return tx.Savepoint(ctx, func(context.Context) error { return nil })
	})
}

func inboxNested(s *inboxSuite) {
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		put := func(ctx context.Context, e inbox.Entry) error { return tx.Put(ctx, []inbox.Entry{e}) }
		_ = tx.Savepoint(ctx, func(ctx context.Context) error {
			inner := tx.Savepoint(ctx, func(ctx context.Context) error { return put(ctx, entry("a", 1)) })
			return errors.Join(inner, errOnPurpose)
		})
		return tx.Savepoint(ctx, func(ctx context.Context) error {
			err := put(ctx, entry("b", 1))
			_ = tx.Savepoint(ctx, func(ctx context.Context) error { return errors.Join(put(ctx, entry("c", 1)), errOnPurpose) })
			return errors.Join(err, put(ctx, entry("d", 1)))
		})
	})
	s.want(map[string]int{"b": 1, "d": 1})
}

// inboxSerial counts in an entry: a lost update is a command that took effect twice.
func inboxSerial(s *inboxSuite) {
	const writers, each, attempts = 4, 5, 1000
	count := func(ctx context.Context, tx inbox.Tx) error {
		found, err := tx.Entries(ctx, consumer, []string{"a", "b"})
		if err != nil {
			return err
		}
		return tx.Put(ctx, []inbox.Entry{entry("a", found["a"].Epoch+1)})
	}
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for range each {
				err := s.store.InTx(s.t.Context(), count)
				for i := 0; err != nil && i < attempts; i++ { // the loser of a race may fail
					err = s.store.InTx(s.t.Context(), count)
				}
				if err != nil {
					s.t.Errorf("InTx: %v", err)
				}
			}
		})
	}
	done.Wait()
	s.want(map[string]int{"a": writers * each})
}

func inboxMany(s *inboxSuite) {
	const n = 4_000
	entries, keys := make([]inbox.Entry, n), make([]string, n)
	for i := range n {
		keys[i] = fmt.Sprintf("key-%05d", i)
		entries[i] = entry(keys[i], i)
	}
	s.put(entries...)
	s.tx(func(ctx context.Context, tx inbox.Tx) error {
		found, err := tx.Entries(ctx, consumer, keys)
		for i, key := range keys {
			if e, ok := found[key]; err == nil && (!ok || e.Epoch != i) {
				s.t.Fatalf("entry %s is missing or wrong among %d", key, len(found))
			}
		}
		return err
	})
}
