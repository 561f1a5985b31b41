package sqldb

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

// Dialect is every difference between the databases. It is a value: two of one database are equal in effect.
type Dialect struct {
	// Name is the database's name in URLs: "sqlite", "postgres" or "mysql".
	Name string
	// Driver is its name in database/sql.
	Driver string
	// BindStyle is how the driver writes parameters, one of sqlx's constants.
	BindStyle int
	// MaxVars bounds the parameters of one statement.
	MaxVars int
	// Now is the expression for the database's clock, in milliseconds since 1970 UTC.
	Now string
	// ForUpdate ends a SELECT whose rows the transaction is to hold. Empty where a transaction that writes is alone anyway.
	ForUpdate string
	// Delete begins a DELETE of the rows that [Dialect.Find] finds.
	Delete string
	// ByPrimaryKey follows the name of a table whose rows are found by its primary key and locked, where the database would read a small table whole, and wait for
	// rows that nobody asked for. Empty where it is not needed.
	ByPrimaryKey string
	// Arrays says that parameters may be arrays, which unnest turns into rows.
	Arrays bool
	// OneWriter says that transactions of [DB.InTx] never run at the same time, not even those of two processes.
	OneWriter bool
	// Upsert returns the end of an INSERT that meets a row with the same values in the key
	// columns: the columns of update take the new values, or, where there are none, the row is left as it is.
	Upsert func(key, update []string) string
	// IsConflict says that an error is a violated unique or primary key.
	IsConflict func(error) bool
	// IsSerialization says that a transaction lost a race and may be tried again as a whole.
	IsSerialization func(error) bool

	// find is [Dialect.Find] where IN does not do. Nil where it does.
	find func(table, index, column string, values []string) (from string, args []any, err error)
	// endsTx says that after an error the transaction is gone, and what follows would be committed statement by statement. Nil where the
	// database refuses what follows.
	endsTx     func(error) bool
	migrations goose.Dialect
	// migrationLock are statements for a connection, the last of which is a query that returns whether it got the lock of this database's
	// migrations, which ends with the connection. None where there is no such lock.
	migrationLock []string
	// executedBefore says that a statement of a migration was executed before. Nil where a migration that is cut off leaves nothing behind.
	executedBefore func(error) bool
	// words are what the terms of migrations mean; $ stands for a term's argument.
	words map[string]string
	// prepares says that the driver does not keep statements prepared itself.
	prepares bool
}

// DialectOf returns the dialect of the driver, by its name in database/sql; what is none of ours is taken for SQLite.
func DialectOf(driver string) Dialect {
	for _, d := range []Dialect{postgresDialect(), mysqlDialect()} {
		if d.Driver == driver {
			return d
		}
	}
	return sqliteDialect()
}

// The SQLite result codes that a store must tell apart; see https://www.sqlite.org/rescode.html.
const (
	sqliteBusy             = 5
	sqliteLocked           = 6
	sqliteNoMemory         = 7
	sqliteInterrupt        = 9
	sqliteIOError          = 10
	sqliteFull             = 13
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
		OneWriter: true,
		Delete:    "DELETE FROM ",
		Upsert:    onConflict,
		IsConflict: func(err error) bool {
			code, ok := sqliteCode(err)
			return ok && (code == sqliteConstraintPK || code == sqliteConstraintUnique || code == sqliteConstraintRowID)
		},
		IsSerialization: func(err error) bool {
			code, ok := sqliteCode(err)
			return ok && (code&0xff == sqliteBusy || code&0xff == sqliteLocked)
		},
		endsTx: func(err error) bool { // see "Response To Errors Within A Transaction" in https://www.sqlite.org/lang_transaction.html
			switch code, _ := sqliteCode(err); code & 0xff {
			case sqliteBusy, sqliteNoMemory, sqliteInterrupt, sqliteIOError, sqliteFull:
				return true
			default:
				return false
			}
		},
		migrations: goose.DialectSQLite3,
		words: map[string]string{
			"serial": "INTEGER PRIMARY KEY", "number": "INTEGER PRIMARY KEY AUTOINCREMENT", "int": "INTEGER",
			"char": "TEXT", "text": "TEXT", "bytes": "BLOB", "is_json": "json_valid($)",
			"clustered": " WITHOUT ROWID", "engine": "", "where": " WHERE $", "generated": "VIRTUAL", "on": "", "also": ", $", "fill": "",
		},
		prepares: true,
	}
}

func sqliteCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code(), true
}

func postgresDialect() Dialect {
	code := func(err error) string {
		if e, ok := errors.AsType[*pgconn.PgError](err); ok {
			return e.Code
		}
		return ""
	}
	return Dialect{
		Name:       "postgres",
		Driver:     "pgx/v5",
		BindStyle:  sqlx.DOLLAR,
		MaxVars:    65535,
		Now:        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
		ForUpdate:  " FOR UPDATE",
		Delete:     "DELETE FROM ",
		Arrays:     true,
		Upsert:     onConflict,
		IsConflict: func(err error) bool { return code(err) == "23505" },
		IsSerialization: func(err error) bool { // serialization failure, deadlock, lock wait time-out
			return slices.Contains([]string{"40001", "40P01", "55P03"}, code(err))
		},
		migrations: goose.DialectPostgres,
		migrationLock: []string{
			"SET lock_timeout = 0",
			"SELECT true FROM pg_advisory_lock(8243010561)", // the number is arbitrary, and this package's
		},
		words: map[string]string{
			"serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "number": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
			"int": "BIGINT", "char": "TEXT", "text": "TEXT", "bytes": "BYTEA", "is_json": "$::json IS NOT NULL",
			"clustered": "", "engine": "", "where": " WHERE $", "generated": "STORED", "on": "", "also": "", "fill": "ALTER TABLE $ SET (fillfactor = 50);",
		},
	}
}

func mysqlDialect() Dialect {
	number := func(err error) uint16 {
		if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
			return e.Number
		}
		return 0
	}
	// Deadlock and lock wait time-out; the latter ends just the statement, unless innodb_rollback_on_timeout is set.
	lost := func(err error) bool { return number(err) == 1213 || number(err) == 1205 }
	// VARBINARY tells texts apart that only differ in the spaces at their end; which collation does depends on the server.
	const text = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	return Dialect{
		Name:         "mysql",
		Driver:       "mysql",
		BindStyle:    sqlx.QUESTION,
		MaxVars:      65535,
		Now:          "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
		ForUpdate:    " FOR UPDATE",
		Delete:       "DELETE t FROM ",
		ByPrimaryKey: " FORCE INDEX (PRIMARY)",
		find: func(table, index, column string, values []string) (string, []any, error) {
			list, err := json.Marshal(values)
			return "JSON_TABLE(?, '$[*]' COLUMNS (k VARCHAR(255) PATH '$')) AS v STRAIGHT_JOIN " + table + " AS t FORCE INDEX (" + index + ") ON t." + column + " = v.k",
				[]any{string(list)}, err
		},
		Upsert:          onDuplicateKey,
		IsConflict:      func(err error) bool { return number(err) == 1062 },
		IsSerialization: lost,
		endsTx:          lost,
		migrations:      goose.DialectMySQL,
		migrationLock: []string{
			"SET wait_timeout = 2000000",                                     // seconds: it does nothing while others work
			"SELECT GET_LOCK(CONCAT('sqldb.migrate.', MD5(DATABASE())), 10)", // it is the whole server's
		},
		executedBefore: func(err error) bool { // the table, column or index is there, or there is none to drop
			return slices.Contains([]uint16{1050, 1060, 1061, 1091}, number(err))
		},
		words: map[string]string{
			"serial": "BIGINT AUTO_INCREMENT PRIMARY KEY", "number": "BIGINT AUTO_INCREMENT PRIMARY KEY", "int": "BIGINT",
			"char": "VARBINARY($)", "text": "LONGTEXT" + text, "bytes": "LONGBLOB", "is_json": "JSON_VALID($)",
			"clustered": " ENGINE=InnoDB", "engine": " ENGINE=InnoDB", "where": "", "generated": "VIRTUAL", "on": " ON $", "also": ", $", "fill": "",
		},
	}
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

// onDuplicateKey is the clause of MySQL and MariaDB.
func onDuplicateKey(key, update []string) string {
	if len(update) == 0 {
		return "ON DUPLICATE KEY UPDATE " + key[0] + " = " + key[0]
	}
	set := make([]string, len(update))
	for i, column := range update {
		set[i] = column + " = VALUES(" + column + ")"
	}
	return "ON DUPLICATE KEY UPDATE " + strings.Join(set, ", ")
}
