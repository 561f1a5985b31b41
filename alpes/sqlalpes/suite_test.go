package sqlalpes_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stores are the databases that every test of a repository runs on.
var stores = map[string]func(t *testing.T) string{
	"sqlite file":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "alpes.db") },
	"sqlite memory": func(*testing.T) string { return "sqlite::memory:" },
	"postgres":      func(t *testing.T) string { return testenv.Postgres(t).URL },
	"mysql":         func(t *testing.T) string { return testenv.MySQL(t).URL },
}

// onEach runs test on a fresh database of each kind.
func onEach(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Parallel()
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, url(t)))
		})
	}
}

func open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := sqlalpes.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// inTx runs fn in a transaction that the repositories join.
func inTx(ctx context.Context, db *sqldb.DB, fn func(ctx context.Context) error) error {
	return db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error { return fn(sqlalpes.WithTx(ctx, tx)) })
}

// must runs fn in a transaction and fails the test with its error.
func must(t *testing.T, db *sqldb.DB, fn func(ctx context.Context) error) {
	t.Helper()
	if err := inTx(t.Context(), db, fn); err != nil {
		t.Fatal(err)
	}
}
