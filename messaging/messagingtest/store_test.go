package messagingtest_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// store is a store whose parts can be replaced by broken ones.
type store struct {
	working *inbox.Memory
	inTx    func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error
	tx      func(inbox.Tx) inbox.Tx
	pending func(ctx context.Context, offset, limit int) ([]messaging.Message, error)
	delete  func(ctx context.Context, ids []string) error
	forget  func(ctx context.Context, consumer string, before time.Time, limit int) (int, error)
}

func newStore() *store {
	m := inbox.NewMemory()
	return &store{working: m, inTx: m.InTx, pending: m.Pending, delete: m.Delete, forget: m.Forget, tx: func(tx inbox.Tx) inbox.Tx { return tx }}
}

func (s *store) InTx(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
	return s.inTx(ctx, func(ctx context.Context, tx inbox.Tx) error { return fn(ctx, s.tx(tx)) })
}

func (s *store) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	return s.pending(ctx, offset, limit)
}

func (s *store) Delete(ctx context.Context, ids []string) error { return s.delete(ctx, ids) }

func (s *store) Forget(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
	return s.forget(ctx, consumer, before, limit)
}

// tx is a transaction whose parts can be replaced; nil parts work.
type tx struct {
	inbox.Tx
	entries   func(ctx context.Context, consumer string, keys []string) (map[string]inbox.Entry, error)
	put       func(ctx context.Context, entries []inbox.Entry) error
	append    func(ctx context.Context, messages []messaging.Message) error
	savepoint func(ctx context.Context, fn func(context.Context) error) error
	horizon   func(ctx context.Context, consumer string) (time.Time, error)
}

func (t tx) Horizon(ctx context.Context, consumer string) (time.Time, error) {
	if t.horizon != nil {
		return t.horizon(ctx, consumer)
	}
	return t.Tx.Horizon(ctx, consumer)
}

func (t tx) Entries(ctx context.Context, consumer string, keys []string) (map[string]inbox.Entry, error) {
	if t.entries != nil {
		return t.entries(ctx, consumer, keys)
	}
	return t.Tx.Entries(ctx, consumer, keys)
}

func (t tx) Put(ctx context.Context, entries []inbox.Entry) error {
	if t.put != nil {
		return t.put(ctx, entries)
	}
	return t.Tx.Put(ctx, entries)
}

func (t tx) Append(ctx context.Context, messages []messaging.Message) error {
	if t.append != nil {
		return t.append(ctx, messages)
	}
	return t.Tx.Append(ctx, messages)
}

func (t tx) Savepoint(ctx context.Context, fn func(context.Context) error) error {
	if t.savepoint != nil {
		return t.savepoint(ctx, fn)
	}
	return t.Tx.Savepoint(ctx, fn)
}

func withTx(change func(inbox.Tx) tx) *store {
	s := newStore()
	s.tx = func(inner inbox.Tx) inbox.Tx { return change(inner) }
	return s
}

// keepsSavepoints runs a savepoint's function without one.
func keepsSavepoints() *store {
	return withTx(func(inner inbox.Tx) tx {
		return tx{Tx: inner, savepoint: func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }}
	})
}

// commitsFailures commits whatever its function returns.
func commitsFailures() *store {
	s := newStore()
	s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
		var failed error
		return errors.Join(s.working.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
			failed = fn(ctx, tx)
			return nil
		}), failed)
	}
	return s
}

