package sqlmsg_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// BenchmarkService handles commands, each with a row of its own, its inbox entry and its reply, on a
// SQLite file with synchronous=FULL; so many are outstanding at a time.
func BenchmarkService(b *testing.B) {
	for _, outstanding := range []int{1, 64} {
		b.Run(fmt.Sprint(outstanding, "outstanding"), func(b *testing.B) {
			a := newAirline(b, memmsg.Config{})
			a.config.SubscriptionType = messaging.KeyShared
			relay := a.relay()
			a.runRelay(relay)
			a.serve(relay)
			ctx := b.Context()
			go func() {
				for {
					select {
					case <-a.replies:
					case <-ctx.Done():
						return
					}
				}
			}()
			slots := make(chan struct{}, outstanding)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				slots <- struct{}{}
				n++
				id := strconv.Itoa(n)
				a.broker.Publish(context.Background(), a.command(bookSeat{id}, id, messaging.Do, 0), func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-slots
				})
			}
			for range outstanding {
				slots <- struct{}{}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "commands/s")
		})
	}
}

// BenchmarkRelay publishes committed rows and deletes them; the commits that add them are not measured.
func BenchmarkRelay(b *testing.B) {
	const rows = 4000
	broker := memmsg.New(memmsg.Config{})
	defer func() { _ = broker.Close() }()
	store := newStore(b, openDB(b, fileURL(b)), "")
	messages := make([]messaging.Message, rows)
	for i := range messages {
		messages[i] = messaging.Message{ID: strconv.Itoa(i), Topic: "topic", Key: strconv.Itoa(i % 100), Payload: make([]byte, 300)}
	}
	published := 0
	for b.Loop() {
		b.StopTimer()
		err := store.InTx(context.Background(), func(ctx context.Context, tx inbox.Tx) error { return tx.Append(ctx, messages) })
		if err != nil {
			b.Fatal(err)
		}
		kept := make(chan struct{}, rows)
		relay, err := outbox.NewRelay(outbox.Config{
			Store: store, Publisher: counting{broker, kept}, MaxInFlight: rows, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		b.StartTimer()
		go func() { ended <- relay.Run(ctx) }()
		for range rows {
			<-kept
		}
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		published += rows
	}
	b.ReportMetric(float64(published)/b.Elapsed().Seconds(), "messages/s")
}

// counting tells of each message that the broker keeps.
type counting struct {
	messaging.Publisher
	kept chan struct{}
}

func (c counting) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	c.Publisher.Publish(ctx, m, func(err error) {
		done(err)
		c.kept <- struct{}{}
	})
}

// BenchmarkAppend is the price of one message in the caller's transaction, in batches as a coordinator has them.
func BenchmarkAppend(b *testing.B) {
	db := openDB(b, fileURL(b))
	store := newStore(b, db, "")
	const batch = 64
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		messages := make([]messaging.Message, batch)
		for i := range messages {
			n++
			messages[i] = messaging.Message{ID: strconv.Itoa(n), Topic: "topic", Payload: make([]byte, 300)}
		}
		err := db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) error { return store.Append(ctx, tx, messages) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}
