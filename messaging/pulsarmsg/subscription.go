package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/backoff"

	"github.com/alpespartners/alpespartners/internal/pace"
	"github.com/alpespartners/alpespartners/messaging"
)

const (
	// ackInterval is how long acknowledgements gather. A crash within that time has their messages delivered again.
	ackInterval = 50 * time.Millisecond
	// ackLimit is never reached. The client sends acknowledgements on the caller's goroutine when it is, and then blocks while it reconnects.
	ackLimit = 1 << 30
	// settled is how long a consumer has to live for its loss to be the first of a series, whose delays grow.
	settled = 10 * time.Second
	// never keeps the client from looking for new partitions itself: when it cannot subscribe to one of them, it closes the consumers of the others without a word.
	never = 100 * 365 * 24 * time.Hour
)

// The reasons for which a consumer is lost, besides the broker's own.
var (
	errConnection = errors.New("pulsarmsg: connection lost, or consumer closed by the broker")
	errPassive    = errors.New("pulsarmsg: another consumer became the active one")
	errPartitions = errors.New("pulsarmsg: the topic has got other partitions")
)

// subscription is one call of Subscribe. It has one consumer after another.
type subscription struct {
	broker   *Broker
	wanted   messaging.Subscription
	ready    func() // nil once called
	dispatch *dispatcher
}

func newSubscription(ctx context.Context, b *Broker, s messaging.Subscription, ready func(), r messaging.Receiver, known *counts) *subscription {
	if ready == nil {
		ready = func() {}
	}
	return &subscription{broker: b, wanted: s, ready: ready, dispatch: newDispatcher(ctx, b, s, r, known)}
}

// run consumes until ctx ends, with one consumer after the other.
func (s *subscription) run(ctx context.Context) error {
	what := s.wanted.Topic + "/" + s.wanted.Name
	logger := s.broker.config.Logger.With("topic", s.wanted.Topic, "subscription", s.wanted.Name)
	defer s.dispatch.drain()
	for attempt := 1; ; attempt++ {
		c, err := s.connect(ctx)
		if err == nil {
			admitted := time.Now()
			s.broker.writers.forget(s.wanted.Topic)
			if s.ready != nil {
				s.ready()
				s.ready = nil
			}
			err = s.consume(ctx, c)
			if time.Since(admitted) > settled {
				attempt = 1
			}
		}
		if ctx.Err() != nil {
			return nil // whatever it was, the subscription ended as asked
		}
		if s.ready != nil && isBusy(err) {
			return fmt.Errorf("subscribe %s: %w: %w", what, messaging.ErrBusy, err)
		}
		if s.ready != nil && isHopeless(err) {
			return fmt.Errorf("pulsarmsg: subscribe %s: %w", what, err)
		}
		delay := s.broker.config.Backoff.Delay(attempt, what)
		logger.WarnContext(ctx, "consumer lost or not admitted; subscribing again", "after", delay, "error", err)
		if !pace.Rest(ctx, delay) {
			return nil
		}
	}
}

// consume takes what the consumer receives until it is lost or ctx ends, and closes it. What it leaves unacknowledged, the broker delivers again.
func (s *subscription) consume(ctx context.Context, c *consumer) error {
	alive, cancel := context.WithCancel(ctx)
	s.broker.spawn(func() { s.watch(alive, c) })
	err := s.read(ctx, c)
	cancel()
	if ctx.Err() != nil {
		s.dispatch.drain() // its last acknowledgements go with the consumer
	} else {
		s.broker.metrics.losses.WithLabelValues(s.wanted.Topic, s.wanted.Name).Inc()
		s.dispatch.reset()
	}
	c.close(s.broker.config.CloseTimeout)
	return err
}

// watch loses the consumer when the topic has got other partitions than those that it was opened for.
func (s *subscription) watch(ctx context.Context, c *consumer) {
	for pace.Rest(ctx, s.broker.config.Discovery) {
		partitions, err := s.broker.client.TopicPartitions(s.broker.config.fullTopic(s.wanted.Topic))
		if err == nil && !slices.Equal(partitions, c.partitions) {
			c.lose(errPartitions)
			return
		}
	}
}

// read moves messages from the consumer to the dispatcher, as many at a time as there are.
func (s *subscription) read(ctx context.Context, c *consumer) error {
	var batch []entry
	for {
		room, err := s.dispatch.await(ctx, c.lost)
		if err != nil {
			return c.fate(err)
		}
		select {
		case m := <-c.messages:
			batch = append(batch[:0], s.entry(c, m.Message))
		case <-c.lost:
			return c.fate(nil)
		case <-ctx.Done():
			return ctx.Err()
		}
		for more := true; more && len(batch) < room; {
			select {
			case m := <-c.messages:
				batch = append(batch, s.entry(c, m.Message))
			default:
				more = false
			}
		}
		s.dispatch.add(batch)
		clear(batch)
	}
}

func (s *subscription) entry(c *consumer, received pulsar.Message) entry {
	e := entry{message: decode(s.wanted.Topic, received), id: received.ID(), consumer: c, delivered: int(received.RedeliveryCount())}
	if version := received.SchemaVersion(); !s.broker.writers.stamp(&e.message, version) {
		e.version = version
	}
	return e
}

