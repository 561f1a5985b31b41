package sqlsaga

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// maxRemoved bounds the transitions of the instances that one transaction removes, unless it is one instance alone: each has left a few lines
// of the log, and about an item at most.
const maxRemoved = 2000

// ended is the condition of instances that are terminal since before a time.
const ended = "status IN ('completed', 'compensated', 'forced') AND updated_at < ?"

// Ended implements [coordinator.Remover]. It goes along the primary key: instances that stay for long are few.
func (s *Store) Ended(ctx context.Context, before time.Time, cursor string, limit int) (ids []saga.ID, next string, err error) {
	after := int64(0)
	if cursor != "" {
		var ok bool
		if after, ok = parseCursor(cursor); !ok {
			return nil, "", fmt.Errorf("%w: take it from the page before", coordinator.ErrCursor)
		}
	}
	var rows []sagaRow
	err = sqlx.SelectContext(ctx, s.reader(), &rows, s.query(
		"SELECT seq, id, status, started_at, updated_at FROM {sagas} WHERE seq > ? ORDER BY seq LIMIT ?"), after, limit)
	if err != nil {
		return nil, "", fmt.Errorf("sqlsaga: ended: %w", err)
	}
	old := false
	for _, row := range rows {
		old = old || row.StartedAt < before.UnixMicro()
		if saga.Status(row.Status).Terminal() && row.UpdatedAt < before.UnixMicro() {
			ids = append(ids, saga.ID(row.ID))
		}
	}
	if old && len(rows) == limit { // else those behind are younger still
		next = formatCursor(rows[limit-1].Seq)
	}
	return ids, next, nil
}

// Remove implements [coordinator.Remover].
func (s *Store) Remove(ctx context.Context, before time.Time, ids []saga.ID) (int, error) {
	removed := 0
	for rest := texts(ids); len(rest) > 0; {
		var n, done int
		err := s.inTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) (err error) {
			n, done, err = s.removeSome(ctx, tx, before, rest)
			return err
		})
		if err != nil {
			return removed, fmt.Errorf("sqlsaga: remove: %w", err)
		}
		removed += n
		rest = rest[done:]
	}
	return removed, nil
}

// removeSome removes of the first of the instances as many as one transaction should; done is how many of them were looked at.
func (s *Store) removeSome(ctx context.Context, tx sqlx.ExtContext, before time.Time, ids []string) (n, done int, err error) {
	versions := map[string]int64{}
	err = s.dialect.Find("{sagas}", "id", "id", slices.Sorted(slices.Values(ids)), 1, func(from string, args []any) error {
		var rows []sagaRow
		// Held in the order in which commits hold them.
		err := sqlx.SelectContext(ctx, tx, &rows, s.query("SELECT t.id, t.version FROM "+from+" AND "+ended+" ORDER BY t.id"+s.dialect.ForUpdate),
			append(args, before.UnixMicro())...)
		for _, row := range rows {
			versions[row.ID] = row.Version
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	var some []string
	weight := int64(0)
	for _, id := range ids {
		if v, found := versions[id]; found {
			if weight += v; len(some) > 0 && weight > maxRemoved {
				break
			}
			some = append(some, id)
		}
		done++
	}
	for _, of := range []struct{ table, column, index string }{
		{"{items}", "saga_id", "PRIMARY"}, {"{log}", "saga_id", "PRIMARY"}, {"{audit}", "saga_id", "PRIMARY"},
		{"{expected}", "saga_id", "saga_id"}, {"{sagas}", "id", "id"},
	} {
		err := s.dialect.Find(of.table, of.index, of.column, some, 0, func(from string, args []any) error {
			_, err := tx.ExecContext(ctx, s.query(s.dialect.Delete+from), args...)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
	}
	return len(some), done, nil
}

func texts(ids []saga.ID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = string(id)
	}
	return all
}

// RemovePauses implements [coordinator.Remover].
func (s *Store) RemovePauses(ctx context.Context, before time.Time) (int, error) {
	var n int64
	err := s.inTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		result, err := tx.ExecContext(ctx, s.query("DELETE FROM {pauses} WHERE done = 1 AND at < ?"+
			" AND (released_at IS NULL OR released_at < ?)"), before.UnixMicro(), before.UnixMicro())
		if err == nil {
			n, err = result.RowsAffected()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sqlsaga: remove pauses: %w", err)
	}
	return int(n), nil
}
