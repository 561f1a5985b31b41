package sqlsaga

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

//go:embed migrations
var migrations embed.FS

// ErrConfig says that a configuration lacks something.
var ErrConfig = errors.New("sqlsaga: bad configuration")

// Config says what a store works with.
type Config struct {
	// Outbox takes the messages of a commit, in the same database. Required.
	Outbox *sqlmsg.Store
	// TablePrefix begins the tables' names: lower-case letters, digits and underscores, no digit first. Zero means none.
	TablePrefix string
}

// Store keeps sagas in a database. Make one with [New]; it is safe for concurrent use.
type Store struct {
	db      *sqlmsg.DB
	dialect sqldb.Dialect
	prefix  string
	outbox  *sqlmsg.Store
	// statements commit instances where the database takes arrays; see commitStatements.
	statements [allParts + 1]string
	tx         sqlx.ExtContext // of a view made by Within; else nil
}

var (
	_ coordinator.Store     = (*Store)(nil)
	_ coordinator.Clock     = (*Store)(nil)
	_ coordinator.Reader    = (*Store)(nil)
	_ coordinator.Remover   = (*Store)(nil)
	_ outbox.Store          = (*Store)(nil)
	_ messaging.DeadLetters = (*Store)(nil)
)

// New returns a store on db, whose tables [Store.Migrate] makes. Faults of the configuration: [ErrConfig].
func New(db *sqlmsg.DB, config Config) (*Store, error) {
	if db == nil || config.Outbox == nil {
		return nil, fmt.Errorf("%w: db and Outbox are required", ErrConfig)
	}
	if err := sqldb.ValidPrefix(config.TablePrefix); err != nil {
		return nil, fmt.Errorf("%w: TablePrefix: %w", ErrConfig, err)
	}
	s := &Store{db: db, dialect: db.Dialect(), prefix: config.TablePrefix, outbox: config.Outbox}
	if s.dialect.Arrays {
		var err error
		if s.statements, err = s.commitStatements(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Migrate makes or updates the store's tables, but not the outbox's. Several processes may do so at once: one works, the others wait for it.
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
		return sqldb.Migrations{}, fmt.Errorf("sqlsaga: migrations: %w", err)
	}
	return sqldb.Migrations{Files: files, Versions: "sqlsaga_version", Prefix: prefix}, nil
}

// Within returns a view of the store in the caller's transaction, which the caller commits: see [coordinator.Within].
func (s *Store) Within(tx sqlx.ExtContext) *Store {
	view := *s
	view.tx = tx
	return &view
}

// Pending implements [outbox.Store].
func (s *Store) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	return s.outbox.Pending(ctx, offset, limit)
}

// Delete implements [outbox.Store].
func (s *Store) Delete(ctx context.Context, ids []string) error { return s.outbox.Delete(ctx, ids) }

// DeadLetter implements [messaging.DeadLetters]: the letter is kept with those of the outbox's store, see [sqlmsg.Store.DeadLetters].
func (s *Store) DeadLetter(ctx context.Context, d messaging.DeadLetter) error {
	return s.outbox.DeadLetter(ctx, d)
}

const (
	// maxRaces bounds how often a transaction is tried that others get ahead of.
	maxRaces = 5
	// maxRacing bounds for how long: a lock that was waited for in vain is not waited for again.
	maxRacing = 4 * time.Second
)

// inTx runs fn in a transaction of its own, anew if another transaction got ahead of it, or in the caller's.
func (s *Store) inTx(ctx context.Context, fn func(ctx context.Context, tx sqlx.ExtContext) error) (err error) {
	if s.tx != nil {
		return fn(ctx, s.tx)
	}
	return s.raced(ctx, func() error { return s.db.InTx(ctx, fn) })
}

// raced runs a transaction, anew if another one got ahead of it.
func (s *Store) raced(ctx context.Context, transact func() error) (err error) {
	began := time.Now()
	for range maxRaces {
		err = transact()
		if !s.lostRace(err) || ctx.Err() != nil || time.Since(began) > maxRacing {
			return err
		}
	}
	return err
}

