package sqldb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/pressly/goose/v3"
)

// ErrPrefix says that a table prefix holds something else than lower-case letters, digits and underscores.
var ErrPrefix = errors.New("sqldb: bad table prefix")

// Migrations is a package's schema.
type Migrations struct {
	// Files has a folder for each dialect's name with numbered SQL files, in which {{prefix}} stands for Prefix.
	Files fs.FS
	// Versions is the table, prefixed too, that remembers which were applied. Each package has its own.
	Versions string
	// Prefix begins the names of all tables. Empty means none.
	Prefix string
}

// ValidPrefix returns [ErrPrefix] for a prefix that may not stand in a statement's text.
func ValidPrefix(prefix string) error {
	if strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" || len(prefix) > 32 {
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
	files, err := fs.Sub(m.Files, db.dialect.Name)
	if err != nil {
		return fmt.Errorf("sqldb: migrations: %w", err)
	}
	provider, err := goose.NewProvider(db.dialect.migrations, db.writer.DB, prefixed{files, m.Prefix},
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

// prefixed is a file system whose SQL files have the prefix put in.
type prefixed struct {
	fs.FS
	prefix string
}

// Open opens the named file.
func (p prefixed) Open(name string) (fs.File, error) {
	file, err := p.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return file, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	text, err := fs.ReadFile(p.FS, name)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(p.FS, name)
	if err != nil {
		return nil, err
	}
	text = bytes.ReplaceAll(text, []byte("{{prefix}}"), []byte(p.prefix))
	return &sqlFile{Reader: bytes.NewReader(text), info: info}, nil
}

type sqlFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *sqlFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *sqlFile) Close() error               { return nil }
