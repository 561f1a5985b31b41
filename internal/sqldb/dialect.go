package sqldb

import (
	"errors"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// Dialect is every difference between the databases. It is a value: two of one database are equal in effect.
type Dialect struct {
	// Name is the database's name in URLs and the folder of its migrations: "sqlite".
	Name string
	// Driver is its name in database/sql.
	Driver string
	// BindStyle is how the driver writes parameters, one of sqlx's constants.
	BindStyle int
	// MaxVars bounds the parameters of one statement.
	MaxVars int
	// Now is the expression for the database's clock, in milliseconds since 1970 UTC.
	Now string
	// Upsert returns the end of an INSERT that meets a row with the same values in the key
	// columns: the columns of update take the new values, or, where there are none, the row is left as it is.
	Upsert func(key, update []string) string
	// IsConflict says that an error is a violated unique or primary key.
	IsConflict func(error) bool
	// IsSerialization says that a transaction lost a race and may be tried again as a whole.
	IsSerialization func(error) bool

	migrations goose.Dialect
}

// The SQLite result codes that a store must tell apart; see https://www.sqlite.org/rescode.html.
const (
	sqliteBusy             = 5
	sqliteLocked           = 6
	sqliteConstraintPK     = 1555
	sqliteConstraintUnique = 2067
	sqliteConstraintRowID  = 2579
)

func sqliteDialect() Dialect {
	return Dialect{
		Name:      "sqlite",
		Driver:    "sqlite",
		BindStyle: sqlx.QUESTION,
		MaxVars:   32766,
		Now:       "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
		Upsert:    onConflict,
		IsConflict: func(err error) bool {
			code, ok := sqliteCode(err)
			return ok && (code == sqliteConstraintPK || code == sqliteConstraintUnique || code == sqliteConstraintRowID)
		},
		IsSerialization: func(err error) bool {
			code, ok := sqliteCode(err)
			return ok && (code&0xff == sqliteBusy || code&0xff == sqliteLocked)
		},
		migrations: goose.DialectSQLite3,
	}
}

func sqliteCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

// onConflict is the clause of SQLite and PostgreSQL.
func onConflict(key, update []string) string {
	clause := "ON CONFLICT (" + strings.Join(key, ", ") + ") DO "
	if len(update) == 0 {
		return clause + "NOTHING"
	}
	set := make([]string, len(update))
	for i, column := range update {
		set[i] = column + " = excluded." + column
	}
	return clause + "UPDATE SET " + strings.Join(set, ", ")
}
