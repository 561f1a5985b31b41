package sagatest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// removeLimit is the age limit of these cases: later than whatever other cases do, so that no instance is too young to look behind.
func removeLimit() time.Time { return epoch().Add(20_000 * time.Hour) }

// remover is the store, if it can remove; else the case has nothing to test.
func (s *stage) remover() coordinator.Remover {
	s.Helper()
	r, ok := s.store.(coordinator.Remover)
	if !ok {
		s.Skip("the store is no coordinator.Remover")
	}
	return r
}

// rested makes an instance with the status, changed last so long before the limit, with a record and a line or more of everything.
func (s *stage) rested(name string, status saga.Status, before time.Duration) saga.ID {
	s.Helper()
	state := s.state(name)
	state.Status, state.Updated, state.Orphaned = status, removeLimit().Add(-before), name == "orphaned"
	state.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	c := create(state)
	c.Audit = []coordinator.AuditEntry{{Version: 1, At: epoch(), Audit: saga.Audit{
		Act: saga.Act{ID: "a-" + name, Action: saga.Retry, By: "eve", Why: "why"},
	}}}
	c.Expect = []coordinator.Expectation{s.expectation("open", ""), s.expectation("answered", "")}
	c.Answered = []coordinator.Expected{{ID: state.ID, Expectation: s.expectation("answered", ""), Answer: s.tag + name}}
	s.commit(c)
	return state.ID
}

// ended returns the case's own instances that Ended finds in pages of so many.
func (s *stage) ended(r coordinator.Remover, limit int) []saga.ID {
	s.Helper()
	var all []saga.ID
	for cursor := ""; ; {
		page, nextPage, err := r.Ended(s.Context(), removeLimit(), cursor, limit)
		if err != nil || len(page) > limit {
			s.Fatalf("Ended returned %d ids for a page of %d, %v", len(page), limit, err)
		}
		for _, id := range page {
			if slices.Contains(all, id) {
				s.Fatalf("Ended returned %s twice", id)
			}
			if len(id) > len(s.tag) && string(id[:len(s.tag)]) == s.tag {
				all = append(all, id)
			}
		}
		if nextPage == "" {
			return all
		}
		if nextPage == cursor {
			s.Fatalf("the page behind the cursor %q is itself", cursor)
		}
		cursor = nextPage
	}
}

func (s *stage) remove(r coordinator.Remover, want int, ids ...saga.ID) {
	s.Helper()
	if n, err := r.Remove(s.Context(), removeLimit(), ids); err != nil || n != want {
		s.Fatalf("Remove returned %d, %v, want %d", n, err, want)
	}
}

// whole wants all of the instance to be there, or nothing of it.
func (s *stage) whole(id saga.ID, there bool) {
	s.Helper()
	count := map[string]int{}
	if _, err := s.reader.Get(s.Context(), id); err == nil {
		count["Get"] = 1
	} else if !errors.Is(err, saga.ErrNotFound) {
		s.Fatal(err)
	}
	lines, err := s.reader.History(s.Context(), id, 0, 10)
	actions, err2 := s.reader.Audits(s.Context(), id)
	items, err3 := s.reader.Items(s.Context(), id, 0, 10)
	waiting, err4 := s.store.Match(s.Context(), []string{s.tag}, []string{s.tag + string(id)[len(s.tag)+1:]})
	if err := errors.Join(err, err2, err3, err4); err != nil {
		s.Fatal(err)
	}
	waiting = slices.DeleteFunc(waiting, func(e coordinator.Expected) bool { return e.ID != id })
	count["History"], count["Audits"], count["Items"], count["Match"] = len(lines), len(actions), len(items), len(waiting)
	for what, n := range count {
		if (n > 0) != there {
			s.Errorf("%s has %d of %s, want any: %t", what, n, id, there)
		}
	}
}

func endedOnly(s *stage) {
	r := s.remover()
	var want []saga.ID
	for i, status := range []saga.Status{
		saga.Completed, saga.Running, saga.Compensated, saga.Parked, saga.Forced, saga.Compensating, saga.Completed, saga.Completed,
	} {
		id := s.rested(fmt.Sprintf("%d", i), status, time.Hour)
		if status.Terminal() {
			want = append(want, id)
		}
	}
	s.rested("orphaned", saga.Parked, time.Hour)
	s.rested("young", saga.Completed, -time.Hour)
	s.rested("exactly", saga.Completed, 0)
	want = append(want, s.rested("just", saga.Completed, time.Microsecond))
	for _, limit := range []int{1, 2, 3, 1000} {
		if got := s.ended(r, limit); !slices.Equal(got, want) {
			s.Errorf("in pages of %d, Ended returned %v, want %v", limit, got, want)
		}
	}
	if page, _, err := r.Ended(cancelled(s.Context()), removeLimit(), "", 10); err == nil {
		s.Errorf("Ended with a cancelled context returned %v and no error", page)
	}
}

