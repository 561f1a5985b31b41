package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// becomes waits until a setting has a value: servers take some up a moment later.
func becomes(t *testing.T, db *sqldb.DB, show, want string) {
	t.Helper()
	deadline, poll := time.After(10*time.Second), time.NewTicker(10*time.Millisecond)
	defer poll.Stop()
	for {
		var value string
		if err := db.Reader().GetContext(t.Context(), &value, show); err != nil {
			t.Fatal(err)
		}
		if value == want {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("%s is %s, want %s", show, value, want)
		}
	}
}

// wantUnsafe opens the database and wants exactly these settings to be in the way, and told when they are allowed.
func wantUnsafe(t *testing.T, url string, names ...string) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url)
	if err == nil {
		err = db.Close()
		if len(names) > 0 {
			t.Errorf("it was opened with an unsafe %s", names)
		}
	}
	if len(names) == 0 && err != nil || len(names) > 0 && !errors.Is(err, sqldb.ErrUnsafe) {
		t.Errorf("Open returned %v", err)
	}
	allowed, err := sqldb.Open(t.Context(), url, sqldb.AllowUnsafe())
	if err != nil {
		t.Fatal(err)
	}
	settings, readErr := allowed.Settings(t.Context())
	if err := errors.Join(readErr, allowed.Close()); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range settings {
		if !s.Safe() {
			found = append(found, s.Name)
			t.Log(s)
		}
	}
	if fmt.Sprint(found) != fmt.Sprint(names) {
		t.Errorf("unsafe are %v, want %v", found, names)
	}
}

// direct executes statements, each without a transaction.
func direct(t *testing.T, db *sqldb.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Reader().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestIntegrationUnsafeSettings makes each setting of real servers unsafe in turn.
func TestIntegrationUnsafeSettings(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		own, _ := testenv.OwnPostgres(t)
		wantUnsafe(t, own.URL)
		db := open(t, own.URL)
		for _, name := range []string{"fsync", "full_page_writes"} {
			direct(t, db, "ALTER SYSTEM SET "+name+" = off", "SELECT pg_reload_conf()")
			becomes(t, db, "SHOW "+name, "off")
			wantUnsafe(t, own.URL, name)
			direct(t, db, "ALTER SYSTEM RESET "+name, "SELECT pg_reload_conf()")
			becomes(t, db, "SHOW "+name, "on")
		}
		name := own.URL[strings.LastIndex(own.URL, "/")+1:]
		name, _, _ = strings.Cut(name, "?")
		for value, unsafe := range map[string]bool{"off": true, "local": false, "remote_apply": false} {
			direct(t, db, "ALTER DATABASE "+name+" SET synchronous_commit = "+value)
			if unsafe {
				wantUnsafe(t, own.URL, "synchronous_commit")
			} else {
				wantUnsafe(t, own.URL)
			}
		}
	})
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		own, _ := testenv.OwnMySQL(t, testenv.Args("--log-bin=binlog", "--server-id=1", "--sync-binlog=0", "--skip-innodb-doublewrite"))
		wantUnsafe(t, own.URL, "innodb_doublewrite", "sync_binlog")
		db, err := sqldb.Open(t.Context(), own.URL, sqldb.AllowUnsafe())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		direct(t, db, "SET GLOBAL sync_binlog = 1")
		wantUnsafe(t, own.URL, "innodb_doublewrite")
		for _, value := range []string{"0", "2"} {
			direct(t, db, "SET GLOBAL innodb_flush_log_at_trx_commit = "+value)
			wantUnsafe(t, own.URL, "innodb_flush_log_at_trx_commit", "innodb_doublewrite")
		}
	})
	t.Run("shared", func(t *testing.T) { // a server without a binary log needs no setting for it
		t.Parallel()
		wantUnsafe(t, testenv.MySQL(t).URL)
	})
}

// twoProcesses opens a database with a row as two processes do, of which the second will be stopped.
func twoProcesses(t *testing.T, url string, lease time.Duration) (db, stopped *sqldb.DB) {
	t.Helper()
	db = open(t, url)
	exec(t, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO t VALUES (1, 0)")
	stopped, err := sqldb.Open(t.Context(), url, sqldb.Lease(lease))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stopped.Close() })
	return db, stopped
}

// add is a transaction that changes the row.
func add(ctx context.Context, tx sqlx.ExtContext) error {
	_, err := tx.ExecContext(ctx, "UPDATE t SET n = n + 1 WHERE id = 1")
	return err
}

// TestIntegrationLease shows that a process which stops in the middle of a transaction keeps its rows from others no longer than the lease.
func TestIntegrationLease(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	for name, server := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, stopped := twoProcesses(t, server(t).URL, lease)
			holds, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- stopped.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
					err := add(ctx, tx)
					close(holds)
					<-goOn
					return err
				})
			}()
			<-holds
			began := time.Now()
			if err := db.InTx(t.Context(), add); err != nil {
				t.Fatal(err)
			}
			t.Logf("another process waited %s with a lease of %s", time.Since(began).Round(10*time.Millisecond), lease)
			if took := time.Since(began); took > lease+3*time.Second {
				t.Errorf("another process waited %s", took)
			}
			close(goOn)
			if err := <-ended; err == nil {
				t.Error("the transaction of the one that was stopped was committed")
			}
			var n int
			if err := db.Reader().GetContext(t.Context(), &n, "SELECT n FROM t"); err != nil || n != 1 {
				t.Errorf("n is %d, %v, want 1", n, err)
			}
			// What rests in the pool is closed with the lease as well, which nobody must notice.
			<-time.After(lease + lease/2)
			if err := stopped.InTx(t.Context(), add); err != nil {
				t.Errorf("a transaction after the rest: %v", err)
			}
		})
	}
}

// TestIntegrationLeaseOfAReader stops a process while it reads a result, which its transaction holds a row for.
func TestIntegrationLeaseOfAReader(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	for name, server := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, stopped := twoProcesses(t, server(t).URL, lease)
			err := stopped.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
				if err := add(ctx, tx); err != nil {
					return err
				}
				eight := "(SELECT 1" + strings.Repeat(" UNION ALL SELECT 1", 7) + ")"
				rows, err := tx.QueryContext(ctx, "SELECT REPEAT('x', 100000) FROM "+eight+" a, "+eight+" b, "+eight+" c") // 50 MB, more than any buffer holds
				if err != nil {
					return err
				}
				defer func() { _ = rows.Close() }()
				began := time.Now()
				bounded, cancel := context.WithTimeout(ctx, lease+30*time.Second)
				defer cancel()
				err = db.InTx(bounded, add)
				for db.Dialect().IsSerialization(err) { // a lock is not waited for as long as a busy server may take
					err = db.InTx(bounded, add)
				}
				t.Logf("another process waited %s with a lease of %s: %v", time.Since(began).Round(10*time.Millisecond), lease, err)
				if err != nil {
					t.Error(err)
				}
				return nil
			})
			if err == nil {
				t.Error("the transaction of the one that was stopped was committed")
			}
		})
	}
}
