package sqlsaga_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// sagaStore is all that the two stores have in common.
type sagaStore interface {
	coordinator.Store
	coordinator.Reader
	outbox.Store
}

// TestPropertyStoreIsTheModel gives this store and package memsaga's the same random calls and wants the same answers.
func TestPropertyStoreIsTheModel(t *testing.T) {
	t.Parallel()
	db, _, sagas, err := openPrefixed(t.Context(), "sqlite::memory:", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	rapid.Check(t, func(t *rapid.T) {
		if err := empty(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		m := &twins{real: sagas, model: memsaga.New(), versions: map[saga.ID]int64{}, counters: map[string]int{}}
		t.Repeat(map[string]func(*rapid.T){
			"commit": m.commit, "load": m.load, "due": m.due, "adopt": m.adopt, "list": m.list, "read": m.read, "outbox": m.outbox,
			"match": m.match, "pause": m.pause, "pauses": m.pauses,
		})
	})
}

// empty spares each run the making of the tables, which takes longer than the run.
func empty(ctx context.Context, db *sqlmsg.DB) error {
	return db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		for _, table := range []string{"sagas", "saga_items", "saga_log", "saga_audit", "saga_expected", "saga_pauses", "outbox"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		return nil
	})
}

// twins are the store and its model with what their calls are made of.
type twins struct {
	real, model sagaStore
	versions    map[saga.ID]int64
	counters    map[string]int
	wakes       []time.Time // all that were drawn
}

func sagaIDs() []saga.ID {
	return []saga.ID{"a", "A", "b'; --", "ñ%_", "none"}
}

func itemKeys() []string {
	return []string{"rooms[0]", "rooms[1]", "ROOMS[1]", "rooms[10]", `a"[0]/b[2]`}
}

// count numbers what has to be unique.
func (m *twins) count(what string) int {
	m.counters[what]++
	return m.counters[what]
}

func modelEpoch() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }

// wake draws a time that no other record has: the order of two that are due together is nobody's promise.
func (m *twins) wake(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "asleep") {
		return time.Time{}
	}
	second := rapid.IntRange(0, 9).Draw(t, "second")
	at := modelEpoch().Add(time.Duration(second)*time.Second + time.Duration(m.count("wake")%1000)*time.Millisecond)
	m.wakes = append(m.wakes, at)
	return at
}

func drawTime(t *rapid.T, label string) time.Time {
	return modelEpoch().Add(time.Duration(rapid.Int64Range(0, 10_000_000).Draw(t, label)) * time.Microsecond)
}

func drawText(t *rapid.T, label string) string {
	return strings.ReplaceAll(rapid.String().Draw(t, label), "\x00", "")
}

func (m *twins) record(t *rapid.T, key string, mayKeep bool) saga.Record {
	r := saga.Record{Key: key, Wake: m.wake(t), Nodes: make([]saga.NodeState, rapid.IntRange(1, 3).Draw(t, "nodes"))}
	for i := range r.Nodes {
		r.Nodes[i] = saga.NodeState{
			Phase:   rapid.SampledFrom([]saga.Phase{saga.PhaseIdle, saga.PhaseDoing, saga.PhaseUndone}).Draw(t, "phase"),
			Attempt: rapid.IntRange(0, 3).Draw(t, "attempt"), Due: rapid.Int64Range(0, 1<<50).Draw(t, "node due"),
			Stuck: rapid.Bool().Draw(t, "stuck"), Reason: drawText(t, "node reason"),
		}
		if rapid.Bool().Draw(t, "fan") {
			r.Nodes[i].Fan = &saga.Fan{Total: rapid.IntRange(1, 100).Draw(t, "total")}
		}
	}
	if !mayKeep || rapid.Bool().Draw(t, "new data") {
		r.Data = rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data")
	}
	return r
}

