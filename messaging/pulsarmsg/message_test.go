package pulsarmsg

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

func TestEncode(t *testing.T) {
	t.Parallel()
	headers := map[string]string{"a": "b"}
	m := messaging.Message{ID: "id", Topic: "t", Key: "k", Type: "type", Headers: headers, Payload: []byte("p"), Delivery: 3}
	var got pulsar.ProducerMessage
	size, err := encode(&got, map[string]string{}, m, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "b", PropertyEnvelope: "type - id"}
	if got.Key != "k" || string(got.Payload) != "p" || !maps.Equal(got.Properties, want) || size < len("p") {
		t.Errorf("got %+v with %d bytes", got, size)
	}
	if len(headers) != 1 {
		t.Error("the message's own headers were changed")
	}
	_, err = encode(&got, map[string]string{}, messaging.Message{Topic: "t"}, 1<<20)
	if err != nil || got.Payload == nil || len(got.Properties) != 0 {
		t.Errorf("an empty message is %+v, %v; want a payload that is no tombstone, and no properties", got, err)
	}
}

func TestMessagesThatCannotBePublished(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]messaging.Message{
		"no topic":                 {},
		"message-id is reserved":   {Topic: "t", Headers: map[string]string{PropertyID: "x"}},
		"message-type is reserved": {Topic: "t", Headers: map[string]string{PropertyType: "x"}},
		`"h" is not UTF-8`:         {Topic: "t", Headers: map[string]string{"h": "\xff"}},
		"key is not UTF-8":         {Topic: "t", Key: "\xff"},
		"limit is 4096":            {Topic: "t", Payload: make([]byte, 4096)},
		"Config.MaxMessageSize":    {Topic: "t", Headers: map[string]string{"h": strings.Repeat("x", 2000)}}, // which a batch has twice
	} {
		_, err := encode(&pulsar.ProducerMessage{}, map[string]string{}, m, 4096)
		if class, _ := messaging.Classify(err); !errors.Is(err, ErrMessage) || class != messaging.Terminal || !strings.Contains(err.Error(), want) {
			t.Errorf("%v of class %v, want a terminal ErrMessage with %q", err, class, want)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	taken := time.Unix(5, 0)
	for name, c := range map[string]struct {
		received fakeMessage
		want     messaging.Message
	}{
		"ours": {
			fakeMessage{key: "k", payload: []byte("p"), properties: map[string]string{PropertyID: "id", PropertyType: "type", "a": "b"}},
			messaging.Message{ID: "id", Key: "k", Type: "type", Headers: map[string]string{"a": "b"}, Published: time.Unix(1, 0)},
		},
		"ours, in an envelope": {
			fakeMessage{key: "k", payload: []byte("p"), properties: map[string]string{PropertyEnvelope: "type f1 id", "a": "b"}},
			messaging.Message{ID: "id", Key: "k", Type: "type", Headers: map[string]string{"a": "b", headerFingerprint: "f1"}, Published: time.Unix(1, 0)},
		},
		"an envelope of somebody else": {
			fakeMessage{key: "k", payload: []byte("p"), properties: map[string]string{PropertyEnvelope: "x"}},
			messaging.Message{Key: "k", Headers: map[string]string{PropertyEnvelope: "x"}, Published: time.Unix(1, 0)},
		},
		"foreign":      {fakeMessage{payload: []byte("p")}, messaging.Message{Published: time.Unix(1, 0)}},
		"ordering key": {fakeMessage{key: "k", orderingKey: "o", payload: []byte("p")}, messaging.Message{Key: "o", Published: time.Unix(1, 0)}},
		"the broker's time": {
			fakeMessage{payload: []byte("p"), brokerTime: &taken}, messaging.Message{Published: taken},
		},
	} {
		c.received.id = pulsar.NewMessageID(7, 8, 9, 2)
		got := decode("t", &c.received)
		if got.ID != c.want.ID || got.Key != c.want.Key || got.Type != c.want.Type || !maps.Equal(got.Headers, c.want.Headers) ||
			!got.Published.Equal(c.want.Published) || got.Topic != "t" || string(got.Payload) != "p" || got.BrokerID != "7:8:2:9" {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTheFingerprintIsAvromsgs(t *testing.T) {
	t.Parallel()
	if headerFingerprint != avromsg.HeaderFingerprint {
		t.Errorf("the header is %q here and %q there", headerFingerprint, avromsg.HeaderFingerprint)
	}
}

// TestTheBackoffNeverOverflows: the client's own, for negative acknowledgements, is negative from the 34th delivery on, and redelivers at once.
func TestTheBackoffNeverOverflows(t *testing.T) {
	t.Parallel()
	var b messaging.Backoff
	for attempt := range 200 {
		if d := b.Delay(attempt, "m"); d <= 0 || attempt > 20 && d < 10*time.Second {
			t.Errorf("the delay after %d attempts is %v", attempt, d)
		}
	}
}
