package sqlmsg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging/inbox"
)

var _ inbox.Forgetter = (*Store)(nil)

// Horizon implements [inbox.Tx].
func (t *storeTx) Horizon(ctx context.Context, consumer string) (time.Time, error) {
	var before int64
	err := sqlx.GetContext(ctx, t.ext, &before, t.store.query("SELECT forgotten_before FROM {horizon} WHERE consumer = ?"), consumer)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("sqlmsg: read the horizon: %w", err)
	default:
		return time.UnixMilli(before).UTC(), nil
	}
}

// Forget implements [inbox.Forgetter]; a service does it by itself. The time must not be later than [inbox.MinKeep] ago, for which services rely on
// their entries.
func (s *Store) Forget(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
	forgotten := 0
	err := s.db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		var keys []string
		// Of one time, a do goes before its undo: an undo must not find what it has undone before.
		err := sqlx.SelectContext(ctx, tx, &keys, s.query(
			"SELECT entry_key FROM {inbox} WHERE handled_at < ? AND consumer = ? ORDER BY handled_at, entry_key LIMIT ?"), before.UnixMilli(), consumer, limit)
		if err != nil || len(keys) == 0 {
			return err
		}
		if err := s.moveHorizon(ctx, tx, consumer, before); err != nil {
			return err
		}
		return s.dialect.In(keys, 2, func(in string, args []any) error {
			// Some may have been handled again meanwhile.
			result, err := tx.ExecContext(ctx, s.query("DELETE FROM {inbox} WHERE consumer = ? AND handled_at < ? AND entry_key IN "+in),
				append([]any{consumer, before.UnixMilli()}, args...)...)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			forgotten += int(n)
			return err
		})
	})
	if err != nil {
		return 0, fmt.Errorf("sqlmsg: forget: %w", err)
	}
	return forgotten, nil
}

// moveHorizon never moves it back.
func (s *Store) moveHorizon(ctx context.Context, tx sqlx.ExtContext, consumer string, before time.Time) error {
	for _, statement := range []struct {
		text string
		args []any
	}{
		{"INSERT INTO {horizon} (consumer, forgotten_before) VALUES (?, 0) " + s.dialect.Upsert([]string{"consumer"}, nil), []any{consumer}},
		{"UPDATE {horizon} SET forgotten_before = ? WHERE consumer = ? AND forgotten_before < ?", []any{before.UnixMilli(), consumer, before.UnixMilli()}},
	} {
		if _, err := tx.ExecContext(ctx, s.query(statement.text), statement.args...); err != nil {
			return err
		}
	}
	return nil
}
