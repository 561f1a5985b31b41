package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// fakeClient stands for the vendor's client in tests of what a real one does only now and then.
type fakeClient struct {
	pulsar.Client
	produce   func(pulsar.ProducerOptions) (pulsar.Producer, error)
	subscribe func(pulsar.ConsumerOptions) (pulsar.Consumer, error)

	mu         sync.Mutex
	partitions []string
}

func (c *fakeClient) CreateProducer(o pulsar.ProducerOptions) (pulsar.Producer, error) {
	return c.produce(o)
}
func (c *fakeClient) Subscribe(o pulsar.ConsumerOptions) (pulsar.Consumer, error) {
	return c.subscribe(o)
}
func (c *fakeClient) TopicPartitions(string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.partitions, nil
}
func (c *fakeClient) setPartitions(partitions ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partitions = partitions
}
func (c *fakeClient) Close() {}

type callback func(pulsar.MessageID, *pulsar.ProducerMessage, error)

// fakeProducer takes messages and calls nobody back.
type fakeProducer struct {
	pulsar.Producer
	sends   func(m *pulsar.ProducerMessage, done callback) // nil: to sent
	sent    chan sent
	hang    bool // Close does not return before the test ends
	options pulsar.ProducerOptions
	ended   chan struct{}

	mu     sync.Mutex
	closed int
}

type sent struct {
	message *pulsar.ProducerMessage
	done    callback
}

func newFakeProducer() *fakeProducer {
	return &fakeProducer{sent: make(chan sent, 10_000), ended: make(chan struct{})}
}

func (p *fakeProducer) SendAsync(_ context.Context, m *pulsar.ProducerMessage, done func(pulsar.MessageID, *pulsar.ProducerMessage, error)) {
	if p.sends != nil {
		p.sends(m, done)
		return
	}
	p.sent <- sent{m, done}
}

func (p *fakeProducer) FlushWithCtx(context.Context) error { return nil }

func (p *fakeProducer) Close() {
	p.mu.Lock()
	p.closed++
	p.mu.Unlock()
	if p.hang {
		<-p.ended
	}
}

func (p *fakeProducer) closes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// fakeConsumer remembers what it is told.
type fakeConsumer struct {
	pulsar.Consumer
	options pulsar.ConsumerOptions
	hang    bool
	ended   chan struct{}

	mu     sync.Mutex
	acked  []string
	closed int
}

func (c *fakeConsumer) AckID(id pulsar.MessageID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed > 0 {
		return errors.New("closed")
	}
	c.acked = append(c.acked, brokerID(id))
	return nil
}

func (c *fakeConsumer) Close() {
	c.mu.Lock()
	c.closed++
	c.mu.Unlock()
	if c.hang {
		<-c.ended
	}
}

func (c *fakeConsumer) acks() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.acked...)
}

func (c *fakeConsumer) closes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// deliver sends a message to the consumer.
func (c *fakeConsumer) deliver(entry int64, key string, change ...func(*fakeMessage)) {
	m := &fakeMessage{id: pulsar.NewMessageID(1, entry, 0, 0), key: key, properties: map[string]string{PropertyID: fmt.Sprint(entry)}}
	for _, f := range change {
		f(m)
	}
	c.options.MessageChannel <- pulsar.ConsumerMessage{Consumer: c, Message: m}
}

// reconnect does what the client does when the connection is lost.
func (c *fakeConsumer) reconnect() { c.options.BackOffPolicyFunc() }

type fakeMessage struct {
	pulsar.Message
	id               pulsar.MessageID
	key, orderingKey string
	properties       map[string]string
	payload          []byte
	redelivered      uint32
	version          []byte
	brokerTime       *time.Time
}

func (m *fakeMessage) ID() pulsar.MessageID          { return m.id }
func (m *fakeMessage) Key() string                   { return m.key }
func (m *fakeMessage) OrderingKey() string           { return m.orderingKey }
func (m *fakeMessage) Payload() []byte               { return m.payload }
func (m *fakeMessage) RedeliveryCount() uint32       { return m.redelivered }
func (m *fakeMessage) SchemaVersion() []byte         { return m.version }
func (m *fakeMessage) PublishTime() time.Time        { return time.Unix(1, 0) }
func (m *fakeMessage) BrokerPublishTime() *time.Time { return m.brokerTime }

func (m *fakeMessage) Properties() map[string]string {
	if m.properties == nil {
		return map[string]string{}
	}
	return m.properties
}

// newFake returns a driver over the fake client.
func newFake(t *testing.T, client *fakeClient, change ...func(*Config)) *Broker {
	t.Helper()
	c := Config{URL: "pulsar://localhost:6650", Logger: slog.New(slog.DiscardHandler), Backoff: messaging.Backoff{Base: time.Second, Max: time.Minute}}
	for _, f := range change {
		f(&c)
	}
	b, err := newBroker(c.withDefaults(), client)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func publish(b *Broker, m messaging.Message) <-chan error {
	return publishUntil(context.Background(), b, m)
}

func publishUntil(ctx context.Context, b *Broker, m messaging.Message) <-chan error {
	outcome := make(chan error, 2)
	b.Publish(ctx, m, func(err error) { outcome <- err })
	return outcome
}

func pending(t *testing.T, outcome <-chan error, what string) {
	t.Helper()
	select {
	case err := <-outcome:
		t.Errorf("%s: the outcome is %v already", what, err)
	default:
	}
}
