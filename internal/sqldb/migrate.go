package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"
)

// ErrPrefix says that a table prefix holds something else than lower-case letters, digits and underscores, or begins with a digit.
var ErrPrefix = errors.New("sqldb: bad table prefix: use lower-case letters, digits and underscores, no digit first")

// Migrations is a package's schema.
type Migrations struct {
	// Files has numbered SQL files for all dialects: {{prefix}} stands for Prefix in them, and other words in double braces for what the
	// dialects say differently; see [Dialect]. A semicolon ends a statement wherever it stands, two dashes begin a comment, and
	// what follows "-- +goose Down" is not read.
	Files fs.FS
	// Versions is the table, prefixed too, that remembers which were applied. Each package has its own.
	Versions string
	// Prefix begins the names of all tables. Empty means none.
	Prefix string
}

// ValidPrefix returns [ErrPrefix] for a prefix that may not stand in a statement's text.
func ValidPrefix(prefix string) error {
	if strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || len(prefix) > 32 || prefix != "" && prefix[0] <= '9' {
		return fmt.Errorf("%w: %q", ErrPrefix, prefix)
	}
	return nil
}

// Migrate applies those of the migrations that were not applied yet. Several processes may do so at once: one works, the others wait for it.
// One that is cut off is continued by the next. Of MySQL, tables of ours that cannot roll back are [ErrUnsafe].
func (db *DB) Migrate(ctx context.Context, m Migrations) error {
	files, err := m.read(db.dialect)
	if err != nil {
		return err
	}
	db.migrating.Lock()
	defer db.migrating.Unlock()
	unlock, err := db.lockMigrations(ctx)
	if err != nil {
		return fmt.Errorf("sqldb: wait for another process's migration: %w", err)
	}
	defer unlock()
	if err := db.forgetHalfMade(ctx, m.Prefix+m.Versions); err != nil {
		return fmt.Errorf("sqldb: migrate: %w", err)
	}
	// Without a lock, the loser of a race fails with the version that the winner applies, and goes on behind it.
	attempts := 1
	if len(db.dialect.migrationLock) == 0 {
		attempts += len(files) + 1
	}
	for range attempts {
		if err = db.apply(ctx, m.Prefix+m.Versions, files); err == nil {
			return db.checkEngines(ctx, files)
		}
	}
	return fmt.Errorf("sqldb: migrate: %w", err)
}

func (db *DB) apply(ctx context.Context, versions string, files []migration) error {
	migrations := make([]*goose.Migration, len(files))
	for i, file := range files {
		migrations[i] = goose.NewGoMigration(file.version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			for _, statement := range file.statements {
				if err := db.dialect.executeOnce(ctx, tx, statement); err != nil {
					return fmt.Errorf("%s: %w", file.name, err)
				}
			}
			return nil
		}}, nil)
	}
	provider, err := goose.NewProvider(db.dialect.migrations, db.writer.DB, nil,
		goose.WithGoMigrations(migrations...),
		goose.WithTableName(versions),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err == nil {
		_, err = provider.Up(ctx)
	}
	return err
}

