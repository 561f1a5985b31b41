package sqldb

import (
	"context"
	"errors"
	"fmt"
)

// Setting is one setting of the database that the stores' promises rest on.
type Setting struct {
	// Name is the database's name for it.
	Name string
	// Value is what is in effect.
	Value string
	// Want is what must be.
	Want string
	// Why says what is lost without it.
	Why string
}

// Safe says that the setting is as it must be.
func (s Setting) Safe() bool { return s.Value == s.Want }

// Settings reads the settings in effect on the writing connection, for a server to print at its start.
func (db *DB) Settings(ctx context.Context) ([]Setting, error) {
	settings := sqliteSettings(db.memory)
	for i := range settings {
		if err := db.writer.GetContext(ctx, &settings[i].Value, "PRAGMA "+settings[i].Name); err != nil {
			return nil, fmt.Errorf("sqldb: read setting %s: %w", settings[i].Name, err)
		}
	}
	return settings, nil
}

func sqliteSettings(memory bool) []Setting {
	journal := "wal"
	if memory {
		journal = "memory" // the only one there is; nothing of it is durable
	}
	return []Setting{
		{Name: "journal_mode", Want: journal, Why: "readers wait for the writer"},
		{Name: "synchronous", Want: "2", Why: "a power loss takes back transactions that were committed"},
		{Name: "foreign_keys", Want: "1", Why: "rows may refer to others that do not exist"},
		{Name: "busy_timeout", Want: "10000", Why: "another process's write fails ours at once"},
	}
}

func (db *DB) check(ctx context.Context) error {
	settings, err := db.Settings(ctx)
	if err != nil {
		return err
	}
	var unsafe []error
	for _, s := range settings {
		if !s.Safe() {
			unsafe = append(unsafe, fmt.Errorf("%w: %s is %q, must be %q: %s", ErrUnsafe, s.Name, s.Value, s.Want, s.Why))
		}
	}
	return errors.Join(unsafe...)
}
