package sqlsaga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// errRace says that another writer came between the check of the versions and the write; the transaction is rolled back.
var errRace = errors.New("sqlsaga: lost a race with another coordinator")

// errNoData says that a record is to keep data that was never stored.
var errNoData = errors.New("sqlsaga: a record that is not stored has no data")

// Commit implements [coordinator.Store].
func (s *Store) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	var conflicts []saga.ID
	var err error
	first, again := once(changes)
	if s.dialect.Arrays && s.tx == nil && len(again) == 0 && !slices.ContainsFunc(changes, hasMore) {
		err = s.raced(ctx, func() error {
			conflicts, err = s.inOneStatement(ctx, s.db.Writer(), first)
			return err
		})
	} else {
		err = s.inTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
			conflicts, err = (&batch{Store: s, tx: tx}).commit(ctx, changes)
			return err
		})
	}
	switch {
	case err == nil:
		return conflicts, nil
	case s.tx != nil && s.lostRace(err): // the caller is to try its transaction again
		return nil, fmt.Errorf("sqlsaga: commit: %w: %w", saga.ErrConflict, err)
	default:
		return nil, fmt.Errorf("sqlsaga: commit: %w", err)
	}
}

// once divides the changes into the first one of each instance and the others, of which there are none as a rule.
func once(changes []coordinator.Change) (first, again []coordinator.Change) {
	seen := make(map[saga.ID]struct{}, len(changes))
	for i, c := range changes {
		if _, twice := seen[c.State.ID]; !twice {
			seen[c.State.ID] = struct{}{}
			if again != nil {
				first = append(first, c)
			}
			continue
		}
		if again == nil {
			first = slices.Clone(changes[:i])
		}
		again = append(again, c)
	}
	if again == nil {
		first = changes
	}
	return first, again
}

// batch is one commit.
type batch struct {
	*Store
	tx sqlx.ExtContext
}

// commit writes the changes whose instance is at the expected version and returns the others' ids. Of two changes of one instance one at most
// is written.
func (b *batch) commit(ctx context.Context, changes []coordinator.Change) (stale []saga.ID, err error) {
	// What is answered is looked up between the check and the write.
	if !b.dialect.Arrays || slices.ContainsFunc(changes, func(c coordinator.Change) bool { return len(c.Answered) > 0 }) {
		fresh, stale, err := b.check(ctx, changes)
		if err != nil {
			return nil, err
		}
		fresh, late, err := b.answeredOnce(ctx, fresh)
		if err != nil {
			return nil, err
		}
		if err := b.write(ctx, fresh); err != nil {
			return nil, err
		}
		return slices.Concat(stale, late), b.more(ctx, fresh)
	}
	for written := map[saga.ID]bool{}; len(changes) > 0; {
		first, again := once(changes)
		failed, err := b.inOneStatement(ctx, b.tx, first)
		if err != nil {
			return nil, err
		}
		fresh := slices.DeleteFunc(slices.Clone(first), func(c coordinator.Change) bool { return slices.Contains(failed, c.State.ID) })
		if err := b.more(ctx, slices.DeleteFunc(slices.Clone(fresh), func(c coordinator.Change) bool { return !hasMore(c) })); err != nil {
			return nil, err
		}
		stale = append(stale, failed...)
		for _, c := range fresh {
			written[c.State.ID] = true
		}
		changes = nil
		for _, c := range again {
			if written[c.State.ID] {
				stale = append(stale, c.State.ID)
			} else {
				changes = append(changes, c)
			}
		}
	}
	return stale, nil
}

// taken is the version of an instance that the batch changes already: none that a change can be based on.
const taken = -1

