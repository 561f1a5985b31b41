package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx/v5"
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
	// ErrRolledBack says that the database had rolled the transaction back before this statement, or before the commit.
	ErrRolledBack = errors.New("sqldb: the transaction was rolled back")
)

// DB is an open database and its dialect. Of SQLite, one connection writes and others read. It is
// safe for concurrent use.
type DB struct {
	dialect   Dialect
	memory    bool
	writer    *sqlx.DB
	reader    *sqlx.DB
	prepared  *prepared
	unsafe    bool // it was allowed to be
	migrating sync.Mutex

	seen   sync.Mutex
	tables []string // those that Migrate made or found
}

const (
	// readers bounds SQLite's reading connections; more only contend for its page cache.
	readers = 8
	// connections bounds those to a server.
	connections = 16
)

// Option adjusts [Open].
type Option struct{ apply func(*options) }

type options struct {
	unsafe bool
	lease  time.Duration
	answer time.Duration
}

const (
	// lockWait is how long a statement waits for what another transaction holds, before it fails and the transaction may be tried again.
	lockWait = 5 * time.Second
	// defaultLease is that of [Lease].
	defaultLease = 30 * time.Second
	// answerTime bounds how long a server that has taken a connection may say nothing: it may be none of ours.
	answerTime = 10 * time.Second
)

// AllowUnsafe opens a database although a setting says that it may lose what was committed; [DB.Settings] tells which.
func AllowUnsafe() Option { return Option{func(o *options) { o.unsafe = true }} }

// Lease says how long a transaction in which nothing is executed, or whose results nobody reads, may last before the server ends it, so that a
// process which was stopped or has lost its network does not keep its rows from others for longer. MySQL rounds it up to seconds. The second
// needs a PostgreSQL on Linux 5.11 or later: elsewhere one that stops in the middle of a result of hundreds of kB keeps its rows until it goes on or ends.
// SQLite has nothing of the kind: a stopped process keeps the file until it goes on or ends. Zero or less means 30 s.
func Lease(d time.Duration) Option { return Option{func(o *options) { o.lease = d }} }

// Open opens the database that rawURL names and checks its settings. The caller closes it. URLs are "sqlite:PATH", "sqlite::memory:",
// "postgres://USER:PASSWORD@HOST/DATABASE" with the parameters of pgx, and "mysql://USER:PASSWORD@HOST/DATABASE", for MariaDB too.
// A URL of another kind: [ErrURL]. A setting that is not as it must be: [ErrUnsafe].
func Open(ctx context.Context, rawURL string, opts ...Option) (*DB, error) {
	o := options{answer: answerTime}
	for _, option := range opts {
		option.apply(&o)
	}
	if o.lease <= 0 {
		o.lease = defaultLease
	}
	db, err := open(ctx, rawURL, o)
	if err != nil {
		return nil, err
	}
	db.unsafe = o.unsafe
	if err := db.check(ctx); err != nil && (!o.unsafe || !errors.Is(err, ErrUnsafe)) {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func open(ctx context.Context, rawURL string, o options) (*DB, error) {
	scheme, rest, _ := strings.Cut(rawURL, ":")
	var db *DB
	var err error
	switch scheme {
	case "sqlite":
		if rest == "" {
			return nil, fmt.Errorf("%w: name a file behind sqlite:, as in sqlite:orders.db", ErrURL)
		}
		db, err = openSQLite(ctx, rest)
	case "postgres", "postgresql":
		db, err = openServer(ctx, postgresDialect(), rawURL, o.answer, postgresDSN(o.lease))
	case "mysql":
		db, err = openServer(ctx, mysqlDialect(), rawURL, o.answer, mysqlDSN("transaction_isolation", o.lease))
		if e := (*mysql.MySQLError)(nil); errors.As(err, &e) && e.Number == mysqlUnknownVariable { // MariaDB
			db, err = openServer(ctx, mysqlDialect(), rawURL, o.answer, mysqlDSN("tx_isolation", o.lease))
		}
		if err == nil { // a connection that rests for the lease is closed as well: that is to be done here
			db.writer.SetConnMaxIdleTime(o.lease / 2)
		}
	default:
		return nil, fmt.Errorf("%w: begin it with sqlite:, postgres:// or mysql://", ErrURL) // nothing of it is repeated: it may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("sqldb: open: %w", err)
	}
	return db, nil
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	db := &DB{dialect: sqliteDialect(), memory: path == ":memory:"}
	var err error
	// Of a database in memory the one connection is all there is: it must never be closed as idle.
	if db.writer, err = connect(ctx, db.dialect, sqliteDSN(path, "_txlock=immediate"), 1); err != nil {
		return nil, err
	}
	db.reader, db.prepared = db.writer, newPrepared(db.writer)
	if db.memory {
		return db, nil
	}
	db.reader, err = connect(ctx, db.dialect, sqliteDSN(path, "_pragma=query_only(1)"), readers)
	if err != nil {
		return nil, errors.Join(err, db.writer.Close())
	}
	return db, nil
}

func openServer(ctx context.Context, d Dialect, rawURL string, answer time.Duration, dsn func(*url.URL) (string, error)) (*DB, error) {
	u, err := parseURL(d.Name, rawURL)
	if err != nil {
		return nil, err
	}
	name, err := dsn(u)
	if err != nil {
		return nil, err
	}
	first, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	pool, err := connect(first, d, name, connections)
	if err != nil && first.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer from %s in %s: is it a %s server? (%w)", u.Host, answer, d.Name, err)
	}
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: d, writer: pool, reader: pool}
	if d.prepares {
		db.prepared = newPrepared(pool)
	}
	return db, nil
}

