package sqlmsg

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

//go:embed migrations
var migrations embed.FS

// DB is an open database, safe for concurrent use; see [Open]. Its methods are those that a caller needs for transactions of his own:
//
//	InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error) error  runs a transaction, committed if the function returns nil
//	Reader() *sqlx.DB                     reads outside of transactions
//	Writer() *sqlx.DB                     executes single statements
//	Settings(ctx) ([]Setting, error)      tells the durability settings in effect, each with Name, Value, Want, Why and Safe()
//	Close() error                         closes all connections
//
// In statements, write placeholders as ? and pass the text through tx.Rebind.
type DB = sqldb.DB

// Option adjusts [Open].
type Option = sqldb.Option

// AllowUnsafe opens a database although a setting says that it may lose what was committed; DB.Settings tells which.
func AllowUnsafe() Option { return sqldb.AllowUnsafe() }

// Lease says how long a process that does nothing may keep rows from others, because it was stopped in the middle of a
// transaction. Zero or less means 30 s. A handler that executes no statement, or reads nothing of a large result, for so long loses its
// transaction, and is called again. A PostgreSQL on anything but Linux (5.11 or later) waits for whoever stopped in the middle
// of a result of hundreds of kB, and SQLite for everybody.
func Lease(d time.Duration) Option { return sqldb.Lease(d) }

// Open opens the database that url names, "sqlite:PATH", "sqlite::memory:", "postgres://USER:PASSWORD@HOST/DATABASE" or
// "mysql://USER:PASSWORD@HOST/DATABASE", and checks its durability settings. The caller closes it.
func Open(ctx context.Context, url string, options ...Option) (*DB, error) {
	return sqldb.Open(ctx, url, options...)
}

// Config says how a store's tables are named.
type Config struct {
	// TablePrefix begins the tables' names: lower-case letters, digits and underscores, no digit first. Services that share a
	// database may share the tables too, since entries are told apart by their consumer. Zero means none.
	TablePrefix string
}

// Store keeps an outbox, an inbox and dead letters in a database. It is safe for concurrent use.
type Store struct {
	db      *DB
	dialect sqldb.Dialect
	prefix  string
}

var (
	_ inbox.Store           = (*Store)(nil)
	_ outbox.Store          = (*Store)(nil)
	_ messaging.DeadLetters = (*Store)(nil)
)

// NewStore returns a store on db. The tables must be there before it is used: see [Store.Migrate].
// A prefix with other characters, and no db, is an error.
func NewStore(db *DB, config Config) (*Store, error) {
	if db == nil {
		return nil, errors.New("sqlmsg: db is nil: make one with Open")
	}
	if err := sqldb.ValidPrefix(config.TablePrefix); err != nil {
		return nil, fmt.Errorf("sqlmsg: %w", err)
	}
	return &Store{db: db, dialect: db.Dialect(), prefix: config.TablePrefix}, nil
}

// Migrate makes or updates the tables of a store with the zero Config.
func Migrate(ctx context.Context, db *DB) error {
	s, err := NewStore(db, Config{})
	if err != nil {
		return err
	}
	return s.Migrate(ctx)
}

// Migrate makes or updates the store's tables. Several processes may do so at once: one works, the others wait for it.
func (s *Store) Migrate(ctx context.Context) error {
	m, err := schema(s.prefix)
	if err != nil {
		return err
	}
	return s.db.Migrate(ctx, m)
}

// SQL returns what [Store.Migrate] executes on an empty database, for who makes the tables with a tool of his own, in parts of a version each. The dialect
// is "sqlite", "postgres" or "mysql". It notes the versions, so that Migrate then finds nothing left to do.
func SQL(dialect, tablePrefix string) (string, error) {
	m, err := schema(tablePrefix)
	if err != nil {
		return "", err
	}
	return m.SQL(dialect)
}

func schema(prefix string) (sqldb.Migrations, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return sqldb.Migrations{}, fmt.Errorf("sqlmsg: migrations: %w", err)
	}
	return sqldb.Migrations{Files: files, Versions: "sqlmsg_version", Prefix: prefix}, nil
}

// InTx implements [inbox.Store]. A commit that fails leaves it unknown whether the transaction took effect.
func (s *Store) InTx(ctx context.Context, fn func(ctx context.Context, tx inbox.Tx) error) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error { return fn(ctx, s.Tx(tx)) })
}

// Tx returns the inbox and the outbox inside of the caller's transaction on the same database, which the caller commits.
func (s *Store) Tx(tx sqlx.ExtContext) inbox.Tx { return &storeTx{store: s, ext: tx} }

// query is a statement for this store's tables, which it names {inbox}, {outbox} and {dead_letters}, and with ? for parameters.
func (s *Store) query(text string) string {
	return sqlx.Rebind(s.dialect.BindStyle, expand(text, s.prefix))
}

// executor returns a transaction of one statement.
func (s *Store) executor(text string, args ...any) func(context.Context, sqlx.ExtContext) error {
	return func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, s.query(text), args...)
		return err
	}
}

// inserter returns a transaction that inserts one row.
func (s *Store) inserter(in sqldb.Insert, row []any) func(context.Context, sqlx.ExtContext) error {
	return func(ctx context.Context, tx sqlx.ExtContext) error { return s.dialect.Rows(ctx, tx, in, [][]any{row}) }
}
