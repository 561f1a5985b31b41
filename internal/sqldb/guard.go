package sqldb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// guardedTx is a transaction of a database that after some errors goes on as if there had been none: it has rolled back, and would take each
// further statement for a transaction of its own. Behind such an error no statement gets through.
type guardedTx struct {
	sqlx.ExtContext

	ends func(error) bool
	err  error // the error that ended it
}

var _ sqlx.ExtContext = (*guardedTx)(nil)

// ended is the error of every statement behind the end.
func (t *guardedTx) ended() error {
	if t.err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRolledBack, t.err)
}

func (t *guardedTx) note(err error) {
	if err != nil && t.err == nil && t.ends(err) {
		t.err = err
	}
}

// ExecContext implements [sqlx.ExecerContext].
func (t *guardedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.ended(); err != nil {
		return nil, err
	}
	result, err := t.ExtContext.ExecContext(ctx, query, args...)
	t.note(err)
	return result, err
}

// QueryContext implements [sqlx.QueryerContext].
func (t *guardedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.ended(); err != nil {
		return nil, err
	}
	rows, err := t.ExtContext.QueryContext(ctx, query, args...)
	t.note(err)
	return rows, err
}

// QueryxContext implements [sqlx.QueryerContext].
func (t *guardedTx) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if err := t.ended(); err != nil {
		return nil, err
	}
	rows, err := t.ExtContext.QueryxContext(ctx, query, args...)
	t.note(err)
	return rows, err
}

// QueryRowxContext implements [sqlx.QueryerContext].
func (t *guardedTx) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if t.err != nil { // a row of one's own making cannot hold an error, but one that was given up can
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return t.ExtContext.QueryRowxContext(ended, query, args...)
	}
	row := t.ExtContext.QueryRowxContext(ctx, query, args...)
	t.note(row.Err())
	return row
}
