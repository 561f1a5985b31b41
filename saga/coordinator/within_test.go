package coordinator_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

const inMemory = "sqlite::memory:"

// sqlStore is a store on a database.
func sqlStore(t testing.TB, url string) (*sqlmsg.DB, *sqlsaga.Store) {
	t.Helper()
	db, err := sqlmsg.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(messages.Migrate(t.Context()), store.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	return db, store
}

// TestStartWithinATransaction starts a saga together with a change of the caller's own: both or neither.
func TestStartWithinATransaction(t *testing.T) {
	t.Parallel()
	db, store := sqlStore(t, inMemory)
	w := newWorld(t)
	w.participants()
	c, _ := w.coordinator(coordinator.Config{Store: store})
	errNo := errors.New("the caller changed its mind")
	start := func(key string, end error) (id saga.ID, err error) {
		err = db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
			for range 2 { // the second one finds the first
				var err error
				id, err = coordinator.Start(ctx, c, w.def, trip{ID: key}, coordinator.Key(key), coordinator.Within(store.Within(tx)))
				if err != nil {
					return err
				}
			}
			return end
		})
		return id, err
	}

	id, err := start("t1", errNo)
	if !errors.Is(err, errNo) {
		t.Fatal(err)
	}
	if err := c.Wake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(t.Context(), id); !errors.Is(err, saga.ErrNotFound) {
		t.Errorf("rolled back: %v", err)
	}
	if rows, err := store.Pending(t.Context(), 0, 10); err != nil || len(rows) != 0 {
		t.Errorf("rolled back: %d messages, %v", len(rows), err)
	}

	id, err = start("t2", nil)
	if err == nil {
		err = c.Wake(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	w.ends(c, id, saga.Completed)
	if w.net("flight", "t1") != 0 || w.net("flight", "t2") != 1 {
		t.Errorf("flights: %d and %d", w.net("flight", "t1"), w.net("flight", "t2"))
	}
}
