package outbox_test

import (
	"context"
	"fmt"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// A message that a former process committed, and one that is enqueued after its commit.
func ExampleRelay() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	broker, store := memmsg.New(memmsg.Config{}), inbox.NewMemory()
	defer func() { _ = broker.Close() }()
	commit := func(m messaging.Message) {
		if err := store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error {
			return tx.Append(ctx, []messaging.Message{m})
		}); err != nil {
			fmt.Println(err)
		}
	}
	published := make(chan string)
	subscribed, consumed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(consumed)
		_ = broker.Subscribe(ctx, messaging.Subscription{Topic: "events", Name: "reader"}, func() { close(subscribed) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				for _, m := range batch {
					published <- m.ID
				}
				return make([]messaging.Disposition, len(batch))
			})
	}()
	<-subscribed

	commit(messaging.Message{ID: "left by a crash", Topic: "events"})
	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- relay.Run(ctx) }()
	fmt.Println(<-published)

	m := messaging.Message{ID: "just committed", Topic: "events"}
	commit(m)
	relay.Enqueue(m)
	fmt.Println(<-published)

	stop()
	fmt.Println(<-ended)
	<-consumed
	// Output:
	// left by a crash
	// just committed
	// <nil>
}
