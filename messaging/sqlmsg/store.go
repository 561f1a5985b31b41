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

// DB is an open database. It is safe for concurrent use; see [Open]. Its methods that users need: InTx(ctx, func(ctx, tx sqlx.ExtContext) error) error
// runs a transaction of the user's own, such as one that makes tables; Reader() *sqlx.DB reads what is committed; Settings(ctx) lists the durability settings;
// Close() error closes it. In statements, write placeholders as ? and pass the text through tx.Rebind.
type DB = sqldb.DB

// Option adjusts [Open].
type Option = sqldb.Option

// AllowUnsafe opens a database although a setting says that it may lose what was committed; DB.Settings tells which.
func AllowUnsafe() Option { return sqldb.AllowUnsafe() }

// Lease says how long a process that does nothing may keep rows from others, because it was stopped in the middle of a
// transaction. Zero or less means 30 s. A handler that executes no statement for
// so long loses its transaction, and is called again.
func Lease(d time.Duration) Option { return sqldb.Lease(d) }

// Open opens the database that url names, "sqlite:PATH", "sqlite::memory:", "postgres://USER:PASSWORD@HOST/DATABASE" or
// "mysql://USER:PASSWORD@HOST/DATABASE", and checks its durability settings. The caller closes it.
func Open(ctx context.Context, url string, options ...Option) (*DB, error) {
	return sqldb.Open(ctx, url, options...)
}

// Config says how a store's tables are named.
type Config struct {
	// TablePrefix begins the tables' names: lower-case letters, digits and underscores. Services that share a
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

// Migrate makes or updates the store's tables. Several processes may do so at once.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("sqlmsg: migrate: %w", err)
	}
	return s.db.Migrate(ctx, sqldb.Migrations{Files: files, Versions: "sqlmsg_version", Prefix: s.prefix})
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
