package sqlmsg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// storeTx is the store inside of one transaction.
type storeTx struct {
	store *Store
	ext   sqlx.ExtContext
	depth int // savepoints that are open

	missing  map[rowKey]struct{} // keys that were asked for and not found, where nothing holds them
	inserted []rowKey            // those of them that were put since
}

// rowKey is the primary key of an inbox row.
type rowKey struct{ consumer, key string }

type entryRow struct {
	Key          string `db:"entry_key"`
	Epoch        int    `db:"epoch"`
	Outcome      string `db:"outcome"`
	Started      int64  `db:"saga_started"`
	ReplyID      string `db:"reply_id"`
	ReplyTopic   string `db:"reply_topic"`
	ReplyKey     string `db:"reply_key"`
	ReplyType    string `db:"reply_type"`
	ReplyHeaders string `db:"reply_headers"`
	ReplyPayload []byte `db:"reply_payload"`
}

func (r entryRow) entry(consumer string) (inbox.Entry, error) {
	reply := messageRow{r.ReplyID, r.ReplyTopic, r.ReplyKey, r.ReplyType, r.ReplyHeaders, r.ReplyPayload}
	m, err := reply.message()
	if len(m.Payload) == 0 && m.ID == "" {
		m.Payload = nil // there was no reply
	}
	e := inbox.Entry{Consumer: consumer, Key: r.Key, Epoch: r.Epoch, Outcome: messaging.Outcome(r.Outcome), Reply: m}
	if r.Started != 0 {
		e.Started = time.UnixMicro(r.Started).UTC()
	}
	return e, err
}

// Entries implements [inbox.Tx]. Where transactions run at the same time, one holds the rows that it finds, and of a key that it does not find the insertion
// fails if another was faster; see [storeTx.Put].
func (t *storeTx) Entries(ctx context.Context, consumer string, keys []string) (map[string]inbox.Entry, error) {
	asked := make(map[string]string, len(keys)) // as it is stored → as it was asked for
	for _, key := range keys {
		asked[legible.Key(key, maxKey)] = key
	}
	stored := slices.Sorted(maps.Keys(asked)) // transactions that lock rows in one order do not wait for each other
	d := t.store.dialect
	if d.OneWriter {
		return t.read(ctx, consumer, stored, asked, "")
	}
	found, err := t.read(ctx, consumer, stored, asked, d.ForUpdate)
	if err == nil && len(found) > 0 { // whoever held one of the rows may have put another meanwhile
		found, err = t.read(ctx, consumer, stored, asked, "")
	}
	if err != nil {
		return nil, err
	}
	if t.missing == nil {
		t.missing = make(map[rowKey]struct{}, len(stored)-len(found))
	}
	for _, key := range stored {
		if _, ok := found[asked[key]]; !ok {
			t.missing[rowKey{consumer, key}] = struct{}{}
		}
	}
	return found, nil
}

// read finds entries by their stored keys.
func (t *storeTx) read(ctx context.Context, consumer string, stored []string, asked map[string]string, lock string) (map[string]inbox.Entry, error) {
	found := make(map[string]inbox.Entry)
	err := t.store.dialect.Each(stored, 1, func(by sqldb.Lookup) error {
		var rows []entryRow
		query := t.store.query(`SELECT entry_key, epoch, outcome, saga_started, reply_id, reply_topic, reply_key, reply_type, reply_headers, reply_payload
			FROM ` + by.From + `(SELECT * FROM {inbox}` + t.store.dialect.ByPrimaryKey + ` WHERE entry_key ` + by.Is + ` AND consumer = ?` + by.End + lock + `) AS e`)
		if err := sqlx.SelectContext(ctx, t.ext, &rows, query, append(by.Args, consumer)...); err != nil {
			return err
		}
		for _, row := range rows {
			row.Key = asked[row.Key]
			e, err := row.entry(consumer)
			if err != nil {
				return err
			}
			found[row.Key] = e
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sqlmsg: read the inbox: %w", err)
	}
	return found, nil
}

// Put implements [inbox.Tx]. An entry that was asked for and not found is inserted, which fails if another transaction has put it meanwhile: what was decided
// without it does not count. All others replace what there is.
func (t *storeTx) Put(ctx context.Context, entries []inbox.Entry) error {
	var insert, replace [][]any
	var inserted []rowKey
	at := make(map[rowKey][]any, len(entries))
	for _, e := range entries {
		headers, err := encodeHeaders(e.Reply.Headers)
		if err != nil {
			return err
		}
		started := int64(0)
		if !e.Started.IsZero() {
			started = e.Started.UnixMicro()
		}
		key := rowKey{e.Consumer, legible.Key(e.Key, maxKey)}
		row := []any{key.consumer, key.key, e.Epoch, string(e.Outcome), started,
			e.Reply.ID, e.Reply.Topic, e.Reply.Key, e.Reply.Type, headers, blob(e.Reply.Payload)}
		// One statement must not name a row twice: the last one wins.
		if earlier, twice := at[key]; twice {
			copy(earlier, row)
			continue
		}
		at[key] = row
		if _, missing := t.missing[key]; missing {
			insert, inserted = append(insert, row), append(inserted, key)
		} else {
			replace = append(replace, row)
		}
	}
	d := t.store.dialect
	columns := []string{"consumer", "entry_key", "epoch", "outcome", "saga_started",
		"reply_id", "reply_topic", "reply_key", "reply_type", "reply_headers", "reply_payload"}
	into := sqldb.Insert{Table: t.store.prefix + "inbox", Columns: columns, Computed: map[string]string{"handled_at": d.Now}}
	if err := d.Rows(ctx, t.ext, into, insert); err != nil {
		if d.IsConflict(err) {
			return fmt.Errorf("sqlmsg: write the inbox: %w: %w", inbox.ErrRace, err)
		}
		return fmt.Errorf("sqlmsg: write the inbox: %w", err)
	}
	into.Suffix = d.Upsert(columns[:2], append(columns[2:len(columns):len(columns)], "handled_at"))
	if err := d.Rows(ctx, t.ext, into, replace); err != nil {
		return fmt.Errorf("sqlmsg: write the inbox: %w", err)
	}
	for _, key := range inserted {
		delete(t.missing, key)
	}
	t.inserted = append(t.inserted, inserted...)
	return nil
}

// forget takes back that entries were put, from the n-th on: their savepoint was rolled back.
func (t *storeTx) forget(n int) {
	for _, key := range t.inserted[n:] {
		t.missing[key] = struct{}{}
	}
	t.inserted = t.inserted[:n]
}
