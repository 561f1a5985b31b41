package sqlmsg_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

// A participant: one handler, one transaction. The command is delivered twice and takes effect once.
func ExampleHandle() {
	type BookFlight struct{ From, To string }
	type FlightBooked struct{ Seat string }

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker := memmsg.New(memmsg.Config{})
	codec, _ := messaging.NewJSONCodec(messaging.JSON[BookFlight]("book-flight", "commands"), messaging.JSON[FlightBooked]("flight-booked", "events"))
	db, err := sqlmsg.Open(ctx, "sqlite::memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	store, _ := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err := store.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	relay, _ := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker, Logger: slog.New(slog.DiscardHandler)})
	service, _ := inbox.NewService(inbox.Config{
		Name: "flights", Bus: messaging.Bus{Broker: broker, Codec: codec}, Store: store, Relay: relay,
	})
	sqlmsg.Handle(service, func(ctx context.Context, tx sqlx.ExtContext, cmd BookFlight) (FlightBooked, error) {
		fmt.Println("booking from", cmd.From, "to", cmd.To)
		var seat string
		err := sqlx.GetContext(ctx, tx, &seat, "SELECT '12A'") // the domain's own tables, in the same transaction
		return FlightBooked{Seat: seat}, err
	})

	replies := make(chan messaging.Message, 10)
	var running sync.WaitGroup
	ready := make(chan struct{})
	running.Go(func() {
		_ = broker.Subscribe(ctx, messaging.Subscription{Topic: "events", Name: "coordinator"}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				for _, m := range batch {
					replies <- m
				}
				return make([]messaging.Disposition, len(batch))
			})
	})
	running.Go(func() { _ = relay.Run(ctx) })
	running.Go(func() { _ = service.Run(ctx) })
	<-ready
	<-service.Ready()

	command, _ := codec.Encode(BookFlight{From: "BOG", To: "MDE"})
	command = messaging.Correlation{Saga: "trip-1", Node: "flight", Direction: messaging.Do}.Stamp(command)
	for range 2 {
		if err := messaging.Publish(ctx, broker, command); err != nil {
			fmt.Println(err)
		}
		reply := <-replies
		fmt.Println(reply.Type, string(reply.Payload), reply.Header(messaging.HeaderOutcome))
	}
	stop()
	running.Wait()
	_ = broker.Close()
	// Output:
	// booking from BOG to MDE
	// flight-booked {"Seat":"12A"} success
	// flight-booked {"Seat":"12A"} success
}
