package sqlsaga_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

var newFormat = flag.String("new-format", "", "make this folder of testdata/replay, such as v3: for a new format only, see the README there")

// replays holds a folder for each format.
const replays = "../../testdata/replay"

// TestReplay proves that what any released version stored is read as it was meant, and that what was under way goes on to its
// end: in tables that were made today, and in those of then once they are migrated.
func TestReplay(t *testing.T) {
	if *newFormat != "" {
		makeFormat(t, *newFormat)
	}
	folders, err := filepath.Glob(replays + "/v*")
	if err != nil || len(folders) == 0 {
		t.Fatal("no formats", err)
	}
	for _, folder := range folders {
		for name, open := range map[string]func(*testing.T, string) (*sqlmsg.DB, *sqlsaga.Store){
			"in the tables of today": tablesOfToday, "in the tables of then": tablesOfThen,
		} {
			t.Run(filepath.Base(folder)+" "+name, func(t *testing.T) {
				t.Parallel()
				_, store := open(t, folder)
				replay(t, folder, store)
			})
		}
	}
}

func replay(t *testing.T, folder string, store *sqlsaga.Store) {
	t.Helper()
	ids := idsOf(t, folder)
	for _, what := range []struct {
		file string
		got  map[saga.ID]any
	}{{"read.json", readEach(t, store, ids)}, {"ended.json", endEach(t, store, ids)}} {
		for _, d := range differences(t, what.got, golden(t, folder, what.file)) {
			t.Errorf("%s/%s: %s", folder, what.file, d)
		}
	}
}

// TestReplaySeesWhatIsReadOtherwise shows that the test above can fail.
func TestReplaySeesWhatIsReadOtherwise(t *testing.T) {
	t.Parallel()
	folder := replays + "/v1"
	for name, change := range map[string]string{
		"phase":  "UPDATE sagas SET nodes = replace(nodes, '\"p\":\"doing\"', '\"p\":\"done\"') WHERE id = 'running-resent'",
		"flag":   "UPDATE sagas SET flags = 3 WHERE id = 'running-resent'",
		"log":    "UPDATE saga_log SET detail = 'x' WHERE saga_id = 'running-resent' AND version = 2",
		"action": "INSERT INTO saga_audit SELECT 'running-resent', action_id, version, at, action, node, seen_version, by_whom, why, before_it, after_it FROM saga_audit LIMIT 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, store := tablesOfToday(t, folder)
			if err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
				_, err := tx.ExecContext(ctx, change)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			found := differences(t, readEach(t, store, idsOf(t, folder)), golden(t, folder, "read.json"))
			if len(found) != 1 || !strings.HasPrefix(found[0], "running-resent ") {
				t.Errorf("differences: %q", found)
			}
		})
	}
}

func readEach(t *testing.T, store *sqlsaga.Store, ids []saga.ID) map[saga.ID]any {
	t.Helper()
	all := map[saga.ID]any{}
	for _, id := range ids {
		all[id] = readAll(t, store, id)
	}
	return all
}

// endEach takes all instances to their ends, a year later.
func endEach(t *testing.T, store *sqlsaga.Store, ids []saga.ID) map[saga.ID]any {
	t.Helper()
	var hashes []string
	defs := replayDefinitions()
	for _, def := range defs {
		hashes = append(hashes, def.Hash())
	}
	if err := store.Adopt(t.Context(), hashes); err != nil {
		t.Fatal(err)
	}
	all := map[saga.ID]any{}
	for _, id := range ids {
		p := &player{T: t, store: store, defs: defs, id: id, now: replayEpoch().AddDate(1, 0, 0)}
		all[id] = p.toItsEnd()
	}
	return all
}

// idsOf are the instances in the folder's rows.
func idsOf(t *testing.T, folder string) []saga.ID {
	t.Helper()
	var ids []saga.ID
	for _, row := range rowsOf(t, filepath.Join(folder, "sagas.jsonl")) {
		ids = append(ids, saga.ID(row["id"].(string)))
	}
	return ids
}

func golden(t *testing.T, folder, file string) map[saga.ID]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		t.Fatal(err)
	}
	var all map[saga.ID]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatalf("%s/%s: %v", folder, file, err)
	}
	return all
}

// differences compares instance by instance, without what is zero: a field that is new has no value in what is old.
func differences(t *testing.T, got, want map[saga.ID]any) []string {
	t.Helper()
	var found []string
	for _, id := range slices.Sorted(maps.Keys(want)) {
		g, w := withoutZeros(plain(t, got[id])), withoutZeros(want[id])
		if !reflect.DeepEqual(g, w) {
			found = append(found, fmt.Sprintf("%s is\n%s\nwant\n%s", id, indented(t, g), indented(t, w)))
		}
	}
	if len(got) != len(want) {
		found = append(found, fmt.Sprintf("%d instances, want %d", len(got), len(want)))
	}
	return found
}

