package sagatest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// filled wants every field of the structs to be set, so that a case that compares them has forgotten none.
func (s *stage) filled(structs ...any) {
	s.Helper()
	for _, one := range structs {
		v := reflect.ValueOf(one)
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				s.Errorf("the case does not fill %s.%s", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
}

// flagsApart sets one flag after the other: of stores that mix them up a state with all flags would tell nothing.
func flagsApart(s *stage) {
	type flag struct {
		name string
		of   func(state *saga.State) reflect.Value
	}
	var flags []flag
	header, node := reflect.TypeFor[saga.State](), reflect.TypeFor[saga.NodeState]()
	for i := range header.NumField() {
		if header.Field(i).Type.Kind() == reflect.Bool {
			flags = append(flags, flag{header.Field(i).Name, func(state *saga.State) reflect.Value { return reflect.ValueOf(state).Elem().Field(i) }})
		}
	}
	for i := range node.NumField() {
		if node.Field(i).Type.Kind() == reflect.Bool {
			flags = append(flags, flag{"node " + node.Field(i).Name, func(state *saga.State) reflect.Value {
				return reflect.ValueOf(&state.Root.Nodes[1]).Elem().Field(i)
			}})
		}
	}
	for _, f := range flags {
		state := s.state(f.name)
		state.Status = saga.Parked
		f.of(&state).SetBool(true)
		s.commit(create(state))
		if got := s.load(state.ID, ""); !reflect.DeepEqual(got, state) {
			s.Errorf("with %s alone Load returned\n%+v, want\n%+v", f.name, got, state)
		}
		before, cleared := state, next(state)
		cleared.Root.Nodes = slices.Clone(state.Root.Nodes)
		f.of(&cleared).SetBool(false)
		s.commit(update(before, cleared))
		if got := s.load(state.ID, ""); !reflect.DeepEqual(got, cleared) {
			s.Errorf("after %s was cleared Load returned\n%+v, want\n%+v", f.name, got, cleared)
		}
	}
}

// storyFields fills a line of the log and an operator's action by reflection.
func storyFields(s *stage) {
	var line coordinator.LogEntry
	var act coordinator.AuditEntry
	fill(reflect.ValueOf(&line).Elem(), 1)
	fill(reflect.ValueOf(&act).Elem(), 1)
	line.At, act.At = epoch(), epoch().Add(time.Microsecond)
	s.filled(line, line.Log, act, act.Audit, act.Act)
	act.Act.Data = "" // the audit has it in Before and After
	state := s.state("a")
	c := create(state)
	c.Log, c.Audit = []coordinator.LogEntry{line}, []coordinator.AuditEntry{act}
	s.commit(c)
	if got, err := s.reader.History(s.Context(), state.ID, 0, 10); err != nil || !reflect.DeepEqual(got, c.Log) {
		s.Errorf("History: %+v, %v, want %+v", got, err, c.Log)
	}
	if got, err := s.reader.Audits(s.Context(), state.ID); err != nil || !reflect.DeepEqual(got, c.Audit) {
		s.Errorf("Audits: %+v, %v, want %+v", got, err, c.Audit)
	}
}

// dueOnTime wakes between two milliseconds, the precision that a store has to have at least, and on one.
func dueOnTime(s *stage) {
	at := epoch().Add(-500 * time.Hour)
	for name, wake := range map[string]time.Time{"between": at, "on": at.Truncate(time.Millisecond).Add(time.Minute)} {
		state := s.state(name)
		state.Root.Wake = wake
		s.commit(create(state))
		early, told := s.due(wake.Add(-1), 1000)
		if len(s.own(early, name)) > 0 {
			s.Errorf("%s milliseconds: due a nanosecond before its time", name)
		}
		if late := told.Sub(wake); late < 0 || late > time.Millisecond {
			s.Errorf("%s milliseconds: the wake-up is told %v late; want it not before its time, nor a millisecond after", name, late)
		}
		if late, _ := s.due(told, 1000); len(s.own(late, name)) != 1 {
			s.Errorf("%s milliseconds: not due at the time that was told", name)
		}
		if name == "on" && !told.Equal(wake) {
			s.Errorf("on a millisecond: told for %v, want %v", told, wake)
		}
	}
}

// pagesInPlace creates instances between two pages.
func pagesInPlace(s *stage) {
	made := func(from, to int) (ids []saga.ID) {
		for i := from; i < to; i++ {
			state := s.state(fmt.Sprint(i))
			state.Definition = s.tag
			if i%6 < 3 { // more in a row than a page has
				state.Status = saga.Completed
			}
			s.commit(create(state))
			if state.Status == saga.Running {
				ids = append(ids, state.ID)
			}
		}
		return ids
	}
	want := made(0, 12)
	slices.Reverse(want)
	var got []saga.ID
	q := coordinator.ListQuery{Definition: s.tag, Status: saga.Running, Limit: 2}
	for more := 12; ; more += 6 {
		page, cursor, err := s.reader.List(s.Context(), q)
		if err != nil || more > 60 {
			s.Fatalf("List: %v, after %v", err, got)
		}
		for _, state := range page {
			got = append(got, state.ID)
		}
		if q.Cursor = cursor; cursor == "" {
			break
		}
		made(more, more+6)
	}
	if !slices.Equal(got, want) {
		s.Errorf("the pages are %v, want %v, each once and none that came later", got, want)
	}
}

// pagesUnshared spoils what the caller gave for a commit and what readings returned.
func pagesUnshared(s *stage) {
	state := s.state("a")
	state.Definition, state.Actions = s.tag, []string{"act"}
	state.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	c := create(state)
	c.Audit = []coordinator.AuditEntry{{Version: 1, At: epoch(), Audit: saga.Audit{Act: saga.Act{ID: "act"}}}}
	c.Outbox = []messaging.Message{{ID: s.tag + "1", Topic: s.tag, Headers: map[string]string{"h": "v"}, Payload: []byte("p")}}
	s.commit(c)
	type answers struct {
		got      saga.State
		page     []saga.State
		items    []saga.Record
		log      []coordinator.LogEntry
		acts     []coordinator.AuditEntry
		messages map[string]messaging.Message
	}
	read := func() (a answers) {
		var errs [5]error
		a.got, errs[0] = s.reader.Get(s.Context(), state.ID)
		a.page, _, errs[1] = s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag})
		a.items, errs[2] = s.reader.Items(s.Context(), state.ID, 0, 10)
		a.log, errs[3] = s.reader.History(s.Context(), state.ID, 0, 10)
		a.acts, errs[4] = s.reader.Audits(s.Context(), state.ID)
		a.messages = s.pending()
		if errs != [5]error{} || len(a.page) != 1 || len(a.items) != 1 || len(a.log) != 1 || len(a.acts) != 1 || len(a.messages) != 1 {
			s.Fatalf("after a commit: %+v, %v", a, errs)
		}
		return a
	}
	spoil := func(m messaging.Message) { m.Headers["h"], m.Payload[0] = "x", 'x' }
	state.Actions[0], c.Log[0].Detail, c.Audit[0].Before = "x", "x", "x"
	spoil(c.Outbox[0])
	first := read()
	first.got.Actions[0], first.page[0].Actions[0], first.items[0].Data[0], first.items[0].Nodes[0].Reason = "x", "x", 'x', "x"
	first.log[0].Detail, first.acts[0].Before = "x", "x"
	spoil(first.messages[s.tag+"1"])
	a := read()
	if a.got.Actions[0] != "act" || a.page[0].Actions[0] != "act" || !bytes.Equal(a.items[0].Data, []byte("0")) || a.items[0].Nodes[0].Reason != "" ||
		a.log[0].Detail != "" || a.acts[0].Before != "" || a.messages[s.tag+"1"].Headers["h"] != "v" || string(a.messages[s.tag+"1"].Payload) != "p" {
		s.Errorf("a caller's change reached the store: %+v", a)
	}
}
