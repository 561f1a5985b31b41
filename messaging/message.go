package messaging

import (
	"context"
	"maps"
	"time"
)

// Message is one record on its way through a broker. It is a plain value: it carries no
// context, no acknowledgement and no connection. Drivers fill the delivery fields
// (Published, Delivery, BrokerID) of the messages they hand to a [Receiver] and ignore them on publishing.
type Message struct {
	// ID identifies the message for the inbox. A publisher that sends the same message
	// again keeps its ID. It may be empty on messages of foreign producers; see [Message.Identity].
	ID string
	// Topic is where the message is published, or where it came from.
	Topic string
	// Key orders: messages of one key on one topic are delivered in the order of their
	// publishing by subscriptions of type [KeyShared], [Failover] and [Exclusive]. Empty means unordered.
	Key string
	// Type is the wire name of what the payload holds. It is chosen at registration, never derived from a Go type.
	Type string
	// Headers are the message's properties. Nil means none. Treat a received map as read-only.
	Headers map[string]string
	// Payload is the encoded body, in bytes. Treat it as read-only.
	Payload []byte

	// Published is when the broker took the message; zero where it does not tell.
	Published time.Time
	// Delivery counts the deliveries of this message to this subscription, 1 for the first.
	Delivery int
	// BrokerID is the broker's own id of the message, unique within its topic.
	BrokerID string
}

// Identity returns what an inbox remembers the message by: its ID, or, where the producer
// gave none, the topic with the broker's own id.
func (m Message) Identity() string {
	if m.ID != "" {
		return m.ID
	}
	return m.Topic + "@" + m.BrokerID
}

// Header returns the named header, or "".
func (m Message) Header(name string) string { return m.Headers[name] }

// WithHeader returns a copy of m with the header set; m itself is unchanged.
func (m Message) WithHeader(name, value string) Message {
	headers := make(map[string]string, len(m.Headers)+1)
	maps.Copy(headers, m.Headers)
	headers[name] = value
	m.Headers = headers
	return m
}

// Publisher hands messages to a broker. Implementations are safe for concurrent use.
type Publisher interface {
	// Publish hands m to the broker and returns without waiting for it; done is called
	// exactly once, from any goroutine, possibly before Publish returns: with nil when the broker keeps the message
	// (an in-process broker: when every subscription has acknowledged it), else with the
	// reason. After an error the message may have been published all the same. done must not block.
	// When ctx ends before the outcome is known, done gets its error. After Close: [ErrClosed].
	Publish(ctx context.Context, m Message, done func(error))
}

// SubscriptionType says how a subscription shares its messages among its consumers.
type SubscriptionType int

// The subscription types, with Pulsar's meaning.
const (
	// Shared gives each message to any one consumer, in no particular order.
	Shared SubscriptionType = iota
	// KeyShared gives all messages of one key to one consumer at a time, in order.
	KeyShared
	// Failover gives everything to one consumer while others stand by.
	Failover
	// Exclusive gives everything to the only consumer; a second one gets [ErrBusy].
	Exclusive
)

// Subscription names a position in a topic that the broker keeps.
type Subscription struct {
	// Topic is what to read. Required.
	Topic string
	// Name is the subscription's durable name. Required.
	Name string
	// Type is how consumers share the subscription. Zero means Shared.
	Type SubscriptionType
	// MaxBatch bounds the messages in one call of the receiver. Zero means 256.
	MaxBatch int
}

// Disposition is what a receiver decided about one message. The zero value acknowledges it.
type Disposition struct {
	// Redeliver keeps the message unacknowledged: the subscription delivers it again.
	Redeliver bool
	// After is the least time until then. Zero means at once.
	After time.Duration
}

// Receiver takes a batch of what has arrived, in order, and returns one disposition for each
// message. A batch is whatever was there, never waited for. A driver may call a receiver from
// several goroutines at once, but never with two messages of one key of an ordered subscription.
type Receiver func(ctx context.Context, batch []Message) []Disposition

// Subscriber delivers messages. Implementations are safe for concurrent use.
type Subscriber interface {
	// Subscribe registers the subscription if it is new, calls ready (if not nil) once messages published from then
	// on will reach it, and delivers until ctx ends; it returns once the receiver calls
	// under way have returned and their dispositions are settled: nil after ctx ended,
	// [ErrClosed] after Close, [ErrBusy] for a second consumer of an Exclusive subscription,
	// any other error only if the subscription cannot go on.
	Subscribe(ctx context.Context, s Subscription, ready func(), r Receiver) error
}

// Broker is a whole driver: both directions on one connection.
type Broker interface {
	Publisher
	Subscriber
}

// Publish publishes all messages and waits for their outcomes; it returns the errors joined, nil if
// the broker keeps every one.
func Publish(ctx context.Context, p Publisher, messages ...Message) error {
	outcomes := make(chan error, len(messages))
	for _, m := range messages {
		p.Publish(ctx, m, func(err error) { outcomes <- err })
	}
	var failed []error
	for range messages {
		if err := <-outcomes; err != nil {
			failed = append(failed, err)
		}
	}
	return joinErrors(failed)
}