// check divides the changes into those whose instance is at the expected version and the others' ids, with one query,
// which holds the instances in the order of their ids.
func (b *batch) check(ctx context.Context, changes []coordinator.Change) (fresh []coordinator.Change, stale []saga.ID, err error) {
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = string(c.State.ID)
	}
	versions := map[saga.ID]int64{}
	slices.Sort(ids)
	err = b.dialect.Find("{sagas}", "id", "id", ids, 0, func(from string, args []any) error {
		var rows []sagaRow
		if err := sqlx.SelectContext(ctx, b.tx, &rows, b.query("SELECT t.id, t.version FROM "+from+" ORDER BY t.id"+b.dialect.ForUpdate), args...); err != nil {
			return err
		}
		for _, row := range rows {
			versions[saga.ID(row.ID)] = row.Version
		}
		return nil
	})
	for _, c := range changes {
		if versions[c.State.ID] == c.Before {
			versions[c.State.ID] = taken
			fresh = append(fresh, c)
		} else {
			stale = append(stale, c.State.ID)
		}
	}
	return fresh, stale, err
}

// write writes the instances of the changes with their log and their messages, kind by kind.
func (b *batch) write(ctx context.Context, changes []coordinator.Change) error {
	var creates, lines [][]any
	var messages []messaging.Message
	for _, c := range changes {
		root, _ := rootOf(c)
		if c.Before == 0 {
			row, err := created(c, root)
			if err != nil {
				return err
			}
			creates = append(creates, row)
		} else if err := b.update(ctx, c, root); err != nil {
			return err
		}
		lines = append(lines, logRows(c)...)
		messages = append(messages, c.Outbox...)
	}
	if err := b.dialect.Rows(ctx, b.tx, sqldb.Insert{Table: b.prefix + "sagas", Columns: sagaColumns()}, creates); err != nil {
		return err
	}
	if err := b.dialect.Rows(ctx, b.tx, sqldb.Insert{Table: b.prefix + "saga_log", Columns: logColumns()}, lines); err != nil {
		return err
	}
	return b.append(ctx, messages)
}

// sagaColumns are the columns of a new instance.
func sagaColumns() []string {
	return []string{
		"id", "definition", "hash", "saga_key", "status", "live", "version", "flags", "stuck", "reason", "actions",
		"started_at", "updated_at", "nodes", "data", "wake_at",
	}
}

func logColumns() []string {
	return []string{"saga_id", "version", "line", "at", "kind", "node", "direction", "attempt", "detail"}
}

// hasMore says that a change is of more than an instance, its log and its messages, which few are.
func hasMore(c coordinator.Change) bool {
	_, items := rootOf(c)
	return len(items) > 0 || len(c.Audit) > 0 || len(c.Expect) > 0 || len(c.Answered) > 0 || c.Forget
}

// more writes what only some changes have, kind by kind.
func (b *batch) more(ctx context.Context, changes []coordinator.Change) error {
	var items, actions [][]any
	var ended []string
	for _, c := range changes {
		if c.State.Status.Terminal() {
			ended = append(ended, string(c.State.ID))
		}
		_, rest := rootOf(c)
		for i, r := range rest {
			if r.Data == nil {
				if err := b.updateItem(ctx, c.State.ID, r); err != nil {
					return err
				}
				continue
			}
			nodes, err := json.Marshal(r.Nodes)
			if err != nil {
				return err
			}
			// The version orders items by creation: those of one transition by their place in it.
			items = append(items, []any{string(c.State.ID), r.Key, c.State.Version<<20 + int64(i), nodes, r.Data, toWake(r.Wake)})
		}
		actions = append(actions, auditRows(c)...)
	}
	err := b.dialect.Rows(ctx, b.tx, sqldb.Insert{
		Table: b.prefix + "saga_items", Columns: []string{"saga_id", "item", "seq", "nodes", "data", "wake_at"},
		Suffix: b.dialect.Upsert([]string{"saga_id", "item"}, []string{"nodes", "data", "wake_at"}),
	}, items)
	if err != nil {
		return err
	}
	err = b.dialect.Rows(ctx, b.tx, sqldb.Insert{Table: b.prefix + "saga_audit", Columns: []string{
		"saga_id", "action_id", "version", "at", "action", "node", "seen_version", "by_whom", "why", "before_it", "after_it",
	}}, actions)
	if err != nil {
		return err
	}
	if err := b.quiet(ctx, ended); err != nil {
		return err
	}
	return b.expect(ctx, changes)
}

