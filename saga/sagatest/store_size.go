package sagatest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// More rows, of each kind, than the parameters of one statement of SQLite can hold: 32,766.
const (
	manySagas = 2_100 // of 16 columns
	manyItems = 5_500 // of 6
	manyLines = 3_700 // of 9
)

func manySagasAtOnce(s *stage) {
	changes := make([]coordinator.Change, manySagas)
	wants := make([]coordinator.Want, manySagas)
	for i := range changes {
		changes[i] = create(s.state(fmt.Sprint(i)))
		if i%100 == 0 {
			changes[i].Outbox = []messaging.Message{{ID: fmt.Sprint(s.tag, i), Topic: s.tag}}
		}
		wants[i] = coordinator.Want{ID: changes[i].State.ID, Keys: []string{""}}
	}
	s.commit(changes...)
	found, err := s.store.Load(s.Context(), wants)
	if err != nil || len(found) != manySagas {
		s.Fatalf("Load of %d instances: %d, %v", manySagas, len(found), err)
	}
	for id, state := range found {
		if state.Root.Data == nil {
			s.Fatalf("%s was loaded without its data", id)
		}
	}
	if n := len(s.pending()); n != manySagas/100 {
		s.Errorf("%d messages are in the outbox, want %d", n, manySagas/100)
	}
	conflicts, err := s.store.Commit(s.Context(), changes)
	if err != nil || len(conflicts) != manySagas {
		s.Errorf("committing all of them again: %d conflicts, %v", len(conflicts), err)
	}
}

func manyItemsAtOnce(s *stage) {
	state := s.state("a")
	state.Items = map[string]saga.Record{}
	want := coordinator.Want{ID: state.ID}
	for i := range manyItems {
		key := fmt.Sprintf("rooms[%d]", i)
		state.Items[key] = saga.Record{Key: key, Data: []byte(fmt.Sprint(i)), Nodes: []saga.NodeState{{}}}
		if i%10 == 0 {
			want.Keys = append(want.Keys, key)
		}
	}
	c := create(state)
	for i := range manyLines {
		c.Log = append(c.Log, coordinator.LogEntry{Version: 1, Line: i + 1, At: epoch(), Log: saga.Log{Kind: saga.LogSent}})
	}
	s.commit(c)
	found, err := s.store.Load(s.Context(), []coordinator.Want{want})
	if err != nil || len(found[state.ID].Items) != len(want.Keys) {
		s.Fatalf("Load of %d items: %d, %v", len(want.Keys), len(found[state.ID].Items), err)
	}
	for key, item := range found[state.ID].Items {
		if !bytes.Equal(item.Data, state.Items[key].Data) {
			s.Fatalf("%s has the data %q", key, item.Data)
		}
	}
	last, err := s.reader.Items(s.Context(), state.ID, manyItems-1, 10)
	if err != nil || len(last) != 1 || last[0].Key != fmt.Sprintf("rooms[%d]", manyItems-1) {
		s.Errorf("the last item: %v, %v", last, err)
	}
	lines, err := s.reader.History(s.Context(), state.ID, manyLines, 10)
	if err != nil || len(lines) != 1 || lines[0].Line != manyLines {
		s.Errorf("the last line: %v, %v", lines, err)
	}
}

func listLimits(s *stage) {
	changes := make([]coordinator.Change, 501)
	for i := range changes {
		state := s.state(fmt.Sprint(i))
		state.Definition = s.tag
		changes[i] = create(state)
	}
	s.commit(changes...)
	for limit, want := range map[int]int{-1: 50, 0: 50, 1: 1, 500: 500, 501: 500, 100_000: 500} {
		page, cursor, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag, Limit: limit})
		if err != nil || len(page) != want || cursor == "" {
			s.Errorf("a page with limit %d has %d instances, want %d; cursor %q, %v", limit, len(page), want, cursor, err)
		}
	}
	page, cursor, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag, Limit: 500})
	if err != nil {
		s.Fatal(err)
	}
	rest, end, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag, Limit: 500, Cursor: cursor})
	if err != nil || len(rest) != 1 || end != "" || slices.ContainsFunc(page, func(p saga.State) bool { return p.ID == rest[0].ID }) {
		s.Errorf("the last page has %d instances, cursor %q, %v; want the one that is left", len(rest), end, err)
	}
}