// lostRace says that nothing was committed because another transaction was faster or was in the way.
func (s *Store) lostRace(err error) bool {
	return errors.Is(err, errRace) || !errors.Is(err, sqldb.ErrCommit) && (s.dialect.IsConflict(err) || s.dialect.IsSerialization(err))
}

// reader is where to read committed state, or what the caller's transaction sees.
func (s *Store) reader() sqlx.ExtContext {
	if s.tx != nil {
		return s.tx
	}
	return s.db.Reader()
}

// query is a statement for this store's tables, which it names {sagas}, {items}, {log}, {audit}, {expected} and {pauses}, with ? for parameters.
func (s *Store) query(text string) string {
	names := strings.NewReplacer("{sagas}", s.prefix+"sagas", "{items}", s.prefix+"saga_items",
		"{log}", s.prefix+"saga_log", "{audit}", s.prefix+"saga_audit",
		"{expected}", s.prefix+"saga_expected", "{pauses}", s.prefix+"saga_pauses")
	return sqlx.Rebind(s.dialect.BindStyle, names.Replace(text))
}

// Load implements [coordinator.Store]. Ids that no database can look up are those of no instance.
func (s *Store) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	found := map[saga.ID]saga.State{}
	if unknown := func(w coordinator.Want) bool { return !legible.Is(string(w.ID)) }; slices.ContainsFunc(wants, unknown) {
		wants = slices.DeleteFunc(slices.Clone(wants), unknown)
	}
	if len(wants) == 0 {
		return found, nil
	}
	columns := headerColumns + ", nodes, wake_at"
	withData := map[saga.ID]bool{}
	ids := make([]string, len(wants))
	for i, want := range wants {
		ids[i] = string(want.ID)
		for _, key := range want.Keys {
			withData[want.ID] = withData[want.ID] || key == ""
		}
	}
	if len(withData) > 0 {
		columns += ", data"
	}
	err := s.dialect.Each(ids, 0, func(by sqldb.Lookup) error {
		var rows []sagaRow
		if err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query("SELECT "+columns+" FROM "+by.From+"(SELECT * FROM {sagas} WHERE id "+by.Is+by.End+") AS s"), by.Args...); err != nil {
			return err
		}
		for _, row := range rows {
			state, err := row.state()
			if err != nil {
				return err
			}
			if !withData[state.ID] {
				state.Root.Data = nil
			}
			found[state.ID] = state
		}
		return nil
	})
	if err == nil {
		err = s.loadItems(ctx, wants, found)
	}
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: load: %w", err)
	}
	return found, nil
}

// loadItems reads the wanted item records of all instances together: a superset by key, of which those that were
// not asked for are dropped.
func (s *Store) loadItems(ctx context.Context, wants []coordinator.Want, found map[saga.ID]saga.State) error {
	var pairs []string
	for _, want := range wants {
		for _, key := range want.Keys {
			if _, exists := found[want.ID]; exists && key != "" && legible.Is(key) {
				pairs = append(pairs, string(want.ID), key)
			}
		}
	}
	const columns = "SELECT saga_id, item, nodes, data, wake_at FROM {items} WHERE "
	for len(pairs) > 0 {
		n := min(len(pairs), maxPairs*2)
		args := make([]any, n)
		for i, v := range pairs[:n] {
			args[i] = v
		}
		pairs = pairs[n:]
		// SQLite plans this as one index search for each pair; a list of row values it would scan.
		where := strings.Repeat("(saga_id = ? AND item = ?) OR ", n/2-1) + "(saga_id = ? AND item = ?)"
		var rows []itemRow
		if err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(columns+where), args...); err != nil {
			return err
		}
		for _, row := range rows {
			r, err := row.record()
			if err != nil {
				return err
			}
			state := found[saga.ID(row.Saga)]
			if state.Items == nil {
				state.Items = map[string]saga.Record{}
			}
			state.Items[r.Key] = r
			found[saga.ID(row.Saga)] = state
		}
	}
	return nil
}