// brokenStores break one promise of inbox.Store each; fails is the case that must notice.
func brokenStores() map[string]struct {
	fails string
	make  func() *store
} {
	type broken = struct {
		fails string
		make  func() *store
	}
	return map[string]broken{
		"commits what failed":     {"AFailedTransactionLeavesNothingAndReturnsTheError", commitsFailures},
		"keeps failed savepoints": {"AFailedSavepointUndoesItsOwnChangesOnly", keepsSavepoints},
		"keeps inner savepoints of failed ones": {"SavepointsNest", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				depth := 0
				return tx{Tx: inner, savepoint: func(ctx context.Context, fn func(context.Context) error) error {
					depth++
					defer func() { depth-- }()
					if depth > 1 { // the outer savepoint is the only one
						return fn(ctx)
					}
					return inner.Savepoint(ctx, fn)
				}}
			})
		}},
		"swallows a savepoint's error": {"ASavepointReturnsItsFunctionsError", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, savepoint: func(ctx context.Context, fn func(context.Context) error) error {
					_ = inner.Savepoint(ctx, fn)
					return nil
				}}
			})
		}},
		"loses the reply's headers": {"AnEntryIsFoundAfterItsCommitWithAllItsFields", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, put: func(ctx context.Context, entries []inbox.Entry) error {
					for i := range entries {
						entries[i].Reply.Headers = nil
					}
					return inner.Put(ctx, entries)
				}}
			})
		}},
		"never replaces an entry": {"PutReplacesTheEntryOfTheSameConsumerAndKey", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, put: func(ctx context.Context, entries []inbox.Entry) error {
					for _, e := range entries {
						if there, err := inner.Entries(ctx, e.Consumer, []string{e.Key}); err != nil || len(there) > 0 {
							continue
						}
						if err := inner.Put(ctx, []inbox.Entry{e}); err != nil {
							return err
						}
					}
					return nil
				}}
			})
		}},
		"keeps the first of two": {"OfOneKeyTwiceInOnePutTheLastIsKept", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, put: func(ctx context.Context, entries []inbox.Entry) error {
					slices.Reverse(entries)
					return inner.Put(ctx, entries)
				}}
			})
		}},
		"shares entries among consumers": {"ConsumersDoNotSeeEachOther", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{
					Tx: inner,
					put: func(ctx context.Context, entries []inbox.Entry) error {
						for i := range entries {
							entries[i].Consumer = ""
						}
						return inner.Put(ctx, entries)
					},
					entries: func(ctx context.Context, _ string, keys []string) (map[string]inbox.Entry, error) {
						return inner.Entries(ctx, "", keys)
					},
				}
			})
		}},
		"writes only at the end": {"ATransactionSeesItsOwnEntries", func() *store {
			s := newStore()
			s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
				return s.working.InTx(ctx, func(ctx context.Context, inner inbox.Tx) error {
					var late []inbox.Entry
					err := fn(ctx, tx{Tx: inner, put: func(_ context.Context, entries []inbox.Entry) error {
						late = append(late, entries...)
						return nil
					}})
					return errors.Join(err, inner.Put(ctx, late))
				})
			}
			return s
		}},
		"takes keys without regard to case": {"UnknownKeysAreAbsent", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, entries: func(ctx context.Context, consumer string, keys []string) (map[string]inbox.Entry, error) {
					if slices.Equal(keys, []string{"A"}) {
						keys = []string{"a"}
					}
					return inner.Entries(ctx, consumer, keys)
				}}
			})
		}},
		"commits after its context ended": {"ATransactionWhoseContextEndedLeavesNothing", func() *store {
			s := newStore()
			s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
				return s.working.InTx(context.WithoutCancel(ctx), fn)
			}
			return s
		}},
		"commits what panicked": {"APanickingTransactionLeavesNothingAndTheStoreUsable", func() *store {
			s := newStore()
			s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
				var panicked any
				err := s.working.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
					defer func() { panicked = recover() }()
					return fn(ctx, tx)
				})
				if panicked != nil {
					panic(panicked)
				}
				return err
			}
			return s
		}},
		"decides by what another transaction is changing": {"TransactionsThatAskForOneKeyTakeEffectOneAfterTheOther", func() *store {
			s := newStore()
			var reading sync.WaitGroup // holds the first two readers until both have read
			reading.Add(2)
			var readers atomic.Int32
			s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
				var late []inbox.Entry
				err := fn(ctx, tx{
					entries: func(ctx context.Context, consumer string, keys []string) (found map[string]inbox.Entry, err error) {
						err = s.working.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
							found, err = tx.Entries(ctx, consumer, keys)
							return err
						})
						if readers.Add(1) <= 2 {
							reading.Done()
							reading.Wait()
						}
						return found, err
					},
					put: func(_ context.Context, entries []inbox.Entry) error {
						late = append(late, entries...)
						return nil
					},
				})
				if err != nil {
					return err
				}
				return s.working.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error { return tx.Put(ctx, late) })
			}
			return s
		}},
		"forgets what is too much for one statement": {"ThousandsOfEntriesGoInAndOutAtOnce", func() *store {
			return withTx(func(inner inbox.Tx) tx {
				return tx{Tx: inner, put: func(ctx context.Context, entries []inbox.Entry) error {
					return inner.Put(ctx, entries[:min(len(entries), 3276)])
				}}
			})
		}},
	}
}

