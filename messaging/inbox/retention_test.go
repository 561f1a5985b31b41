package inbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
)

const day = 24 * time.Hour

// command is one of a step of a saga that was started then.
func (s *stage) command(v any, saga, node string, d messaging.Direction, started, since time.Time) messaging.Message {
	return s.message(v, messaging.Correlation{Saga: saga, Node: node, Direction: d, Started: started, Since: since})
}

// forgets removes what is older than the service keeps.
func (s *stage) forgets(want int) {
	s.t.Helper()
	if n, err := s.service.forgetOnce(s.t.Context(), s.store); err != nil || n != want {
		s.t.Fatalf("%d entries were removed, %v, want %d", n, err, want)
	}
}

// refuses delivers a message that must become a dead letter for the reason, and have no effect and no answer.
func (s *stage) refuses(m messaging.Message, reason error) {
	s.t.Helper()
	applied, undone := s.applied, s.undone
	err := s.deliver(m)[0]
	if !errors.Is(err, reason) || class(err) != messaging.Terminal {
		s.t.Errorf("the message ended with %v, want a dead letter: %v", err, reason)
	}
	s.wantEffects(applied, undone)
	s.wantNoReply()
}

func TestWhatMayBeForgottenIsNeverAnsweredSilently(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		start := time.Now()
		first := s.command(book{"1"}, "trip", "flight", messaging.Do, start, start)
		resent := s.command(book{"1"}, "trip", "flight", messaging.Do, start, time.Time{})
		undo := s.command(cancel{"1"}, "trip", "flight", messaging.Undo, start, time.Time{})
		s.mustDeliver(first)
		s.replies()

		time.Sleep(89 * day)
		s.forgets(0)
		s.mustDeliver(resent)
		s.wantReply("booked", messaging.Success, 0)
		time.Sleep(2 * day)
		late := s.command(cancel{"1"}, "trip", "never done", messaging.Undo, start, time.Time{})
		s.mustDeliver(late) // nothing was removed yet: what is not remembered never came
		s.wantReply("canceled", messaging.Nothing, 0)

		s.forgets(1)
		for _, m := range []messaging.Message{first, resent, undo} {
			s.refuses(m, ErrForgotten)
		}
		other := s.command(cancel{"1"}, "other", "flight", messaging.Undo, start.Add(day), time.Time{})
		s.refuses(other, ErrForgotten) // it may be one that was forgotten, too

		// A step of the old saga that begins now, and its undo.
		s.mustDeliver(s.command(book{"2"}, "trip", "hotel", messaging.Do, start, time.Now()))
		s.wantEffects(2, 0)
		s.mustDeliver(s.command(cancel{"2"}, "trip", "hotel", messaging.Undo, start, time.Time{}))
		s.wantEffects(2, 1)
		s.replies()
		// Young sagas are as before.
		s.mustDeliver(s.command(cancel{"3"}, "trip", "car", messaging.Undo, time.Now().Add(-8*day), time.Time{}))
		s.wantReply("canceled", messaging.Nothing, 0)
	})
}

func TestMessagesOfNoSagaThatMayBeForgottenAreDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, nil)
		event := func(id string, published time.Time) messaging.Message {
			m, err := s.codec.Encode(noticed{id})
			if err != nil {
				t.Fatal(err)
			}
			m.ID, m.Published = id, published
			return m
		}
		handled := func(m messaging.Message) {
			t.Helper()
			before := s.calls
			if s.mustDeliver(m); s.calls != before+1 {
				t.Errorf("%s was not handled", m.ID)
			}
		}
		old := event("old", time.Now())
		handled(old)
		handled(event("from before the service", time.Now().Add(-1000*day)))
		time.Sleep(91 * day)
		handled(event("nothing was removed yet", old.Published))
		s.forgets(2)
		s.refuses(old, ErrForgotten)
		s.refuses(event("older", old.Published.Add(-day)), ErrForgotten)
		handled(event("young", time.Now().Add(-10*day)))
		handled(event("of an unknown age", time.Time{}))

		// Commands of a coordinator that does not say when it began are as old as their messages.
		undo := s.message(cancel{"1"}, messaging.Correlation{Saga: "foreign", Node: "flight", Direction: messaging.Undo})
		undo.Published = old.Published
		s.refuses(undo, ErrForgotten)
		undo.Published = time.Now()
		s.mustDeliver(undo)
		s.wantNoneForgotten()
	})
}

// wantNoneForgotten wants the reply to an undo that found nothing.
func (s *stage) wantNoneForgotten() {
	s.t.Helper()
	if all := s.replies(); len(all) != 1 || messaging.Outcome(all[0].Header(messaging.HeaderOutcome)) != messaging.Nothing {
		s.t.Errorf("%d replies, want one that says nothing", len(all))
	}
}

func TestAnIDThatIsUsedAgainIsAnotherInstance(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	one := time.Date(2026, 1, 2, 3, 4, 5, 678_000, time.UTC)
	two := one.Add(40 * day)
	do := func(started time.Time) messaging.Message {
		return s.command(book{"1"}, "trip", "flight", messaging.Do, started, started)
	}
	undo := func(started time.Time) messaging.Message {
		return s.command(cancel{"1"}, "trip", "flight", messaging.Undo, started, time.Time{})
	}
	s.mustDeliver(do(one), undo(one))
	s.wantEffects(1, 1)
	s.replies()

	s.mustDeliver(do(two)) // not ignored for the undo of the first
	s.wantEffects(2, 1)
	if r := s.wantReply("booked", messaging.Success, 0); r.Header(messaging.HeaderStarted) != two.Format(time.RFC3339Nano) || r.Header(messaging.HeaderSince) != "" {
		t.Errorf("the reply has the headers %v, want the start of the second instance", r.Headers)
	}
	s.mustDeliver(do(two))
	s.wantReply("booked", messaging.Success, 0)
	s.refuses(undo(one), ErrOutdated)
	s.refuses(do(one), ErrOutdated)
	s.mustDeliver(undo(two))
	s.wantEffects(2, 2)
	s.replies()
	s.mustDeliver(undo(two))
	s.wantReply("canceled", messaging.Success, 0)
	s.wantEffects(2, 2)

	three := two.Add(40 * day)
	s.mustDeliver(undo(three))
	s.wantReply("canceled", messaging.Nothing, 0)
	s.mustDeliver(do(three))
	s.wantNoReply()
	s.wantEffects(2, 2)
}

