package memmsg_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// The outcome of a publish is known when every subscription has acknowledged the message.
func ExampleNew() {
	broker := memmsg.New(memmsg.Config{})
	defer broker.Close()
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- broker.Subscribe(ctx, messaging.Subscription{Topic: "orders", Name: "billing"}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				for _, m := range batch {
					fmt.Println("received", m.ID)
				}
				return make([]messaging.Disposition, len(batch)) // acknowledges all
			})
	}()
	<-ready
	fmt.Println("outcome:", messaging.Publish(ctx, broker, messaging.Message{ID: "order-1", Topic: "orders"}))
	stop()
	fmt.Println("subscribe:", <-ended)
	// Output:
	// received order-1
	// outcome: <nil>
	// subscribe: <nil>
}

// A declared subscription keeps what is published before its consumer comes.
func ExampleBroker_Declare() {
	broker := memmsg.New(memmsg.Config{})
	billing := messaging.Subscription{Topic: "orders", Name: "billing", Type: messaging.Failover}
	if err := broker.Declare(billing); err != nil {
		fmt.Println(err)
		return
	}
	for _, id := range []string{"order-1", "order-2"} {
		broker.Publish(context.Background(), messaging.Message{ID: id, Topic: "orders", Key: "k"}, func(error) {})
	}
	ctx, stop := context.WithCancel(context.Background())
	err := broker.Subscribe(ctx, billing, nil, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		fmt.Println(len(batch), "at once, first", batch[0].ID)
		stop()
		return make([]messaging.Disposition, len(batch))
	})
	fmt.Println(err, broker.Close())
	// Output:
	// 2 at once, first order-1
	// <nil> <nil>
}

// A fault script is decided by a seed: the same seed gives the same faults.
func ExampleScript() {
	broker := memmsg.New(memmsg.Config{Fault: memmsg.Script(1, memmsg.Odds{Drop: 0.5})})
	defer broker.Close()
	lost := 0
	for i := range 100 {
		err := messaging.Publish(context.Background(), broker, messaging.Message{ID: fmt.Sprint(i), Topic: "orders"})
		if errors.Is(err, memmsg.ErrFault) {
			lost++
		}
	}
	fmt.Println("lost some:", lost > 0, "lost all:", lost == 100)
	// Output:
	// lost some: true lost all: false
}