// lockMigrations waits until no other process migrates this database. The lock ends with its connection, whatever becomes of this process.
func (db *DB) lockMigrations(ctx context.Context) (unlock func(), err error) {
	if len(db.dialect.migrationLock) == 0 {
		return func() {}, nil
	}
	conn, err := db.writer.Connx(ctx)
	if err != nil {
		return nil, err
	}
	unlock = func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // have it closed, not kept for others
		_ = conn.Close()
	}
	last := len(db.dialect.migrationLock) - 1
	for _, statement := range db.dialect.migrationLock[:last] {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			unlock()
			return nil, err
		}
	}
	for held := false; !held; {
		if err := conn.GetContext(ctx, &held, db.dialect.migrationLock[last]); err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// forgetHalfMade removes a table of versions that a process had no time to put its first row into.
func (db *DB) forgetHalfMade(ctx context.Context, versions string) error {
	if db.dialect.executedBefore == nil {
		return nil
	}
	var rows int
	if err := db.writer.GetContext(ctx, &rows, "SELECT count(*) FROM "+versions); err != nil || rows > 0 {
		return nil //nolint:nilerr // there is none yet, and whatever else is wrong goose finds as well
	}
	_, err := db.writer.ExecContext(ctx, "DROP TABLE "+versions)
	return err
}

// executeOnce executes a statement of a migration. Where the database does not roll back what changes tables, a process that was cut off has left
// some of a migration's statements behind. All are executed again then, and what says that it is there already, or gone already, was.
func (d Dialect) executeOnce(ctx context.Context, tx *sql.Tx, statement string) error {
	_, err := tx.ExecContext(ctx, statement)
	if err == nil || d.executedBefore == nil || !d.executedBefore(err) {
		return err
	}
	table := createdTable(statement)
	if table == "" {
		return nil
	}
	var columns []string
	for _, match := range columnLine.FindAllStringSubmatch(statement, -1) {
		columns = append(columns, match[1])
	}
	look := "SELECT " + strings.Join(columns, ", ") + " FROM " + table + " LIMIT 0" //nolint:gosec // the names are those of our own files
	if _, missing := tx.ExecContext(ctx, look); missing != nil {
		return fmt.Errorf("%w, and it is another one: use a prefix for the tables, or another database (%w)", err, missing)
	}
	return nil
}

var (
	createTable = regexp.MustCompile(`^CREATE TABLE (\w+)`)
	columnLine  = regexp.MustCompile(`(?m)^\s+([a-z_]+) `)
)

// createdTable returns the name of the table that a statement makes, or "".
func createdTable(statement string) string {
	if match := createTable.FindStringSubmatch(statement); match != nil {
		return match[1]
	}
	return ""
}

// checkEngines looks at the tables that the migrations make. DB.Settings tells of them from now on.
func (db *DB) checkEngines(ctx context.Context, files []migration) error {
	db.seen.Lock()
	for _, file := range files {
		for _, statement := range file.statements {
			if table := createdTable(statement); table != "" && !slices.Contains(db.tables, table) {
				db.tables = append(db.tables, table)
			}
		}
	}
	db.seen.Unlock()
	settings, err := db.engines(ctx)
	if err != nil {
		return err
	}
	if db.unsafe {
		return nil
	}
	return unsafe(settings)
}

// migration is a file in the words of a dialect.
type migration struct {
	name       string
	version    int64
	statements []string
}

var comment = regexp.MustCompile(`--.*`)

// read returns the migrations in their order.
func (m Migrations) read(d Dialect) ([]migration, error) {
	if err := ValidPrefix(m.Prefix); err != nil {
		return nil, err
	}
	names, err := fs.Glob(m.Files, "*.sql")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("sqldb: no migrations: %w", errors.Join(err, fs.ErrNotExist))
	}
	files := make([]migration, len(names))
	for i, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("sqldb: migrations: %w", err)
		}
		text, err := fs.ReadFile(m.Files, name)
		if err != nil {
			return nil, fmt.Errorf("sqldb: migrations: %w", err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		up, err = d.translate(comment.ReplaceAllString(up, ""), m.Prefix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[i] = migration{name: name, version: version}
		for statement := range strings.SplitSeq(up, ";") {
			if statement = strings.TrimSpace(statement); statement != "" {
				files[i].statements = append(files[i].statements, statement)
			}
		}
	}
	return files, nil
}

// translate replaces what stands in double braces: a word, and for some an argument.
func (d Dialect) translate(text, prefix string) (string, error) {
	var out strings.Builder
	text = strings.ReplaceAll(text, "{{prefix}}", prefix) // also within arguments
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		term, after, closed := strings.Cut(rest, "}}")
		word, argument, _ := strings.Cut(term, " ")
		meaning, known := d.words[word]
		if !known || !closed {
			return "", fmt.Errorf("sqldb: {{%s}} means nothing to %s", term, d.Name)
		}
		out.WriteString(strings.ReplaceAll(meaning, "$", argument))
		text = after
	}
}