// brokenOutboxes break one promise of outbox.Store each.
func brokenOutboxes() map[string]struct {
	fails string
	make  func() (inbox.Store, outbox.Store)
} {
	type broken = struct {
		fails string
		make  func() (inbox.Store, outbox.Store)
	}
	both := func(newStore func() *store) func() (inbox.Store, outbox.Store) {
		return func() (inbox.Store, outbox.Store) {
			s := newStore()
			return s, s
		}
	}
	changed := func(change func(*store)) func() (inbox.Store, outbox.Store) {
		return both(func() *store {
			s := newStore()
			change(s)
			return s
		})
	}
	return map[string]broken{
		"commits what failed":     {"MessagesOfAFailedTransactionAreNeverPending", both(commitsFailures)},
		"keeps failed savepoints": {"MessagesOfAFailedSavepointAreNeverPending", both(keepsSavepoints)},
		"reads by cursor": {"MessagesStayPendingUntilTheyAreDeleted", changed(func(s *store) {
			last := 0
			s.pending = func(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
				rows, err := s.working.Pending(ctx, last+offset, limit)
				last += len(rows)
				return rows, err
			}
		})},
		"skips late commits": {"AMessageThatIsCommittedLateIsFoundByTheNextReading", func() (inbox.Store, outbox.Store) {
			c := &cursor{}
			return c, c
		}},
		"shows what is uncommitted": {"MessagesAreNotPendingBeforeTheirCommit", changed(func(s *store) {
			var early []messaging.Message
			s.tx = func(inner inbox.Tx) inbox.Tx {
				return tx{Tx: inner, append: func(ctx context.Context, messages []messaging.Message) error {
					early = messages
					return inner.Append(ctx, messages)
				}}
			}
			s.pending = func(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
				rows, err := s.working.Pending(ctx, offset, limit)
				if len(rows) == 0 {
					rows = early
				}
				return rows, err
			}
		})},
		"reads the newest first": {"PendingIsInTheOrderOfAppending", changed(func(s *store) {
			s.pending = func(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
				rows, err := s.working.Pending(ctx, offset, limit)
				slices.Reverse(rows)
				return rows, err
			}
		})},
		"ignores the offset": {"PendingReadsPages", changed(func(s *store) {
			s.pending = func(ctx context.Context, _, limit int) ([]messaging.Message, error) {
				return s.working.Pending(ctx, 0, limit)
			}
		})},
		"deletes all up to the ID": {"DeleteRemovesWhatItNamesAndNothingElse", changed(func(s *store) {
			s.delete = func(ctx context.Context, ids []string) error {
				rows, err := s.working.Pending(ctx, 0, 1000)
				var all []string
				for _, row := range rows {
					if len(ids) > 0 && row.ID <= slices.Max(ids) {
						all = append(all, row.ID)
					}
				}
				return errors.Join(err, s.working.Delete(ctx, all))
			}
		})},
		"deletes part of it": {"ThousandsOfMessagesGoInAndOutAtOnce", changed(func(s *store) {
			s.delete = func(ctx context.Context, ids []string) error { return s.working.Delete(ctx, ids[:min(len(ids), 999)]) }
		})},
		"overwrites duplicates": {"AppendingAnIDThatIsThereLeavesItAsItIs", changed(func(s *store) {
			s.tx = func(inner inbox.Tx) inbox.Tx {
				return tx{Tx: inner, append: func(ctx context.Context, messages []messaging.Message) error {
					for _, m := range messages {
						if err := s.working.Delete(ctx, []string{m.ID}); err != nil {
							return err
						}
					}
					return inner.Append(ctx, messages)
				}}
			}
		})},
		"remembers deleted IDs": {"ADeletedIDCanBeAppendedAgain", changed(func(s *store) {
			s.delete = func(context.Context, []string) error { return nil }
			s.pending = func(ctx context.Context, offset, limit int) ([]messaging.Message, error) { return nil, nil }
		})},
		"takes messages without ID": {"AMessageWithoutAnIDIsErrNoID", changed(func(s *store) {
			s.tx = func(inner inbox.Tx) inbox.Tx {
				return tx{Tx: inner, append: func(ctx context.Context, messages []messaging.Message) error { return inner.Append(ctx, messages[:1]) }}
			}
		})},
		"loses the key": {"CommittedMessagesArePendingWithAllTheirFields", changed(func(s *store) {
			s.pending = func(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
				rows, err := s.working.Pending(ctx, offset, limit)
				for i := range rows {
					rows[i].Key = ""
				}
				return rows, err
			}
		})},
		"loses every seventh commit": {"ConcurrentTransactionsLoseNothing", changed(func(s *store) {
			var mu sync.Mutex
			n := 0
			s.inTx = func(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
				mu.Lock()
				n++
				lost := n%7 == 0
				mu.Unlock()
				if lost {
					return nil
				}
				return s.working.InTx(ctx, fn)
			}
		})},
		"ignores the context": {"AnEndedContextIsAnError", changed(func(s *store) {
			s.delete = func(ctx context.Context, ids []string) error {
				return s.working.Delete(context.WithoutCancel(ctx), ids)
			}
		})},
	}
}

