// Command 05-dead-letters shows what becomes of a message that cannot be handled. Billing cannot bill euros, and no retry will cure that: the order goes to
// a topic of its own, with the reason, and the next one is billed. A desk reads that topic, and publishes the order again when billing has learnt about euros.
//
//	make pulsar
//	go run ./examples/05-dead-letters
//
// PULSAR_URL names another broker than the one of "make pulsar", PULSAR_NAMESPACE where to put the topics.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

const orders = "example-bills"

// billing is a service with a gap.
type billing struct {
	knowsEuros atomic.Bool
	billed     chan string
}

// handle says with its error what is to become of the message: nothing else is needed for dead letters.
func (b *billing) handle(_ context.Context, m messaging.Message) error {
	if strings.HasSuffix(string(m.Payload), "EUR") && !b.knowsEuros.Load() {
		return messaging.Permanent(errors.New("unknown currency EUR"))
	}
	b.billed <- m.ID + " for " + string(m.Payload)
	return nil
}

// desk is where dead letters are looked at.
type desk struct{ letters chan messaging.Message }

func (d *desk) handle(_ context.Context, m messaging.Message) error {
	d.letters <- m
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err, "\nIs a broker there? \"make pulsar\" starts one, PULSAR_URL names another.")
		os.Exit(1) //nolint:gocritic // the deferred call only ends what ends with the process
	}
}

func run(ctx context.Context) (err error) {
	broker, err := pulsarmsg.New(pulsarmsg.Config{
		URL: cmp.Or(os.Getenv("PULSAR_URL"), "pulsar://localhost:6650"), Namespace: os.Getenv("PULSAR_NAMESPACE"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber: broker, DeadLetters: messaging.DeadLetterTopic(broker),
		Logger: slog.New(slog.DiscardHandler), // it tells of each dead letter
	})
	if err != nil {
		return err
	}
	service, reader := &billing{billed: make(chan string, 10)}, &desk{letters: make(chan messaging.Message, 10)}
	// The desk's subscription has to be there before the first dead letter: Pulsar keeps nothing that nobody subscribes to.
	err = errors.Join(
		router.Handle(messaging.Subscription{Topic: orders, Name: "billing", Type: messaging.KeyShared}, service.handle),
		router.Handle(messaging.Subscription{Topic: messaging.DeadLetterTopicName(orders, "billing"), Name: "desk"}, reader.handle))
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- router.Run(running) }()
	err = play(ctx, router, broker, service, reader)
	stop()
	return errors.Join(err, <-ended)
}

// play publishes two orders of one customer, of which the first is poison.
func play(ctx context.Context, router *messaging.Router, broker messaging.Publisher, service *billing, reader *desk) error {
	if _, err := next(ctx, router.Ready()); err != nil {
		return err
	}
	err := messaging.Publish(ctx, broker,
		messaging.Message{ID: "order-1", Topic: orders, Key: "ana", Payload: []byte("12 EUR")},
		messaging.Message{ID: "order-2", Topic: orders, Key: "ana", Payload: []byte("9 USD")})
	if err != nil {
		return err
	}
	bill, err := next(ctx, service.billed)
	if err != nil {
		return err
	}
	fmt.Println("billed", bill)

	letter, err := next(ctx, reader.letters)
	if err != nil {
		return err
	}
	fmt.Println("dead letter", letter.ID, "of", letter.Header(messaging.HeaderDeadLetterTopic),
		"given up by", letter.Header(messaging.HeaderDeadLetterSubscription)+":", letter.Header(messaging.HeaderDeadLetterReason))

	service.knowsEuros.Store(true)
	order, err := messaging.Redrive(letter)
	if err != nil {
		return err
	}
	if err := messaging.Publish(ctx, broker, order); err != nil {
		return err
	}
	bill, err = next(ctx, service.billed)
	fmt.Println("billed", bill)
	return err
}

// next waits for a value.
func next[T any](ctx context.Context, from <-chan T) (T, error) {
	select {
	case v := <-from:
		return v, nil
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
