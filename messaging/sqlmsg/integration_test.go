package sqlmsg_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

func TestIntegrationStore(t *testing.T) {
	t.Parallel()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, database(t).URL)
			var cases atomic.Int64
			fresh := func(t *testing.T) *sqlmsg.Store { return newStore(t, db, fmt.Sprintf("c%d_", cases.Add(1))) }
			messagingtest.RunInbox(t, func(t *testing.T) inbox.Store { return fresh(t) })
			messagingtest.RunOutbox(t, messagingtest.OutboxHarness{New: func(t *testing.T) (inbox.Store, outbox.Store) {
				s := fresh(t)
				return s, s
			}})
		})
	}
}

// One text with ? runs on every database, in a handler and outside.
func TestIntegrationRebind(t *testing.T) {
	t.Parallel()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, database(t).URL)
			store := newStore(t, db, "")
			err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
				_, err := tx.ExecContext(ctx, "CREATE TABLE seats (seat VARCHAR(8) PRIMARY KEY)")
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			broker := memmsg.New(memmsg.Config{})
			defer func() { _ = broker.Close() }()
			service, err := inbox.NewService(inbox.Config{Name: "airline", Bus: messaging.Bus{Broker: broker, Codec: seatCodec(t)}, Store: store, MaxAttempts: 1})
			if err != nil {
				t.Fatal(err)
			}
			sqlmsg.Handle(service, func(ctx context.Context, tx sqlx.ExtContext, c bookSeat) (seatBooked, error) {
				_, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO seats (seat) VALUES (?)"), c.Seat)
				return seatBooked(c), err
			})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- service.Run(ctx) }()
			defer func() {
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}()
			<-service.Ready()
			m, err := seatCodec(t).Encode(bookSeat{Seat: "12A"})
			if err != nil {
				t.Fatal(err)
			}
			m.ID = "command-1"
			if err := messaging.Publish(ctx, broker, m); err != nil { // returns once it is handled
				t.Fatal(err)
			}
			var seats int
			if err := db.Reader().GetContext(ctx, &seats, db.Reader().Rebind("SELECT COUNT(*) FROM seats WHERE seat = ?"), "12A"); err != nil || seats != 1 {
				t.Errorf("%d seats, %v; want one", seats, err)
			}
		})
	}
}