// cursor is a store with concurrent writers whose reader keeps the last sequence it has seen, the
// classic mistake: a sequence is taken before its commit.
type cursor struct {
	inbox.Store
	mu   sync.Mutex
	next int
	last int
	rows map[int]messaging.Message
}

func (c *cursor) InTx(ctx context.Context, fn func(context.Context, inbox.Tx) error) error {
	mine := map[int]messaging.Message{}
	err := fn(ctx, tx{append: func(_ context.Context, messages []messaging.Message) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, m := range messages {
			c.next++
			mine[c.next] = m
		}
		return nil
	}})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows == nil {
		c.rows = map[int]messaging.Message{}
	}
	maps.Copy(c.rows, mine)
	return err
}

func (c *cursor) Pending(context.Context, int, int) (rows []messaging.Message, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; c.last < c.next; c.last++ {
		if m, ok := c.rows[c.last+1]; ok {
			rows = append(rows, m)
		}
	}
	return rows, nil
}

func (c *cursor) Delete(context.Context, []string) error { return nil }

// TestSuiteOnBrokenInbox runs the suite on a broken store, in the child process of the next test only.
func TestSuiteOnBrokenInbox(t *testing.T) {
	b, ok := brokenInboxes()[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("only in a child process of TestRunInboxFailsOnBrokenStores")
	}
	messagingtest.RunInbox(t, func(*testing.T) inbox.Store { return b.make() })
}

func TestRunInboxFailsOnBrokenStores(t *testing.T) {
	t.Parallel()
	for name, b := range brokenInboxes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, "TestSuiteOnBrokenInbox", b.fails, name)
		})
	}
}

// TestSuiteOnBrokenOutbox runs the suite on a broken store, in the child process of the next test only.
func TestSuiteOnBrokenOutbox(t *testing.T) {
	b, ok := brokenOutboxes()[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("only in a child process of TestRunOutboxFailsOnBrokenStores")
	}
	messagingtest.RunOutbox(t, messagingtest.OutboxHarness{
		New: func(*testing.T) (inbox.Store, outbox.Store) { return b.make() },
	})
}

func TestRunOutboxFailsOnBrokenStores(t *testing.T) {
	t.Parallel()
	for name, b := range brokenOutboxes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, "TestSuiteOnBrokenOutbox", b.fails, name)
		})
	}
}

// TestSuitesOnMemory shows that the suites pass where nothing is broken.
func TestSuitesOnMemory(t *testing.T) {
	t.Parallel()
	messagingtest.RunInbox(t, func(*testing.T) inbox.Store { return inbox.NewMemory() })
	messagingtest.RunOutbox(t, messagingtest.OutboxHarness{OneWriter: true, New: func(*testing.T) (inbox.Store, outbox.Store) {
		m := inbox.NewMemory()
		return m, m
	}})
}
