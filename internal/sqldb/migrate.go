package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
)

// ErrPrefix says that a table prefix holds something else than lower-case letters, digits and underscores, or begins with a digit.
var ErrPrefix = errors.New("sqldb: bad table prefix: use lower-case letters, digits and underscores, no digit first")

// Migrations is a package's schema.
type Migrations struct {
	// Files has numbered SQL files for all dialects: {{prefix}} stands for Prefix in them, and other words in double braces for what the
	// dialects say differently; see [Dialect].
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

// migrationAttempts is how often Migrate tries when another process migrates the same database at the same time.
const migrationAttempts = 3

// Migrate applies those of the migrations that were not applied yet. Several processes may do so at once.
func (db *DB) Migrate(ctx context.Context, m Migrations) error {
	if err := ValidPrefix(m.Prefix); err != nil {
		return err
	}
	db.migrating.Lock()
	defer db.migrating.Unlock()
	provider, err := goose.NewProvider(db.dialect.migrations, db.writer.DB, translated{m.Files, m.Prefix, db.dialect},
		goose.WithTableName(m.Prefix+m.Versions),
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("sqldb: migrations: %w", err)
	}
	// The loser of a race finds the table that the winner made, and at its next attempt the winner's version.
	for range migrationAttempts {
		if _, err = provider.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("sqldb: migrate: %w", err)
}

// translated is a file system whose SQL files are in the dialect's words, with the prefix put in.
type translated struct {
	fs.FS
	prefix  string
	dialect Dialect
}

// Open opens the named file.
func (t translated) Open(name string) (fs.File, error) {
	file, err := t.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(t.FS, name)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(t.FS, name)
	if err != nil {
		return nil, err
	}
	sql, err := t.translate(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &sqlFile{Reader: strings.NewReader(sql), info: info}, nil
}

// translate replaces what stands in double braces: a word, and for some an argument.
func (t translated) translate(text string) (string, error) {
	var sql strings.Builder
	text = strings.ReplaceAll(text, "{{prefix}}", t.prefix) // also within arguments
	for {
		before, rest, found := strings.Cut(text, "{{")
		sql.WriteString(before)
		if !found {
			return sql.String(), nil
		}
		term, after, closed := strings.Cut(rest, "}}")
		word, argument, _ := strings.Cut(term, " ")
		meaning, known := t.dialect.words[word]
		if !known || !closed {
			return "", fmt.Errorf("sqldb: {{%s}} means nothing to %s", term, t.dialect.Name)
		}
		sql.WriteString(strings.ReplaceAll(meaning, "$", argument))
		text = after
	}
}

type sqlFile struct {
	*strings.Reader
	info fs.FileInfo
}

func (f *sqlFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *sqlFile) Close() error               { return nil }
