package inbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	book     struct{ Seat string }
	cancel   struct{ Seat string }
	booked   struct{ Seat string }
	refused  struct{ Why string }
	canceled struct{ Seat string }
	noticed  struct{ Seat string }
)

// stage is a service whose batches a test delivers by hand.
type stage struct {
	t       testing.TB
	store   *Memory
	codec   messaging.Codec
	service *Service
	// do and undo are what the handlers return; they count the effects that they have.
	do, undo        func() error
	applied, undone int
	calls           int
}

func newStage(t testing.TB, change func(*Config)) *stage {
	t.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[book]("book", "commands"), messaging.JSON[cancel]("cancel", "commands"),
		messaging.JSON[booked]("booked", "events"), messaging.JSON[refused]("refused", "events"),
		messaging.JSON[canceled]("canceled", "events"), messaging.JSON[noticed]("noticed", "notices"),
	)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, store: NewMemory(), codec: codec, do: func() error { return nil }, undo: func() error { return nil }}
	config := Config{
		Name: "flights", Bus: messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: codec}, Store: s.store,
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	if s.service, err = NewService(config); err != nil {
		t.Fatal(err)
	}
	Handle(s.service, func(ctx context.Context, tx Tx, c book) (booked, error) {
		s.calls++
		if err := tx.Append(ctx, []messaging.Message{{ID: "side/" + c.Seat, Topic: "side"}}); err != nil {
			return booked{}, err
		}
		if err := s.do(); err != nil {
			return booked{}, err
		}
		s.applied++
		return booked(c), nil
	})
	Handle(s.service, func(ctx context.Context, tx Tx, c cancel) (canceled, error) {
		s.calls++
		if err := s.undo(); err != nil {
			return canceled{}, err
		}
		s.undone++
		return canceled(c), nil
	})
	Handle(s.service, func(context.Context, Tx, noticed) (struct{}, error) {
		s.calls++
		return struct{}{}, s.do()
	})
	return s
}

func (s *stage) message(v any, c messaging.Correlation) messaging.Message {
	m, err := s.codec.Encode(v)
	if err != nil {
		s.t.Fatal(err)
	}
	m.ID, m.Key = c.Saga+c.Node+string(c.Direction), c.Saga
	return c.Stamp(m)
}

func (s *stage) book(epoch int) messaging.Message {
	return s.message(book{"12A"}, messaging.Correlation{Saga: "trip", Node: "flight", Direction: messaging.Do, Epoch: epoch})
}

func (s *stage) cancel(epoch int) messaging.Message {
	return s.message(cancel{"12A"}, messaging.Correlation{Saga: "trip", Node: "flight", Direction: messaging.Undo, Epoch: epoch})
}

func (s *stage) deliver(messages ...messaging.Message) []error {
	return s.service.handleBatch(s.t.Context(), messages)
}

func (s *stage) mustDeliver(messages ...messaging.Message) {
	s.t.Helper()
	if err := errors.Join(s.deliver(messages...)...); err != nil {
		s.t.Fatal(err)
	}
}

// replies takes what is on the topic out of the outbox.
func (s *stage) replies() (all []messaging.Message) {
	s.t.Helper()
	rows, err := s.store.Pending(s.t.Context(), 0, 1000)
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.ID)
		if row.Topic == "events" {
			all = append(all, row)
		}
	}
	if err := errors.Join(err, s.store.Delete(s.t.Context(), ids)); err != nil {
		s.t.Fatal(err)
	}
	return all
}

// wantReply takes the only reply, of type and outcome.
func (s *stage) wantReply(kind string, outcome messaging.Outcome, epoch int) messaging.Message {
	s.t.Helper()
	all := s.replies()
	if len(all) != 1 {
		s.t.Fatalf("%d replies, want one", len(all))
	}
	r := all[0]
	c, ok := messaging.CorrelationOf(r)
	if r.Type != kind || messaging.Outcome(r.Header(messaging.HeaderOutcome)) != outcome || !ok || c.Epoch != epoch || r.Key != "trip" {
		s.t.Fatalf("the reply is a %s with key %q and headers %v; want a %s, %s, epoch %d", r.Type, r.Key, r.Headers, kind, outcome, epoch)
	}
	return r
}

func (s *stage) wantNoReply() {
	s.t.Helper()
	if all := s.replies(); len(all) != 0 {
		s.t.Fatalf("%d replies, want none", len(all))
	}
}

