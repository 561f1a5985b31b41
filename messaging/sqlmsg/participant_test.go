package sqlmsg_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

type (
	bookSeat     struct{ Seat string }
	cancelSeat   struct{ Seat string }
	seatBooked   struct{ Seat string }
	seatRefused  struct{ Reason string }
	seatCanceled struct{ Seat string }
	seatNoticed  struct{ Seat string }
)

func seatCodec(t testing.TB) messaging.Codec {
	t.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[bookSeat]("book-seat", "seat-commands"), messaging.JSON[cancelSeat]("cancel-seat", "seat-commands"),
		messaging.JSON[seatBooked]("seat-booked", "seat-events"), messaging.JSON[seatRefused]("seat-refused", "seat-events"),
		messaging.JSON[seatCanceled]("seat-canceled", "seat-events"), messaging.JSON[seatNoticed]("seat-noticed", "seat-notices"),
	)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// airline is a participant on a database and a broker, with an observer of what it answers.
type airline struct {
	t       testing.TB
	broker  *memmsg.Broker
	codec   messaging.Codec
	db      *sqlmsg.DB
	store   *sqlmsg.Store
	config  inbox.Config
	faults  chan error // what the next calls of the do handler return first
	replies chan messaging.Message
	seen    map[string]bool // IDs of replies
}

func newAirline(t testing.TB, config memmsg.Config) *airline {
	t.Helper()
	a := &airline{
		t: t, broker: memmsg.New(config), codec: seatCodec(t), db: openDB(t, fileURL(t)),
		faults: make(chan error, 10), replies: make(chan messaging.Message, 1000),
		seen: map[string]bool{},
	}
	t.Cleanup(func() { _ = a.broker.Close() })
	a.store = newStore(t, a.db, "")
	err := a.db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE seats (seat TEXT PRIMARY KEY)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.config = inbox.Config{
		Name: "airline", Bus: messaging.Bus{Broker: a.broker, Codec: a.codec}, Store: a.store,
		Backoff: messaging.Backoff{Base: time.Millisecond}, Logger: slog.New(slog.DiscardHandler),
	}
	for _, topic := range []string{"seat-events", "seat-notices"} {
		a.run(func(ctx context.Context, ready func()) error {
			return a.broker.Subscribe(ctx, messaging.Subscription{Topic: topic, Name: "observer"}, ready,
				func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
					for _, m := range batch {
						a.replies <- m
					}
					return make([]messaging.Disposition, len(batch))
				})
		})
	}
	return a
}

