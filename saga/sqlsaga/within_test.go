package sqlsaga_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// A view writes what its caller's transaction commits, outbox rows too, and nothing else.
func TestWithinJoinsTheCallersTransaction(t *testing.T) {
	t.Parallel()
	db, messages, store, err := openPrefixed(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "sagas.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	withinJoins(t, db, messages, store)
}

func withinJoins(t *testing.T, db *sqlmsg.DB, messages *sqlmsg.Store, store *sqlsaga.Store) {
	t.Helper()
	failed := errors.New("on purpose")
	for _, end := range []error{failed, nil} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
			view := store.Within(tx)
			change := creation(newState("a"))
			if conflicts, err := view.Commit(ctx, []coordinator.Change{change}); err != nil || len(conflicts) > 0 {
				t.Fatalf("Commit in the view: %v, %v", conflicts, err)
			}
			if conflicts, err := view.Commit(ctx, []coordinator.Change{change}); err != nil || len(conflicts) != 1 {
				t.Errorf("creating again in the same transaction: conflicts %v, %v; want one", conflicts, err)
			}
			if _, err := view.Get(ctx, "a"); err != nil {
				t.Errorf("the view does not see what it wrote: %v", err)
			}
			if _, err := store.Get(ctx, "a"); !errors.Is(err, saga.ErrNotFound) {
				t.Errorf("before the commit the store's Get returned %v, want ErrNotFound", err)
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
		_, err = store.Get(t.Context(), "a")
		rows, pending := messages.Pending(t.Context(), 0, 10)
		if committed := end == nil; errors.Is(err, saga.ErrNotFound) == committed || pending != nil || (len(rows) == 1) != committed {
			t.Errorf("after the transaction ended with %v: Get %v, %d messages, %v", end, err, len(rows), pending)
		}
	}
}

func TestNewNamesTheFaultsOfItsConfig(t *testing.T) {
	t.Parallel()
	db, err := sqlmsg.Open(t.Context(), "sqlite::memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, construct := range map[string]func() (*sqlsaga.Store, error){
		"no database": func() (*sqlsaga.Store, error) { return sqlsaga.New(nil, sqlsaga.Config{Outbox: messages}) },
		"no outbox":   func() (*sqlsaga.Store, error) { return sqlsaga.New(db, sqlsaga.Config{}) },
		"SQL in the prefix": func() (*sqlsaga.Store, error) {
			return sqlsaga.New(db, sqlsaga.Config{Outbox: messages, TablePrefix: "x; DROP"})
		},
	} {
		if _, err := construct(); !errors.Is(err, sqlsaga.ErrConfig) {
			t.Errorf("%s: %v, want ErrConfig", name, err)
		}
	}
}
