package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pressly/goose/v3/database"
)

// ErrDialect says that a name is none of "sqlite", "postgres" and "mysql".
var ErrDialect = errors.New("sqldb: unknown dialect")

// SQL returns the migrations in the words of the named dialect, in their order, for who applies them with a tool of his own. Each is followed by the
// statement that notes its version, so that [DB.Migrate] finds nothing left to do.
func (m Migrations) SQL(dialect string) (string, error) {
	for _, d := range []Dialect{sqliteDialect(), postgresDialect(), mysqlDialect()} {
		if d.Name == dialect {
			return m.text(d)
		}
	}
	return "", fmt.Errorf("%w: %q: use sqlite, postgres or mysql", ErrDialect, dialect)
}

func (m Migrations) text(d Dialect) (string, error) {
	files, err := m.read(d)
	if err != nil {
		return "", err
	}
	versions := m.Prefix + m.Versions
	store, err := database.NewStore(d.migrations, versions)
	if err != nil {
		return "", fmt.Errorf("sqldb: migrations: %w", err)
	}
	var table statement
	if err := store.CreateVersionTable(context.Background(), &table); err != nil {
		return "", fmt.Errorf("sqldb: migrations: %w", err)
	}
	var out strings.Builder
	note := func(version int64) {
		fmt.Fprintf(&out, "INSERT INTO %s (version_id, is_applied) VALUES (%d, TRUE);\n", versions, version)
	}
	fmt.Fprintf(&out, "-- The versions that were applied.\n%s;\n", strings.TrimRight(strings.TrimSpace(table.text), ";"))
	note(0)
	for _, file := range files {
		fmt.Fprintf(&out, "\n-- %s\n", file.name)
		for _, s := range file.statements {
			out.WriteString(s + ";\n")
		}
		note(file.version)
	}
	return out.String(), nil
}

// statement is a database that only takes down what it is to execute.
type statement struct {
	database.DBTxConn

	text string
}

// ExecContext implements [database.DBTxConn].
func (s *statement) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	s.text = query
	return nil, nil //nolint:nilnil // nobody asks for the result
}
