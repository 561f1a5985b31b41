package sqlsaga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// answeredOnce divides the changes into those whose messages have answered nothing else, and the ids of the others. The index over answers decides
// about two commits at the same time.
func (b *batch) answeredOnce(ctx context.Context, changes []coordinator.Change) (fresh []coordinator.Change, late []saga.ID, err error) {
	var messages []string
	for _, c := range changes {
		for _, a := range c.Answered {
			messages = append(messages, a.Answer)
		}
	}
	if len(messages) == 0 {
		return changes, nil, nil
	}
	taken := map[string]bool{}
	err = b.dialect.In(messages, 0, func(in string, args []any) error {
		var rows []string
		err := sqlx.SelectContext(ctx, b.tx, &rows, b.query("SELECT answer FROM {expected} WHERE answered IN "+in), args...)
		for _, answer := range rows {
			taken[answer] = true
		}
		return err
	})
	for _, c := range changes {
		own := map[string]bool{}
		if slices.ContainsFunc(c.Answered, func(a coordinator.Expected) bool {
			again := taken[a.Answer] || own[a.Answer]
			own[a.Answer] = true
			return again
		}) {
			late = append(late, c.State.ID)
			continue
		}
		maps.Copy(taken, own)
		fresh = append(fresh, c)
	}
	return fresh, late, err
}

// expect writes what the changed instances wait for, and what was answered.
func (b *batch) expect(ctx context.Context, changes []coordinator.Change) error {
	var rows [][]any
	var ended []string
	for _, c := range changes {
		if c.Forget {
			ended = append(ended, string(c.State.ID))
		}
		for _, e := range c.Expect {
			rows = append(rows, []any{string(c.State.ID), e.Node, string(e.Direction), e.Epoch, e.Key, ""})
		}
	}
	key := []string{"saga_id", "node", "direction", "epoch"}
	err := b.dialect.Rows(ctx, b.tx, sqldb.Insert{
		Table: b.prefix + "saga_expected", Columns: append(key, "match_key", "answer"), Suffix: b.dialect.Upsert(key, nil),
	}, rows)
	if err != nil {
		return err
	}
	for _, c := range changes {
		for _, a := range c.Answered {
			_, err := b.tx.ExecContext(ctx, b.query("UPDATE {expected} SET answer = ? WHERE saga_id = ? AND node = ? AND direction = ? AND epoch = ?"),
				a.Answer, string(c.State.ID), a.Node, string(a.Direction), a.Epoch)
			if b.dialect.IsConflict(err) {
				return errors.Join(errRace, err)
			}
			if err != nil {
				return err
			}
		}
	}
	return b.dialect.Find("{expected}", "saga_id", "saga_id", ended, 0, func(from string, args []any) error {
		_, err := b.tx.ExecContext(ctx, b.query(b.dialect.Delete+from+" AND answer = ''"), args...)
		return err
	})
}

type expectedRow struct {
	Seq       int64  `db:"seq"`
	Saga      string `db:"saga_id"`
	Node      string `db:"node"`
	Direction string `db:"direction"`
	Epoch     int    `db:"epoch"`
	Key       string `db:"match_key"`
	Answer    string `db:"answer"`
}

const expectedColumns = "SELECT seq, saga_id, node, direction, epoch, match_key, answer FROM {expected} WHERE "

// Match implements [coordinator.Store].
func (s *Store) Match(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
	var rows []expectedRow
	find := func(query string, args []any) error {
		var more []expectedRow
		err := sqlx.SelectContext(ctx, s.reader(), &more, s.query(expectedColumns+query), args...)
		rows = append(rows, more...)
		return err
	}
	err := s.dialect.In(keys, 1, func(in string, args []any) error {
		return find("answer = '' AND match_key IN "+in+" ORDER BY seq LIMIT ?", append(args, coordinator.MaxMatches))
	})
	inOrder(rows)
	rows = rows[:min(len(rows), coordinator.MaxMatches)]
	if err == nil && len(keys) > 0 {
		err = s.dialect.In(messages, 0, func(in string, args []any) error { return find("answered IN "+in, args) })
	}
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: match: %w", err)
	}
	inOrder(rows)
	wanted := make(map[string]bool, len(keys))
	for _, key := range keys {
		wanted[key] = true
	}
	var found []coordinator.Expected
	for _, row := range rows {
		if wanted[row.Key] {
			found = append(found, row.expected())
		}
	}
	return found, nil
}