// maxPairs bounds the alternatives of one condition: databases limit the depth of an expression.
const maxPairs = 200

// wakeSlotBits makes the column wake_slot of wake_at: the slot, of about four seconds, that a deadline is in.
const wakeSlotBits = 12

// Due implements [coordinator.Store].
func (s *Store) Due(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
	which, names := dueFilter(q)
	sagas := "SELECT id, '' AS record, wake_at FROM {sagas} s WHERE live = 1 AND wake_slot IS NOT NULL" + which
	items := "SELECT i.saga_id AS id, i.item AS record, i.wake_at AS wake_at FROM {items} i JOIN {sagas} s ON s.id = i.saga_id" +
		" WHERE i.wake_at IS NOT NULL AND s.live = 1" + which
	args := func(values ...any) []any { return append(slices.Clone(names), values...) }
	var rows []struct {
		ID     string `db:"id"`
		Record string `db:"record"`
		WakeAt int64  `db:"wake_at"`
	}
	at := q.Now.UnixMilli()
	slot := at >> wakeSlotBits
	query := "SELECT * FROM (" + sagas + " AND wake_slot <= ? AND wake_at <= ? ORDER BY wake_slot, wake_at LIMIT ?) AS a UNION ALL " +
		"SELECT * FROM (" + items + " AND i.wake_at <= ? ORDER BY i.wake_at LIMIT ?) AS b ORDER BY wake_at LIMIT ?"
	if err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(query),
		append(append(args(slot, at, q.Limit), args(at, q.Limit)...), q.Limit)...); err != nil {
		return nil, time.Time{}, fmt.Errorf("sqlsaga: due: %w", err)
	}
	due := make([]coordinator.Wake, len(rows))
	for i, row := range rows {
		due[i] = coordinator.Wake{ID: saga.ID(row.ID), Record: row.Record}
	}
	var next *int64
	query = "SELECT MIN(wake_at) FROM (SELECT * FROM (" + sagas + " AND wake_slot >= ? AND wake_at > ? ORDER BY wake_slot, wake_at LIMIT 1) AS a UNION ALL " +
		"SELECT * FROM (" + items + " AND i.wake_at > ? ORDER BY i.wake_at LIMIT 1) AS b) AS c"
	if err := sqlx.GetContext(ctx, s.reader(), &next, s.query(query), append(args(slot, at), args(at)...)...); err != nil {
		return nil, time.Time{}, fmt.Errorf("sqlsaga: next wake-up: %w", err)
	}
	return due, fromWake(next), nil
}

// Time implements [coordinator.Clock]: it is the database's clock. That of SQLite is the host's.
func (s *Store) Time(ctx context.Context) (time.Time, error) {
	if s.dialect.Name == "sqlite" {
		return time.Now(), nil
	}
	var at int64
	if err := sqlx.GetContext(ctx, s.reader(), &at, "SELECT "+s.dialect.Now); err != nil {
		return time.Time{}, fmt.Errorf("sqlsaga: time: %w", err)
	}
	return time.UnixMilli(at), nil
}

// dueFilter is the condition on the definition's name, with its arguments.
func dueFilter(q coordinator.DueQuery) (which string, names []any) {
	if q.Only != "" {
		which, names = " AND s.definition = ?", []any{q.Only}
	}
	for _, name := range q.Skip {
		which += " AND s.definition <> ?"
		names = append(names, name)
	}
	return which, names
}

// live is the condition of the partial index by status. A statement has to repeat it in words, beside its own
// condition, for the index to be used.
const live = "status IN ('running', 'compensating', 'parked')"

// Adopt implements [coordinator.Store].
func (s *Store) Adopt(ctx context.Context, hashes []string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		return s.dialect.In(hashes, 0, func(in string, args []any) error {
			_, err := tx.ExecContext(ctx, s.query("UPDATE {sagas} SET flags = flags - 4, live = 1"+
				" WHERE status = 'parked' AND "+live+" AND flags >= 4 AND hash IN "+in), args...)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("sqlsaga: adopt: %w", err)
	}
	return nil
}
