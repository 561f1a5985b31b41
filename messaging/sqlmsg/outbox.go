package sqlmsg

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// Append adds messages to the outbox in the caller's transaction. One whose ID is there already is left as it
// is; one without an ID: [outbox.ErrNoID]. Inside of a handler of [Handle] the service's relay learns
// of them; elsewhere the caller enqueues them after its commit.
func (s *Store) Append(ctx context.Context, tx sqlx.ExtContext, messages []messaging.Message) error {
	if h, ok := tx.(*handlerTx); ok && h.store.prefix == s.prefix && h.store.db == s.db {
		return h.tx.Append(ctx, messages)
	}
	return s.Tx(tx).Append(ctx, messages)
}

// Append implements [inbox.Tx].
func (t *storeTx) Append(ctx context.Context, messages []messaging.Message) error {
	in, rows, err := t.store.Insert(messages)
	if err != nil {
		return err
	}
	if err := t.store.dialect.Rows(ctx, t.ext, in, rows); err != nil {
		return fmt.Errorf("sqlmsg: append to the outbox: %w", err)
	}
	return nil
}

// Insert returns how messages are added to the outbox, for a store in the same database that does so with a statement of its
// own. One without an ID: [outbox.ErrNoID].
func (s *Store) Insert(messages []messaging.Message) (sqldb.Insert, [][]any, error) {
	in := sqldb.Insert{
		Table:   s.prefix + "outbox",
		Columns: []string{"id", "topic", "message_key", "type", "headers", "payload"},
		Suffix:  s.dialect.Upsert([]string{"id"}, nil),
	}
	rows := make([][]any, len(messages))
	for i, m := range messages {
		if m.ID == "" {
			return in, nil, fmt.Errorf("%w: topic %s", outbox.ErrNoID, m.Topic)
		}
		headers, err := encodeHeaders(m.Headers)
		if err != nil {
			return in, nil, err
		}
		rows[i] = []any{m.ID, m.Topic, m.Key, m.Type, headers, blob(m.Payload)}
	}
	return in, rows, nil
}

type messageRow struct {
	ID      string `db:"id"`
	Topic   string `db:"topic"`
	Key     string `db:"message_key"`
	Type    string `db:"type"`
	Headers string `db:"headers"`
	Payload []byte `db:"payload"`
}

func (r messageRow) message() (messaging.Message, error) {
	headers, err := decodeHeaders(r.Headers)
	return messaging.Message{ID: r.ID, Topic: r.Topic, Key: r.Key, Type: r.Type, Headers: headers, Payload: r.Payload}, err
}

// Pending implements [outbox.Store].
func (s *Store) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	var rows []messageRow
	err := s.db.Reader().SelectContext(ctx, &rows, s.query(
		"SELECT id, topic, message_key, type, headers, payload FROM {outbox} ORDER BY seq LIMIT ? OFFSET ?"), limit, offset)
	if err != nil {
		return nil, fmt.Errorf("sqlmsg: read the outbox: %w", err)
	}
	messages := make([]messaging.Message, len(rows))
	for i, row := range rows {
		if messages[i], err = row.message(); err != nil {
			return nil, err
		}
	}
	return messages, nil
}

// Delete implements [outbox.Store]; it is one transaction however many IDs there are.
func (s *Store) Delete(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	var err error
	if s.dialect.Arrays {
		_, err = s.db.Writer().ExecContext(ctx, s.query("DELETE FROM {outbox} o USING unnest(?::text[]) AS k(id)"+
			" CROSS JOIN LATERAL (SELECT ctid FROM {outbox} WHERE id = k.id LIMIT 1) AS found WHERE o.ctid = found.ctid"), ids)
	} else {
		err = s.db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
			return s.dialect.Find("{outbox}", "id", "id", ids, 0, func(from string, args []any) error {
				_, err := tx.ExecContext(ctx, s.query(s.dialect.Delete+from), args...)
				return err
			})
		})
	}
	if err != nil {
		return fmt.Errorf("sqlmsg: delete from the outbox: %w", err)
	}
	return nil
}