// age makes all that the store remembers so much older.
func (s *stage) age(by time.Duration) {
	for key, at := range s.store.handled {
		s.store.handled[key] = at.Add(-by)
	}
	for consumer, at := range s.store.horizon {
		s.store.horizon[consumer] = at.Add(-by)
	}
}

// Both were handled at one time, and a service that removes them may stop between the two.
func TestADoIsForgottenBeforeItsUndo(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	started := time.Now()
	undo := s.command(cancel{"1"}, "trip", "flight", messaging.Undo, started, time.Time{})
	s.mustDeliver(s.command(book{"1"}, "trip", "flight", messaging.Do, started, started), undo)
	s.replies()
	s.age(DefaultKeep + day)
	if n, err := s.store.Forget(t.Context(), "flights", time.Now().Add(-DefaultKeep), 1); err != nil || n != 1 {
		t.Fatalf("%d entries were removed, %v", n, err)
	}
	s.mustDeliver(undo)
	s.wantReply("canceled", messaging.Success, 0)
	s.wantEffects(1, 1)
}

// Whatever is delivered and forgotten, and whenever: the step takes effect at most once, and an undo that says it is done leaves nothing.
func TestBarrierHoldsHoweverMuchIsForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t, func(c *Config) { c.Keep = time.Duration(rapid.IntRange(7, 60).Draw(rt, "keep")) * day })
		since := time.Now()
		started := since.Add(-time.Duration(rapid.IntRange(0, 100).Draw(rt, "wait")) * day)
		settled := false
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			first := s.command(book{"1"}, "trip", "flight", messaging.Do, started, since)
			undo := s.command(cancel{"1"}, "trip", "flight", messaging.Undo, started, time.Time{})
			switch step := rapid.IntRange(0, 6).Draw(rt, "step"); step {
			case 0:
				s.deliver(first)
			case 1: // sent again
				s.deliver(s.command(book{"1"}, "trip", "flight", messaging.Do, started, time.Time{}))
			case 2:
				s.deliver(undo)
			case 3:
				s.deliver(first, undo)
			case 4:
				passed := time.Duration(rapid.IntRange(1, 40*24).Draw(rt, "hours")) * time.Hour
				s.age(passed)
				since, started = since.Add(-passed), started.Add(-passed)
			default:
				limit := rapid.IntRange(1, 3).Draw(rt, "limit")
				if _, err := s.store.Forget(t.Context(), "flights", time.Now().Add(-s.service.config.Keep), limit); err != nil {
					rt.Fatal(err)
				}
			}
			for _, r := range s.replies() {
				c, _ := messaging.CorrelationOf(r)
				settled = settled || c.Direction == messaging.Undo
			}
			if s.applied > 1 || s.undone > s.applied || settled && s.applied != s.undone {
				rt.Fatalf("applied %d times, undone %d times, undo acknowledged: %t", s.applied, s.undone, settled)
			}
		}
	})
}

func TestServiceForgetsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *Config) { c.Keep = 10 * day })
		err := s.store.InTx(t.Context(), func(ctx context.Context, tx Tx) error {
			entries := []Entry{{Consumer: "other", Key: "x"}}
			for i := range 3 * forgetPage {
				entries = append(entries, Entry{Consumer: "flights", Key: strings.Repeat("x", i)})
			}
			return tx.Put(ctx, entries)
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.service.Run(ctx) }()
		count := func() int {
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			return len(s.store.entries)
		}
		time.Sleep(10*day - time.Hour)
		if n := count(); n != 3*forgetPage+1 {
			t.Errorf("%d entries are left before their time", n)
		}
		time.Sleep(3 * time.Hour)
		if n := count(); n != 1 {
			t.Errorf("%d entries are left, want that of the other consumer", n)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = s.service.config.Bus.Broker.(interface{ Close() error }).Close()
	})
}

func TestKeepIsChecked(t *testing.T) {
	t.Parallel()
	newStage(t, func(c *Config) { c.Keep = MinKeep })
	newStage(t, func(c *Config) { c.Keep = KeepForever })
	good := newStage(t, nil).service.config
	good.Relay = nil
	for _, fault := range []struct {
		keep  time.Duration
		store Store
		says  string
	}{
		{MinKeep - 1, good.Store, "set it to 168h0m0s or more"},
		{MinKeep, struct{ Store }{good.Store}, "is no Forgetter"},
	} {
		config := good
		config.Keep, config.Store = fault.keep, fault.store
		if _, err := NewService(config); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), fault.says) {
			t.Errorf("Keep %v on %T: %v, want a fault that says %q", fault.keep, fault.store, err, fault.says)
		}
	}
	config := good
	config.Keep, config.Store = 0, struct{ Store }{good.Store}
	if _, err := NewService(config); err != nil {
		t.Errorf("a store that forgets nothing, and Keep left out: %v", err)
	}
}