func inOrder(rows []expectedRow) {
	slices.SortFunc(rows, func(a, b expectedRow) int { return cmp.Compare(a.Seq, b.Seq) })
}

func (r expectedRow) expected() coordinator.Expected {
	return coordinator.Expected{ID: saga.ID(r.Saga), Answer: r.Answer, Expectation: coordinator.Expectation{
		Node: r.Node, Direction: saga.Direction(r.Direction), Epoch: r.Epoch, Key: r.Key,
	}}
}

type pauseRow struct {
	Definition  string `db:"definition"`
	At          int64  `db:"at"`
	By          string `db:"by_whom"`
	Why         string `db:"why"`
	ReleasedAt  *int64 `db:"released_at"`
	ReleasedBy  string `db:"released_by"`
	ReleasedWhy string `db:"released_why"`
	Rate        int    `db:"rate"`
	Done        bool   `db:"done"`
}

func (r pauseRow) pause() coordinator.Pause {
	p := coordinator.Pause{
		Definition: r.Definition, At: time.UnixMicro(r.At).UTC(), By: r.By, Why: r.Why,
		ReleasedBy: r.ReleasedBy, ReleasedWhy: r.ReleasedWhy, Rate: r.Rate, Done: r.Done,
	}
	if r.ReleasedAt != nil {
		p.Released = time.UnixMicro(*r.ReleasedAt).UTC()
	}
	return p
}

// Pauses implements [coordinator.Store].
func (s *Store) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	return s.pauses(ctx, "WHERE done = 0 ORDER BY at, definition")
}

// PauseHistory implements [coordinator.Reader].
func (s *Store) PauseHistory(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
	return s.pauses(ctx, "ORDER BY at DESC, definition LIMIT ? OFFSET ?", max(limit, 0), max(offset, 0))
}

func (s *Store) pauses(ctx context.Context, which string, args ...any) ([]coordinator.Pause, error) {
	var rows []pauseRow
	err := sqlx.SelectContext(ctx, s.reader(), &rows, s.query(
		"SELECT definition, at, by_whom, why, released_at, released_by, released_why, rate, done FROM {pauses} "+which), args...)
	if err != nil {
		return nil, fmt.Errorf("sqlsaga: pauses: %w", err)
	}
	all := make([]coordinator.Pause, len(rows))
	for i, row := range rows {
		all[i] = row.pause()
	}
	return all, nil
}

// SetPause implements [coordinator.Store].
func (s *Store) SetPause(ctx context.Context, p coordinator.Pause) error {
	var done int
	if p.Done {
		done = 1
	}
	var released *int64
	if !p.Released.IsZero() {
		at := p.Released.UnixMicro()
		released = &at
	}
	key, rest := []string{"definition", "at"}, []string{"by_whom", "why", "released_at", "released_by", "released_why", "rate", "done"}
	err := s.inTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		return s.dialect.Rows(ctx, tx, sqldb.Insert{
			Table: s.prefix + "saga_pauses", Columns: append(key, rest...), Suffix: s.dialect.Upsert(key[:2], rest),
		}, [][]any{{p.Definition, p.At.UnixMicro(), p.By, p.Why, released, p.ReleasedBy, p.ReleasedWhy, p.Rate, done}})
	})
	if err != nil {
		return fmt.Errorf("sqlsaga: set a pause: %w", err)
	}
	return nil
}