// consumer is one of the client's, until its connection is lost for the first time. The client would connect it again by itself, and the broker would deliver all that is not
// acknowledged once more, to this consumer or to others, without a word: what is still held here would be handled twice and out of order. So a
// consumer that reconnects is closed, and another one begins with nothing.
type consumer struct {
	messages   chan pulsar.ConsumerMessage
	lost       chan struct{} // closed when the consumer is of no use any more
	vendor     pulsar.Consumer
	partitions []string // of the topic, or fewer if some were added meanwhile

	mu     sync.Mutex
	cause  error
	active map[int32]bool // by partition, of a Failover subscription
}

// connect subscribes. The client cannot be interrupted; what it returns after ctx has ended is closed.
func (s *subscription) connect(ctx context.Context) (*consumer, error) {
	c := &consumer{
		messages: make(chan pulsar.ConsumerMessage, 64), lost: make(chan struct{}), active: make(map[int32]bool),
	}
	position := pulsar.SubscriptionPositionLatest
	if s.broker.config.FromEarliest {
		position = pulsar.SubscriptionPositionEarliest
	}
	options := pulsar.ConsumerOptions{
		Topic:                          s.broker.config.fullTopic(s.wanted.Topic),
		SubscriptionName:               s.wanted.Name,
		Type:                           vendorType(s.wanted.Type),
		SubscriptionInitialPosition:    position,
		MessageChannel:                 c.messages,
		ReceiverQueueSize:              s.broker.config.Prefetch,
		AutoDiscoveryPeriod:            never,
		EnableBatchIndexAcknowledgment: true, // else the acknowledged messages of a batch come again with the others
		AckGroupingOptions:             &pulsar.AckGroupingOptions{MaxSize: ackLimit, MaxTime: ackInterval},
		EventListener:                  c,
		Interceptors:                   pulsar.ConsumerInterceptors{c},
		BackOffPolicyFunc: func() backoff.Policy { // called when the client begins to reconnect, and at no other time
			c.lose(errConnection)
			return backoff.NewDefaultBackoff()
		},
	}
	type connected struct {
		partitions []string
		vendor     pulsar.Consumer
		err        error
	}
	result := make(chan connected, 1)
	s.broker.spawn(func() {
		partitions, err := s.broker.client.TopicPartitions(options.Topic)
		if err != nil {
			result <- connected{err: err}
			return
		}
		vendor, err := s.broker.client.Subscribe(options)
		result <- connected{partitions, vendor, err}
	})
	select {
	case r := <-result:
		c.partitions, c.vendor = r.partitions, r.vendor
		return c, s.broker.config.explain(s.wanted.Topic, r.err)
	case <-ctx.Done():
		s.broker.spawn(func() {
			if r := <-result; r.err == nil {
				r.vendor.Close()
			}
		})
		return nil, ctx.Err()
	}
}

func vendorType(t messaging.SubscriptionType) pulsar.SubscriptionType {
	switch t {
	case messaging.KeyShared:
		return pulsar.KeyShared
	case messaging.Failover:
		return pulsar.Failover
	case messaging.Exclusive:
		return pulsar.Exclusive
	default:
		return pulsar.Shared
	}
}

// lose marks the consumer as lost. Only the first cause counts. The client calls it on goroutines of its own.
func (c *consumer) lose(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
		close(c.lost)
	}
}

// fate returns why the consumer was lost, or err if it was not.
func (c *consumer) fate(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	return err
}

func (c *consumer) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

// acknowledge is sent with others, a little later. A consumer that is lost cannot acknowledge any more; its messages come again.
func (c *consumer) acknowledge(id pulsar.MessageID) {
	if !c.isLost() {
		_ = c.vendor.AckID(id) // it fails for consumers that are closed
	}
}

// close sends what was acknowledged and closes the consumer; it waits so long at most.
func (c *consumer) close(within time.Duration) {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		c.vendor.Close()
	}()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-returned:
	case <-timer.C:
	}
}

// BecameActive implements the client's listener for Failover subscriptions.
func (c *consumer) BecameActive(_ pulsar.Consumer, _ string, partition int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active[partition] = true
}

// BecameInactive implements the client's listener. What a consumer has received and not acknowledged goes to the one that is active from now on.
func (c *consumer) BecameInactive(_ pulsar.Consumer, _ string, partition int32) {
	c.mu.Lock()
	was := c.active[partition]
	c.mu.Unlock()
	if was {
		c.lose(errPassive)
	}
}

// BeforeConsume implements the client's interceptor.
func (c *consumer) BeforeConsume(pulsar.ConsumerMessage) {}

// OnAcknowledge implements the client's interceptor.
func (c *consumer) OnAcknowledge(pulsar.Consumer, pulsar.MessageID) {}

// OnNegativeAcksSend implements the client's interceptor.
func (c *consumer) OnNegativeAcksSend(pulsar.Consumer, []pulsar.MessageID) {}

// OnConsumerClose implements the client's interceptor: since its version 0.20 the client closes consumers for good over errors that pass.
func (c *consumer) OnConsumerClose(_ pulsar.Consumer, err error) {
	if err == nil {
		err = errConnection // by us, who do not listen any more
	}
	c.lose(err)
}