// run runs fn until stop is called or the test ends, and returns once it is ready.
func (a *airline) run(fn func(ctx context.Context, ready func()) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := fn(ctx, sync.OnceFunc(func() { close(ready) })); err != nil {
			a.t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	a.t.Cleanup(stop)
	select {
	case <-ready:
	case <-ended:
	}
	return stop
}

func (a *airline) serve(relay *outbox.Relay) (stop func()) {
	a.t.Helper()
	config := a.config
	config.Relay = relay
	service, err := inbox.NewService(config)
	if err != nil {
		a.t.Fatal(err)
	}
	sqlmsg.Handle(service, a.book)
	sqlmsg.Handle(service, a.cancel)
	return a.run(func(ctx context.Context, ready func()) error {
		go func() {
			select {
			case <-service.Ready():
				ready()
			case <-ctx.Done():
			}
		}()
		return service.Run(ctx)
	})
}

func (a *airline) relay() *outbox.Relay {
	a.t.Helper()
	relay, err := outbox.NewRelay(outbox.Config{Store: a.store, Publisher: a.broker, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		a.t.Fatal(err)
	}
	return relay
}

func (a *airline) runRelay(relay *outbox.Relay) (stop func()) {
	return a.run(func(ctx context.Context, ready func()) error {
		ready()
		return relay.Run(ctx)
	})
}

func (a *airline) book(ctx context.Context, tx sqlx.ExtContext, c bookSeat) (seatBooked, error) {
	if _, err := tx.ExecContext(ctx, "INSERT INTO seats (seat) VALUES (?)", c.Seat); err != nil {
		return seatBooked{}, err
	}
	notice, err := a.codec.Encode(seatNoticed(c))
	if err != nil {
		return seatBooked{}, err
	}
	notice.ID = "notice of " + c.Seat
	if err := a.store.Append(ctx, tx, []messaging.Message{notice}); err != nil {
		return seatBooked{}, err
	}
	select {
	case err := <-a.faults:
		return seatBooked{}, err
	default:
		return seatBooked(c), nil
	}
}

func (a *airline) cancel(ctx context.Context, tx sqlx.ExtContext, c cancelSeat) (seatCanceled, error) {
	_, err := tx.ExecContext(ctx, "DELETE FROM seats WHERE seat = ?", c.Seat)
	return seatCanceled(c), err
}

func (a *airline) command(v any, saga string, d messaging.Direction, epoch int) messaging.Message {
	a.t.Helper()
	m, err := a.codec.Encode(v)
	if err != nil {
		a.t.Fatal(err)
	}
	m.ID, m.Key = saga+string(d), saga
	return messaging.Correlation{Saga: saga, Node: "flight", Direction: d, Epoch: epoch}.Stamp(m)
}

func (a *airline) send(messages ...messaging.Message) {
	a.t.Helper()
	if err := messaging.Publish(context.Background(), a.broker, messages...); err != nil {
		a.t.Fatal(err)
	}
}

// want takes the next new messages from the service, which come in any order, and checks their types and outcomes. What
// comes twice is the broker's and the relay's right.
func (a *airline) want(all ...string) (ids []string) {
	a.t.Helper()
	missing := map[string]int{}
	for _, w := range all {
		missing[w]++
	}
	for len(ids) < len(all) {
		m := <-a.replies
		if a.seen[m.ID] {
			continue
		}
		a.seen[m.ID] = true
		kind := m.Type + " " + m.Header(messaging.HeaderOutcome)
		if missing[kind]--; missing[kind] < 0 {
			a.t.Fatalf("got a %q, want %q in some order", kind, all)
		}
		ids = append(ids, m.ID)
	}
	return ids
}

// wantAgain waits for a repeated answer.
func (a *airline) wantAgain(ids []string) {
	for m := range a.replies {
		if slices.Contains(ids, m.ID) && m.Type == "seat-booked" {
			return
		}
	}
}

func (a *airline) wantSeats(seats ...string) {
	a.t.Helper()
	var got []string
	if err := a.db.Reader().Select(&got, "SELECT seat FROM seats ORDER BY seat"); err != nil {
		a.t.Fatal(err)
	}
	if !slices.Equal(got, seats) {
		a.t.Fatalf("seats are %q, want %q", got, seats)
	}
}

func TestParticipant(t *testing.T) {
	t.Parallel()
	const booked, noticed, refused, canceled, barred = "seat-booked success", "seat-noticed ", "seat-refused failure",
		"seat-canceled success", "seat-canceled nothing"
	a := newAirline(t, memmsg.Config{})
	relay := a.relay()
	stopRelay, stopService := a.runRelay(relay), a.serve(relay)

	// Duplicates: one effect, the same answer again.
	first := a.command(bookSeat{"1A"}, "a", messaging.Do, 0)
	a.send(first)
	once := a.want(booked, noticed)
	a.send(first, first)
	a.wantAgain(once)
	a.wantSeats("1A")

	// Undo after do, then the do once more.
	a.send(a.command(cancelSeat{"1A"}, "a", messaging.Undo, 0))
	a.want(canceled)
	a.send(first)
	a.wantSeats()

	// Undo before do: nothing to undo, and the late do does nothing.
	a.send(a.command(cancelSeat{"2B"}, "b", messaging.Undo, 0))
	a.want(barred)
	a.send(a.command(bookSeat{"2B"}, "b", messaging.Do, 0))
	a.wantSeats()

	// A refusal takes back what the handler did, and may be asked anew.
	a.faults <- messaging.Refuse(seatRefused{Reason: "full"})
	a.send(a.command(bookSeat{"3C"}, "c", messaging.Do, 0))
	a.want(refused)
	a.wantSeats()
	a.send(a.command(bookSeat{"3C"}, "c", messaging.Do, 1))
	a.want(booked, noticed)
	a.wantSeats("3C")

	// Any other error is tried again, a permanent one becomes a dead letter.
	a.faults <- errors.New("first attempt")
	a.faults <- errors.New("second attempt")
	a.send(a.command(bookSeat{"4D"}, "d", messaging.Do, 0))
	a.want(booked, noticed)
	a.faults <- messaging.Permanent(errors.New("no such plane"))
	a.send(a.command(bookSeat{"5E"}, "e", messaging.Do, 0))
	letters, err := a.store.DeadLetters(t.Context(), 0, 10)
	if err != nil || len(letters) != 1 || letters[0].Reason != "no such plane" || letters[0].Message.ID != "edo" {
		t.Errorf("dead letters are %+v, %v; want the one command", letters, err)
	}
	a.wantSeats("3C", "4D")

	// A crash between commit and publish: what was committed is published by the next relay.
	stopRelay()
	a.send(a.command(bookSeat{"6F"}, "f", messaging.Do, 0)) // committed and acknowledged, but nobody publishes
	a.wantSeats("3C", "4D", "6F")
	stopService()
	relay = a.relay()
	a.serve(relay)
	stopRelay = a.runRelay(relay)
	a.want(booked, noticed)
	stopRelay()
	if rows, err := a.store.Pending(t.Context(), 0, 10); err != nil || len(rows) != 0 {
		t.Errorf("%d rows are left in the outbox, %v", len(rows), err)
	}
}

// A broker that loses, repeats and reorders, and replies that are lost: the coordinator asks again until it is answered.
func TestParticipantOnABadNetwork(t *testing.T) {
	t.Parallel()
	a := newAirline(t, memmsg.Config{Fault: memmsg.Script(7, memmsg.Odds{Drop: 0.2, Fail: 0.2, Duplicate: 0.3, Delay: 0.2, Behind: 0.3})})
	relay := a.relay()
	a.runRelay(relay)
	a.serve(relay)
	const sagas = 40
	waiting := map[string]messaging.Message{}
	for i := range sagas {
		saga := string(rune('a'+i%26)) + string(rune('a'+i/26))
		waiting[saga] = a.command(bookSeat{saga}, saga, messaging.Do, 0)
	}
	for len(waiting) > 0 {
		for _, m := range waiting {
			a.broker.Publish(context.Background(), m, func(error) {})
		}
		for again := time.After(50 * time.Millisecond); again != nil; {
			select {
			case m := <-a.replies:
				delete(waiting, m.Header(messaging.HeaderSaga))
			case <-again:
				again = nil
			}
		}
	}
	var seats int
	if err := a.db.Reader().Get(&seats, "SELECT count(*) FROM seats"); err != nil || seats != sagas {
		t.Errorf("%d seats are booked, %v; want %d", seats, err, sagas)
	}
}

func TestHandleOnAnotherStoreIsADeadLetter(t *testing.T) {
	t.Parallel()
	broker := memmsg.New(memmsg.Config{})
	defer func() { _ = broker.Close() }()
	store := inbox.NewMemory()
	a := &airline{t: t, codec: seatCodec(t)}
	service, err := inbox.NewService(inbox.Config{
		Name: "airline", Bus: messaging.Bus{Broker: broker, Codec: a.codec}, Store: store, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	sqlmsg.Handle(service, a.cancel)
	stop := a.run(func(ctx context.Context, ready func()) error {
		go func() {
			<-service.Ready()
			ready()
		}()
		return service.Run(ctx)
	})
	m := a.command(cancelSeat{"1A"}, "a", messaging.Undo, 0)
	delete(m.Headers, messaging.HeaderSaga)
	if err := messaging.Publish(t.Context(), broker, m); err != nil {
		t.Fatal(err)
	}
	stop()
	if letters := store.DeadLetters(); len(letters) != 1 {
		t.Errorf("%d dead letters, want one", len(letters))
	}
}
