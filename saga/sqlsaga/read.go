package sqlsaga

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// Get implements [coordinator.Reader].
func (s *Store) Get(ctx context.Context, id saga.ID) (saga.State, error) {
	found, err := s.Load(ctx, []coordinator.Want{{ID: id, Keys: []string{""}}})
	if err != nil {
		return saga.State{}, err
	}
	state, ok := found[id]
	if !ok {
		return saga.State{}, fmt.Errorf("%w: no instance %q", saga.ErrNotFound, id)
	}
	return state, nil
}

// Items implements [coordinator.Reader].
func (s *Store) Items(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error) {
	if !legible.Is(string(id)) {
		return nil, nil
	}
	var rows []itemRow
	err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(
		"SELECT saga_id, item, nodes, data, wake_at FROM {items} WHERE saga_id = ? ORDER BY seq LIMIT ? OFFSET ?"),
		string(id), max(limit, 0), max(offset, 0))
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: items: %w", err)
	}
	records := make([]saga.Record, len(rows))
	for i, row := range rows {
		if records[i], err = row.record(); err != nil {
			return nil, fmt.Errorf("sqlsaga: items: %w", err)
		}
	}
	return records, nil
}

// List implements [coordinator.Reader].
func (s *Store) List(ctx context.Context, q coordinator.ListQuery) (page []saga.State, next string, err error) {
	limit := min(cmp.Or(max(q.Limit, 0), 50), 500)
	var where []string
	var args []any
	filter := func(condition string, value any, wanted bool) {
		if wanted {
			where = append(where, condition)
			args = append(args, value)
		}
	}
	if q.Cursor != "" {
		seq, ok := parseCursor(q.Cursor)
		if !ok {
			return nil, "", fmt.Errorf("%w: take it from the page before", coordinator.ErrCursor)
		}
		filter("seq < ?", seq, true)
	}
	if !legible.Is(q.Definition) || !legible.Is(q.Key) || !legible.Is(string(q.Status)) {
		return nil, "", nil // nothing has it, and not every database could look it up
	}
	filter("definition = ?", q.Definition, q.Definition != "")
	// A parameter's value is not known when a statement is planned: hence what seems to be said twice; see live.
	if q.Status.Terminal() {
		filter("status = ?", string(q.Status), true)
	} else {
		filter("status = ? AND "+live, string(q.Status), q.Status != "")
	}
	filter("saga_key = ? AND saga_key <> ''", q.Key, q.Key != "")
	query := "SELECT seq, " + headerColumns + " FROM {sagas}"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	var rows []sagaRow
	err = sqlx.SelectContext(ctx, s.reader(), &rows, s.query(query+" ORDER BY seq DESC LIMIT ?"), append(args, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("sqlsaga: list: %w", err)
	}
	if len(rows) > limit { // one row more tells whether there is a next page
		rows = rows[:limit]
		next = formatCursor(rows[limit-1].Seq)
	}
	for _, row := range rows {
		state, err := row.state()
		if err != nil {
			return nil, "", fmt.Errorf("sqlsaga: list: %w", err)
		}
		state.Root = saga.Record{}
		page = append(page, state)
	}
	return page, next, nil
}

// A cursor is the last row's number, dressed so that nobody is tempted to compute with it.
const cursorMark = "saga-"

func formatCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + strconv.FormatInt(seq, 10)))
}

func parseCursor(cursor string) (seq int64, ok bool) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, false
	}
	digits, marked := strings.CutPrefix(string(text), cursorMark)
	seq, err = strconv.ParseInt(digits, 10, 64)
	return seq, marked && err == nil && seq >= 0
}

type logRow struct {
	Version   int64  `db:"version"`
	Line      int    `db:"line"`
	At        int64  `db:"at"`
	Kind      string `db:"kind"`
	Node      string `db:"node"`
	Direction string `db:"direction"`
	Attempt   int    `db:"attempt"`
	Detail    string `db:"detail"`
}

// History implements [coordinator.Reader].
func (s *Store) History(ctx context.Context, id saga.ID, offset, limit int) ([]coordinator.LogEntry, error) {
	if !legible.Is(string(id)) {
		return nil, nil
	}
	var rows []logRow
	err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(
		"SELECT version, line, at, kind, node, direction, attempt, detail FROM {log} WHERE saga_id = ?"+
			" ORDER BY version, line LIMIT ? OFFSET ?"), string(id), max(limit, 0), max(offset, 0))
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: history: %w", err)
	}
	entries := make([]coordinator.LogEntry, len(rows))
	for i, r := range rows {
		entries[i] = coordinator.LogEntry{Version: r.Version, Line: r.Line, At: time.UnixMicro(r.At).UTC(), Log: saga.Log{
			Kind: saga.LogKind(r.Kind), Node: r.Node, Direction: saga.Direction(r.Direction), Attempt: r.Attempt, Detail: r.Detail,
		}}
	}
	return entries, nil
}

type auditRow struct {
	ActionID string `db:"action_id"`
	Version  int64  `db:"version"`
	At       int64  `db:"at"`
	Action   string `db:"action"`
	Node     string `db:"node"`
	Seen     int64  `db:"seen_version"`
	By       string `db:"by_whom"`
	Why      string `db:"why"`
	Before   string `db:"before_it"`
	After    string `db:"after_it"`
}

// Audits implements [coordinator.Reader].
func (s *Store) Audits(ctx context.Context, id saga.ID) ([]coordinator.AuditEntry, error) {
	if !legible.Is(string(id)) {
		return nil, nil
	}
	var rows []auditRow
	err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(
		"SELECT action_id, version, at, action, node, seen_version, by_whom, why, before_it, after_it FROM {audit}"+
			" WHERE saga_id = ? ORDER BY version, action_id"), string(id))
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: audits: %w", err)
	}
	entries := make([]coordinator.AuditEntry, len(rows))
	for i, r := range rows {
		entries[i] = coordinator.AuditEntry{Version: r.Version, At: time.UnixMicro(r.At).UTC(), Audit: saga.Audit{
			Act: saga.Act{
				ID: r.ActionID, Action: saga.Action(r.Action), Node: r.Node, Version: r.Seen, By: r.By, Why: r.Why,
			},
			Before: r.Before, After: r.After,
		}}
	}
	return entries, nil
}
