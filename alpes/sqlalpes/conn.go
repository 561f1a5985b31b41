package sqlalpes

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

// ErrNoTx says that a repository without a database of its own was called outside of a transaction.
var ErrNoTx = errors.New("sqlalpes: no transaction in the context")

type txKey struct{}

// WithTx returns a context whose calls of this package's repositories run in tx. It must not
// outlive the transaction.
func WithTx(ctx context.Context, tx sqlx.ExtContext) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// conn is where statements run: in the context's transaction, else on ext.
type conn struct {
	ext sqlx.ExtContext
}

func (c conn) in(ctx context.Context) (sqlx.ExtContext, error) {
	if tx, ok := ctx.Value(txKey{}).(sqlx.ExtContext); ok {
		return tx, nil
	}
	if c.ext == nil {
		return nil, ErrNoTx
	}
	return c.ext, nil
}

// exec returns the number of rows that the statement changed.
func (c conn) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ext, err := c.in(ctx)
	if err != nil {
		return 0, err
	}
	result, err := ext.ExecContext(ctx, ext.Rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// first returns the query's first row. Where there is none, found is false.
func first[R any](ctx context.Context, c conn, query string, args ...any) (row R, found bool, err error) {
	ext, err := c.in(ctx)
	if err != nil {
		return row, false, err
	}
	err = sqlx.GetContext(ctx, ext, &row, ext.Rebind(query), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return row, false, nil
	}
	return row, err == nil, err
}

func (c conn) dialect(ctx context.Context) (sqldb.Dialect, error) {
	ext, err := c.in(ctx)
	if err != nil {
		return sqldb.Dialect{}, err
	}
	return sqldb.DialectOf(ext.DriverName()), nil
}

// find returns the row with that id, or missing. The query is completed behind its FROM clause; suffix ends it, and what names the
// row for the error.
func find[R any](ctx context.Context, c conn, query, id, suffix string, missing error, what string) (R, error) {
	// Some databases fail on texts that they could never have stored.
	if !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		var none R
		return none, missing
	}
	row, found, err := first[R](ctx, c, query+" WHERE id = ?"+suffix, id)
	if err != nil {
		return row, fmt.Errorf("sqlalpes: get %s: %w", what, err)
	}
	if !found {
		return row, missing
	}
	return row, nil
}

// exists says that the table has a row with that id. The table's name is never from input.
func (c conn) exists(ctx context.Context, table, id string) (bool, error) {
	_, found, err := first[int](ctx, c, "SELECT 1 FROM "+table+" WHERE id = ?", id)
	return found, err
}

// position is a row's place in its list.
type position struct {
	Seq int64 `db:"seq"`
}

func (p position) seq() int64 { return p.Seq }

// page returns the size rows after a cursor, and the cursor of the next page if there is one.
// The query is completed behind its FROM clause.
func page[R interface{ seq() int64 }](ctx context.Context, c conn, query, after string, size int) (rows []R, next string, err error) {
	seq, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	ext, err := c.in(ctx)
	if err != nil {
		return nil, "", err
	}
	// One row more tells whether there is a next page.
	err = sqlx.SelectContext(ctx, ext, &rows, ext.Rebind(query+" WHERE seq > ? ORDER BY seq LIMIT ?"), seq, size+1)
	if err != nil {
		return nil, "", err
	}
	if len(rows) > size {
		rows = rows[:size]
		next = formatCursor(rows[size-1].seq())
	}
	return rows, next, nil
}

// errCursor is turned into the domain package's sentinel.
var errCursor = errors.New("sqlalpes: bad cursor")

// A cursor is the last row's position, dressed so that nobody is tempted to compute with it.
func formatCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt(nil, seq, 10))
}

func parseCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, errCursor
	}
	seq, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || seq < 0 {
		return 0, errCursor
	}
	return seq, nil
}

// listError is the error of a list: the domain's own for a bad cursor.
func listError(err, badCursor error, what string) error {
	if errors.Is(err, errCursor) {
		return badCursor
	}
	return fmt.Errorf("sqlalpes: list %s: %w", what, err)
}