// change draws what a coordinator could commit, and now and then what is stale or lacks data that was never stored.
func (m *twins) change(t *rapid.T) coordinator.Change {
	id := rapid.SampledFrom(sagaIDs()[:4]).Draw(t, "id")
	before := m.versions[id]
	if rapid.IntRange(0, 5).Draw(t, "stale") == 0 {
		before = rapid.Int64Range(0, before+1).Draw(t, "before")
	}
	version := before + rapid.Int64Range(1, 2).Draw(t, "transitions")
	state := saga.State{
		ID: id, Version: version, Definition: rapid.SampledFrom([]string{"trip", "Trip"}).Draw(t, "definition"),
		Hash: rapid.SampledFrom([]string{"h1", "h2"}).Draw(t, "hash"), Key: rapid.SampledFrom([]string{"", "k", "K"}).Draw(t, "key"),
		Status: rapid.SampledFrom([]saga.Status{
			saga.Running, saga.Running, saga.Compensating, saga.Parked, saga.Completed, saga.Forced,
		}).Draw(t, "status"),
		Reversing: rapid.Bool().Draw(t, "reversing"), Pivoted: rapid.Bool().Draw(t, "pivoted"),
		Stuck: rapid.IntRange(0, 3).Draw(t, "stuck nodes"), Reason: drawText(t, "reason"),
		Started: drawTime(t, "started"), Updated: drawTime(t, "updated"),
	}
	if before > 0 { // what an instance keeps from its creation on
		if born, err := m.model.Get(context.Background(), id); err == nil {
			state.Definition, state.Hash, state.Key = born.Definition, born.Hash, born.Key
		}
	}
	state.Orphaned = state.Status == saga.Parked && rapid.Bool().Draw(t, "orphaned")
	for range rapid.IntRange(0, 2).Draw(t, "actions") {
		state.Actions = append(state.Actions, drawText(t, "action"))
	}
	c := coordinator.Change{Before: before, State: state}
	keep := rapid.IntRange(0, 20).Draw(t, "keeps too much") == 0
	if before == 0 || rapid.Bool().Draw(t, "root changed") {
		c.Records = append(c.Records, m.record(t, "", before > 0 || keep))
	}
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(itemKeys()), 0, 4, rapid.ID[string]).Draw(t, "items") {
		page, err := m.model.Load(context.Background(), []coordinator.Want{{ID: id, Keys: []string{key}}})
		_, stored := page[id].Items[key]
		c.Records = append(c.Records, m.record(t, key, err == nil && stored || keep))
	}
	m.story(t, &c)
	m.expectations(t, &c)
	return c
}

// story draws the change's log, audit and messages.
func (m *twins) story(t *rapid.T, c *coordinator.Change) {
	for version := c.Before + 1; version <= c.State.Version; version++ {
		for line := range rapid.IntRange(0, 3).Draw(t, "lines") {
			c.Log = append(c.Log, coordinator.LogEntry{Version: version, Line: line, At: drawTime(t, "line at"), Log: saga.Log{
				Kind: saga.LogSent, Node: "flight", Direction: saga.UndoDirection, Attempt: line, Detail: drawText(t, "detail"),
			}})
		}
		if rapid.Bool().Draw(t, "acted") {
			act := saga.Act{
				ID: fmt.Sprint("act ", m.count("act")), Action: saga.Skip, Node: "flight", Version: version - 1, By: "ana", Why: drawText(t, "why"),
			}
			c.Audit = append(c.Audit, coordinator.AuditEntry{
				Version: version, At: drawTime(t, "act at"), Audit: saga.Audit{Act: act, Before: "doing", After: "skipped"},
			})
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		c.Outbox = append(c.Outbox, messaging.Message{
			ID:    fmt.Sprint("m", rapid.IntRange(0, 30).Draw(t, "message")), // one that is there is left as it is
			Topic: drawText(t, "topic"), Key: drawText(t, "message key"), Type: "t",
			Headers: rapid.MapOfN(rapid.String(), rapid.String(), 0, 2).Draw(t, "headers"), Payload: rapid.SliceOf(rapid.Byte()).Draw(t, "payload"),
		})
	}
	if rapid.IntRange(0, 50).Draw(t, "nameless") == 0 {
		c.Outbox = append(c.Outbox, messaging.Message{Topic: "nameless"})
	}
}

func (m *twins) commit(t *rapid.T) {
	changes := make([]coordinator.Change, rapid.IntRange(1, 4).Draw(t, "changes"))
	for i := range changes {
		changes[i] = m.change(t)
	}
	conflicts, err := m.real.Commit(t.Context(), changes)
	want, wantErr := m.model.Commit(t.Context(), changes)
	slices.Sort(conflicts)
	slices.Sort(want)
	if (err == nil) != (wantErr == nil) || !slices.Equal(conflicts, want) {
		t.Fatalf("Commit: conflicts %v, %v; the model: %v, %v", conflicts, err, want, wantErr)
	}
	for _, id := range sagaIDs() {
		if state, err := m.model.Get(t.Context(), id); err == nil {
			m.versions[id] = state.Version
		}
	}
}

func (m *twins) load(t *rapid.T) {
	var wants []coordinator.Want
	for _, id := range rapid.SliceOfDistinct(rapid.SampledFrom(sagaIDs()), rapid.ID[saga.ID]).Draw(t, "ids") {
		wants = append(wants, coordinator.Want{ID: id, Keys: rapid.SliceOf(rapid.SampledFrom(append(itemKeys(), ""))).Draw(t, "keys")})
	}
	got, err := m.real.Load(t.Context(), wants)
	want, wantErr := m.model.Load(t.Context(), wants)
	same(t, "Load", got, want, err, wantErr)
}

func (m *twins) due(t *rapid.T) {
	q := coordinator.DueQuery{
		Now: drawTime(t, "now"), Limit: rapid.IntRange(0, 8).Draw(t, "limit"),
		Skip: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"trip", "Trip", "TRIP"}), 0, 2, rapid.ID[string]).Draw(t, "skip"),
		Only: rapid.SampledFrom([]string{"", "", "trip", "Trip", "other"}).Draw(t, "only"),
	}
	if len(m.wakes) > 0 && rapid.Bool().Draw(t, "on time") {
		q.Now = rapid.SampledFrom(m.wakes).Draw(t, "wake")
	}
	got, gotNext, err := m.real.Due(t.Context(), q)
	want, wantNext, wantErr := m.model.Due(t.Context(), q)
	same(t, "Due", got, want, err, wantErr)
	same(t, "next wake-up", gotNext, wantNext, nil, nil)
}

