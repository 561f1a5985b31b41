package sqlmsg_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fileURL(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "messages #1?.db")
}

func openDB(t testing.TB, url string) *sqlmsg.DB {
	t.Helper()
	db, err := sqlmsg.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newStore(t testing.TB, db *sqlmsg.DB, prefix string) *sqlmsg.Store {
	t.Helper()
	s, err := sqlmsg.NewStore(db, sqlmsg.Config{TablePrefix: prefix})
	if err == nil {
		err = s.Migrate(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, db := range map[string]struct {
		url           func(t testing.TB) string
		prefix        string
		oneConnection bool
	}{
		"SQLiteFile":   {url: fileURL, prefix: "shop_"},
		"SQLiteMemory": {url: func(testing.TB) string { return "sqlite::memory:" }, oneConnection: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messagingtest.RunInbox(t, func(t *testing.T) inbox.Store { return newStore(t, openDB(t, db.url(t)), db.prefix) })
			messagingtest.RunOutbox(t, messagingtest.OutboxHarness{
				OneWriter:     true,
				OneConnection: db.oneConnection,
				New: func(t *testing.T) (inbox.Store, outbox.Store) {
					s := newStore(t, openDB(t, db.url(t)), db.prefix)
					return s, s
				},
			})
		})
	}
}

func TestStoresWithDifferentPrefixesAreApart(t *testing.T) {
	t.Parallel()
	db := openDB(t, fileURL(t))
	one, other := newStore(t, db, "one_"), newStore(t, db, "")
	if err := sqlmsg.Migrate(t.Context(), db); err != nil {
		t.Errorf("Migrate again: %v", err)
	}
	err := one.InTx(t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		return tx.Append(ctx, []messaging.Message{{ID: "1", Topic: "topic"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := other.Pending(t.Context(), 0, 10); err != nil || len(rows) != 0 {
		t.Errorf("the other store has %d messages pending, %v", len(rows), err)
	}
	_, err = sqlmsg.NewStore(nil, sqlmsg.Config{})
	if err == nil || sqlmsg.Migrate(t.Context(), nil) == nil {
		t.Error("a store without a database was made")
	}
	if err := one.DeadLetter(t.Context(), messaging.DeadLetter{Message: messaging.Message{ID: "1", Topic: "topic"}, Subscription: "s"}); err != nil {
		t.Fatal(err)
	}
	if letters, err := other.DeadLetters(t.Context(), 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("the other store has %d dead letters, %v", len(letters), err)
	}
	letters, err := one.DeadLetters(t.Context(), 0, 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	if err := one.RemoveDeadLetter(t.Context(), letters[0].Number); err != nil {
		t.Error(err)
	}
	if letters, err = one.DeadLetters(t.Context(), 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%d dead letters are left, %v", len(letters), err)
	}
	for _, prefix := range []string{"x; DROP TABLE", "2024_"} {
		if _, err := sqlmsg.NewStore(db, sqlmsg.Config{TablePrefix: prefix}); err == nil {
			t.Errorf("the prefix %q was taken", prefix)
		}
	}
}

func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	url := fileURL(t)
	var done sync.WaitGroup
	for range 4 {
		db := openDB(t, url) // as another process
		done.Go(func() {
			if err := sqlmsg.Migrate(t.Context(), db); err != nil {
				t.Errorf("Migrate: %v", err)
			}
		})
	}
	done.Wait()
}

func TestAppendJoinsTheCallersTransaction(t *testing.T) {
	t.Parallel()
	db := openDB(t, fileURL(t))
	s := newStore(t, db, "")
	failed := errors.New("on purpose")
	for _, want := range []error{failed, nil} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
			if err := s.Append(ctx, tx, []messaging.Message{{ID: "1", Topic: "topic"}}); err != nil {
				return err
			}
			return errors.Join(s.Tx(tx).Put(ctx, []inbox.Entry{{Consumer: "c", Key: "k"}}), want)
		})
		if !errors.Is(err, want) {
			t.Fatalf("InTx returned %v, want %v", err, want)
		}
		rows, err := s.Pending(t.Context(), 0, 10)
		if err != nil || (len(rows) == 1) != (want == nil) {
			t.Errorf("after %v, %d messages are pending, %v", want, len(rows), err)
		}
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStore(t, openDB(t, fileURL(t)), "")
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	letter := func(id, reason string) messaging.DeadLetter {
		return messaging.DeadLetter{
			Message:      messaging.Message{ID: id, Topic: "topic", Type: "type", Headers: map[string]string{"a": "b"}, Payload: []byte{1}},
			Subscription: "service", Reason: reason, Attempts: 3, Time: when,
		}
	}
	for _, d := range []messaging.DeadLetter{letter("1", "first"), letter("2", "other"), letter("1", "again"), letter("", "unknown"), letter("", "unknown")} {
		if err := s.DeadLetter(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := s.DeadLetters(t.Context(), 0, 10)
	if err != nil || len(letters) != 4 {
		t.Fatalf("%d dead letters, %v; want 4: one for each message, and all whose identity is unknown", len(letters), err)
	}
	first := letters[0]
	if first.Reason != "again" || first.Message.Headers["a"] != "b" || first.Message.Type != "type" || !first.Time.Equal(when) || first.Attempts != 3 {
		t.Errorf("the first dead letter is %+v", first)
	}
	if err := s.RemoveDeadLetter(t.Context(), first.Number); err != nil {
		t.Fatal(err)
	}
	if letters, err = s.DeadLetters(t.Context(), first.Number, 1); err != nil || len(letters) != 1 || letters[0].Message.ID != "2" {
		t.Errorf("the next page is %v, %v; want the message 2", letters, err)
	}
}

// An interrupted statement takes the whole transaction back: what comes after it must not commit by itself.
func TestAnInterruptedStatementDoomsTheTransaction(t *testing.T) {
	t.Parallel()
	s := newStore(t, openDB(t, fileURL(t)), "")
	err := s.InTx(t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		if err := tx.Append(ctx, []messaging.Message{{ID: "before", Topic: "topic"}}); err != nil {
			return err
		}
		_ = tx.Savepoint(ctx, func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return tx.Append(ctx, []messaging.Message{{ID: strings.Repeat("x", 10), Topic: "topic"}})
		})
		return tx.Append(ctx, []messaging.Message{{ID: "after", Topic: "topic"}})
	})
	rows, pending := s.Pending(t.Context(), 0, 10)
	if pending != nil {
		t.Fatal(pending)
	}
	if want := map[bool]int{true: 2, false: 0}[err == nil]; len(rows) != want {
		t.Errorf("InTx returned %v and %d messages are pending, want %d", err, len(rows), want)
	}
}
