package sagatest

import (
	"reflect"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// pause is one of a definition of the case's own, that began so much after the others' beginning.
func (s *stage) pause(definition string, after time.Duration) coordinator.Pause {
	return coordinator.Pause{Definition: s.tag + definition, At: epoch().Add(after), By: s.tag, Why: "why"}
}

func (s *stage) setPauses(all ...coordinator.Pause) {
	s.Helper()
	for _, p := range all {
		if err := s.store.SetPause(s.Context(), p); err != nil {
			s.Fatal(err)
		}
	}
}

// ownPauses keeps those of the case.
func (s *stage) ownPauses(all []coordinator.Pause, err error) []coordinator.Pause {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(p coordinator.Pause) bool { return p.By != s.tag })
}

func (s *stage) wantPauses(what string, want ...coordinator.Pause) {
	s.Helper()
	if got := s.ownPauses(s.store.Pauses(s.Context())); !slices.Equal(got, want) {
		s.Errorf("%s: Pauses returned %+v, want %+v", what, got, want)
	}
}

func pauseFields(s *stage) {
	var p coordinator.Pause
	fill(reflect.ValueOf(&p).Elem(), 1)
	p.Definition, p.By, p.Why = s.tag+`O'Hara "%_\ñ`, s.tag, "odd \u65e5\n"
	p.At, p.Released = epoch(), epoch().Add(time.Microsecond)
	s.filled(p)
	done := p
	p.Done = false
	lasts := s.pause("lasts", time.Second)
	s.setPauses(p, lasts)
	s.wantPauses("every field", p, lasts)
	s.setPauses(done)
	if got := s.ownPauses(s.reader.PauseHistory(s.Context(), 0, 100_000)); !slices.Equal(got, []coordinator.Pause{lasts, done}) {
		s.Errorf("PauseHistory returned %+v, want %+v and %+v", got, lasts, done)
	}
}

func pauseReplaced(s *stage) {
	first := s.pause("a", 0)
	later, other, cased, all := s.pause("a", time.Microsecond), s.pause("b", 0), s.pause("A", 0), s.pause("", 0)
	s.setPauses(first, later, other, cased, all)
	s.wantPauses("five pauses", all, cased, first, other, later)
	released := first
	released.By, released.Why = s.tag, "another"
	released.Released, released.ReleasedBy, released.ReleasedWhy, released.Rate = epoch().Add(time.Hour), "eve", "mended", 7
	s.setPauses(released)
	s.wantPauses("one was released", all, cased, released, other, later)
	s.setPauses(first)
	s.wantPauses("it lasts again", all, cased, first, other, later)
}

func pausesOpen(s *stage) {
	third, first, second := s.pause("a", 3*time.Second), s.pause("c", time.Second), s.pause("b", 2*time.Second)
	s.setPauses(third, first, second)
	s.wantPauses("in the order of their beginning", first, second, third)
	second.Released, second.Rate = epoch().Add(time.Hour), 5
	s.setPauses(second)
	s.wantPauses("one is being released", first, second, third)
	second.Done = true
	s.setPauses(second)
	s.wantPauses("one is done", first, third)
	first.Done = true
	s.setPauses(first)
	s.wantPauses("one that is done though it was never released", third)
}

func pauseHistory(s *stage) {
	const later = 1000 * time.Hour // than those of all other cases, which would move the pages
	var want []coordinator.Pause
	for i := range 5 {
		p := s.pause("a", later+time.Duration(i)*time.Second)
		p.Done = i%2 == 0
		want = append(want, p)
	}
	slices.Reverse(want)
	together := s.pause("b", later+2*time.Second)
	want = slices.Insert(want, 3, together) // of one moment, by definition
	s.setPauses(want[4], want[1], want[0], together, want[2], want[5])
	var got []coordinator.Pause
	for offset := 0; ; offset += 2 {
		page, err := s.reader.PauseHistory(s.Context(), offset, 2)
		if len(page) > 2 {
			s.Fatalf("a page of 2 has %d pauses", len(page))
		}
		got = append(got, s.ownPauses(page, err)...)
		if len(page) < 2 {
			break
		}
	}
	if !slices.Equal(got, want) {
		s.Errorf("PauseHistory returned %+v, want %+v", got, want)
	}
}

