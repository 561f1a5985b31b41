package sagatest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// wake returns a state whose root wants to wake after d.
func (s *stage) wake(name string, d time.Duration) saga.State {
	state := s.state(name)
	state.Root.Wake = epoch().Truncate(time.Millisecond).Add(d)
	return state
}

// own keeps of the wakes those of the case.
func (s *stage) own(wakes []coordinator.Wake, names ...string) []coordinator.Wake {
	var own []coordinator.Wake
	for _, w := range wakes {
		for _, name := range names {
			if w.ID == s.id(name) {
				own = append(own, w)
			}
		}
	}
	return own
}

func dueOrder(s *stage) {
	s.commit(create(s.wake("b", 2*time.Second)), create(s.wake("a", time.Second)), create(s.wake("c", 3*time.Second)), create(s.wake("later", time.Hour)), create(s.state("never")))
	all, _ := s.due(epoch().Add(time.Minute), 1000)
	want := []coordinator.Wake{{ID: s.id("a")}, {ID: s.id("b")}, {ID: s.id("c")}}
	if got := s.own(all, "a", "b", "c", "later", "never"); !slices.Equal(got, want) {
		s.Errorf("Due: %v, want %v", got, want)
	}
	if some, _ := s.due(epoch().Add(time.Minute), 2); len(some) != 2 {
		s.Errorf("Due with limit 2 returned %d records", len(some))
	}
	if early, _ := s.due(epoch().Truncate(time.Millisecond).Add(999*time.Millisecond), 1000); len(s.own(early, "a")) != 0 {
		s.Error("a record is due a millisecond before its time")
	}
}

func dueNext(s *stage) {
	at := epoch().Add(-1000 * time.Hour) // before all other cases' wake-up times
	state := s.wake("a", -999*time.Hour)
	s.commit(create(state))
	if _, got := s.due(at, 10); !got.Equal(state.Root.Wake) {
		s.Errorf("the next wake-up is at %v, want %v", got, state.Root.Wake)
	}
	slept := next(state)
	slept.Root.Wake = time.Time{}
	s.commit(update(state, slept))
	if _, got := s.due(at, 10); got.Equal(state.Root.Wake) {
		s.Error("a wake-up that was taken back is still told")
	}
}

func dueItems(s *stage) {
	state := s.state("a")
	state.Items = map[string]saga.Record{
		"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}, Wake: epoch().Truncate(time.Second)},
		"rooms[1]": {Key: "rooms[1]", Data: []byte("1"), Nodes: []saga.NodeState{{}}},
	}
	s.commit(create(state))
	all, _ := s.due(epoch().Add(time.Minute), 1000)
	if got := s.own(all, "a"); len(got) != 1 || got[0].Record != "rooms[0]" {
		s.Errorf("Due: %v, want rooms[0]", got)
	}
}

func duePassesOver(s *stage) {
	terminal, orphan := s.wake("terminal", 0), s.wake("orphan", 0)
	terminal.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}, Wake: epoch()}}
	terminal.Status = saga.Forced
	orphan.Status, orphan.Orphaned = saga.Parked, true
	s.commit(create(terminal), create(orphan))
	all, _ := s.due(epoch().Add(time.Minute), 1000)
	if got := s.own(all, "terminal", "orphan"); len(got) > 0 {
		s.Errorf("Due: %v, want none", got)
	}
}

func adopt(s *stage) {
	orphan := s.wake("orphan", 0)
	orphan.Status, orphan.Orphaned = saga.Parked, true
	s.commit(create(orphan))
	if err := s.store.Adopt(s.Context(), []string{"another" + s.tag}); err != nil {
		s.Fatal(err)
	}
	if got := s.load(orphan.ID); !got.Orphaned {
		s.Error("Adopt of another hash took the orphan")
	}
	if err := s.store.Adopt(s.Context(), []string{"another" + s.tag, orphan.Hash}); err != nil {
		s.Fatal(err)
	}
	if got := s.load(orphan.ID); got.Orphaned || got.Version != 1 || got.Status != saga.Parked {
		s.Errorf("after Adopt: %+v; want only the mark gone", got)
	}
	all, _ := s.due(epoch().Add(time.Minute), 1000)
	if len(s.own(all, "orphan")) != 1 {
		s.Error("an adopted orphan is not due")
	}
}