// longest has ids and keys of as many bytes as the core allows.
func longest(s *stage) {
	fill := func(n int) string { return s.tag + strings.Repeat("x", n-len(s.tag)) }
	state := s.state("a")
	state.ID, state.Key = saga.ID(fill(64)), fill(saga.MaxKey)
	c := create(state)
	c.Audit = []coordinator.AuditEntry{{Version: 1, At: epoch(), Audit: saga.Audit{Act: saga.Act{ID: fill(255), By: "ana", Why: "a try"}}}}
	c.Expect = []coordinator.Expectation{{Node: "a", Direction: saga.DoDirection, Key: fill(64)}}
	s.commit(c)
	after := next(state)
	answer := update(state, after)
	answer.Answered = []coordinator.Expected{{ID: state.ID, Answer: fill(255), Expectation: c.Expect[0]}}
	s.commit(answer)
	page, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Key: state.Key})
	if err != nil || len(page) != 1 || page[0].ID != state.ID {
		s.Errorf("List by the longest key: %v, %v", page, err)
	}
	acts, err := s.reader.Audits(s.Context(), state.ID)
	if err != nil || len(acts) != 1 || acts[0].Act.ID != fill(255) {
		s.Errorf("the audit came back as %v, %v", acts, err)
	}
	rows, err := s.store.Match(s.Context(), []string{fill(64)}, []string{fill(255)})
	if err != nil || len(rows) != 1 || rows[0].Answer != fill(255) {
		s.Errorf("Match by the longest answer: %v, %v", rows, err)
	}
}

// illegible looks for what an outsider may name, and the core lets nobody store: text with NUL or that is not UTF-8. It is not there, and that is no error.
func illegible(s *stage) {
	state := s.state("a")
	s.commit(create(state))
	for _, text := range []string{s.tag + "\x00", s.tag + "\xff"} {
		id := saga.ID(text)
		found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: id, Keys: []string{""}}, {ID: state.ID, Keys: []string{"", "rooms[" + text + "]"}}})
		if err != nil || len(found) != 1 || found[state.ID].Root.Data == nil {
			s.Errorf("Load of %q and an instance: %v, %v; want that instance", text, found, err)
		}
		if _, err := s.reader.Get(s.Context(), id); !errors.Is(err, saga.ErrNotFound) {
			s.Errorf("Get of %q: %v, want ErrNotFound", text, err)
		}
		items, err := s.reader.Items(s.Context(), id, 0, 10)
		if err != nil || len(items) > 0 {
			s.Errorf("Items of %q: %v, %v", text, items, err)
		}
		lines, err := s.reader.History(s.Context(), id, 0, 10)
		if err != nil || len(lines) > 0 {
			s.Errorf("History of %q: %v, %v", text, lines, err)
		}
		acts, err := s.reader.Audits(s.Context(), id)
		if err != nil || len(acts) > 0 {
			s.Errorf("Audits of %q: %v, %v", text, acts, err)
		}
		for _, q := range []coordinator.ListQuery{{Key: text}, {Definition: text}, {Status: saga.Status(text)}} {
			if page, next, err := s.reader.List(s.Context(), q); err != nil || len(page) > 0 || next != "" {
				s.Errorf("List by %q: %v, %q, %v", text, page, next, err)
			}
		}
	}
}

// control is text that a careless store cuts, trims, folds or escapes wrong. It has no NUL: the core lets none in.
const control = " \x01\t\r\n\x7f\u2028\ufffd\u0130 "

