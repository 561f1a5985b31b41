package sagatest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// expectation is one of the node, under a key of the case's own.
func (s *stage) expectation(node, key string) coordinator.Expectation {
	return coordinator.Expectation{Node: node, Direction: saga.DoDirection, Key: s.key(key)}
}

func (s *stage) key(name string) string { return s.tag + name }

// message is the name of one of the case's own messages, or "".
func (s *stage) message(name string) string {
	if name == "" {
		return ""
	}
	return s.tag + name
}

// expecting is the change that makes the instance with what it waits for.
func (s *stage) expecting(name string, all ...coordinator.Expectation) coordinator.Change {
	c := create(s.state(name))
	c.Expect = all
	return c
}

// then returns the change that follows c on its instance and changes nothing but the version.
func then(c coordinator.Change) coordinator.Change { return update(c.State, next(c.State)) }

// expected is the expectation as it is stored.
func (s *stage) expected(name string, e coordinator.Expectation, answer string) coordinator.Expected {
	return coordinator.Expected{ID: s.id(name), Expectation: e, Answer: s.message(answer)}
}

// wantMatch wants Match with the case's own keys and messages to return these.
func (s *stage) wantMatch(what string, keys, messages []string, want ...coordinator.Expected) {
	s.Helper()
	own := make([]string, len(keys))
	for i, key := range keys {
		own[i] = s.key(key)
	}
	told := make([]string, len(messages))
	for i, name := range messages {
		told[i] = s.message(name)
	}
	got, err := s.store.Match(s.Context(), own, told)
	if err != nil || !slices.Equal(got, want) {
		s.Errorf("%s: Match returned %+v, %v; want %+v", what, got, err, want)
	}
}

// matchFields fills every field by reflection, so that one that is added later cannot be forgotten by a store.
func matchFields(s *stage) {
	var e coordinator.Expectation
	fill(reflect.ValueOf(&e).Elem(), 1)
	e.Key = s.key("k")
	s.filled(e)
	var odd coordinator.Expectation
	fill(reflect.ValueOf(&odd).Elem(), 7)
	odd.Node, odd.Key = `rooms[3]/O'Hara "%_\ñ`, s.key("k")
	c := s.expecting("a", e, odd)
	c.Answered = []coordinator.Expected{s.expected("a", odd, `m'"1ñ`)}
	s.commit(c)
	s.wantMatch("every field", []string{"k"}, []string{`m'"1ñ`}, s.expected("a", e, ""), s.expected("a", odd, `m'"1ñ`))
}

func matchOrder(s *stage) {
	wait := s.expectation("wait", "k")
	b := s.expecting("b", wait, s.expectation("other", "other"))
	s.commit(b, s.expecting("a", wait))
	s.commit(s.expecting("0", s.expectation("z", "k"), s.expectation("y", "second"), s.expectation("x", "k")))
	again := then(b)
	again.Expect = []coordinator.Expectation{s.expectation("later", "k")}
	s.commit(again)
	s.wantMatch("one key", []string{"k"}, nil, s.expected("b", wait, ""), s.expected("a", wait, ""),
		s.expected("0", s.expectation("z", "k"), ""), s.expected("0", s.expectation("x", "k"), ""), s.expected("b", s.expectation("later", "k"), ""))
	s.wantMatch("two keys", []string{"second", "other", "unknown"}, []string{"m"},
		s.expected("b", s.expectation("other", "other"), ""), s.expected("0", s.expectation("y", "second"), ""))
	s.wantMatch("a key that differs in case", []string{"K"}, nil)
	s.wantMatch("no keys", nil, []string{"m", ""})
}

func matchStays(s *stage) {
	first, second := s.expectation("first", "k"), s.expectation("second", "k")
	c := s.expecting("a", first, second)
	c.Answered = []coordinator.Expected{s.expected("a", second, "m1")}
	s.commit(c)
	again := then(c)
	again.Expect = []coordinator.Expectation{s.expectation("third", "k"), s.expectation("first", "another"), second}
	s.commit(again)
	s.wantMatch("after it was told again", []string{"k"}, []string{"m1"},
		s.expected("a", first, ""), s.expected("a", second, "m1"), s.expected("a", s.expectation("third", "k"), ""))
	s.wantMatch("under the key that came later", []string{"another"}, nil)
}

