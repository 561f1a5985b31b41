package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"
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
	// Also are other values that are as good.
	Also []string
}

// String is one line for a log or a person.
func (s Setting) String() string {
	if s.Safe() {
		return s.Name + " is " + s.Value
	}
	return fmt.Sprintf("%s is %q, must be %q: %s", s.Name, s.Value, s.Want, s.Why)
}

// Safe says that the setting is as it must be.
func (s Setting) Safe() bool { return s.Value == s.Want || slices.Contains(s.Also, s.Value) }

// Settings reads the settings in effect on a writing connection, for a server to print at its start: those that are safe, too.
func (db *DB) Settings(ctx context.Context) ([]Setting, error) {
	query, settings := "PRAGMA ", sqliteSettings(db.memory)
	switch db.dialect.Name {
	case "postgres":
		query, settings = "SHOW ", postgresSettings()
	case "mysql":
		query, settings = "SELECT @@GLOBAL.", mysqlSettings()
	}
	if db.dialect.Name == "mysql" {
		var binlog bool
		if err := db.writer.GetContext(ctx, &binlog, "SELECT @@GLOBAL.log_bin"); err != nil {
			return nil, fmt.Errorf("sqldb: read setting log_bin: %w", err)
		}
		if binlog {
			settings = append(settings, mysqlBinlogSettings()...)
		}
	}
	for i := range settings {
		if err := db.writer.GetContext(ctx, &settings[i].Value, query+settings[i].Name); err != nil {
			return nil, fmt.Errorf("sqldb: read setting %s: %w", settings[i].Name, err)
		}
	}
	engines, err := db.engines(ctx)
	return append(settings, engines...), err
}

// engines are MySQL's for those of our tables that [DB.Migrate] has seen, where they are not what they must be.
func (db *DB) engines(ctx context.Context) ([]Setting, error) {
	db.seen.Lock()
	tables := slices.Clone(db.tables)
	db.seen.Unlock()
	if db.dialect.Name != "mysql" || len(tables) == 0 {
		return nil, nil
	}
	query, args, err := sqlx.In("SELECT table_name AS name, engine AS value FROM information_schema.tables"+
		" WHERE table_schema = DATABASE() AND engine <> 'InnoDB' AND table_name IN (?) ORDER BY table_name", tables)
	if err != nil {
		return nil, fmt.Errorf("sqldb: read the tables' engines: %w", err)
	}
	var found []struct {
		Name  string `db:"name"`
		Value string `db:"value"`
	}
	if err := db.writer.SelectContext(ctx, &found, query, args...); err != nil {
		return nil, fmt.Errorf("sqldb: read the tables' engines: %w", err)
	}
	settings := make([]Setting, len(found))
	for i, table := range found {
		settings[i] = Setting{
			Name: "engine of " + table.Name, Value: table.Value, Want: "InnoDB",
			Why: "what is rolled back stays; ALTER TABLE " + table.Name + " ENGINE = InnoDB mends it",
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
		{Name: "synchronous", Want: "2", Why: lost},
		{Name: "foreign_keys", Want: "1", Why: "rows may refer to others that do not exist"},
		{Name: "busy_timeout", Want: "10000", Why: "another process's write fails ours at once"},
	}
}

const lost = "a power loss takes back transactions that were committed"

func postgresSettings() []Setting {
	return []Setting{
		{Name: "fsync", Want: "on", Why: "a power loss leaves the database corrupt"},
		{Name: "full_page_writes", Want: "on", Why: "a power loss leaves the database corrupt"},
		{Name: "synchronous_commit", Want: "on", Why: lost, Also: []string{"remote_apply", "remote_write", "local"}},
	}
}

func mysqlSettings() []Setting {
	return []Setting{
		{Name: "innodb_flush_log_at_trx_commit", Want: "1", Why: lost},
		{Name: "innodb_doublewrite", Want: "1", Why: "a power loss leaves the database corrupt", Also: []string{"ON", "DETECT_AND_RECOVER"}},
	}
}

// mysqlBinlogSettings are those of a server that writes a binary log: with its help it decides, after a crash, what was committed.
func mysqlBinlogSettings() []Setting {
	return []Setting{{Name: "sync_binlog", Want: "1", Why: lost}}
}

func (db *DB) check(ctx context.Context) error {
	settings, err := db.Settings(ctx)
	if err != nil {
		return err
	}
	return unsafe(settings)
}

// unsafe is [ErrUnsafe] for each setting that is not as it must be.
func unsafe(settings []Setting) error {
	var faults []error
	for _, s := range settings {
		if !s.Safe() {
			faults = append(faults, fmt.Errorf("%w: %s", ErrUnsafe, s))
		}
	}
	return errors.Join(faults...)
}