func (m *twins) adopt(t *rapid.T) {
	hashes := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"h1", "h2", "H1"}), rapid.ID[string]).Draw(t, "hashes")
	same(t, "Adopt", 0, 0, m.real.Adopt(t.Context(), hashes), m.model.Adopt(t.Context(), hashes))
}

func (m *twins) list(t *rapid.T) {
	q := coordinator.ListQuery{
		Definition: rapid.SampledFrom([]string{"", "trip", "TRIP"}).Draw(t, "definition"), Key: rapid.SampledFrom([]string{"", "k"}).Draw(t, "key"),
		Status: rapid.SampledFrom([]saga.Status{"", saga.Running, saga.Parked, saga.Completed, "other"}).Draw(t, "status"),
		Limit:  rapid.IntRange(0, 3).Draw(t, "limit"),
	}
	theirs := q
	for {
		got, cursor, err := m.real.List(t.Context(), q)
		want, wantCursor, wantErr := m.model.List(t.Context(), theirs)
		same(t, "List", got, want, err, wantErr)
		if (cursor == "") != (wantCursor == "") {
			t.Fatalf("after %d instances the next page is %q, the model's %q", len(got), cursor, wantCursor)
		}
		if q.Cursor, theirs.Cursor = cursor, wantCursor; cursor == "" {
			return
		}
	}
}

func (m *twins) read(t *rapid.T) {
	id := rapid.SampledFrom(sagaIDs()).Draw(t, "id")
	offset, limit := rapid.IntRange(0, 4).Draw(t, "offset"), rapid.IntRange(0, 4).Draw(t, "limit")
	state, err := m.real.Get(t.Context(), id)
	wantState, wantErr := m.model.Get(t.Context(), id)
	same(t, "Get", state, wantState, err, wantErr)
	items, err := m.real.Items(t.Context(), id, offset, limit)
	wantItems, wantErr := m.model.Items(t.Context(), id, offset, limit)
	same(t, "Items", items, wantItems, err, wantErr)
	lines, err := m.real.History(t.Context(), id, offset, limit)
	wantLines, wantErr := m.model.History(t.Context(), id, offset, limit)
	same(t, "History", lines, wantLines, err, wantErr)
	acts, err := m.real.Audits(t.Context(), id)
	wantActs, wantErr := m.model.Audits(t.Context(), id)
	same(t, "Audits", acts, wantActs, err, wantErr)
}

func (m *twins) outbox(t *rapid.T) {
	offset, limit := rapid.IntRange(0, 4).Draw(t, "offset"), rapid.IntRange(0, 9).Draw(t, "limit")
	got, err := m.real.Pending(t.Context(), offset, limit)
	want, wantErr := m.model.Pending(t.Context(), offset, limit)
	if (err == nil) != (wantErr == nil) || !slices.EqualFunc(got, want, sameMessage) {
		t.Fatalf("Pending: %v, %v; the model: %v, %v", got, err, want, wantErr)
	}
	for _, message := range want[:len(want)/2] {
		ids := []string{message.ID, "unknown"}
		same(t, "Delete", 0, 0, m.real.Delete(t.Context(), ids), m.model.Delete(t.Context(), ids))
	}
}

func sameMessage(a, b messaging.Message) bool {
	return a.ID == b.ID && a.Topic == b.Topic && a.Key == b.Key && a.Type == b.Type &&
		maps.Equal(a.Headers, b.Headers) && bytes.Equal(a.Payload, b.Payload)
}

// same wants equal answers; of a slice or a map, nil and empty are equal.
func same[T any](t *rapid.T, what string, got, want T, err, wantErr error) {
	t.Helper()
	none := func(v reflect.Value) bool {
		return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
	}
	equal := reflect.DeepEqual(got, want) || none(reflect.ValueOf(got)) && none(reflect.ValueOf(want))
	if (err == nil) != (wantErr == nil) || !equal {
		t.Fatalf("%s: %+v, %v\nthe model: %+v, %v", what, got, err, want, wantErr)
	}
}
