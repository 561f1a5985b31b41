package sqlmsg

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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
}

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

// Entries implements [inbox.Tx].
func (t *storeTx) Entries(ctx context.Context, consumer string, keys []string) (map[string]inbox.Entry, error) {
	found := make(map[string]inbox.Entry, len(keys))
	asked := make(map[string]string, len(keys)) // as it is stored → as it was asked for
	for _, key := range keys {
		asked[legible.Key(key, maxKey)] = key
	}
	keys = slices.Collect(maps.Keys(asked))
	if err := t.claim(ctx, consumer, keys); err != nil {
		return nil, fmt.Errorf("sqlmsg: claim inbox keys: %w", err)
	}
	err := t.store.dialect.Each(keys, 1, func(by sqldb.Lookup) error {
		var rows []entryRow
		query := t.store.query(`SELECT entry_key, epoch, outcome, saga_started, reply_id, reply_topic, reply_key, reply_type, reply_headers, reply_payload
			FROM ` + by.From + `(SELECT * FROM {inbox} WHERE entry_key ` + by.Is + ` AND consumer = ? AND outcome <> '` + claimed + `'` + by.End + `) AS e`)
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

// claimed is the outcome of a row that only holds its key for the transaction that made it. One that stays, as nothing was put
// in its place, stands for no entry, and is forgotten like one.
const claimed = "-"

// claim makes transactions that ask for the same keys take effect one after the other. Where the database cannot lock a key
// that no row has, a row is made; in the order of the keys, so that two transactions do not wait for each other.
func (t *storeTx) claim(ctx context.Context, consumer string, keys []string) error {
	d := t.store.dialect
	if d.OneWriter || len(keys) == 0 {
		return nil
	}
	if d.LockKeys != nil {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = t.store.prefix + consumer + "/" + key
		}
		return d.In(names, 0, func(in string, args []any) error {
			_, err := t.ext.ExecContext(ctx, sqlx.Rebind(d.BindStyle, d.LockKeys(strings.Trim(in, "()"))), args...)
			return err
		})
	}
	columns := []string{"consumer", "entry_key", "epoch", "outcome",
		"reply_id", "reply_topic", "reply_key", "reply_type", "reply_headers", "reply_payload"}
	rows := make([][]any, 0, len(keys))
	for _, key := range slices.Sorted(slices.Values(keys)) {
		rows = append(rows, []any{consumer, key, 0, claimed, "", "", "", "", "", []byte{}})
	}
	return d.Rows(ctx, t.ext, sqldb.Insert{
		Table: t.store.prefix + "inbox", Columns: columns, Computed: map[string]string{"handled_at": d.Now}, Suffix: d.Upsert(columns[:2], nil),
	}, rows)
}

// Put implements [inbox.Tx].
func (t *storeTx) Put(ctx context.Context, entries []inbox.Entry) error {
	rows := make([][]any, 0, len(entries))
	at := make(map[[2]string]int, len(entries))
	for _, e := range entries {
		headers, err := encodeHeaders(e.Reply.Headers)
		if err != nil {
			return err
		}
		started := int64(0)
		if !e.Started.IsZero() {
			started = e.Started.UnixMicro()
		}
		row := []any{e.Consumer, legible.Key(e.Key, maxKey), e.Epoch, string(e.Outcome), started,
			e.Reply.ID, e.Reply.Topic, e.Reply.Key, e.Reply.Type, headers, blob(e.Reply.Payload)}
		// One statement must not name a row twice: the last one wins.
		if i, twice := at[[2]string{e.Consumer, e.Key}]; twice {
			rows[i] = row
			continue
		}
		at[[2]string{e.Consumer, e.Key}] = len(rows)
		rows = append(rows, row)
	}
	columns := []string{"consumer", "entry_key", "epoch", "outcome", "saga_started",
		"reply_id", "reply_topic", "reply_key", "reply_type", "reply_headers", "reply_payload"}
	err := t.store.dialect.Rows(ctx, t.ext, sqldb.Insert{
		Table:    t.store.prefix + "inbox",
		Columns:  columns,
		Computed: map[string]string{"handled_at": t.store.dialect.Now},
		Suffix:   t.store.dialect.Upsert(columns[:2], append(columns[2:len(columns):len(columns)], "handled_at")),
	}, rows)
	if err != nil {
		return fmt.Errorf("sqlmsg: write the inbox: %w", err)
	}
	return nil
}
