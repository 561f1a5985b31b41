package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"
)

func openFile(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *DB, query string, args ...any) {
	t.Helper()
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStatementsThatComeAgainArePrepared(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	exec(t, db, "CREATE TABLE a (n INTEGER)")
	const insert = "INSERT INTO a VALUES (?)"
	for i, want := range []bool{false, true, true} {
		exec(t, db, insert, i)
		if got := db.prepared.get(insert) != nil; got != want {
			t.Errorf("after execution %d it is prepared: %t, want %t", i+1, got, want)
		}
	}
	// A prepared statement outlives a change of the schema.
	exec(t, db, "ALTER TABLE a ADD COLUMN m INTEGER DEFAULT 7")
	const sum = "SELECT COALESCE(SUM(n + m), 0) FROM a"
	for range 3 {
		var total int
		err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error { return sqlx.GetContext(ctx, tx, &total, sum) })
		if err != nil || total != 0+1+2+3*7 {
			t.Errorf("%d, %v", total, err)
		}
	}
}

func TestPreparedStatementsAreBounded(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	for i := range maxPrepared + 10 {
		query := fmt.Sprintf("SELECT %d", i)
		exec(t, db, query)
		exec(t, db, query)
	}
	if n := len(db.prepared.statements); n != maxPrepared {
		t.Errorf("%d statements are kept, want %d", n, maxPrepared)
	}
}

func TestPreparedStatementsServeManyAtOnce(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	exec(t, db, "CREATE TABLE a (n INTEGER)")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				exec(t, db, "INSERT INTO a VALUES (?)", n*i)
			}
		})
	}
	all.Wait()
	var count int
	if err := db.Reader().Get(&count, "SELECT COUNT(*) FROM a"); err != nil || count != 400 {
		t.Errorf("%d rows, %v", count, err)
	}
}
