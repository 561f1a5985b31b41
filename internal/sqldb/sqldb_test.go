package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
	return db
}

func openFile(t *testing.T) *sqldb.DB {
	t.Helper()
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "a b?c#d%.db"))
}

func exec(t *testing.T, db *sqldb.DB, statements ...string) {
	t.Helper()
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sqldb.DB, table string) (n int) {
	t.Helper()
	if err := db.Reader().GetContext(t.Context(), &n, "SELECT count(*) FROM "+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenRefusesOtherURLsWithoutRepeatingThem(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "sqlite", "sqlite:", "oracle://user:secret@host/db", "/tmp/x.db"} {
		_, err := sqldb.Open(t.Context(), url)
		if !errors.Is(err, sqldb.ErrURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) returned %v, want ErrURL and no secret", url, err)
		}
	}
	if _, err := sqldb.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "none", "x.db")); err == nil {
		t.Error("Open of a file in a folder that does not exist succeeded")
	}
}

// TestOpenDoesNotWaitForEver opens what takes connections and says nothing.
func TestOpenDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for _, kind := range []string{"postgres", "mysql"} {
		_, err := sqldb.Open(t.Context(), kind+"://u:secret@"+silent.Addr().String()+"/d", sqldb.AnswerTime(100*time.Millisecond))
		if err == nil || !strings.Contains(err.Error(), "no answer from "+silent.Addr().String()) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestSettingsAreInEffectOnEveryConnection(t *testing.T) {
	t.Parallel()
	for _, db := range []*sqldb.DB{openFile(t), open(t, "sqlite::memory:")} {
		settings, err := db.Settings(t.Context())
		if err != nil || len(settings) < 4 {
			t.Fatalf("Settings returned %v, %v", settings, err)
		}
		for _, s := range settings {
			if !s.Safe() {
				t.Errorf("%s is %q, want %q", s.Name, s.Value, s.Want)
			}
		}
	}
	db := openFile(t)
	for range 20 { // several connections at once
		conn, err := db.Reader().Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var mode, timeout, readOnly string
		err = errors.Join(
			conn.GetContext(t.Context(), &mode, "PRAGMA journal_mode"),
			conn.GetContext(t.Context(), &timeout, "PRAGMA busy_timeout"),
			conn.GetContext(t.Context(), &readOnly, "PRAGMA query_only"),
			conn.Close(),
		)
		if err != nil || mode != "wal" || timeout != "10000" || readOnly != "1" {
			t.Fatalf("a reader has %s, %s, %s, %v", mode, timeout, readOnly, err)
		}
	}
}

func TestInTxLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	failed := errors.New("on purpose")
	for name, fn := range map[string]func(cancel func()) error{
		"error":   func(func()) error { return failed },
		"context": func(cancel func()) error { cancel(); return nil },
		"panic":   func(func()) error { panic(failed) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, db := range []*sqldb.DB{openFile(t), open(t, "sqlite::memory:")} {
				exec(t, db, "CREATE TABLE t (x INTEGER)")
				err := func() (err error) {
					defer func() {
						if value := recover(); value != nil {
							err = value.(error)
						}
					}()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					return db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
						if _, err := tx.ExecContext(ctx, "INSERT INTO t VALUES (1)"); err != nil {
							return err
						}
						return fn(cancel)
					})
				}()
				if err == nil {
					t.Error("InTx succeeded")
				}
				exec(t, db, "INSERT INTO t VALUES (2)") // the connection is free again
				if n := count(t, db, "t"); n != 1 {
					t.Errorf("the table has %d rows, want one", n)
				}
			}
		})
	}
}

