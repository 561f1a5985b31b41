package inbox_test

import (
	"context"
	"fmt"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// A participant without a database. It refuses the second booking; its replies go out by its own relay.
func ExampleHandle() {
	type Book struct{ Seat string }
	type Booked struct{ Seat string }
	type Refused struct{ Reason string }

	codec, _ := messaging.NewJSONCodec(messaging.JSON[Book]("book", "commands"),
		messaging.JSON[Booked]("booked", "events"), messaging.JSON[Refused]("refused", "events"))
	broker := memmsg.New(memmsg.Config{})
	defer func() { _ = broker.Close() }()
	store := inbox.NewMemory()
	service, err := inbox.NewService(inbox.Config{Name: "flights", Bus: messaging.Bus{Broker: broker, Codec: codec}, Store: store})
	if err != nil {
		fmt.Println(err)
		return
	}
	taken := map[string]bool{}
	inbox.Handle(service, func(_ context.Context, _ inbox.Tx, c Book) (Booked, error) {
		if taken[c.Seat] {
			return Booked{}, messaging.Refuse(Refused{Reason: "taken"})
		}
		taken[c.Seat] = true
		return Booked(c), nil
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- service.Run(ctx) }()
	<-service.Ready()

	replies := make(chan messaging.Message)
	listening := make(chan struct{})
	go func() {
		all := messaging.Subscription{Topic: "events", Name: "console"}
		ended <- broker.Subscribe(ctx, all, func() { close(listening) }, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			for _, m := range batch {
				replies <- m
			}
			return make([]messaging.Disposition, len(batch))
		})
	}()
	<-listening
	for _, saga := range []string{"trip-1", "trip-2"} {
		m, _ := codec.Encode(Book{Seat: "12A"})
		m = messaging.Correlation{Saga: saga, Node: "flight", Direction: messaging.Do}.Stamp(m)
		if err := messaging.Publish(ctx, broker, m); err != nil { // returns when the service has committed
			fmt.Println(err)
		}
		r := <-replies
		fmt.Println(r.Header(messaging.HeaderSaga), r.Type, r.Header(messaging.HeaderOutcome))
	}
	stop()
	fmt.Println(<-ended, <-ended)
	// Output:
	// trip-1 booked success
	// trip-2 refused failure
	// <nil> <nil>
}

func ExampleNewMemory() {
	store, ctx := inbox.NewMemory(), context.Background()
	err := store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
		return tx.Append(ctx, []messaging.Message{{ID: "1", Topic: "events"}})
	})
	pending, _ := store.Pending(ctx, 0, 10)
	fmt.Println(err, len(pending), pending[0].ID)
	// Output: <nil> 1 1
}

func ExampleDecide() {
	undo := messaging.Correlation{Saga: "trip-1", Node: "flight", Direction: messaging.Undo}
	fmt.Println(inbox.Decide(undo, nil, nil) == inbox.Bar)
	fmt.Println(inbox.Decide(undo, &inbox.Entry{Outcome: messaging.Success}, nil) == inbox.Run)
	// Output:
	// true
	// true
}