func controlCharacters(s *stage) {
	state := s.state("a")
	state.ID, state.Definition, state.Key = saga.ID(s.tag+control), s.tag+control, control+s.tag
	state.Actions = []string{control}
	state.Root.Data = []byte("\"\x00\\u0000\xff\xfe\"") // data is bytes to a store
	state.Root.Nodes[0].Reason = control
	lower, upper := "rooms"+control, "ROOMS"+control
	state.Items = map[string]saga.Record{
		lower: {Key: lower, Data: []byte("lower"), Nodes: []saga.NodeState{{}}},
		upper: {Key: upper, Data: []byte("upper"), Nodes: []saga.NodeState{{}}},
	}
	c := create(state)
	c.Log[0].Detail, c.Log[0].Node = control, control
	c.Audit = []coordinator.AuditEntry{{Version: 1, At: epoch(), Audit: saga.Audit{Act: saga.Act{ID: control, By: control, Why: control}}}}
	s.commit(c)
	got := s.load(state.ID, "", lower, upper)
	if got.Key != state.Key || got.Definition != state.Definition || !slices.Equal(got.Actions, state.Actions) ||
		!bytes.Equal(got.Root.Data, state.Root.Data) || got.Root.Nodes[0].Reason != control {
		s.Errorf("text with control characters came back as %+v", got)
	}
	if string(got.Items[lower].Data) != "lower" || string(got.Items[upper].Data) != "upper" {
		s.Errorf("items whose keys differ in case only came back as %+v", got.Items)
	}
	lines, err := s.reader.History(s.Context(), state.ID, 0, 10)
	if err != nil || len(lines) != 1 || lines[0].Detail != control || lines[0].Node != control {
		s.Errorf("the log came back as %+v, %v", lines, err)
	}
	acts, err := s.reader.Audits(s.Context(), state.ID)
	if err != nil || len(acts) != 1 || acts[0].Act != c.Audit[0].Act {
		s.Errorf("the audit came back as %+v, %v", acts, err)
	}
	page, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: state.Definition, Key: state.Key})
	if err != nil || len(page) != 1 {
		s.Errorf("List by definition and key: %v, %v", page, err)
	}
}

// dueMixed has roots and items that are due in turns, so that a limit cuts through both.
func dueMixed(s *stage) {
	at := epoch().Add(-2000 * time.Hour).Truncate(time.Millisecond) // before all other cases' wake-up times
	a, b := s.state("a"), s.state("b")
	a.Root.Wake, b.Root.Wake = at.Add(time.Second), at.Add(3*time.Second)
	item := func(d time.Duration) map[string]saga.Record {
		return map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}, Wake: at.Add(d)}}
	}
	a.Items, b.Items = item(4*time.Second), item(2*time.Second)
	s.commit(create(a), create(b))
	want := []coordinator.Wake{{ID: a.ID}, {ID: b.ID, Record: "rooms[0]"}, {ID: b.ID}, {ID: a.ID, Record: "rooms[0]"}}
	for limit := range len(want) + 1 {
		if got, _ := s.due(at.Add(time.Minute), limit); !slices.Equal(got, want[:limit]) {
			s.Errorf("Due with limit %d: %v, want %v", limit, got, want[:limit])
		}
	}
	for seconds := range want {
		now := at.Add(time.Duration(seconds) * time.Second)
		if _, got := s.due(now, 1); !got.Equal(now.Add(time.Second)) {
			s.Errorf("after %d seconds the next wake-up is %v later, want one second", seconds, got.Sub(now))
		}
	}
	for _, before := range []saga.State{a, b} {
		ended := next(before)
		ended.Status, ended.Root.Wake = saga.Forced, time.Time{}
		ended.Items = nil // an operator's end by force looks at no item
		s.commit(update(before, ended))
	}
	if got, nextWake := s.due(at.Add(time.Minute), 10); len(got) != 0 || nextWake.Equal(at.Add(4*time.Second)) {
		s.Errorf("after their end instances are due: %v, next %v", got, nextWake)
	}
}

// itemOrder changes items after their creation, which leaves their places alone.
func itemOrder(s *stage) {
	first := s.state("a")
	item := func(key, data string) map[string]saga.Record {
		return map[string]saga.Record{key: {Key: key, Data: []byte(data), Nodes: []saga.NodeState{{}}}}
	}
	first.Items = item("rooms[0]", "0")
	s.commit(create(first))
	second := next(first)
	second.Items = item("rooms[1]", "1")
	s.commit(update(first, second))
	third := next(second)
	third.Items = item("rooms[0]", "changed")
	s.commit(update(second, third))
	got, err := s.reader.Items(s.Context(), first.ID, 0, 10)
	if err != nil || len(got) != 2 || got[0].Key != "rooms[0]" || string(got[0].Data) != "changed" || got[1].Key != "rooms[1]" {
		s.Errorf("after a change of the first of two items: %+v, %v", got, err)
	}
}
