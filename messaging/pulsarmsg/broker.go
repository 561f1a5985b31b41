package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// Broker is a [messaging.Broker] on Apache Pulsar. Make one with [New] and close it. Its methods are safe for concurrent use.
type Broker struct {
	config  Config
	client  pulsar.Client
	writers *writers
	metrics metrics
	ctx     context.Context //nolint:containedctx // it is the broker's life
	cancel  context.CancelFunc

	publications sync.Pool // of *publication
	batches      sync.Pool // of *[]entry

	mu            sync.Mutex
	closed        bool
	outlets       map[outletKey]*outlet
	counts        map[subscriptionKey]*counts
	subscriptions sync.WaitGroup
	background    sync.WaitGroup // what is spawned
}

type subscriptionKey struct{ topic, name string }

// outletKey tells the outlets of a topic apart: messages with keys and those without have a batch builder of their own each, and no order among them.
type outletKey struct {
	topic string
	keyed bool
}

var _ messaging.Broker = (*Broker)(nil)

// New returns a broker. It does not wait for a connection: the first message and the first subscription open what they need, and meanwhile any number of
// attempts may fail. All faults of the configuration are returned at once, as [ErrConfig].
func New(c Config) (*Broker, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	b, err := newBroker(c, client)
	if err != nil {
		client.Close()
		return nil, err
	}
	return b, nil
}

// newBroker returns a broker that talks through the client.
func newBroker(c Config, client pulsar.Client) (*Broker, error) {
	w, err := newWriters(c)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("%w: Metrics: %w", ErrConfig, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Broker{
		config: c, client: client, writers: w, metrics: m, ctx: ctx, cancel: cancel,
		outlets: make(map[outletKey]*outlet), counts: make(map[subscriptionKey]*counts),
	}
	w.spawn = b.spawn
	return b, nil
}

// Publish implements [messaging.Publisher]: done gets nil when the broker has stored the message. Publish waits only while the topic has
// [Config.MaxPending] messages without an outcome. A message that cannot be published is [ErrMessage] and terminal to [messaging.Classify]; a schema that the broker does
// not take beside its own is [ErrSchemaRefused]; a message of which nothing is heard is [ErrNoOutcome] and may have been published.
func (b *Broker) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	if err := ctx.Err(); err != nil {
		done(err)
		return
	}
	p := b.newPublication()
	p.done = done
	var err error
	if p.size, err = encode(&p.message, p.properties, m, b.config.MaxMessageSize); err != nil {
		done(err)
		return
	}
	o, err := b.outlet(outletKey{topic: m.Topic, keyed: m.Key != ""})
	if err != nil {
		done(err)
		return
	}
	o.publish(ctx, p)
}

func (b *Broker) outlet(key outletKey) (*outlet, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, messaging.ErrClosed
	}
	o := b.outlets[key]
	if o == nil {
		o = newOutlet(b, key)
		b.outlets[key] = o
	}
	return o, nil
}

// Subscribe implements [messaging.Subscriber]. It goes on through lost connections, restarted brokers and consumers that the broker closes. A first
// attempt that the broker refuses for good is returned: [messaging.ErrBusy] for a second consumer of an Exclusive subscription or for one
// that has consumers of another type, and errors that name what is wrong with the topic or the credentials. The receiver's context ends with ctx and with the
// broker.
func (b *Broker) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	if s.Topic == "" || s.Name == "" {
		return fmt.Errorf("pulsarmsg: subscription %q of topic %q needs a topic and a name", s.Name, s.Topic)
	}
	if s.Type < messaging.Shared || s.Type > messaging.Exclusive {
		return fmt.Errorf("pulsarmsg: subscription type %d: %w", s.Type, messaging.ErrUnsupported)
	}
	if s.MaxBatch < 0 {
		return fmt.Errorf("pulsarmsg: subscription %q of topic %q has a negative MaxBatch", s.Name, s.Topic)
	}
	key := subscriptionKey{s.Topic, s.Name}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return messaging.ErrClosed
	}
	b.subscriptions.Add(1)
	known := b.counts[key]
	if known == nil {
		known = &counts{}
		b.counts[key] = known
	}
	b.mu.Unlock()
	defer b.subscriptions.Done()

	consuming, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)() //nolint:contextcheck // the receiver's context ends with both
	err := newSubscription(consuming, b, s, ready, r, known).run(consuming)
	if err == nil && ctx.Err() == nil {
		err = messaging.ErrClosed // nothing else ends consuming
	}
	return err
}

// Close ends all subscriptions, waits for the outcomes that are open and disconnects. What is not done within [Config.CloseTimeout] is given
// up: publishes fail with [messaging.ErrClosed], and the error is [ErrNotDrained]. A receiver or a publisher's function that calls Close makes it wait for that time. The second
// call does nothing.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), b.config.CloseTimeout)
	defer cancel()

	faults := make(chan error, len(b.outlets)+1)
	for _, o := range b.outlets { // complete: none is added after closed is set
		go func() { faults <- o.drain(ctx) }()
	}
	go func() { faults <- within(ctx, "subscriptions", b.subscriptions.Wait) }()
	var all []error
	for range len(b.outlets) + 1 {
		all = append(all, <-faults)
	}
	all = append(all, within(ctx, "client", func() {
		b.client.Close()
		b.background.Wait()
	}))
	if b.writers.http != nil {
		b.writers.http.CloseIdleConnections()
	}
	return errors.Join(all...)
}

// within waits until f has returned or ctx ends.
func within(ctx context.Context, what string, f func()) error {
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f()
	}()
	select {
	case <-returned:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: the %s did not end", ErrNotDrained, what)
	}
}

// spawn runs f on a goroutine that Close waits for.
func (b *Broker) spawn(f func()) { b.background.Go(f) }

// maxCounts bounds the deliveries that are remembered for one subscription; beyond it some messages begin at one again.
const maxCounts = 10_000

// counts remembers how often messages were delivered that went back to the broker, which does not count for Failover and Exclusive subscriptions. It outlives
// the consumers of a subscription.
type counts struct {
	mu         sync.Mutex
	deliveries map[string]int // by the broker's id
}

// put remembers an entry that was delivered and not acknowledged.
func (c *counts) put(e *entry) {
	if e.delivered == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deliveries == nil || len(c.deliveries) >= maxCounts {
		c.deliveries = make(map[string]int)
	}
	id := e.message.BrokerID
	c.deliveries[id] = max(c.deliveries[id], e.delivered)
}

// correct raises what entries know about their deliveries.
func (c *counts) correct(all []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.deliveries) == 0 {
		return
	}
	for i := range all {
		id := all[i].message.BrokerID
		if n, ok := c.deliveries[id]; ok {
			all[i].delivered = max(all[i].delivered, n)
			delete(c.deliveries, id)
		}
	}
}
