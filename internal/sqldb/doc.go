// Package sqldb opens SQL databases by URL and holds every difference between them in one
// [Dialect] value, so that the sql* packages are written once.
//
// It guarantees that a database which it opened has the durability settings that the stores'
// promises rest on: [Open] reads them back and fails where one did not take effect, and [DB.Settings] tells them to
// whoever starts a server. It guarantees that [DB.InTx] leaves no transaction open, whatever its function does,
// and that a failed commit, whose outcome is unknown, is told apart ([ErrCommit]) from a failed statement.
// It does not retry: the caller knows whether a second attempt is safe.
//
//	db, err := sqldb.Open(ctx, "sqlite:orders.db")
//	if err != nil { … }
//	defer db.Close()
//	err = db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
//		_, err := tx.ExecContext(ctx, "UPDATE …")
//		return err
//	})
//
// # URLs
//
// "sqlite:PATH" is a file, made if it does not exist. "sqlite::memory:" is a database of this
// [DB] alone that ends with it.
//
// # Connections
//
// SQLite has one writer at a time. A second one would wait inside the engine, where no
// context reaches it and nothing is fair, so a [DB] has one connection to write with and waits in Go for it; readers
// have a pool of their own and never wait, thanks to the write-ahead log. A database in memory has one
// connection for both: reading from [DB.Reader] inside of [DB.InTx] waits for itself there.
//
// # Migrations
//
// [DB.Migrate] applies a package's embedded SQL files. The tables' prefix is written {{prefix}} in them, and
// each package names its own version table, so that packages share a database without knowing each other. Processes that do so
// at once wait for each other, and a migration that was cut off is continued. [Migrations.SQL] is its text for other tools.
package sqldb