func matchAnswers(s *stage) {
	wait := s.expectation("wait", "k")
	undo, epoch := wait, wait
	undo.Direction, epoch.Epoch = saga.UndoDirection, 1
	other := s.expectation("other", "k")
	a := s.expecting("a", wait, undo, epoch, other)
	s.commit(a, s.expecting("b", wait))
	open := []coordinator.Expected{s.expected("a", undo, ""), s.expected("a", epoch, ""), s.expected("a", other, ""), s.expected("b", wait, "")}
	answer := then(a)
	answer.Answered = []coordinator.Expected{s.expected("a", wait, "m1"), s.expected("a", s.expectation("never", "k"), "m3")}
	s.commit(answer)
	s.wantMatch("another message", []string{"k"}, []string{"m2", "M1"}, open...)
	s.wantMatch("no message", []string{"k"}, nil, open...)
	s.wantMatch("the message", []string{"k"}, []string{"m2", "m1", "m3"}, append([]coordinator.Expected{s.expected("a", wait, "m1")}, open...)...)
	s.wantMatch("the message with another key", []string{"none"}, []string{"m1"})
}

func matchAtOnce(s *stage) {
	a, b := s.expectation("a", "k"), s.expectation("b", "k")
	c := s.expecting("a", a, b)
	c.Answered = []coordinator.Expected{s.expected("a", a, "m1")}
	s.commit(c)
	s.wantMatch("told and answered by one change", []string{"k"}, nil, s.expected("a", b, ""))
	s.wantMatch("with the message", []string{"k"}, []string{"m1"}, s.expected("a", a, "m1"), s.expected("a", b, ""))
}

func matchForget(s *stage) {
	open, answered := s.expectation("open", "k"), s.expectation("answered", "k")
	a := s.expecting("a", open, answered)
	s.commit(a, s.expecting("b", open))
	end := then(a)
	end.State.Status, end.Forget = saga.Completed, true
	end.Expect = []coordinator.Expectation{s.expectation("new", "k"), s.expectation("just answered", "k")}
	end.Answered = []coordinator.Expected{s.expected("a", answered, "m1"), s.expected("a", s.expectation("just answered", "k"), "m2")}
	s.commit(end)
	s.wantMatch("after Forget", []string{"k"}, []string{"m1", "m2"}, s.expected("a", answered, "m1"),
		s.expected("b", open, ""), s.expected("a", s.expectation("just answered", "k"), "m2"))
}

func matchConflict(s *stage) {
	open := s.expectation("open", "k")
	a := s.expecting("a", open)
	s.commit(a)
	stale := then(a)
	stale.Before, stale.Forget = 7, true
	stale.Expect = []coordinator.Expectation{s.expectation("new", "k")}
	stale.Answered = []coordinator.Expected{s.expected("a", open, "m1")}
	twice := s.expecting("a", s.expectation("twice", "k"))
	fresh := s.expecting("b", open)
	conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{stale, fresh, twice})
	if err != nil || len(conflicts) != 2 {
		s.Fatalf("conflicts %v, %v; want those of the stale change and of the second creation", conflicts, err)
	}
	s.wantMatch("after a conflict", []string{"k"}, []string{"m1"}, s.expected("a", open, ""), s.expected("b", open, ""))
}

// matchOnce tells one message to two instances: one after the other, in one commit, and in commits at the same time.
func matchOnce(s *stage) {
	const many = 8
	wait := s.expectation("wait", "k")
	var all, answers []coordinator.Change
	for i := range many {
		c := s.expecting(fmt.Sprint(i), wait)
		all = append(all, c)
		answer := then(c)
		answer.Answered = []coordinator.Expected{s.expected(fmt.Sprint(i), wait, "m1")}
		answers = append(answers, answer)
	}
	s.commit(all...)
	var wg sync.WaitGroup
	for _, c := range answers {
		wg.Go(func() {
			// One that loses the race may also get an error.
			if conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{c}); err != nil && len(conflicts) > 0 {
				s.Errorf("Commit returned conflicts and an error: %v, %v", conflicts, err)
			}
		})
	}
	wg.Wait()
	found, err := s.store.Match(s.Context(), []string{s.key("k")}, []string{s.message("m1")})
	open := slices.DeleteFunc(slices.Clone(found), func(e coordinator.Expected) bool { return e.Answer != "" })
	if err != nil || len(found) != many || len(open) != many-1 {
		s.Fatalf("Match returned %+v, %v; want %d expectations, one of them answered", found, err, many)
	}
	var late, other coordinator.Change
	for i, c := range answers {
		switch c.State.ID {
		case open[0].ID:
			late = c
		case open[1].ID:
			other = then(all[i])
			other.Answered = []coordinator.Expected{s.expected(fmt.Sprint(i), wait, "m2")}
		}
	}
	if conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{late, other}); err != nil || !slices.Equal(conflicts, []saga.ID{late.State.ID}) {
		s.Errorf("Commit of an answer that is another's: conflicts %v, %v; want %s", conflicts, err, late.State.ID)
	}
	if got := s.load(late.State.ID); got.Version != late.Before {
		s.Errorf("the conflict was written: version %d", got.Version)
	}
	late.Answered[0].Answer = s.message("m3")
	third := slices.IndexFunc(answers, func(c coordinator.Change) bool { return c.State.ID == open[2].ID })
	answers[third].Answered[0].Answer = s.message("m3")
	if conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{late, answers[third]}); err != nil || !slices.Equal(conflicts, []saga.ID{open[2].ID}) {
		s.Errorf("Commit of one answer for two: conflicts %v, %v; want %s", conflicts, err, open[2].ID)
	}
}

