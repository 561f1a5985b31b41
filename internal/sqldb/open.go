package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/jmoiron/sqlx"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrURL says that a database URL names no database that this package knows.
	ErrURL = errors.New("sqldb: unknown database URL")
	// ErrUnsafe says that a setting which the promises rest on did not take effect.
	ErrUnsafe = errors.New("sqldb: unsafe database setting")
	// ErrCommit says that a commit failed: whether the transaction took effect is unknown.
	ErrCommit = errors.New("sqldb: commit failed")
)

// DB is an open database: a connection to write with, others to read with, and its dialect. It is
// safe for concurrent use.
type DB struct {
	dialect   Dialect
	memory    bool
	writer    *sqlx.DB
	reader    *sqlx.DB
	prepared  *prepared
	migrating sync.Mutex
}

// readers bounds SQLite's reading connections; more only contend for its page cache.
const readers = 8

// Open opens the database that rawURL names and checks its settings. The caller closes it.
// A URL of another kind: [ErrURL]. A setting that did not take effect: [ErrUnsafe].
func Open(ctx context.Context, rawURL string) (*DB, error) {
	scheme, path, ok := strings.Cut(rawURL, ":")
	if !ok || scheme != "sqlite" || path == "" {
		// The URL may hold a password: only its scheme is repeated.
		return nil, fmt.Errorf("%w: scheme %q", ErrURL, scheme)
	}
	db, err := openSQLite(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("sqldb: open: %w", err)
	}
	if err := db.check(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	db := &DB{dialect: sqliteDialect(), memory: path == ":memory:"}
	// sqlx knows the bind style of drivers by name, in a table of its own for the whole process, and does not
	// know this one. Storing the same value again is harmless.
	sqlx.BindDriver(db.dialect.Driver, db.dialect.BindStyle)
	var err error
	// Of a database in memory the one connection is all there is: it must never be closed as idle.
	if db.writer, err = connect(ctx, db.dialect.Driver, sqliteDSN(path, "_txlock=immediate"), 1); err != nil {
		return nil, err
	}
	db.reader, db.prepared = db.writer, newPrepared(db.writer)
	if db.memory {
		return db, nil
	}
	db.reader, err = connect(ctx, db.dialect.Driver, sqliteDSN(path, "_pragma=query_only(1)"), readers)
	if err != nil {
		return nil, errors.Join(err, db.writer.Close())
	}
	return db, nil
}

// connect opens a pool whose connections are kept when idle. sqlx's own ConnectContext leaks it when the ping fails.
func connect(ctx context.Context, driver, dsn string, connections int) (*sqlx.DB, error) {
	pool, err := sqlx.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return pool, nil
}

// sqliteDSN returns the driver's name of the file. Settings must be in it: a PRAGMA that is executed reaches one
// connection of a pool only.
func sqliteDSN(path, extra string) string {
	if path != ":memory:" {
		path = (&url.URL{Path: path}).EscapedPath()
	}
	return "file:" + path + "?" + strings.Join([]string{
		"_pragma=busy_timeout(10000)",
		"_pragma=journal_mode(WAL)",
		"_pragma=synchronous(FULL)",
		"_pragma=foreign_keys(1)",
		extra,
	}, "&")
}

// Dialect returns what is particular to this database.
func (db *DB) Dialect() Dialect { return db.dialect }

// Reader returns the connections for queries outside of a transaction.
func (db *DB) Reader() *sqlx.DB { return db.reader }

// InTx runs fn in a transaction of the writing connection and commits it if fn returns nil; else, and if fn panics,
// it is rolled back. fn's error is returned as it is. A commit that fails is [ErrCommit]. Statements that come again are
// prepared: write them with parameters.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx sqlx.ExtContext) error) error {
	tx, err := db.writer.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqldb: begin: %w", err)
	}
	// After a commit, or when ctx ended and database/sql has rolled back already, this does nothing. A failing
	// rollback closes the connection, which ends the transaction too.
	defer func() { _ = tx.Rollback() }()
	with := &preparedTx{Tx: tx, prepared: db.prepared}
	if err := fn(ctx, with); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrCommit, err)
	}
	if len(with.missed) > 0 {
		db.prepared.learn(ctx, with.missed)
	}
	return nil
}

// Close closes all connections.
func (db *DB) Close() error {
	if db.reader == db.writer {
		return db.writer.Close()
	}
	return errors.Join(db.reader.Close(), db.writer.Close())
}
