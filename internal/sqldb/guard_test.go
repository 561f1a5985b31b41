package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// swallowing is a transaction whose function goes on behind a failed statement: it writes 1 before it and 2 behind it.
func swallowing(t *testing.T, db *sqldb.DB, fail func(ctx context.Context, tx sqlx.ExtContext) error) error {
	t.Helper()
	return db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO t (x) VALUES (1)"); err != nil {
			return err
		}
		if err := fail(ctx, tx); err == nil {
			return errors.New("the statement did not fail")
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO t (x) VALUES (2)")
		if err == nil {
			return errors.New("a statement behind the end was executed")
		}
		var n int
		for _, query := range []func() error{
			func() error { return sqlx.GetContext(ctx, tx, &n, "SELECT count(*) FROM t") },
			func() error { return sqlx.SelectContext(ctx, tx, &[]int{}, "SELECT x FROM t") },
		} {
			if err := query(); err == nil {
				return errors.New("a query behind the end was executed")
			}
		}
		return nil
	})
}

// TestNothingFollowsAFullDisk shows that SQLite's own rollback, which a full disk causes, ends the transaction for its function too.
func TestNothingFollowsAFullDisk(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	exec(t, db, "CREATE TABLE t (x)")
	pages := 0
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		if err := sqlx.GetContext(ctx, tx, &pages, "PRAGMA page_count"); err != nil {
			return err
		}
		return sqlx.GetContext(ctx, tx, &pages, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = swallowing(t, db, func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO t (x) VALUES (?)", strings.Repeat("x", 1<<20))
		return err
	})
	if !errors.Is(err, sqldb.ErrRolledBack) {
		t.Errorf("the transaction ended with %v, want %v", err, sqldb.ErrRolledBack)
	}
	if n := count(t, db, "t"); n != 0 {
		t.Errorf("%d rows of the transaction remain", n)
	}
}

// TestIntegrationNothingFollowsADeadlock shows that what MySQL would take for new transactions behind a deadlock is refused, and that
// PostgreSQL's own refusal does the same.
func TestIntegrationNothingFollowsADeadlock(t *testing.T) {
	t.Parallel()
	for name, server := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, server(t).URL)
			exec(t, db, "CREATE TABLE t (x INTEGER)", "CREATE TABLE locks (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO locks VALUES (1, 0), (2, 0)", "CREATE TABLE big (x INTEGER)")
			lock := func(ctx context.Context, tx sqlx.ExtContext, id int) error {
				_, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE locks SET n = n + 1 WHERE id = %d", id))
				return err
			}
			for deadlocks, attempts := 0, 0; deadlocks == 0; attempts++ { // the database chooses the victim
				if attempts == 20 {
					t.Fatal("the other transaction was always the victim")
				}
				exec(t, db, "DELETE FROM t")
				held, holding, other := make(chan struct{}), make(chan struct{}), make(chan error, 1)
				go func() {
					other <- db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
						// MySQL's victim is who has written less.
						_, err := tx.ExecContext(ctx, "INSERT INTO big VALUES (1)"+strings.Repeat(", (1)", 50))
						err = errors.Join(err, lock(ctx, tx, 2))
						close(held)
						<-holding
						return errors.Join(err, lock(ctx, tx, 1))
					})
				}()
				err := swallowing(t, db, func(ctx context.Context, tx sqlx.ExtContext) error {
					<-held
					err := lock(ctx, tx, 1)
					close(holding)
					return errors.Join(err, lock(ctx, tx, 2))
				})
				if otherErr := <-other; otherErr != nil {
					continue // it was the victim
				}
				deadlocks++
				if err == nil {
					t.Error("the victim's transaction was committed")
				}
				if n := count(t, db, "t"); n != 0 {
					t.Errorf("%d rows of the victim's transaction remain", n)
				}
			}
		})
	}
}
