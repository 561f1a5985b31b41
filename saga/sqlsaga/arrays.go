package sqlsaga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The parts of a commit's statement, which has those that there is something for.
const (
	withUpdates = 1 << iota
	withCreates
	withOutbox
	withEnded
	// single is for one instance with one message at most: but for its log, which has several lines, its statement takes no arrays.
	single
	allParts = withUpdates | withCreates | withOutbox | withEnded | single
)

// The types of each part's arrays: of texts, integers and bytes.
const (
	updateTypes = "titiiiittiibbi"
	createTypes = "tttttiiiittiibbi"
	logTypes    = "tiiitttit"
	outboxTypes = "ttttttb"
)

// commitStatements are the statements that commit any number of instances with their log and their messages, by the parts that they have. What is of
// instances that are not at the expected version is left out, and the ids of these are the result. A lateral subquery finds each instance by the
// index, also while the database has no statistics of a young table.
func (s *Store) commitStatements() ([allParts + 1]string, error) {
	var all [allParts + 1]string
	outbox, _, err := s.outbox.Insert(nil)
	for parts := range all {
		all[parts] = s.query(commitStatement(parts, outbox))
	}
	return all, err
}

func commitStatement(parts int, outbox sqldb.Insert) string {
	next := 1
	table := func(of func(from int, types string) string) func(types string) string {
		return func(types string) string {
			from := next
			next += len(types)
			return of(from, types)
		}
	}
	arrays := table(sqldb.Unnest)
	rows, idsOf := arrays, "$%d::text[]"
	if parts&single != 0 {
		rows, idsOf = table(sqldb.One), "ARRAY[$%d::text]"
	}
	var with, fresh, ids []string
	add := func(part int, text func() string) {
		if parts&part == part {
			with = append(with, text())
		}
	}
	add(withUpdates, func() string {
		ids, fresh = append(ids, fmt.Sprintf(idsOf, next)), append(fresh, "SELECT id FROM updated")
		return `updated AS (
	UPDATE {sagas} s SET status = u.c2, live = u.c3, version = u.c4, flags = u.c5, stuck = u.c6, reason = u.c7, actions = u.c8,
		started_at = u.c9, updated_at = u.c10, nodes = COALESCE(u.c11, s.nodes), data = COALESCE(u.c12, s.data),
		wake_at = CASE WHEN u.c11 IS NULL THEN s.wake_at ELSE u.c13 END
	FROM ` + rows(updateTypes) + `
	CROSS JOIN LATERAL (SELECT ctid FROM {sagas} WHERE id = u.c0 AND version = u.c1 LIMIT 1 FOR UPDATE) AS held
	WHERE s.ctid = held.ctid RETURNING s.id)`
	})
	add(withCreates, func() string {
		ids, fresh = append(ids, fmt.Sprintf(idsOf, next)), append(fresh, "SELECT id FROM created")
		return `created AS (
	INSERT INTO {sagas} (` + strings.Join(sagaColumns(), ", ") + `)
	SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15
	FROM ` + rows(createTypes) + ` ORDER BY n ON CONFLICT (id) DO NOTHING RETURNING id)`
	})
	if len(ids) == 0 {
		return ""
	}
	with = append(with, "fresh AS ("+strings.Join(fresh, " UNION ALL ")+")", `logged AS (
	INSERT INTO {log} (`+strings.Join(logColumns(), ", ")+`)
	SELECT c0, c1, c2, c3, c4, c5, c6, c7, c8 FROM `+arrays(logTypes)+` WHERE c0 IN (SELECT id FROM fresh))`)
	add(withOutbox, func() string {
		return `sent AS (
	INSERT INTO ` + outbox.Table + ` (` + strings.Join(outbox.Columns, ", ") + `)
	SELECT c1, c2, c3, c4, c5, c6 FROM ` + rows(outboxTypes) + ` WHERE c0 IN (SELECT id FROM fresh) ORDER BY n ` + outbox.Suffix + ")"
	})
	add(withEnded, func() string {
		return `quieted AS (
	UPDATE {items} i SET wake_at = NULL FROM ` + rows("t") + `
	CROSS JOIN LATERAL (SELECT ctid FROM {items} WHERE saga_id = u.c0 AND wake_at IS NOT NULL OFFSET 0) AS awake
	WHERE i.ctid = awake.ctid AND u.c0 IN (SELECT id FROM fresh))`
	})
	return "WITH " + strings.Join(with, ", ") + `
SELECT id FROM unnest(` + strings.Join(ids, " || ") + `) AS id WHERE id NOT IN (SELECT id FROM fresh)`
}

// inOneStatement commits the changes, each once, on a database that takes arrays. It returns the ids of those whose instance was not at the
// expected version.
func (s *Store) inOneStatement(ctx context.Context, tx sqlx.QueryerContext, changes []coordinator.Change) (stale []saga.ID, err error) {
	parts, args, err := s.arrays(changes)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	err = sqlx.SelectContext(ctx, tx, &stale, s.statements[parts], args...)
	return stale, err
}

// arrays are the parts of the commit's statement and its parameters. They are in the order of the ids, in which instances are held, so that two commits
// do not wait for each other.
func (s *Store) arrays(changes []coordinator.Change) (parts int, args []any, err error) {
	order := make([]*coordinator.Change, len(changes))
	for i := range changes {
		order[i] = &changes[i]
	}
	slices.SortFunc(order, func(x, y *coordinator.Change) int { return cmp.Compare(x.State.ID, y.State.ID) })
	var updates, creates, lines, outbox, ended [][]any
	for _, c := range order {
		id := string(c.State.ID)
		root, _ := rootOf(*c)
		rowOf, rows := updated, &updates
		if c.Before == 0 {
			rowOf, rows = created, &creates
		}
		row, err := rowOf(*c, root)
		if err != nil {
			return 0, nil, err
		}
		*rows = append(*rows, row)
		if c.State.Status.Terminal() {
			ended = append(ended, []any{id})
		}
		lines = append(lines, logRows(*c)...)
		_, messages, err := s.outbox.Insert(c.Outbox)
		if err != nil {
			return 0, nil, err
		}
		for _, m := range messages {
			outbox = append(outbox, append([]any{id}, m...))
		}
	}
	if len(changes) == 1 && len(outbox) <= 1 {
		parts = single
	}
	arrays := func(rows [][]any, types string) {
		columns, fault := sqldb.Columns(rows, len(types))
		args, err = append(args, columns...), errors.Join(err, fault)
	}
	add := func(part int, rows [][]any, types string) {
		switch {
		case len(rows) == 0:
			return
		case parts&single != 0:
			args = append(args, rows[0]...)
		default:
			arrays(rows, types)
		}
		parts |= part
	}
	add(withUpdates, updates, updateTypes)
	add(withCreates, creates, createTypes)
	arrays(lines, logTypes)
	add(withOutbox, outbox, outboxTypes)
	add(withEnded, ended, "t")
	return parts, args, err
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
