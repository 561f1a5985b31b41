package pulsarmsg_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// A broker needs its address only. What cannot be published is told without asking it.
func ExampleNew() {
	broker, err := pulsarmsg.New(pulsarmsg.Config{URL: "pulsar://localhost:6650", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	err = messaging.Publish(ctx, broker, messaging.Message{ID: "order-1", Topic: "orders", Payload: make([]byte, 6<<20)})
	class, _ := messaging.Classify(err)
	fmt.Println("refused:", errors.Is(err, pulsarmsg.ErrMessage), "class:", class)
	fmt.Println("close:", broker.Close())
	fmt.Println("closed:", errors.Is(messaging.Publish(ctx, broker, messaging.Message{Topic: "orders"}), messaging.ErrClosed))
	// Output:
	// refused: true class: terminal
	// close: <nil>
	// closed: true
}

// All faults of a configuration are found at once.
func ExampleNew_faults() {
	_, err := pulsarmsg.New(pulsarmsg.Config{Namespace: "alpes", Token: "t", TokenFile: "/run/token"})
	fmt.Println(err)
	// Output:
	// pulsarmsg: bad configuration: URL is required: give the broker's address, such as pulsar://localhost:6650
	// pulsarmsg: bad configuration: Namespace is not of the form tenant/namespace
	// pulsarmsg: bad configuration: more than one of Token, TokenFile, TokenSource and OAuth2 is set
}