// matchFailed has a message that no outbox takes behind changes that are fine.
func matchFailed(s *stage) {
	open := s.expectation("open", "k")
	a := s.expecting("a", open)
	s.commit(a)
	fine := then(a)
	fine.Expect = []coordinator.Expectation{s.expectation("new", "k")}
	fine.Answered = []coordinator.Expected{s.expected("a", open, "m1")}
	forgetting := s.expecting("b", s.expectation("unborn", "k"))
	forgetting.Outbox = []messaging.Message{{Topic: s.tag}}
	if _, err := s.store.Commit(s.Context(), []coordinator.Change{fine, forgetting}); !errors.Is(err, outbox.ErrNoID) {
		s.Errorf("Commit of a message without an ID returned %v, want outbox.ErrNoID", err)
	}
	s.wantMatch("after a failed commit", []string{"k"}, []string{"m1"}, s.expected("a", open, ""))
	fine.Outbox = []messaging.Message{{ID: s.tag + "1", Topic: s.tag}}
	s.commit(fine)
	s.wantMatch("after the commit", []string{"k"}, []string{"m1"}, s.expected("a", open, "m1"), s.expected("a", s.expectation("new", "k"), ""))
	if n := len(s.pending()); n != 1 {
		s.Errorf("%d messages are in the outbox, want that of the commit", n)
	}
}

func matchLimit(s *stage) {
	const more = 5
	c := s.expecting("a")
	for i := range coordinator.MaxMatches + more {
		c.Expect = append(c.Expect, s.expectation(fmt.Sprintf("rooms[%d]/wait", i), "k"))
	}
	last := c.Expect[len(c.Expect)-1]
	c.Answered = []coordinator.Expected{s.expected("a", c.Expect[0], "m0"), s.expected("a", c.Expect[2], "m2"), s.expected("a", last, "m3")}
	s.commit(c)
	got, err := s.store.Match(s.Context(), []string{s.key("k")}, []string{s.message("m2"), s.message("m3")})
	if err != nil || len(got) != coordinator.MaxMatches+2 {
		s.Fatalf("Match returned %d, %v; want %d open ones and two answered ones", len(got), err, coordinator.MaxMatches)
	}
	ends := []coordinator.Expected{got[0], got[1], got[len(got)-2], got[len(got)-1]}
	want := []coordinator.Expected{
		s.expected("a", c.Expect[1], ""), s.expected("a", c.Expect[2], "m2"),
		s.expected("a", c.Expect[coordinator.MaxMatches+1], ""), s.expected("a", last, "m3"),
	}
	if !slices.Equal(ends, want) {
		s.Errorf("the first and last two are %+v, want %+v", ends, want)
	}
}

// matchMany has more keys and messages than a database takes in one statement.
func matchMany(s *stage) {
	const n = 40_000
	keys, messages := make([]string, n), make([]string, n)
	for i := range n {
		keys[i], messages[i] = s.key(fmt.Sprint(i)), s.message(fmt.Sprint(i))
	}
	last, first, middle := s.expectation("last", fmt.Sprint(n-1)), s.expectation("first", "0"), s.expectation("middle", fmt.Sprint(n/2))
	c := s.expecting("a", last, middle, first)
	c.Answered = []coordinator.Expected{s.expected("a", middle, fmt.Sprint(n-1))}
	s.commit(c)
	got, err := s.store.Match(s.Context(), keys, messages)
	want := []coordinator.Expected{s.expected("a", last, ""), s.expected("a", middle, fmt.Sprint(n-1)), s.expected("a", first, "")}
	if err != nil || !slices.Equal(got, want) {
		s.Errorf("Match of %d keys returned %+v, %v; want %+v", n, got, err, want)
	}
}

func cancelledMatch(s *stage) {
	s.commit(s.expecting("a", s.expectation("wait", "k")))
	if got, err := s.store.Match(cancelled(s.Context()), []string{s.key("k")}, nil); err == nil {
		s.Errorf("Match with a cancelled context returned %v and no error", got)
	}
}