// entry is what the service remembers of a command.
func (s *stage) entry(m messaging.Message) (e Entry) {
	s.t.Helper()
	c, _ := messaging.CorrelationOf(m)
	err := s.store.InTx(s.t.Context(), func(ctx context.Context, tx Tx) error {
		found, err := tx.Entries(ctx, "flights", []string{key(c, c.Direction)})
		e = found[key(c, c.Direction)]
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func (s *stage) wantEffects(applied, undone int) {
	s.t.Helper()
	if s.applied != applied || s.undone != undone {
		s.t.Fatalf("applied %d times and undone %d times, want %d and %d", s.applied, s.undone, applied, undone)
	}
}

func TestRepeatedCommandGivesTheSameReply(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	command := s.book(0).WithHeader(messaging.HeaderTraceparent, "00-a-b-01")
	s.mustDeliver(command)
	first := s.wantReply("booked", messaging.Success, 0)
	if first.Header(messaging.HeaderTraceparent) != "00-a-b-01" {
		t.Error("the reply does not go on with the command's trace")
	}
	s.mustDeliver(command, command) // both in one batch
	if again := s.wantReply("booked", messaging.Success, 0); again.ID != first.ID || !bytes.Equal(again.Payload, first.Payload) {
		t.Errorf("the second reply has ID %s, want that of the first, %s", again.ID, first.ID)
	}
	s.wantEffects(1, 0)
}

func TestNewEpochAfterRefusalRunsAgainAndAfterSuccessDoesNot(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.do = func() error { return messaging.Refuse(refused{Why: "full"}) }
	s.mustDeliver(s.book(0))
	first := s.wantReply("refused", messaging.Failure, 0)
	s.wantEffects(0, 0)
	s.mustDeliver(s.book(0))
	s.wantReply("refused", messaging.Failure, 0)
	s.do = func() error { return nil }
	s.mustDeliver(s.book(1))
	if second := s.wantReply("booked", messaging.Success, 1); second.ID == first.ID {
		t.Error("the replies of two epochs share an ID")
	}
	s.mustDeliver(s.book(2)) // asked anew, although it was done: it must get an answer of its own
	s.wantReply("booked", messaging.Success, 2)
	s.mustDeliver(s.book(1))
	s.wantReply("booked", messaging.Success, 2)
	s.wantEffects(1, 0)
}

func TestARefusalHasNoEffect(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	s.do = func() error { return messaging.Refuse(refused{Why: "full"}) }
	s.mustDeliver(s.book(0))
	rows, err := s.store.Pending(t.Context(), 0, 10)
	if err != nil || len(rows) != 1 || rows[0].Topic != "events" {
		t.Errorf("the outbox has %d messages, %v; want only the reply, not what the handler appended", len(rows), err)
	}
}

func TestUndoRunsAfterDoAndBarsItBefore(t *testing.T) {
	t.Parallel()
	t.Run("after", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, nil)
		s.mustDeliver(s.book(0), s.cancel(0), s.cancel(0))
		if all := s.replies(); len(all) != 2 {
			t.Fatalf("%d replies, want 2", len(all))
		}
		s.wantEffects(1, 1)
		s.mustDeliver(s.book(0), s.book(1))
		s.wantNoReply()
		s.wantEffects(1, 1)
	})
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, nil)
		s.mustDeliver(s.cancel(0))
		reply := s.wantReply("canceled", messaging.Nothing, 0)
		if string(reply.Payload) != `{"Seat":""}` {
			t.Errorf("the reply is %s, want the zero event", reply.Payload)
		}
		if e := s.entry(s.book(0)); e.Outcome != messaging.Nothing {
			t.Errorf("the do's entry is %+v, want a tombstone", e)
		}
		s.mustDeliver(s.book(0), s.book(1))
		s.wantNoReply()
		s.wantEffects(0, 0)
		s.mustDeliver(s.cancel(0))
		if again := s.wantReply("canceled", messaging.Nothing, 0); again.ID != reply.ID {
			t.Error("a repeated undo gave another reply")
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		s := newStage(t, nil)
		s.do = func() error { return messaging.Refuse(refused{}) }
		s.mustDeliver(s.book(0))
		s.replies()
		s.mustDeliver(s.cancel(0))
		s.wantReply("canceled", messaging.Nothing, 0)
		s.do = func() error { return nil }
		s.mustDeliver(s.book(1))
		s.wantNoReply()
		s.wantEffects(0, 0)
	})
}

func TestOneFailureIsItsMessagesOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	other := func(saga string) messaging.Message {
		return s.message(book{saga}, messaging.Correlation{Saga: saga, Node: "n", Direction: messaging.Do})
	}
	n := 0
	s.do = func() error {
		switch n++; n {
		case 2:
			return errors.New("database of another team is down")
		case 3:
			panic("a bug")
		case 4:
			return messaging.Permanent(errors.New("never"))
		}
		return nil
	}
	malformed := other("f")
	malformed.Payload = []byte("{")
	incomplete := other("g")
	delete(incomplete.Headers, messaging.HeaderEpoch)
	errs := s.deliver(other("a"), other("b"), other("c"), other("d"), other("e"), malformed, incomplete)
	var fault *messaging.PanicError
	for i, ok := range []bool{
		errs[0] == nil,
		errs[1] != nil && class(errs[1]) == messaging.Transient,
		errors.As(errs[2], &fault) && len(fault.Stack) > 0,
		errs[3] != nil && class(errs[3]) == messaging.Terminal,
		errs[4] == nil,
		errors.Is(errs[5], messaging.ErrMalformed) && class(errs[5]) == messaging.Terminal,
		errs[6] != nil && class(errs[6]) == messaging.Terminal,
	} {
		if !ok {
			t.Errorf("message %d ended with %v", i, errs[i])
		}
	}
	rows, err := s.store.Pending(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, row := range rows {
		if row.Topic == "side" {
			ids = append(ids, row.ID)
		}
	}
	if want := []string{"side/a", "side/e"}; !slices.Equal(ids, want) {
		t.Errorf("handlers left %q in the outbox, want %q", ids, want)
	}
	if s.wantEffects(2, 0); len(s.replies()) != 2 {
		t.Error("want one reply for each message that went well")
	}
	s.mustDeliver(other("b"))
	s.wantEffects(3, 0)
}

func class(err error) messaging.Class {
	c, _ := messaging.Classify(err)
	return c
}

func TestMessagesOfNoSagaRunOncePerIdentity(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	plain, err := s.codec.Encode(book{"1"})
	if err != nil {
		t.Fatal(err)
	}
	byBroker := plain
	plain.ID, byBroker.BrokerID = "id", "7:1"
	s.mustDeliver(plain, byBroker, plain)
	s.mustDeliver(byBroker)
	s.wantEffects(2, 0)
	for _, r := range s.replies() {
		if r.ID == "" || len(r.Headers) != 1 || r.Header(messaging.HeaderOutcome) != string(messaging.Success) {
			t.Errorf("a reply has ID %q and headers %v; want an ID and of a saga's headers the outcome only", r.ID, r.Headers)
		}
	}
}

// What another participant answered is an event here: answering it must not look like the answer of its command.
func TestRepliesOfOthersAreEvents(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	m := s.book(0).WithHeader(messaging.HeaderOutcome, string(messaging.Success))
	s.mustDeliver(m, m)
	all := s.replies()
	if len(all) != 1 || all[0].Header(messaging.HeaderSaga) != "" || s.applied != 1 {
		t.Errorf("%d replies, headers %v, applied %d; want one without a saga", len(all), all[0].Headers, s.applied)
	}
}

func TestHandlersWithoutReplyAndTypesWithoutHandler(t *testing.T) {
	t.Parallel()
	s := newStage(t, nil)
	c := messaging.Correlation{Saga: "trip", Node: "notice", Direction: messaging.Do}
	s.mustDeliver(s.message(noticed{"1"}, c), s.message(noticed{"1"}, c), s.message(booked{"1"}, c))
	if s.calls != 1 {
		t.Errorf("the handler was called %d times, want once", s.calls)
	}
	s.wantNoReply()
}

func TestOrderedSubscriptionsHoldTheKeyOfAFailure(t *testing.T) {
	t.Parallel()
	for _, kind := range []messaging.SubscriptionType{messaging.Shared, messaging.KeyShared} {
		s := newStage(t, func(c *Config) { c.SubscriptionType = kind })
		first := true
		s.do = func() error {
			if first {
				first = false
				return errors.New("not yet")
			}
			return nil
		}
		c := messaging.Correlation{Saga: "trip", Node: "hotel", Direction: messaging.Do}
		errs := s.deliver(s.book(0), s.message(book{"2"}, c), s.message(book{"3"}, messaging.Correlation{Saga: "x", Node: "y", Direction: messaging.Do}))
		if held := errs[1] != nil; errs[0] == nil || held != (kind != messaging.Shared) || errs[2] != nil {
			t.Errorf("type %v: the batch ended with %v", kind, errs)
		}
	}
}

// flaky fails some of its transactions.
type flaky struct {
	*Memory
	fail func(ctx context.Context, run func() error) error
}

func (f flaky) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	return f.fail(ctx, func() error { return f.Memory.InTx(ctx, fn) })
}

