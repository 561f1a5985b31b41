package messaging

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

const deadLetterPrefix = "dead-letter-"

// The headers that [DeadLetterTopic] adds.
const (
	HeaderDeadLetterReason       = "dead-letter-reason"
	HeaderDeadLetterTopic        = "dead-letter-topic"
	HeaderDeadLetterSubscription = "dead-letter-subscription"
	HeaderDeadLetterAttempts     = "dead-letter-attempts"
	// HeaderDeadLetterTime is in RFC 3339, UTC.
	HeaderDeadLetterTime = "dead-letter-time"
)

// reasonLimit bounds the reason header, in bytes: brokers bound a message's properties.
const reasonLimit = 1024

// DeadLetter is a message that a subscription could not handle.
type DeadLetter struct {
	// Message is the message as it was delivered.
	Message Message
	// Subscription is the name of the subscription that gave it up.
	Subscription string
	// Reason is the text of the last error.
	Reason string
	// Attempts counts the failed attempts, as far as the router saw them.
	Attempts int
	// Time is when the message was given up.
	Time time.Time
}

// DeadLetters keeps the messages that cannot be handled, for a person to look at. Implementations are safe for
// concurrent use.
type DeadLetters interface {
	// DeadLetter stores d. It returns nil only when d will not be lost: the message is acknowledged then. After
	// an error it is delivered again. The same message may come more than once.
	DeadLetter(ctx context.Context, d DeadLetter) error
}

// DeadLetterFunc is a function as [DeadLetters].
type DeadLetterFunc func(ctx context.Context, d DeadLetter) error

// DeadLetter calls f.
func (f DeadLetterFunc) DeadLetter(ctx context.Context, d DeadLetter) error { return f(ctx, d) }

// DeadLetterTopic returns dead letters that are published to [DeadLetterTopicName] with key, ID, type, headers
// and payload kept, and with the reason in additional headers. It waits until the broker keeps the message,
// which for an in-process broker means until a consumer of that topic, if it has one, acknowledged it. A topic that nobody subscribes to
// keeps nothing on brokers that drop what all subscriptions have, as Pulsar does: make a subscription before the first letter.
func DeadLetterTopic(p Publisher) DeadLetters {
	return DeadLetterFunc(func(ctx context.Context, d DeadLetter) error {
		m := d.Message
		headers := make(map[string]string, len(m.Headers)+5)
		maps.Copy(headers, m.Headers)
		headers[HeaderDeadLetterReason] = shorten(d.Reason)
		headers[HeaderDeadLetterTopic] = m.Topic
		headers[HeaderDeadLetterSubscription] = d.Subscription
		headers[HeaderDeadLetterAttempts] = strconv.Itoa(d.Attempts)
		headers[HeaderDeadLetterTime] = d.Time.UTC().Format(time.RFC3339Nano)
		return Publish(ctx, p, Message{
			ID: m.ID, Topic: DeadLetterTopicName(m.Topic, d.Subscription), Key: m.Key, Type: m.Type,
			Headers: headers, Payload: m.Payload,
		})
	})
}

// DeadLetterTopicName returns the topic on which [DeadLetterTopic] puts what the subscription of the topic
// could not handle: "<topic>-<subscription>-DLQ".
func DeadLetterTopicName(topic, subscription string) string {
	return topic + "-" + subscription + "-DLQ"
}

// Redrive returns the message that became the dead letter, as [DeadLetterTopic] keeps it, to be published again once the reason is gone. It goes to its topic, and
// so to all subscriptions of the topic: it keeps its ID, by which an inbox knows it again. The error is [ErrNotDeadLetter].
func Redrive(letter Message) (Message, error) {
	m := Message{
		ID: letter.ID, Topic: letter.Header(HeaderDeadLetterTopic), Key: letter.Key, Type: letter.Type,
		Headers: maps.Clone(letter.Headers), Payload: letter.Payload,
	}
	if m.Topic == "" {
		return Message{}, fmt.Errorf("%w: message %q of topic %q has no header %s", ErrNotDeadLetter, letter.ID, letter.Topic, HeaderDeadLetterTopic)
	}
	maps.DeleteFunc(m.Headers, func(name, _ string) bool { return strings.HasPrefix(name, deadLetterPrefix) })
	return m, nil
}

func shorten(reason string) string {
	if len(reason) > reasonLimit {
		reason = reason[:reasonLimit]
	}
	return strings.ToValidUTF8(reason, "")
}