// parseURL returns the URL of a server. What is wrong is told without repeating any of it: a password may be in every part of what cannot be read.
func parseURL(name, rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	var fault string
	switch _, escape := errors.AsType[url.EscapeError](err); {
	case escape:
		fault = "a % in it begins no code: write it as %25"
	case err != nil:
		fault = "the host or the port cannot be read: write the port as a number, and / ? # in the password as %2F %3F %23"
	case u.Host == "":
		fault = "it lacks a host"
	case strings.Trim(u.Path, "/") == "":
		fault = "it lacks a database"
	default:
		return u, nil
	}
	return nil, fmt.Errorf("%w: %s: want %s://USER:PASSWORD@HOST:PORT/DATABASE", ErrURL, fault, name)
}

// postgresDSN is pgx's own URL. What decides is read anew in each statement. A statement is planned once for a connection, unless the URL says otherwise.
func postgresDSN(lease time.Duration) func(*url.URL) (string, error) {
	return func(u *url.URL) (string, error) {
		query := u.Query()
		query.Set("default_transaction_isolation", "read committed")
		if !query.Has("plan_cache_mode") { // planning a commit costs more than executing it
			query.Set("plan_cache_mode", "force_generic_plan")
		}
		query.Set("lock_timeout", strconv.FormatInt(lockWait.Milliseconds(), 10))
		milliseconds := strconv.FormatInt(max(1, lease.Milliseconds()), 10)
		query.Set("idle_in_transaction_session_timeout", milliseconds)
		query.Set("tcp_user_timeout", milliseconds) // who does not read a result is not idle
		c := *u
		c.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // as pgx reads it
		return c.String(), nil
	}
}

const mysqlUnknownVariable = 1193

// mysqlDSN makes the driver's name of a database; isolation is the name of that variable. Rows that an UPDATE finds are counted, changed
// or not, as the others do.
func mysqlDSN(isolation string, lease time.Duration) func(*url.URL) (string, error) {
	return func(u *url.URL) (string, error) { return mysqlConfig(u, isolation, lease) }
}

func mysqlConfig(u *url.URL, isolation string, lease time.Duration) (string, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName = "tcp", u.Host, strings.Trim(u.Path, "/")
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.ClientFoundRows, c.InterpolateParams = true, true
	c.MaxAllowedPacket = 0 // the server's: what is larger in whole goes to it in parts
	seconds := strconv.FormatInt(int64((lease+time.Second-1)/time.Second), 10)
	c.Params = map[string]string{
		isolation:                  "'READ-COMMITTED'",
		"innodb_lock_wait_timeout": strconv.Itoa(int(lockWait.Seconds())),
		"sql_mode":                 "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
		"wait_timeout":             seconds,
		// who does not read a result is not idle
		"net_write_timeout": seconds,
		// The server's own may be one that does not roll back. It counts for tables of the caller's, too.
		"default_storage_engine": "InnoDB",
		// Dialect.Now is made of local time, which repeats an hour where summer time ends.
		"time_zone": "'+00:00'",
	}
	for name, values := range u.Query() {
		if name != "tls" {
			return "", fmt.Errorf("%w: parameter %q: only tls is known", ErrURL, name)
		}
		c.TLSConfig = values[0]
	}
	return c.FormatDSN(), nil
}

// connect opens a pool whose connections are kept when idle. sqlx's own ConnectContext leaks it when the ping fails.
func connect(ctx context.Context, d Dialect, dsn string, connections int) (*sqlx.DB, error) {
	// sqlx knows the bind style of drivers by name, in a table of its own for the whole process, and does not
	// know all of these. Storing the same value again is harmless.
	sqlx.BindDriver(d.Driver, d.BindStyle)
	pool, err := sqlx.Open(d.Driver, dsn)
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

// Writer returns the connections for a statement that is a transaction of its own.
func (db *DB) Writer() *sqlx.DB { return db.writer }

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
	if db.prepared == nil {
		return db.run(ctx, tx, tx, fn)
	}
	with := &preparedTx{Tx: tx, prepared: db.prepared}
	if err := db.run(ctx, tx, with, fn); err != nil {
		return err
	}
	if len(with.missed) > 0 {
		db.prepared.learn(ctx, with.missed)
	}
	return nil
}

// run gives the transaction to fn, in the form of ext, and commits it unless fn failed.
func (db *DB) run(ctx context.Context, tx *sqlx.Tx, ext sqlx.ExtContext, fn func(ctx context.Context, tx sqlx.ExtContext) error) error {
	guard := &guardedTx{ExtContext: ext, ends: db.dialect.endsTx}
	if guard.ends != nil {
		ext = guard
	}
	err := fn(ctx, ext)
	if err == nil {
		err = guard.ended() // what fn took lightly
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrCommit, err)
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
