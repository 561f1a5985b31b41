package sqlalpes

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

//go:embed migrations
var migrations embed.FS

// Migrate makes the tables or brings them up to date. Several processes may do so at once.
func Migrate(ctx context.Context, db *sqldb.DB) error {
	m, err := schema()
	if err != nil {
		return err
	}
	return db.Migrate(ctx, m)
}

// SQL returns what [Migrate] executes on an empty database, in the words of "sqlite", "postgres" or "mysql".
func SQL(dialect string) (string, error) {
	m, err := schema()
	if err != nil {
		return "", err
	}
	return m.SQL(dialect)
}

func schema() (sqldb.Migrations, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return sqldb.Migrations{}, fmt.Errorf("sqlalpes: migrations: %w", err)
	}
	return sqldb.Migrations{Files: files, Versions: "alpes_versions"}, nil
}