func TestAFailedTransactionIsTriedMessageByMessage(t *testing.T) {
	t.Parallel()
	var s *stage
	failures := 0
	s = newStage(t, func(c *Config) {
		c.Store = flaky{c.Store.(*Memory), func(ctx context.Context, run func() error) error {
			if err := run(); err != nil || failures == 0 {
				return err
			}
			failures--
			return errors.New("the answer to the commit was lost")
		}}
	})
	failures = 2 // of the batch, and of its first message alone
	other := s.message(book{"b"}, messaging.Correlation{Saga: "b", Node: "n", Direction: messaging.Do})
	errs := s.deliver(s.book(0), other)
	if errs[0] == nil || errs[1] != nil {
		t.Errorf("the batch ended with %v, want an error of the first message only", errs)
	}
	s.mustDeliver(s.book(0))
	s.wantEffects(2, 0)
	if n := len(s.replies()); n != 2 {
		t.Errorf("%d replies, want 2", n)
	}
}

// TestALostRaceIsTriedAgain: the winner has committed the same, which the loser finds.
func TestALostRaceIsTriedAgain(t *testing.T) {
	t.Parallel()
	begun := 0
	s := newStage(t, func(c *Config) {
		c.Store = flaky{c.Store.(*Memory), func(_ context.Context, run func() error) error {
			begun++
			err := run()
			if begun == 1 && err == nil {
				return fmt.Errorf("put: %w", ErrRace)
			}
			return err
		}}
	})
	other := s.message(book{"b"}, messaging.Correlation{Saga: "b", Node: "n", Direction: messaging.Do})
	s.mustDeliver(s.book(0), other)
	s.wantEffects(2, 0)
	if n := len(s.replies()); n != 2 || begun != 2 {
		t.Errorf("%d replies after %d transactions, want 2 and 2", n, begun)
	}
}

// doomed is a transaction that a message of one saga dooms.
type doomed struct{ Tx }

func (d doomed) Savepoint(ctx context.Context, fn func(context.Context) error) error {
	if err := d.Tx.Savepoint(ctx, fn); err != nil {
		return fmt.Errorf("%w: %w", ErrTx, err)
	}
	return nil
}

type dooming struct {
	*Memory
	begun *int
}

func (d dooming) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	*d.begun++
	return d.Memory.InTx(ctx, func(ctx context.Context, tx Tx) error { return fn(ctx, doomed{tx}) })
}

func TestADoomedTransactionIsGivenUp(t *testing.T) {
	t.Parallel()
	begun := 0
	s := newStage(t, func(c *Config) { c.Store = dooming{c.Store.(*Memory), &begun} })
	s.do = func() error {
		if s.calls <= 2 { // in the batch, and alone
			return errors.New("this one")
		}
		return nil
	}
	other := s.message(book{"b"}, messaging.Correlation{Saga: "b", Node: "n", Direction: messaging.Do})
	errs := s.deliver(s.book(0), other)
	if !errors.Is(errs[0], ErrTx) || begun != 3 {
		t.Errorf("the batch ended with %v after %d transactions, want ErrTx for the first message, and 3", errs, begun)
	}
}

func TestAStoreThatIsDownDelaysWithoutCounting(t *testing.T) {
	t.Parallel()
	begun := 0
	s := newStage(t, func(c *Config) {
		c.Store = flaky{c.Store.(*Memory), func(context.Context, func() error) error {
			begun++
			return errors.New("connection refused")
		}}
	})
	for _, err := range s.deliver(s.book(0), s.book(1), s.book(2)) {
		if c, after := messaging.Classify(err); c != messaging.Delayed || after <= 0 {
			t.Errorf("a message ended with %v, want a delay", err)
		}
	}
	if begun != 1 {
		t.Errorf("%d transactions were tried, want one", begun)
	}
}

func TestRunTellsTheFaultsOfAllRegistrations(t *testing.T) {
	t.Parallel()
	type unknown struct{}
	s := newStage(t, nil)
	Handle(s.service, func(context.Context, Tx, unknown) (struct{}, error) { return struct{}{}, nil })
	Handle(s.service, func(context.Context, Tx, canceled) (unknown, error) { return unknown{}, nil })
	Handle(s.service, func(context.Context, Tx, book) (booked, error) { return booked{}, nil })
	err := s.service.Run(t.Context())
	if !errors.Is(err, ErrConfig) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("Run returned %v, want three faults", err)
	}
	if _, err := NewService(Config{MaxBatch: -1}); !errors.Is(err, ErrConfig) || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("NewService returned %v, want five faults", err)
	}
}