func cancelledPause(s *stage) {
	if err := s.store.SetPause(cancelled(s.Context()), s.pause("a", 0)); err == nil {
		s.Error("SetPause with a cancelled context has no error")
	}
	s.wantPauses("after a cancelled SetPause")
	if got, err := s.store.Pauses(cancelled(s.Context())); err == nil {
		s.Errorf("Pauses with a cancelled context returned %v and no error", got)
	}
}

// selectable are instances of three definitions, each with a root and an item that wake one after the other, so long before all
// other cases' do: those of "a" at 0 and 3 seconds after the returned time, of "b" at 1 and 4, of "c" at 2 and 5.
func (s *stage) selectable(before time.Duration) (began time.Time) {
	s.Helper()
	began = epoch().Truncate(time.Second).Add(-before)
	for i, name := range []string{"a", "b", "c"} {
		state := s.state(name)
		state.Definition = s.tag + name
		state.Root.Wake = began.Add(time.Duration(i) * time.Second)
		state.Items = map[string]saga.Record{"rooms[0]": {
			Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}, Wake: began.Add(time.Duration(i+3) * time.Second),
		}}
		s.commit(create(state))
	}
	return began
}

// wantDue wants the query, seconds after the time, to find these records, "a" or "a[0]", of the case, and the next one so many seconds
// after the time; negative is one that is no concern of the case.
func (s *stage) wantDue(began time.Time, seconds int, q coordinator.DueQuery, nextIn int, want ...string) {
	s.Helper()
	q.Now = began.Add(time.Duration(seconds) * time.Second)
	due, nextWake, err := s.store.Due(s.Context(), q)
	if err != nil {
		s.Fatal(err)
	}
	var got []string
	for _, w := range s.own(due, "a", "b", "c") {
		name := string(w.ID)[len(s.tag)+1:]
		if w.Record != "" {
			name += "[0]"
		}
		got = append(got, name)
	}
	if !slices.Equal(got, want) {
		s.Errorf("%d seconds, %+v: %v are due, want %v", seconds, q, got, want)
	}
	if wanted := began.Add(time.Duration(nextIn) * time.Second); nextIn >= 0 && !nextWake.Equal(wanted) {
		s.Errorf("%d seconds, %+v: the next wake-up is at %v, want %v", seconds, q, nextWake, wanted)
	}
	if q.Only != "" && nextIn < 0 && !nextWake.IsZero() {
		s.Errorf("%d seconds, %+v: the next wake-up is at %v, want none", seconds, q, nextWake)
	}
}

func dueSkip(s *stage) {
	began := s.selectable(5000 * time.Hour)
	a, b, c := s.tag+"a", s.tag+"b", s.tag+"c"
	q := func(limit int, skip ...string) coordinator.DueQuery {
		return coordinator.DueQuery{Limit: limit, Skip: skip}
	}
	s.wantDue(began, 0, q(1000), 1, "a")
	s.wantDue(began, 0, q(1000, a), 1)
	s.wantDue(began, 0, q(1000, a, b), 2)
	s.wantDue(began, 3, q(1000, a, c), 4, "b")
	s.wantDue(began, 5, q(1000, b), -1, "a", "c", "a[0]", "c[0]")
	s.wantDue(began, 5, q(1000, b, c, a), -1)
	s.wantDue(began, 5, q(1000, s.tag+"A", s.tag+`O'Hara "?`), -1, "a", "b", "c", "a[0]", "b[0]", "c[0]")
	s.wantDue(began, 2, q(1000, a, b, c, s.tag+"d"), -1)
	s.wantDue(began, 5, q(3, a), -1, "b", "c", "b[0]")
}

func dueOnly(s *stage) {
	began := s.selectable(4000 * time.Hour)
	a, b := s.tag+"a", s.tag+"b"
	q := func(limit int, only string, skip ...string) coordinator.DueQuery {
		return coordinator.DueQuery{Limit: limit, Only: only, Skip: skip}
	}
	s.wantDue(began, 0, q(10, a), 3, "a")
	s.wantDue(began, 0, q(10, b), 1)
	s.wantDue(began, 1, q(10, b), 4, "b")
	s.wantDue(began, 4, q(10, b), -1, "b", "b[0]")
	s.wantDue(began, 5, q(1, b), -1, "b")
	s.wantDue(began, 5, q(10, b, a), -1, "b", "b[0]")
	s.wantDue(began, 0, q(10, b, b), -1)
	s.wantDue(began, 5, q(10, s.tag+"B"), -1)
}
