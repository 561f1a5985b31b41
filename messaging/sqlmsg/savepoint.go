package sqlmsg

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// Savepoint implements [inbox.Tx]. The database learns of it with the first statement of fn: a handler that does nothing there costs
// nothing.
func (t *storeTx) Savepoint(ctx context.Context, fn func(ctx context.Context) error) error {
	t.depth++
	outer := t.ext
	point := &savepoint{ExtContext: outer, name: "sqlmsg_" + strconv.Itoa(t.depth)}
	t.ext = point
	inserted := len(t.inserted)
	defer func() {
		t.depth--
		t.ext = outer
	}()
	err := fn(ctx)
	switch {
	case point.err != nil:
		return fmt.Errorf("%w: savepoint: %w", inbox.ErrTx, point.err)
	case !point.set:
		return err
	case err != nil:
		t.forget(inserted)
		if rollback := point.end(ctx, "ROLLBACK TO SAVEPOINT ", "RELEASE SAVEPOINT "); rollback != nil {
			// Of fn's error only the text: a refusal, say, would decide what becomes of the message, which is to come again.
			return fmt.Errorf("%w: rollback to savepoint: %w, after: %v", inbox.ErrTx, rollback, err) //nolint:errorlint // see above
		}
		return err
	}
	if err := point.end(ctx, "RELEASE SAVEPOINT "); err != nil {
		return fmt.Errorf("%w: release savepoint: %w", inbox.ErrTx, err)
	}
	return nil
}

// savepoint is a transaction that sets a savepoint before its first statement.
type savepoint struct {
	sqlx.ExtContext

	name string
	set  bool
	err  error // why it could not be set: the transaction is lost
}

var _ sqlx.ExtContext = (*savepoint)(nil)

func (p *savepoint) begin(ctx context.Context) error {
	if p.set || p.err != nil {
		return p.err
	}
	if _, p.err = p.ExtContext.ExecContext(ctx, "SAVEPOINT "+p.name); p.err != nil {
		return p.err
	}
	p.set = true
	return nil
}

func (p *savepoint) end(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := p.ExtContext.ExecContext(ctx, statement+p.name); err != nil {
			return err
		}
	}
	return nil
}

// ExecContext implements [sqlx.ExecerContext].
func (p *savepoint) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p.ExtContext.ExecContext(ctx, query, args...)
}

// QueryContext implements [sqlx.QueryerContext].
func (p *savepoint) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p.ExtContext.QueryContext(ctx, query, args...)
}

// QueryxContext implements [sqlx.QueryerContext].
func (p *savepoint) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	return p.ExtContext.QueryxContext(ctx, query, args...)
}

// QueryRowxContext implements [sqlx.QueryerContext]. Where the savepoint fails the row's own error may be none, but Savepoint tells.
func (p *savepoint) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	_ = p.begin(ctx) // kept in err
	return p.ExtContext.QueryRowxContext(ctx, query, args...)
}