func endedPagesStay(s *stage) {
	r := s.remover()
	var all []saga.ID
	for i := range 6 {
		all = append(all, s.rested(fmt.Sprintf("%d", i), saga.Completed, time.Hour))
	}
	var seen []saga.ID
	for cursor := ""; ; {
		page, nextPage, err := r.Ended(s.Context(), removeLimit(), cursor, 2)
		if err != nil {
			s.Fatal(err)
		}
		for _, id := range page {
			if slices.Contains(all, id) {
				seen = append(seen, id)
				s.remove(r, 1, id)
			}
		}
		if cursor = nextPage; cursor == "" {
			break
		}
	}
	if !slices.Equal(seen, all) {
		s.Errorf("while they were removed, Ended returned %v, want %v", seen, all)
	}
	if left := s.ended(r, 10); len(left) > 0 {
		s.Errorf("removed instances are returned again: %v", left)
	}
}

func removeWhole(s *stage) {
	r := s.remover()
	gone, stays := s.rested("gone", saga.Completed, time.Hour), s.rested("stays", saga.Completed, time.Hour)
	cased := s.rested("GONE", saga.Completed, time.Hour)
	s.remove(r, 1, gone)
	s.whole(gone, false)
	s.whole(stays, true)
	s.whole(cased, true)
	s.remove(r, 0, gone, s.id("unknown"))
	s.remove(r, 0)
	s.rested("gone", saga.Running, time.Hour) // its id is free
	s.whole(gone, true)
	if lines, err := s.reader.History(s.Context(), gone, 0, 10); err != nil || len(lines) != 1 {
		s.Errorf("the new instance has %d lines of history, %v, want its own", len(lines), err)
	}
	if sagas, _, err := s.reader.List(s.Context(), coordinator.ListQuery{Limit: 500}); err != nil || len(sagas) > 0 && sagas[0].ID == stays {
		s.Errorf("List begins with an instance that was created before the newest, %v", err)
	}
}

func removeChecksAgain(s *stage) {
	r := s.remover()
	ids := []saga.ID{
		s.rested("running", saga.Running, time.Hour), s.rested("parked", saga.Parked, time.Hour), s.rested("orphaned", saga.Parked, time.Hour),
		s.rested("compensating", saga.Compensating, time.Hour), s.rested("exactly", saga.Completed, 0), s.rested("young", saga.Forced, -time.Hour),
	}
	old := s.rested("old", saga.Compensated, time.Microsecond)
	s.remove(r, 1, append(slices.Clone(ids), old)...)
	s.whole(old, false)
	for _, id := range ids {
		s.whole(id, true)
	}
}

func removeCancelled(s *stage) {
	r := s.remover()
	id := s.rested("a", saga.Completed, time.Hour)
	if n, err := r.Remove(cancelled(s.Context()), removeLimit(), []saga.ID{id}); err == nil {
		s.Errorf("Remove with a cancelled context returned %d and no error", n)
	}
	s.whole(id, true)
}

func removeManyAtOnce(s *stage) {
	r := s.remover()
	const many = 300
	changes := make([]coordinator.Change, many)
	ids := make([]saga.ID, many)
	for i := range changes {
		state := s.state(fmt.Sprintf("%d", i))
		state.Status, state.Version = saga.Completed, 1
		changes[i], ids[i] = create(state), state.ID
	}
	s.commit(changes...)
	done := make(chan int, 2)
	for range cap(done) {
		go func() {
			n, err := r.Remove(s.Context(), removeLimit(), ids)
			if err != nil {
				s.Errorf("two at the same time: %v", err)
			}
			done <- n
		}()
	}
	if n := <-done + <-done; n != many {
		s.Errorf("two at the same time have removed %d of %d", n, many)
	}
	if found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: ids[0]}, {ID: ids[many-1]}}); err != nil || len(found) > 0 {
		s.Errorf("%d are left, %v", len(found), err)
	}
}

func removePauses(s *stage) {
	r := s.remover()
	const early = -10_000 * time.Hour // before those of all other cases
	pause := func(name string, after, released time.Duration, done bool) coordinator.Pause {
		p := s.pause(name, early+after)
		p.Done = done
		if released != 0 {
			p.Released = epoch().Add(early + released)
		}
		return p
	}
	stays := []coordinator.Pause{
		pause("open", -time.Hour, 0, false), pause("being released", -time.Hour, -time.Minute, false),
		pause("released later", -time.Hour, time.Hour, true), pause("exactly", 0, 0, true), pause("later", time.Hour, 2*time.Hour, true),
	}
	s.setPauses(stays...)
	s.setPauses(pause("gone", -2*time.Hour, -time.Hour, true), pause("never released", -time.Microsecond, 0, true))
	if n, err := r.RemovePauses(cancelled(s.Context()), epoch().Add(early)); err == nil {
		s.Errorf("RemovePauses with a cancelled context returned %d and no error", n)
	}
	if n, err := r.RemovePauses(s.Context(), epoch().Add(early)); err != nil || n != 2 {
		s.Errorf("RemovePauses returned %d, %v, want 2", n, err)
	}
	left := s.ownPauses(s.reader.PauseHistory(s.Context(), 0, 100_000))
	for _, p := range stays {
		if !slices.Contains(left, p) {
			s.Errorf("%q is gone", p.Definition[len(s.tag):])
		}
	}
	if len(left) != len(stays) {
		s.Errorf("%d pauses are left, want %d", len(left), len(stays))
	}
}
