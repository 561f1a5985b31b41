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
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("sqlalpes: migrations: %w", err)
	}
	return db.Migrate(ctx, sqldb.Migrations{Files: files, Versions: "alpes_versions"})
}
