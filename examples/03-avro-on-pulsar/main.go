// Command 03-avro-on-pulsar has two versions of a service on one topic: the shop still writes orders as they were, billing knows coupons already.
// Each reads the other, as the broker keeps the schemas. A third version does not fit, and is told why before it publishes anything.
//
//	make pulsar
//	go run ./examples/03-avro-on-pulsar
//
// PULSAR_URL names another broker than the one of "make pulsar", PULSAR_ADMIN_URL its REST interface, PULSAR_NAMESPACE where to put the topics.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

const topic = "example-orders"

// A record is a plain struct and the text of its schema. The broker gets that text, byte for byte.
type orderV1 struct {
	ID    string `avro:"id"`
	Cents int64  `avro:"cents"`
}

const schemaV1 = `{"type":"record","name":"Order","fields":[
	{"name":"id","type":"string"},{"name":"cents","type":"long"}]}`

// The second version adds a field that may be null and has null as its default, which always fits.
type orderV2 struct {
	ID     string  `avro:"id"`
	Cents  int64   `avro:"cents"`
	Coupon *string `avro:"coupon"`
}

const schemaV2 = `{"type":"record","name":"Order","fields":[
	{"name":"id","type":"string"},{"name":"cents","type":"long"},
	{"name":"coupon","type":["null","string"],"default":null}]}`

// The third adds one without a default, which never fits: orders that are there already do not have it.
type orderV3 struct {
	ID       string `avro:"id"`
	Cents    int64  `avro:"cents"`
	Currency string `avro:"currency"`
}

const schemaV3 = `{"type":"record","name":"Order","fields":[
	{"name":"id","type":"string"},{"name":"cents","type":"long"},{"name":"currency","type":"string"}]}`

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err, "\nIs a broker there? \"make pulsar\" starts one, PULSAR_URL names another.")
		os.Exit(1) //nolint:gocritic // the deferred call only ends what ends with the process
	}
}

func run(ctx context.Context) error {
	third, err := avromsg.NewCodec(avromsg.Record[orderV3]("order", topic, schemaV3))
	if err != nil {
		return err
	}
	if misfit, ok := errors.AsType[*avromsg.EvolutionError](third.Check(topic, schemaV2)); ok { // best in a test, against the schema in use
		fmt.Println("version 3 does not fit:", misfit.Old.Conflicts[0])
	}

	shop, err := connect(ctx, "shop", avromsg.Record[orderV1]("order", topic, schemaV1))
	if err != nil {
		return err
	}
	billing, err := connect(ctx, "billing", avromsg.Record[orderV2]("order", topic, schemaV2))
	if err != nil {
		return errors.Join(err, shop.close())
	}
	coupon := "SPRING"
	err = errors.Join(
		shop.publish(ctx, orderV1{ID: "order-1", Cents: 1200}), shop.read(ctx), billing.read(ctx),
		billing.publish(ctx, orderV2{ID: "order-2", Cents: 900, Coupon: &coupon}), shop.read(ctx), billing.read(ctx))
	return errors.Join(err, shop.close(), billing.close())
}

// service is one process in real life: it publishes orders and reads all of them, as the version that it was built with.
type service struct {
	name   string
	broker *pulsarmsg.Broker
	codec  *avromsg.Codec
	orders chan any
	stop   func() error
}

func connect(ctx context.Context, name string, order avromsg.Type) (*service, error) {
	codec, err := avromsg.NewCodec(order)
	if err != nil {
		return nil, err
	}
	broker, err := pulsarmsg.New(pulsarmsg.Config{
		URL:       cmp.Or(os.Getenv("PULSAR_URL"), "pulsar://localhost:6650"),
		AdminURL:  os.Getenv("PULSAR_ADMIN_URL"),
		Namespace: os.Getenv("PULSAR_NAMESPACE"),
		Schemas:   codec, // registers what the topic is written with, and learns what others write
	})
	if err != nil {
		return nil, err
	}
	s := &service{name: name, broker: broker, codec: codec, orders: make(chan any)}
	router, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: broker, DeadLetters: messaging.DeadLetterTopic(broker)})
	if err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	err = router.Handle(messaging.Subscription{Topic: topic, Name: name, Type: messaging.KeyShared}, s.handle)
	if err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- router.Run(running) }()
	s.stop = func() error {
		cancel()
		return <-ended
	}
	select {
	case <-router.Ready():
		return s, nil
	case <-ctx.Done(): // the log says why
		return nil, errors.Join(ctx.Err(), s.close())
	}
}

// handle is called with each message. An order that cannot be decoded becomes a dead letter.
func (s *service) handle(ctx context.Context, m messaging.Message) error {
	order, err := s.codec.Decode(m)
	if err != nil {
		return err
	}
	select {
	case s.orders <- order:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *service) publish(ctx context.Context, order any) error {
	m, err := s.codec.Encode(order)
	if err != nil {
		return err
	}
	return messaging.Publish(ctx, s.broker, m)
}

// read prints the next order that arrives.
func (s *service) read(ctx context.Context) error {
	select {
	case order := <-s.orders:
		fmt.Println(s.name, "reads", order)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *service) close() error { return errors.Join(s.stop(), s.broker.Close()) }

// String is for people.
func (o orderV1) String() string { return fmt.Sprintf("%s of %d cents", o.ID, o.Cents) }

// String is for people.
func (o orderV2) String() string {
	coupon := "no coupon"
	if o.Coupon != nil {
		coupon = "coupon " + *o.Coupon
	}
	return fmt.Sprintf("%s of %d cents with %s", o.ID, o.Cents, coupon)
}