// quiet takes back the wake-up times of the items of instances that ended, as those that an operator forced have: Due
// would step over them for ever.
func (b *batch) quiet(ctx context.Context, ended []string) error {
	return b.dialect.In(ended, 0, func(in string, args []any) error {
		_, err := b.tx.ExecContext(ctx, b.query("UPDATE {items} SET wake_at = NULL WHERE wake_at IS NOT NULL AND saga_id IN "+in), args...)
		return err
	})
}

func (b *batch) append(ctx context.Context, messages []messaging.Message) error {
	if len(messages) == 0 {
		return nil
	}
	return b.outbox.Append(ctx, b.tx, messages)
}

// rootOf divides the change's records; root is nil if it did not change.
func rootOf(c coordinator.Change) (root *saga.Record, items []saga.Record) {
	for i := range c.Records {
		if c.Records[i].Key == "" {
			root = &c.Records[i]
			return root, append(append([]saga.Record{}, c.Records[:i]...), c.Records[i+1:]...)
		}
	}
	return nil, c.Records
}

func created(c coordinator.Change, root *saga.Record) ([]any, error) {
	if root == nil || root.Data == nil {
		return nil, fmt.Errorf("%w: the root of %s", errNoData, c.State.ID)
	}
	head, err := header(c.State)
	if err != nil {
		return nil, err
	}
	nodes, err := json.Marshal(root.Nodes)
	if err != nil {
		return nil, err
	}
	row := []any{string(c.State.ID), c.State.Definition, c.State.Hash, c.State.Key}
	return append(append(row, head...), nodes, root.Data, toWake(root.Wake)), nil
}

// update writes an instance's header and what changed of its root record.
func (b *batch) update(ctx context.Context, c coordinator.Change, root *saga.Record) error {
	args, err := header(c.State)
	if err != nil {
		return err
	}
	set := "status = ?, live = ?, version = ?, flags = ?, stuck = ?, reason = ?, actions = ?, started_at = ?, updated_at = ?"
	if root != nil {
		nodes, err := json.Marshal(root.Nodes)
		if err != nil {
			return err
		}
		set += ", nodes = ?, wake_at = ?"
		args = append(args, nodes, toWake(root.Wake))
		if root.Data != nil {
			set += ", data = ?"
			args = append(args, root.Data)
		}
	}
	args = append(args, string(c.State.ID), c.Before)
	result, err := b.tx.ExecContext(ctx, b.query("UPDATE {sagas} SET "+set+" WHERE id = ? AND version = ?"), args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errRace, err)
	}
	return nil
}

// updateItem writes an item whose data did not change.
func (b *batch) updateItem(ctx context.Context, id saga.ID, r saga.Record) error {
	nodes, err := json.Marshal(r.Nodes)
	if err != nil {
		return err
	}
	result, err := b.tx.ExecContext(ctx, b.query("UPDATE {items} SET nodes = ?, wake_at = ? WHERE saga_id = ? AND item = ?"),
		nodes, toWake(r.Wake), string(id), r.Key)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%w: item %s of %s", errNoData, r.Key, id), err)
	}
	return nil
}

func logRows(c coordinator.Change) [][]any {
	rows := make([][]any, len(c.Log))
	for i, l := range c.Log {
		rows[i] = []any{
			string(c.State.ID), l.Version, l.Line, l.At.UnixMicro(), string(l.Kind), l.Node, string(l.Direction), l.Attempt, l.Detail,
		}
	}
	return rows
}

func auditRows(c coordinator.Change) [][]any {
	rows := make([][]any, len(c.Audit))
	for i, a := range c.Audit {
		rows[i] = []any{
			string(c.State.ID), a.Act.ID, a.Version, a.At.UnixMicro(), string(a.Act.Action), a.Act.Node, a.Act.Version,
			a.Act.By, a.Act.Why, a.Before, a.After,
		}
	}
	return rows
}