// plain is the value as it comes back from JSON.
func plain(t *testing.T, value any) any {
	t.Helper()
	var result any
	if err := json.Unmarshal(indented(t, value), &result); err != nil {
		t.Fatal(err)
	}
	return result
}

func indented(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// withoutZeros removes false, 0, "", null, and objects and lists that are empty, from objects; lists keep their places.
func withoutZeros(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if inner = withoutZeros(inner); inner == nil {
				delete(v, key)
			} else {
				v[key] = inner
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = withoutZeros(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case nil, bool, float64, string:
		if v == nil || reflect.ValueOf(v).IsZero() || v == (time.Time{}).Format(time.RFC3339) {
			return nil
		}
	}
	return value
}

// tablesOfToday has the folder's rows in tables of the present version.
func tablesOfToday(t *testing.T, folder string) (*sqlmsg.DB, *sqlsaga.Store) {
	t.Helper()
	db, _, store, err := openPrefixed(t.Context(), "sqlite::memory:", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	insertRows(t, db, folder, func(table string) bool { return table != versions })
	return db, store
}

// tablesOfThen has the tables as they were then, and migrates them with the rows in them.
func tablesOfThen(t *testing.T, folder string) (*sqlmsg.DB, *sqlsaga.Store) {
	t.Helper()
	db, err := sqlmsg.Open(t.Context(), "sqlite::memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	schema, err := os.ReadFile(filepath.Join(folder, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, string(schema))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	insertRows(t, db, folder, func(string) bool { return true })
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(messages.Migrate(t.Context()), store.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	return db, store
}

// versions is the table of the migrations that were applied.
const versions = "sqlsaga_version"

// blobs are the columns whose values are bytes.
func blobs() []string { return []string{"nodes", "data"} }

func insertRows(t *testing.T, db *sqlmsg.DB, folder string, wanted func(table string) bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatal("no rows", err)
	}
	err = db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		for _, file := range files {
			table := strings.TrimSuffix(filepath.Base(file), ".jsonl")
			if !wanted(table) {
				continue
			}
			for _, row := range rowsOf(t, file) {
				columns := slices.Sorted(maps.Keys(row))
				args := make([]any, len(columns))
				for i, c := range columns {
					args[i] = row[c]
					if text, ok := row[c].(string); ok && slices.Contains(blobs(), c) {
						args[i] = []byte(text)
					}
				}
				query := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
				if _, err := tx.ExecContext(ctx, sqlx.Rebind(db.Dialect().BindStyle, query), args...); err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rowsOf reads a file of rows, a JSON object in each line; whole numbers stay exact.
func rowsOf(t *testing.T, file string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for decoder.More() {
		var row map[string]any
		if err := decoder.Decode(&row); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for column, value := range row {
			if n, ok := value.(json.Number); ok {
				whole, err := n.Int64()
				if err != nil {
					t.Fatalf("%s: %s: %v", file, column, err)
				}
				row[column] = whole
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// stored is what a store's readers tell of an instance.
type stored struct {
	State   saga.State
	Data    json.RawMessage
	Items   []storedItem
	History []coordinator.LogEntry
	Audits  []coordinator.AuditEntry
}

type storedItem struct {
	saga.Record
	Data json.RawMessage
}

// readAll reads everything of an instance, and wants Load to tell the same as Get and Items do.
func readAll(t *testing.T, store *sqlsaga.Store, id saga.ID) stored {
	t.Helper()
	state, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	all := stored{Data: state.Root.Data}
	records, err := store.Items(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	whole := loadWhole(t, store, id, records)
	for _, r := range records {
		if !reflect.DeepEqual(whole.Items[r.Key], r) {
			t.Errorf("%s: Load gives %+v, Items %+v", id, whole.Items[r.Key], r)
		}
		item := storedItem{Record: r, Data: r.Data}
		item.Record.Data = nil
		all.Items = append(all.Items, item)
	}
	whole.Items = nil
	if !reflect.DeepEqual(whole, state) {
		t.Errorf("%s: Load gives %+v, Get %+v", id, whole, state)
	}
	state.Root.Data = nil
	all.State = state
	if all.History, err = store.History(t.Context(), id, 0, 1000); err != nil {
		t.Fatal(err)
	}
	if all.Audits, err = store.Audits(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return all
}

func loadWhole(t *testing.T, store *sqlsaga.Store, id saga.ID, items []saga.Record) saga.State {
	t.Helper()
	keys := []string{""}
	for _, r := range items {
		keys = append(keys, r.Key)
	}
	found, err := store.Load(t.Context(), []coordinator.Want{{ID: id, Keys: keys}})
	if err != nil {
		t.Fatal(err)
	}
	state, ok := found[id]
	if !ok {
		t.Fatalf("no instance %s", id)
	}
	return state
}

// toItsEnd gives the instance what it waits for until it is terminal, and returns what has become of it.
func (p *player) toItsEnd() any {
	p.Helper()
	for range 200 {
		state := p.whole()
		if state.Status.Terminal() {
			return struct {
				Status saga.Status
				Reason string
				Data   json.RawMessage
			}{state.Status, state.Reason, state.Root.Data}
		}
		if in := p.next(state); !p.decide(state, in) {
			p.Fatalf("%s: %#v changed nothing", p.id, in)
		}
	}
	p.Fatalf("%s does not end", p.id)
	return nil
}

// next is an input that brings the instance on: a success, a signal, an operator's retry, or the next tick.
func (p *player) next(state saga.State) saga.Input {
	p.Helper()
	def := p.definition(state)
	for _, view := range saga.View(def, state) {
		st := view.State
		switch {
		case st.Stuck:
			return saga.Act{ID: fmt.Sprintf("retry-%d", state.Version), Action: saga.Retry, Node: view.Path, By: "ana", Why: "replay"}
		case view.Kind == saga.KindWait && st.Phase == saga.PhaseWaiting:
			return saga.Signal{Node: view.Path, Event: replayAgreed{By: "bo"}}
		case view.Kind != saga.KindStep || st.Again:
		case st.Phase == saga.PhaseDoing:
			return saga.Reply{Node: view.Path, Direction: saga.DoDirection, Epoch: st.Epoch, Outcome: saga.Success, Event: replayDone{Ref: "late " + view.Path}}
		case st.Phase == saga.PhaseUndoing && strings.HasSuffix(view.Path, "/car"): // its undo is acknowledged by its failure event
			return saga.Reply{Node: view.Path, Direction: saga.UndoDirection, Epoch: st.Epoch, Event: replayNo{}}
		case st.Phase == saga.PhaseUndoing:
			return saga.Reply{Node: view.Path, Direction: saga.UndoDirection, Epoch: st.Epoch, Outcome: saga.Success, Event: replayUndone{}}
		}
	}
	wakes := []saga.Record{state.Root}
	for _, key := range slices.Sorted(maps.Keys(state.Items)) {
		wakes = append(wakes, state.Items[key])
	}
	wakes = slices.DeleteFunc(wakes, func(r saga.Record) bool { return r.Wake.IsZero() })
	if len(wakes) == 0 {
		p.Fatalf("%s waits for nothing: %+v", p.id, state)
	}
	first := slices.MinFunc(wakes, func(a, b saga.Record) int { return cmp.Or(a.Wake.Compare(b.Wake), strings.Compare(a.Key, b.Key)) })
	if first.Wake.After(p.now) {
		p.now = first.Wake
	}
	return saga.Tick{Record: first.Key}
}

// makeFormat writes a folder of what the present version stores.
func makeFormat(t *testing.T, name string) {
	t.Helper()
	folder := filepath.Join(replays, name)
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal("a folder that is there is not made anew:", err)
	}
	db, _, store, err := openPrefixed(t.Context(), "sqlite::memory:", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, s := range replayScenarios() {
		p := &player{T: t, store: store, defs: replayDefinitions(), id: saga.ID(s.name), now: replayEpoch()}
		p.begin(s.def, s.data)
		s.play(p)
	}
	dump(t, db, folder)
	ids := idsOf(t, folder)
	write(t, folder, "read.json", indented(t, withoutZeros(plain(t, readEach(t, store, ids)))))
	write(t, folder, "ended.json", indented(t, withoutZeros(plain(t, endEach(t, store, ids)))))
}

func write(t *testing.T, folder, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dump writes the schema and the rows of all tables of sagas.
func dump(t *testing.T, db *sqlmsg.DB, folder string) {
	t.Helper()
	var tables []struct {
		Name string `db:"name"`
		SQL  string `db:"sql"`
		Type string `db:"type"`
	}
	err := db.Reader().SelectContext(t.Context(), &tables, "SELECT name, sql, type FROM sqlite_master"+
		" WHERE (tbl_name LIKE 'saga%' OR tbl_name = '"+versions+"') AND sql IS NOT NULL ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	var schema strings.Builder
	for _, table := range tables {
		schema.WriteString(table.SQL + ";\n")
		if table.Type == "table" {
			dumpRows(t, db, folder, table.Name)
		}
	}
	write(t, folder, "schema.sql", []byte(schema.String()))
}

func dumpRows(t *testing.T, db *sqlmsg.DB, folder, table string) {
	t.Helper()
	rows, err := db.Reader().QueryxContext(t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2, 3")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var text bytes.Buffer
	for rows.Next() {
		row := map[string]any{}
		if err := rows.MapScan(row); err != nil {
			t.Fatal(err)
		}
		for column, value := range row {
			if blob, ok := value.([]byte); ok {
				row[column] = string(blob)
			}
		}
		delete(row, "tstamp") // when a migration was applied is nobody's business
		line, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(line, '\n'))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if text.Len() > 0 {
		write(t, folder, table+".jsonl", text.Bytes())
	}
}
