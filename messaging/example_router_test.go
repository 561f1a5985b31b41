package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// A router gives messages to a handler and settles them by its error.
func ExampleRouter() {
	broker := memmsg.New(memmsg.Config{})
	defer broker.Close()
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber:  broker,
		DeadLetters: messaging.DeadLetterTopic(broker),
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := func(_ context.Context, m messaging.Message) error {
		fmt.Printf("delivery %d of %s\n", m.Delivery, m.ID)
		if m.Delivery == 1 {
			return errors.New("the database is down") // tried again after a while
		}
		return nil
	}
	orders := messaging.Subscription{Topic: "orders", Name: "billing", Type: messaging.KeyShared}
	if err := router.Handle(orders, handler); err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Ready()
	fmt.Println("outcome:", messaging.Publish(ctx, broker, messaging.Message{ID: "order-1", Topic: "orders", Key: "order-1"}))
	stop()
	fmt.Println("run:", <-ended)
	// Output:
	// delivery 1 of order-1
	// delivery 2 of order-1
	// outcome: <nil>
	// run: <nil>
}

// A message that no retry cures becomes a dead letter on a topic of its own.
func ExampleDeadLetterTopic() {
	broker := memmsg.New(memmsg.Config{})
	defer broker.Close()
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber:  broker,
		DeadLetters: messaging.DeadLetterTopic(broker),
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = errors.Join(
		router.Handle(messaging.Subscription{Topic: "orders", Name: "billing"}, func(context.Context, messaging.Message) error {
			return messaging.Permanent(errors.New("no such customer"))
		}),
		router.Handle(messaging.Subscription{Topic: messaging.DeadLetterTopicName("orders", "billing"), Name: "desk"},
			func(_ context.Context, m messaging.Message) error {
				fmt.Println(m.Topic, m.ID, string(m.Payload))
				fmt.Println("reason:", m.Header(messaging.HeaderDeadLetterReason))
				return nil
			}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Ready()
	if err := messaging.Publish(ctx, broker, messaging.Message{ID: "order-1", Topic: "orders", Payload: []byte("three mugs")}); err != nil {
		fmt.Println(err)
	}
	stop()
	<-ended
	// Output:
	// orders-billing-DLQ order-1 three mugs
	// reason: no such customer
}

// Middleware wraps every handler; the first given is outermost.
func ExampleObserve() {
	observe := messaging.Observe(func(o messaging.Observation) {
		fmt.Printf("type=%s class=%v err=%v\n", o.Type, o.Class, o.Err)
	})
	handler := observe(func(context.Context, messaging.Message) error {
		return messaging.Permanent(errors.New("no such customer"))
	})
	_ = handler(context.Background(), messaging.Message{Type: "order-placed"})
	// Output:
	// type=order-placed class=terminal err=no such customer
}
