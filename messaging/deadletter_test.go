package messaging_test

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/alpespartners/alpespartners/messaging"
)

// publisher remembers what is published.
type publisher struct {
	messages []messaging.Message
	err      error
}

func (p *publisher) Publish(_ context.Context, m messaging.Message, done func(error)) {
	p.messages = append(p.messages, m)
	done(p.err)
}

func TestDeadLetterTopic(t *testing.T) {
	t.Parallel()
	p := &publisher{}
	m := messaging.Message{
		ID: "1", Topic: "orders", Key: "k", Type: "placed", Payload: []byte("x"), Headers: map[string]string{"h": "v"},
		Delivery: 3, BrokerID: "77", Published: time.Unix(1, 0),
	}
	long := strings.Repeat("ñ", 1000)
	d := messaging.DeadLetter{Message: m, Subscription: "billing", Reason: long, Attempts: 3, Time: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)}
	must(t, messaging.DeadLetterTopic(p).DeadLetter(t.Context(), d))
	got := p.messages[0]
	if got.Topic != "orders-billing-DLQ" || got.ID != "1" || got.Key != "k" || got.Type != "placed" || string(got.Payload) != "x" {
		t.Errorf("%+v", got)
	}
	reason := got.Header(messaging.HeaderDeadLetterReason)
	if len(reason) < 1000 || len(reason) > 1024 || !utf8.ValidString(reason) || !strings.HasPrefix(long, reason) {
		t.Errorf("a reason of %d bytes became one of %d", len(long), len(reason))
	}
	want := map[string]string{
		"h": "v", "dead-letter-reason": reason, "dead-letter-topic": "orders", "dead-letter-subscription": "billing",
		"dead-letter-attempts": "3", "dead-letter-time": "2025-01-02T03:04:05Z",
	}
	if !maps.Equal(got.Headers, want) {
		t.Errorf("headers %q, want %q", got.Headers, want)
	}
	if len(m.Headers) != 1 {
		t.Error("the original's headers were changed")
	}
	p.err = errors.New("down")
	if err := messaging.DeadLetterTopic(p).DeadLetter(t.Context(), d); !errors.Is(err, p.err) {
		t.Errorf("%v, want the publisher's error", err)
	}
}

// TestRedrive: what is published again is what was given up, as often as that happens.
func TestRedrive(t *testing.T) {
	t.Parallel()
	p := &publisher{}
	sent := messaging.Message{
		ID: "1", Topic: "orders", Key: "k", Type: "placed", Payload: []byte("x"), Headers: map[string]string{"h": "v", "dead": "letter"},
	}
	m := sent
	for range 2 {
		m.BrokerID, m.Delivery = "77", 3
		must(t, messaging.DeadLetterTopic(p).DeadLetter(t.Context(), messaging.DeadLetter{Message: m, Subscription: "billing", Reason: "r"}))
		letter := p.messages[len(p.messages)-1]
		headers := len(letter.Headers)
		var err error
		if m, err = messaging.Redrive(letter); err != nil || !reflect.DeepEqual(m, sent) {
			t.Errorf("%+v, %v, want %+v", m, err, sent)
		}
		if len(letter.Headers) != headers {
			t.Error("the letter's headers were changed")
		}
	}
	if _, err := messaging.Redrive(sent); !errors.Is(err, messaging.ErrNotDeadLetter) || !strings.Contains(err.Error(), `"orders"`) {
		t.Errorf("%v, want ErrNotDeadLetter with the topic", err)
	}
}
