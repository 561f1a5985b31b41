package sqlsaga_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// explainer is a transaction that keeps how the database would find the rows of each statement.
type explainer struct {
	sqlx.ExtContext
	mu    sync.Mutex
	plans map[string]string // by statement
}

func (e *explainer) explain(ctx context.Context, query string, args []any) error {
	rows, err := e.ExtContext.QueryxContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		return err
	}
	var steps []struct {
		ID     int    `db:"id"`
		Parent int    `db:"parent"`
		Unused int    `db:"notused"`
		Detail string `db:"detail"`
	}
	if err := sqlx.StructScan(rows, &steps); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, step := range steps {
		e.plans[query] += step.Detail + "\n"
	}
	return nil
}

func (e *explainer) QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error) {
	if err := e.explain(ctx, query, args); err != nil {
		return nil, err
	}
	return e.ExtContext.QueryxContext(ctx, query, args...)
}

func (e *explainer) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	if err := e.explain(ctx, query, args); err != nil {
		query = "" // an error of its own
	}
	return e.ExtContext.QueryRowxContext(ctx, query, args...)
}

func (e *explainer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := e.explain(ctx, query, args); err != nil {
		return nil, err
	}
	return e.ExtContext.ExecContext(ctx, query, args...)
}

// No statement walks through a whole table, but for the lists that are read from their newest end.
func TestEveryStatementFindsItsRowsByIndex(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "sagas.db")
	_, store := open(t, url)
	db, err := sqlmsg.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		e := &explainer{ExtContext: tx, plans: map[string]string{}}
		callAll(ctx, t, store.Within(e))
		if len(e.plans) < 25 {
			t.Errorf("only %d statements were seen", len(e.plans))
		}
		for query, plan := range e.plans {
			for step := range strings.Lines(plan) {
				table, scans := strings.CutPrefix(strings.TrimSpace(step), "SCAN ")
				if scans && scansAll(table) {
					t.Errorf("%s\nis done by:\n%s", query, plan)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// scansAll reports whether a plan's step reads all of a table. The newest pauses are read from their index until the page is full, and
// those that are not done are all that an index of their own has.
func scansAll(step string) bool {
	for _, index := range []string{"saga_pauses_newest", "saga_pauses_open"} {
		if strings.HasPrefix(step, "saga_pauses USING ") && strings.HasSuffix(step, index) {
			return false
		}
	}
	table, _, _ := strings.Cut(step, " ")
	return strings.HasPrefix(table, "saga") || table == "i" || table == "s"
}

// What an operator ended by force leaves nothing in the index that Due walks through.
func TestItemsOfAnEndedSagaWakeNoMore(t *testing.T) {
	t.Parallel()
	_, store := open(t, "sqlite::memory:")
	itemsOfAnEndedSaga(t, store)
}

func itemsOfAnEndedSaga(t *testing.T, store *sqlsaga.Store) {
	t.Helper()
	state := newState("a")
	state.Items = map[string]saga.Record{
		"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}, Wake: time.Unix(5, 0).UTC()},
	}
	ended := state
	ended.Version, ended.Status = 2, saga.Forced
	for _, c := range []coordinator.Change{creation(state), {Before: 1, State: ended}} {
		if conflicts, err := store.Commit(t.Context(), []coordinator.Change{c}); err != nil || len(conflicts) > 0 {
			t.Fatal(conflicts, err)
		}
	}
	items, err := store.Items(t.Context(), "a", 0, 10)
	if err != nil || len(items) != 1 || !items[0].Wake.IsZero() {
		t.Errorf("the items of an ended saga: %+v, %v; want one that never wakes", items, err)
	}
}

// callAll makes every kind of call that has conditions.
func callAll(ctx context.Context, t *testing.T, s interface {
	coordinator.Store
	coordinator.Reader
	coordinator.Remover
}) {
	t.Helper()
	want := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	commit := func(c coordinator.Change) {
		t.Helper()
		if conflicts, err := s.Commit(ctx, []coordinator.Change{c}); err != nil || len(conflicts) > 0 {
			t.Errorf("Commit: %v, %v", conflicts, err)
		}
	}
	state := newState("a")
	state.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	commit(creation(state))
	ended := state
	ended.Version, ended.Status = 2, saga.Forced
	wait := coordinator.Expectation{Node: "wait", Direction: saga.SignalDirection, Key: "k1"}
	commit(coordinator.Change{
		Before: 1, State: ended, Records: []saga.Record{{Nodes: []saga.NodeState{{}}}, {Key: "rooms[0]", Nodes: []saga.NodeState{{}}}},
		Expect: []coordinator.Expectation{wait}, Answered: []coordinator.Expected{{ID: "a", Expectation: wait, Answer: "m1"}}, Forget: true,
	})
	_, err := s.Load(ctx, []coordinator.Want{{ID: "a", Keys: []string{"", "rooms[0]", "rooms[1]"}}, {ID: "b", Keys: []string{"rooms[0]"}}})
	want(err)
	for _, q := range []coordinator.DueQuery{{}, {Skip: []string{"trip", "tour"}}, {Only: "trip"}, {Only: "trip", Skip: []string{"tour"}}} {
		q.Now, q.Limit = time.Now(), 10
		_, _, err = s.Due(ctx, q)
		want(err)
	}
	_, err = s.Match(ctx, []string{"k1", "k2"}, []string{"m1", "m2"})
	want(err)
	want(s.SetPause(ctx, coordinator.Pause{Definition: "trip", At: time.Now()}))
	_, err = s.Pauses(ctx)
	want(err)
	_, err = s.PauseHistory(ctx, 10, 10)
	want(err)
	want(s.Adopt(ctx, []string{"h1", "h2"}))
	_, err = s.Items(ctx, "a", 0, 10)
	want(err)
	_, err = s.History(ctx, "a", 0, 10)
	want(err)
	_, err = s.Audits(ctx, "a")
	want(err)
	for _, q := range []coordinator.ListQuery{
		{Status: saga.Running}, {Status: saga.Compensating, Definition: "trip"}, {Status: saga.Parked}, {Key: "k"}, {Key: "k", Definition: "trip"},
	} {
		_, _, err = s.List(ctx, q)
		want(err)
	}
	_, cursor, err := s.Ended(ctx, time.Now(), "", 1)
	want(err)
	_, _, err = s.Ended(ctx, time.Now(), cursor, 1)
	want(err)
	if n, err := s.Remove(ctx, time.Now(), []saga.ID{"a", "b"}); err != nil || n != 1 {
		t.Errorf("Remove: %d, %v", n, err)
	}
	_, err = s.RemovePauses(ctx, time.Now())
	want(err)
}

// Instances with a long story have a transaction each, and none is left out.
func TestHeavyInstancesAreRemovedBitByBit(t *testing.T) {
	t.Parallel()
	_, store := open(t, "sqlite::memory:")
	var ids []saga.ID
	for _, id := range []saga.ID{"a", "b", "c", "d", "e"} {
		state := newState(id)
		state.Status, state.Version = saga.Completed, 1500
		if id == "b" { // heavier than a transaction should be
			state.Version = 1_000_000
		}
		if id == "d" {
			state.Status = saga.Parked
		}
		if _, err := store.Commit(t.Context(), []coordinator.Change{creation(state)}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if n, err := store.Remove(t.Context(), time.Now(), ids); err != nil || n != 4 {
		t.Errorf("Remove returned %d, %v, want 4", n, err)
	}
	left, _, err := store.List(t.Context(), coordinator.ListQuery{})
	if err != nil || len(left) != 1 || left[0].ID != "d" {
		t.Errorf("%v are left, %v, want d", left, err)
	}
}

func newState(id saga.ID) saga.State {
	return saga.State{
		ID: id, Definition: "trip", Hash: "h1", Status: saga.Running, Version: 1, Started: time.Unix(1, 0).UTC(), Updated: time.Unix(1, 0).UTC(),
		Root: saga.Record{Data: []byte("{}"), Nodes: []saga.NodeState{{}}},
	}
}

// creation is the change that makes the instance, with a line of log and a message.
func creation(state saga.State) coordinator.Change {
	return coordinator.Change{
		State: state, Records: saga.Changed(saga.State{}, state),
		Log:    []coordinator.LogEntry{{Version: 1, At: state.Started, Log: saga.Log{Kind: saga.LogStarted}}},
		Outbox: []messaging.Message{{ID: "message of " + string(state.ID), Topic: "commands"}},
	}
}
