package sqlmsg

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
)

// DeadLetter implements [messaging.DeadLetters]. The same message of a subscription again replaces the reason.
func (s *Store) DeadLetter(ctx context.Context, d messaging.DeadLetter) error {
	m := d.Message
	headers, err := encodeHeaders(m.Headers)
	if err != nil {
		return err
	}
	identity := m.Identity()
	if m.ID == "" && m.BrokerID == "" {
		identity = uuid.NewString() // nothing to know it by: rather twice than not at all
	}
	identity = legible.Key(identity, maxKey)
	columns := []string{"subscription", "identity", "id", "broker_id", "topic", "message_key", "type", "headers", "payload",
		"reason", "attempts", "failed_at"}
	err = s.db.InTx(ctx, s.inserter(sqldb.Insert{
		Table:   s.prefix + "dead_letters",
		Columns: columns,
		Suffix:  s.dialect.Upsert(columns[:2], columns[9:]),
	}, []any{d.Subscription, identity, legible.Text(m.ID), legible.Text(m.BrokerID), legible.Text(m.Topic), legible.Text(m.Key), legible.Text(m.Type), headers, blob(m.Payload),
		legible.Text(d.Reason), d.Attempts, d.Time.UnixMilli()}))
	if err != nil {
		return fmt.Errorf("sqlmsg: store a dead letter: %w", err)
	}
	return nil
}

// maxKey is the longest text from outside that is a key as it is, in bytes.
const maxKey = 400

// StoredDeadLetter is a dead letter with the number by which it is listed and removed.
type StoredDeadLetter struct {
	// Number grows from one dead letter to the next.
	Number int64
	messaging.DeadLetter
}

type letterRow struct {
	messageRow
	Number       int64  `db:"seq"`
	BrokerID     string `db:"broker_id"`
	Subscription string `db:"subscription"`
	Reason       string `db:"reason"`
	Attempts     int    `db:"attempts"`
	FailedAt     int64  `db:"failed_at"`
}

// DeadLetters returns up to limit dead letters with numbers greater than after, in their order, for an
// operator to page through.
func (s *Store) DeadLetters(ctx context.Context, after int64, limit int) ([]StoredDeadLetter, error) {
	var rows []letterRow
	err := s.db.Reader().SelectContext(ctx, &rows, s.query(`SELECT seq, subscription, id, broker_id, topic, message_key, type, headers, payload,
		reason, attempts, failed_at FROM {dead_letters} WHERE seq > ? ORDER BY seq LIMIT ?`), after, limit)
	if err != nil {
		return nil, fmt.Errorf("sqlmsg: read dead letters: %w", err)
	}
	letters := make([]StoredDeadLetter, len(rows))
	for i, row := range rows {
		m, err := row.message()
		if err != nil {
			return nil, err
		}
		m.BrokerID = row.BrokerID
		letters[i] = StoredDeadLetter{Number: row.Number, DeadLetter: messaging.DeadLetter{
			Message: m, Subscription: row.Subscription, Reason: row.Reason, Attempts: row.Attempts, Time: time.UnixMilli(row.FailedAt).UTC(),
		}}
	}
	return letters, nil
}

// RemoveDeadLetter removes the dead letter with that number, after an operator dealt with it. An unknown number is no error.
func (s *Store) RemoveDeadLetter(ctx context.Context, number int64) error {
	if err := s.db.InTx(ctx, s.executor("DELETE FROM {dead_letters} WHERE seq = ?", number)); err != nil {
		return fmt.Errorf("sqlmsg: remove a dead letter: %w", err)
	}
	return nil
}
