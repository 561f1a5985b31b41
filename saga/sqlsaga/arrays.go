package sqlsaga

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// Where the parameters of each part of the commit's statement begin, and the types of their arrays.
const (
	firstUpdate = 1
	updateTypes = "text bigint text bigint bigint bigint bigint text text bigint bigint bytea bytea bigint"
	firstCreate = firstUpdate + 14
	createTypes = "text text text text text bigint bigint bigint bigint text text bigint bigint bytea bytea bigint"
	firstLog    = firstCreate + 16
	logTypes    = "text bigint bigint bigint text text text bigint text"
	firstOutbox = firstLog + 9
	outboxTypes = "text text text text text text bytea"
	ended       = "$47::text[]"
)

func unnest(from int, types string) string { return sqldb.Unnest(from, strings.Fields(types)...) }

// commitStatement is the one statement that commits any number of instances with their log and their messages: those of instances that are not
// at the expected version are left out, and the ids of these are its result. A lateral subquery finds each instance by the index, also while the
// database has no statistics of a young table.
func (s *Store) commitStatement() (string, error) {
	outbox, _, err := s.outbox.Insert(nil)
	if err != nil {
		return "", err
	}
	return s.query(`WITH updated AS (
	UPDATE {sagas} s SET status = u.c2, live = u.c3, version = u.c4, flags = u.c5, stuck = u.c6, reason = u.c7, actions = u.c8,
		started_at = u.c9, updated_at = u.c10, nodes = COALESCE(u.c11, s.nodes), data = COALESCE(u.c12, s.data),
		wake_at = CASE WHEN u.c11 IS NULL THEN s.wake_at ELSE u.c13 END
	FROM ` + unnest(firstUpdate, updateTypes) + `
	CROSS JOIN LATERAL (SELECT ctid FROM {sagas} WHERE id = u.c0 AND version = u.c1 LIMIT 1 FOR UPDATE) AS held
	WHERE s.ctid = held.ctid RETURNING s.id
), created AS (
	INSERT INTO {sagas} (` + strings.Join(sagaColumns(), ", ") + `)
	SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15
	FROM ` + unnest(firstCreate, createTypes) + ` ORDER BY n ON CONFLICT (id) DO NOTHING RETURNING id
), fresh AS (
	SELECT id FROM updated UNION ALL SELECT id FROM created
), logged AS (
	INSERT INTO {log} (` + strings.Join(logColumns(), ", ") + `)
	SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8 FROM ` + unnest(firstLog, logTypes) + ` WHERE c0 IN (SELECT id FROM fresh)
), sent AS (
	INSERT INTO ` + outbox.Table + ` (` + strings.Join(outbox.Columns, ", ") + `)
	SELECT c1, c2, c3, c4, c5, c6 FROM ` + unnest(firstOutbox, outboxTypes) + ` WHERE c0 IN (SELECT id FROM fresh) ORDER BY n ` + outbox.Suffix + `
), quieted AS (
	UPDATE {items} i SET wake_at = NULL FROM unnest(` + ended + `) AS e(id)
	CROSS JOIN LATERAL (SELECT ctid FROM {items} WHERE saga_id = e.id AND wake_at IS NOT NULL OFFSET 0) AS awake
	WHERE i.ctid = awake.ctid AND e.id IN (SELECT id FROM fresh)
)
SELECT id FROM unnest($1::text[] || $15::text[]) AS id WHERE id NOT IN (SELECT id FROM fresh)`), nil
}

// inOneStatement commits the changes, each once, on a database that takes arrays. It returns the ids of those whose instance was not at the
// expected version.
func (s *Store) inOneStatement(ctx context.Context, tx sqlx.QueryerContext, changes []coordinator.Change) (stale []saga.ID, err error) {
	args, err := s.arrays(changes)
	if err != nil {
		return nil, err
	}
	err = sqlx.SelectContext(ctx, tx, &stale, s.statement, args...)
	return stale, err
}

// arrays are the parameters of the commit's statement. They are in the order of the ids, in which instances are held, so that two commits do not wait for each
// other.
func (s *Store) arrays(changes []coordinator.Change) ([]any, error) {
	order := make([]*coordinator.Change, len(changes))
	for i := range changes {
		order[i] = &changes[i]
	}
	slices.SortFunc(order, func(x, y *coordinator.Change) int { return cmp.Compare(x.State.ID, y.State.ID) })
	var updates, creates, lines [][]any
	var senders, ended []string
	var messages []messaging.Message
	for _, ordered := range order {
		c := *ordered
		root, _ := rootOf(c)
		if c.Before == 0 {
			row, err := created(c, root)
			if err != nil {
				return nil, err
			}
			creates = append(creates, row)
		} else {
			row, err := updated(c, root)
			if err != nil {
				return nil, err
			}
			updates = append(updates, row)
		}
		if c.State.Status.Terminal() {
			ended = append(ended, string(c.State.ID))
		}
		lines = append(lines, logRows(c)...)
		for range c.Outbox {
			senders = append(senders, string(c.State.ID))
		}
		messages = append(messages, c.Outbox...)
	}
	_, outbox, err := s.outbox.Insert(messages)
	if err != nil {
		return nil, err
	}
	args := make([]any, 0, firstOutbox+8)
	for _, part := range []struct {
		rows [][]any
		n    int
	}{{updates, firstCreate - firstUpdate}, {creates, firstLog - firstCreate}, {lines, firstOutbox - firstLog}} {
		columns, err := sqldb.Columns(part.rows, part.n)
		if err != nil {
			return nil, err
		}
		args = append(args, columns...)
	}
	columns, err := sqldb.Columns(outbox, len(strings.Fields(outboxTypes))-1)
	return append(append(append(args, senders), columns...), ended), err
}

// updated is the row of an instance that changed: no nodes and no data stand for those that are stored.
func updated(c coordinator.Change, root *saga.Record) ([]any, error) {
	head, err := header(c.State)
	if err != nil {
		return nil, err
	}
	row := append([]any{string(c.State.ID), c.Before}, head...)
	if root == nil {
		return append(row, []byte(nil), []byte(nil), (*int64)(nil)), nil
	}
	nodes, err := json.Marshal(root.Nodes)
	return append(row, nodes, root.Data, toWake(root.Wake)), err
}
