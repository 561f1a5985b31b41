package memmsg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
)

// defaultBatch is what a zero Subscription.MaxBatch means.
const defaultBatch = 256

// Config sizes a broker. The zero value is ready to use.
type Config struct {
	// Concurrency is how many calls of one consumer's receiver may run at once, on Shared and KeyShared
	// subscriptions. Zero or less means 8.
	Concurrency int
	// MaxPending is how many messages of one topic may wait to be acknowledged before Publish waits. Zero or
	// less means 100,000.
	MaxPending int
	// Fault decides what goes wrong with a message that is published. It is called from several goroutines at
	// once and must not block. Nil means that nothing goes wrong.
	Fault func(messaging.Message) Fault
}

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = 8
	}
	if c.MaxPending <= 0 {
		c.MaxPending = 100_000
	}
	if c.Fault == nil {
		c.Fault = func(messaging.Message) Fault { return Fault{} }
	}
	return c
}

// Broker is a [messaging.Broker] in memory. Make one with [New]. Its methods are safe for concurrent use.
type Broker struct {
	config  Config
	closing chan struct{}

	mu     sync.RWMutex
	topics map[string]*topic
	closed bool
}

var _ messaging.Broker = (*Broker)(nil)

// New returns a broker without topics.
func New(c Config) *Broker {
	return &Broker{config: c.withDefaults(), closing: make(chan struct{}), topics: make(map[string]*topic)}
}

// Publish implements [messaging.Publisher]. done gets nil when every subscription that the topic has now has
// acknowledged m, at once if it has none. Publish waits while the topic holds [Config.MaxPending] messages. A
// message whose publisher's context ended is delivered all the same.
func (b *Broker) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	t, err := b.topic(m.Topic)
	if err == nil {
		err = ctx.Err()
	}
	fault := Fault{}
	if err == nil {
		if fault = b.config.Fault(m); fault.Drop {
			err = ErrFault
		}
	}
	if err != nil {
		done(err)
		return
	}
	t.publish(ctx, m, fault, done)
}

// Declare registers a subscription without a consumer, so that it gets what is published from now on. A
// subscription that exists stays as it is. After Close: [messaging.ErrClosed].
func (b *Broker) Declare(s messaging.Subscription) error {
	t, err := b.subscribed(s)
	if err != nil {
		return err
	}
	return t.declare(s)
}

// Subscribe implements [messaging.Subscriber]. [messaging.ErrBusy] also says that the subscription has
// consumers of another type. The receiver's context ends with ctx and with the broker.
func (b *Broker) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	t, err := b.subscribed(s)
	if err != nil {
		return err
	}
	consuming, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := t.join(s, &consumer{
		ended:   func() bool { return consuming.Err() != nil },
		receive: func(batch []messaging.Message) []messaging.Disposition { return r(consuming, batch) },
		drained: make(chan struct{}),
	})
	if err != nil {
		return err
	}
	if ready != nil {
		ready()
	}
	select {
	case <-ctx.Done():
	case <-b.closing:
		err = messaging.ErrClosed
	}
	cancel()
	t.leave(c)
	return err
}

// Close ends all subscriptions and fails the publishes whose outcome is open with [messaging.ErrClosed]; of
// messages that a receiver has at this moment, the receiver decides. It does not wait for receivers and may be
// called from one. It always returns nil.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	close(b.closing)
	for _, t := range b.topics { // complete: none is added after closed is set
		t.close()
	}
	return nil
}

func (b *Broker) subscribed(s messaging.Subscription) (*topic, error) {
	if s.Name == "" {
		return nil, errors.New("memmsg: the subscription has no name")
	}
	if s.Type < messaging.Shared || s.Type > messaging.Exclusive {
		return nil, fmt.Errorf("memmsg: subscription type %d: %w", s.Type, messaging.ErrUnsupported)
	}
	return b.topic(s.Topic)
}

func (b *Broker) topic(name string) (*topic, error) {
	if name == "" {
		return nil, errors.New("memmsg: no topic given")
	}
	b.mu.RLock()
	t, closed := b.topics[name], b.closed
	b.mu.RUnlock()
	if closed {
		return nil, messaging.ErrClosed
	}
	if t != nil {
		return t, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, messaging.ErrClosed
	}
	if t = b.topics[name]; t == nil {
		t = &topic{config: b.config, subscriptions: make(map[string]*subscription)}
		b.topics[name] = t
	}
	return t, nil
}