func TestAFailedCommitIsErrCommit(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	exec(t, db, "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO child VALUES (7)")
		return err
	})
	if !errors.Is(err, sqldb.ErrCommit) {
		t.Errorf("InTx returned %v, want ErrCommit", err)
	}
	exec(t, db, "INSERT INTO parent VALUES (7)")
	if n := count(t, db, "child"); n != 0 {
		t.Errorf("%d rows were committed after all", n)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, "sqlite:"+path)
	impatient, err := sqlx.Open("sqlite", "file:"+path+"?_txlock=immediate") // as another process, without a time to wait
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = impatient.Close() }()
	exec(t, db, "CREATE TABLE t (x INTEGER PRIMARY KEY, y TEXT UNIQUE, z TEXT NOT NULL)", "INSERT INTO t VALUES (1, 'a', '')")
	for _, c := range []struct {
		statement string
		conflict  bool
	}{
		{"INSERT INTO t VALUES (1, 'b', '')", true},
		{"INSERT INTO t VALUES (2, 'a', '')", true},
		{"INSERT INTO t VALUES (2, 'b', NULL)", false},
		{"INSERT INTO none VALUES (2)", false},
	} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
			_, err := tx.ExecContext(ctx, c.statement)
			return fmt.Errorf("wrapped: %w", err)
		})
		if db.Dialect().IsConflict(err) != c.conflict || db.Dialect().IsSerialization(err) {
			t.Errorf("%s: %v is classified wrong", c.statement, err)
		}
	}
	err = db.InTx(t.Context(), func(ctx context.Context, _ sqlx.ExtContext) error {
		_, err := impatient.BeginTxx(ctx, nil)
		return err
	})
	if !db.Dialect().IsSerialization(err) {
		t.Errorf("waiting for another process's transaction ended with %v, want a lost race", err)
	}
}

func TestRowsAndInAreChunked(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	d := db.Dialect()
	d.MaxVars = 7
	exec(t, db, "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, at INTEGER)")
	rows := make([][]any, 20)
	for i := range rows {
		rows[i] = []any{i, fmt.Sprint(i)}
	}
	insert := sqldb.Insert{Table: "t", Columns: []string{"a", "b"}, Computed: map[string]string{"at": d.Now}}
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		if err := errors.Join(d.Rows(ctx, tx, insert, rows), d.Rows(ctx, tx, insert, nil)); err != nil {
			return err
		}
		insert.Suffix = d.Upsert([]string{"a"}, nil)
		if err := d.Rows(ctx, tx, insert, [][]any{{0, "ignored"}, {100, "new"}}); err != nil {
			return err
		}
		insert.Suffix = d.Upsert([]string{"a"}, []string{"b"})
		if err := d.Rows(ctx, tx, insert, [][]any{{1, "updated"}, {101, "new"}}); err != nil {
			return err
		}
		if err := d.Rows(ctx, tx, insert, [][]any{{1}}); err == nil {
			t.Error("a row with a value too few was taken")
		}
		values := make([]string, 20)
		for i := range values {
			values[i] = fmt.Sprint(i)
		}
		found := 0
		err := d.In(values, 2, func(in string, args []any) error {
			if len(args) > 5 {
				t.Errorf("%d parameters beside 2 others, want at most 7", len(args))
			}
			var n int
			err := sqlx.GetContext(ctx, tx, &n, "SELECT count(*) FROM t WHERE at > 1700000000000 AND b IN "+in, args...)
			found += n
			return err
		})
		if found != 19 {
			t.Errorf("%d rows found, want 19: one was updated", found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, "t"); n != 22 {
		t.Errorf("the table has %d rows, want 22", n)
	}
}

func TestMigrateFaults(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	files := fstest.MapFS{"0001_t.sql": {Data: []byte("-- +goose Up\nCREATE TABLE {{prefix}}t (x INTEGER);\n")}}
	for range 2 {
		if err := db.Migrate(t.Context(), sqldb.Migrations{Files: files, Versions: "v", Prefix: "p_"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, db, "p_t"); n != 0 {
		t.Errorf("the table has %d rows", n)
	}
	if err := db.Migrate(t.Context(), sqldb.Migrations{Files: files, Versions: "v", Prefix: "P; "}); !errors.Is(err, sqldb.ErrPrefix) {
		t.Errorf("Migrate returned %v, want ErrPrefix", err)
	}
	if err := db.Migrate(t.Context(), sqldb.Migrations{Files: fstest.MapFS{}, Versions: "v"}); err == nil {
		t.Error("Migrate without files succeeded")
	}
}

func TestAWriterWaitsInGo(t *testing.T) {
	t.Parallel()
	db := openFile(t)
	err := db.InTx(t.Context(), func(ctx context.Context, _ sqlx.ExtContext) error {
		ctx, cancel := context.WithCancel(ctx)
		go cancel()
		err := db.InTx(ctx, func(context.Context, sqlx.ExtContext) error { return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the second writer ended with %v, want its context's error", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