func logOrder(s *stage) {
	first := s.state("a")
	line := func(version int64, n int, detail string) coordinator.LogEntry {
		return coordinator.LogEntry{Version: version, Line: n, At: epoch(), Log: saga.Log{
			Kind: saga.LogSent, Node: "flight", Direction: saga.DoDirection, Attempt: n + 1, Detail: detail,
		}}
	}
	c := create(first)
	c.Log = []coordinator.LogEntry{line(1, 0, "a"), line(1, 1, "b")}
	s.commit(c)
	second := next(first)
	u := update(first, second)
	u.Log = []coordinator.LogEntry{line(2, 0, "c"), line(2, 1, "d")}
	s.commit(u)
	want := []coordinator.LogEntry{line(1, 0, "a"), line(1, 1, "b"), line(2, 0, "c"), line(2, 1, "d")}
	if got, err := s.reader.History(s.Context(), first.ID, 0, 10); err != nil || !reflect.DeepEqual(got, want) {
		s.Errorf("History: %+v, %v", got, err)
	}
	if got, err := s.reader.History(s.Context(), first.ID, 1, 2); err != nil || !reflect.DeepEqual(got, want[1:3]) {
		s.Errorf("History from 1, 2 lines: %+v, %v", got, err)
	}
	if got, err := s.reader.History(s.Context(), s.id("unknown"), 0, 10); err != nil || len(got) != 0 {
		s.Errorf("History of an unknown instance: %v, %v", got, err)
	}
}

func audits(s *stage) {
	first := s.state("a")
	s.commit(create(first))
	u := update(first, next(first))
	u.Audit = []coordinator.AuditEntry{{Version: 2, At: epoch(), Audit: saga.Audit{
		Act:    saga.Act{ID: "x1", Action: saga.Skip, Node: "flight", Version: 1, By: "ana", Why: "it is gone"},
		Before: "doing (stuck)", After: "skipped",
	}}}
	s.commit(u)
	if got, err := s.reader.Audits(s.Context(), first.ID); err != nil || !reflect.DeepEqual(got, u.Audit) {
		s.Errorf("Audits: %+v, %v", got, err)
	}
}

func itemPages(s *stage) {
	first := s.state("a")
	add := func(state saga.State, from, to int) saga.State {
		state.Items = map[string]saga.Record{}
		for i := from; i < to; i++ {
			key := fmt.Sprintf("rooms[%d]", i)
			state.Items[key] = saga.Record{Key: key, Data: []byte(fmt.Sprint(i)), Nodes: []saga.NodeState{{}}}
		}
		return state
	}
	first = add(first, 0, 11)
	s.commit(create(first))
	second := add(next(first), 11, 13)
	s.commit(update(first, second))
	page, err := s.reader.Items(s.Context(), first.ID, 9, 3)
	if err != nil || len(page) != 3 || page[0].Key != "rooms[9]" || page[1].Key != "rooms[10]" || page[2].Key != "rooms[11]" || string(page[2].Data) != "11" {
		s.Errorf("items 9 to 11: %+v, %v", page, err)
	}
	if rest, err := s.reader.Items(s.Context(), first.ID, 12, 10); err != nil || len(rest) != 1 {
		s.Errorf("items from 12: %+v, %v", rest, err)
	}
}

func list(s *stage) {
	var want []saga.ID
	for i := range 7 {
		state := s.state(fmt.Sprint(i))
		state.Definition, state.Key = s.tag, s.tag+fmt.Sprint(i)
		if i%2 == 0 {
			state.Status = saga.Completed
		}
		s.commit(create(state))
		want = append(want, state.ID)
	}
	slices.Reverse(want)
	var got []saga.ID
	cursor := ""
	for pages := 0; ; pages++ {
		page, nextCursor, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag, Cursor: cursor, Limit: 3})
		if err != nil || len(page) > 3 || pages > 3 {
			s.Fatalf("page %d of %d instances, %v", pages, len(page), err)
		}
		for _, state := range page {
			got = append(got, state.ID)
			if state.Root.Nodes != nil || state.Version != 1 {
				s.Errorf("List returned %+v; want the header without records", state)
			}
		}
		if cursor = nextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("List: %v, want %v", got, want)
	}
	running, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Definition: s.tag, Status: saga.Running})
	if err != nil || len(running) != 3 {
		s.Errorf("List of the running ones: %d, %v; want 3", len(running), err)
	}
	keyed, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Key: s.tag + "3"})
	if err != nil || len(keyed) != 1 || keyed[0].ID != s.id("3") {
		s.Errorf("List by key: %v, %v", keyed, err)
	}
}

func malformedCursor(s *stage) {
	for _, cursor := range []string{"zzz", "-1", "1; DROP TABLE sagas", "9999999999999999999999"} {
		if _, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Cursor: cursor}); !errors.Is(err, coordinator.ErrCursor) {
			s.Errorf("cursor %q: %v, want ErrCursor", cursor, err)
		}
	}
}

func getUnknown(s *stage) {
	if _, err := s.reader.Get(s.Context(), s.id("unknown")); !errors.Is(err, saga.ErrNotFound) {
		s.Errorf("Get: %v, want ErrNotFound", err)
	}
	state := s.state("a")
	s.commit(create(state))
	if got, err := s.reader.Get(s.Context(), state.ID); err != nil || !reflect.DeepEqual(got, state) {
		s.Errorf("Get: %+v, %v, want %+v", got, err, state)
	}
}
