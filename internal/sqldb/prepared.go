package sqldb

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// maxPrepared bounds the statements that are kept prepared; what comes later is parsed each time.
const maxPrepared = 512

// prepared keeps the statements of the writing pool that come again, so that the database parses them once. A pool prepares on a connection
// of its own choice, which within a transaction might be none: what a transaction misses is prepared after it.
type prepared struct {
	pool *sqlx.DB

	mu         sync.Mutex
	statements map[string]*sqlx.Stmt // nil: it was seen once
}

func newPrepared(pool *sqlx.DB) *prepared {
	return &prepared{pool: pool, statements: map[string]*sqlx.Stmt{}}
}

func (p *prepared) get(query string) *sqlx.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.statements[query]
}

// learn prepares those of the queries that were missed before. A failure costs the parsing that was to be saved.
func (p *prepared) learn(ctx context.Context, missed []string) {
	for _, query := range missed {
		p.mu.Lock()
		stmt, seen := p.statements[query]
		if !seen && len(p.statements) < maxPrepared {
			p.statements[query] = nil
		}
		p.mu.Unlock()
		if !seen || stmt != nil {
			continue
		}
		stmt, err := p.pool.PreparexContext(ctx, query)
		if err != nil {
			return
		}
		p.mu.Lock()
		raced := p.statements[query]
		if raced == nil {
			p.statements[query] = stmt
		}
		p.mu.Unlock()
		if raced != nil {
			_ = stmt.Close() //nolint:sqlclosecheck // another transaction was faster
		}
	}
}

// preparedTx is a transaction that uses what is prepared. Like its transaction it is for one goroutine.
type preparedTx struct {
	*sqlx.Tx
	prepared *prepared
	missed   []string
}

var _ sqlx.ExtContext = (*preparedTx)(nil)

func (t *preparedTx) stmt(ctx context.Context, query string) *sqlx.Stmt {
	stmt := t.prepared.get(query)
	if stmt == nil {
		t.missed = append(t.missed, query)
		return nil
	}
	return t.StmtxContext(ctx, stmt)
}

// ExecContext implements [sqlx.ExecerContext].
func (t *preparedTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := t.stmt(ctx, query); stmt != nil {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext implements [sqlx.QueryerContext].
func (t *preparedTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := t.stmt(ctx, query); stmt != nil {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryxContext implements [sqlx.QueryerContext].
func (t *preparedTx) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if stmt := t.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.QueryxContext(ctx, args...)
	}
	return t.Tx.QueryxContext(ctx, query, args...)
}

// QueryRowxContext implements [sqlx.QueryerContext].
func (t *preparedTx) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if stmt := t.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // it ends with the transaction
		return stmt.QueryRowxContext(ctx, args...)
	}
	return t.Tx.QueryRowxContext(ctx, query, args...)
}
