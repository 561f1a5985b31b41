package pulsarmsg_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// foreign is a client that knows nothing of this package, as services in other languages have.
func foreign(t testing.TB, s server) pulsar.Client {
	t.Helper()
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: s.url, MetricsRegisterer: prometheus.NewRegistry(), Logger: pulsarlog.NewLoggerWithSlog(discard()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// foreignSchema registers a text as it is.
type foreignSchema struct {
	pulsar.Schema
	info *pulsar.SchemaInfo
}

func (s foreignSchema) GetSchemaInfo() *pulsar.SchemaInfo { return s.info }

func avroSchema(text string) pulsar.Schema {
	return foreignSchema{info: &pulsar.SchemaInfo{Name: "x", Type: pulsar.AVRO, Schema: text}}
}

func send(t testing.TB, client pulsar.Client, o pulsar.ProducerOptions, messages ...pulsar.ProducerMessage) {
	t.Helper()
	o.SendTimeout = -1
	p, err := client.CreateProducer(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i := range messages {
		p.SendAsync(t.Context(), &messages[i], func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := p.FlushWithCtx(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func subscription(topic string, kind messaging.SubscriptionType) messaging.Subscription {
	return messaging.Subscription{Topic: topic, Name: "s", Type: kind}
}

func publishAll(t testing.TB, b messaging.Publisher, messages ...messaging.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := messaging.Publish(ctx, b, messages...); err != nil {
		t.Fatal(err)
	}
}

// TestIntegrationForeignProducers: messages without our properties, from producers that batch or not, keep apart by the broker's id.
func TestIntegrationForeignProducers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	b := open(t, s.config(t))
	consume(t, b, subscription(topic, messaging.Shared), in.receive)
	client := foreign(t, s)
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), BatchingMaxPublishDelay: time.Second},
		pulsar.ProducerMessage{Payload: []byte("1")}, pulsar.ProducerMessage{Payload: []byte("2"), Properties: map[string]string{"own": "x"}})
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), DisableBatching: true},
		pulsar.ProducerMessage{Payload: []byte("3"), Key: "k"}, pulsar.ProducerMessage{Payload: []byte("4"), Key: "k", OrderingKey: "o"})
	identities := map[string]bool{}
	for range 4 {
		m := in.next(t)
		identities[m.Identity()] = true
		if m.ID != "" || m.Type != "" || m.Topic != topic || strings.Count(m.BrokerID, ":") != 3 || time.Since(m.Published).Abs() > time.Hour {
			t.Errorf("got %+v", m)
		}
		switch want := map[string]string{"3": "k", "4": "o"}[string(m.Payload)]; {
		case m.Key != want:
			t.Errorf("message %s has key %q, want %q", m.Payload, m.Key, want)
		case string(m.Payload) == "2" && (len(m.Headers) != 1 || m.Header("own") != "x"):
			t.Errorf("headers are %v", m.Headers)
		}
	}
	if len(identities) != 4 {
		t.Errorf("4 messages have the identities %v", identities)
	}
}

// TestIntegrationTheSchemaIsRegisteredAsItIs: byte for byte, not as the client would write it anew.
func TestIntegrationTheSchemaIsRegisteredAsItIs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	consume(t, b, subscription(topic, messaging.Shared), in.receive)
	m, err := codec.Encode(newBooked(1))
	if err != nil {
		t.Fatal(err)
	}
	keyed := m
	keyed.Key = "k"
	publishAll(t, b, m, keyed, m)
	var stored struct{ Type, Data string }
	s.ask(t, http.MethodGet, "schemas/"+s.namespace+"/"+topic+"/schema", nil, &stored)
	if stored.Type != "AVRO" || stored.Data != bookedSchema {
		t.Errorf("the broker has %+v, want the schema as it was given", stored)
	}
	for range 3 {
		m := in.next(t)
		if v, err := codec.Decode(m); err != nil || v.(booked).Seat != "12A" || m.Header(avromsg.HeaderFingerprint) == "" {
			t.Errorf("%+v, %v, headers %v", v, err, m.Headers)
		}
	}
}

// TestIntegrationTheSchemaVersionIsAlwaysThere: also for messages alone, for which the client sets it on its batching path only.
func TestIntegrationTheSchemaVersionIsAlwaysThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	consumer, err := foreign(t, s).Subscribe(pulsar.ConsumerOptions{Topic: s.full(topic), SubscriptionName: "s"})
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	m, err := codec.Encode(newBooked(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "k"} {
		m.Key = key
		for range 3 {
			publishAll(t, b, m) // one at a time
		}
		publishAll(t, b, slices.Repeat([]messaging.Message{m}, 20)...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 46 {
		received, err := consumer.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if v := received.SchemaVersion(); len(v) != 8 || binary.BigEndian.Uint64(v) != 0 {
			t.Errorf("schema version %x, want 0", v)
		}
	}
}

// TestIntegrationTheSchemaOfAnotherWriter: a message of a foreign producer has a schema version and no fingerprint.
func TestIntegrationTheSchemaOfAnotherWriter(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	consume(t, b, subscription(topic, messaging.KeyShared), in.receive)
	m, err := codec.Encode(newBooked(1))
	if err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, m)
	in.next(t)
	type wider struct {
		booked
		Class *string `avro:"class"`
	}
	const widerSchema = `{"type":"record","name":"Booked","fields":[{"name":"class","type":["null","string"],"default":null},` +
		`{"name":"seat","type":"string"},{"name":"price","type":"long"},{"name":"note","type":["null","string"]}]}`
	schema, err := avromsg.ParseSchema(widerSchema)
	if err != nil {
		t.Fatal(err)
	}
	class := "first"
	v := wider{booked: newBooked(2), Class: &class}
	payload, err := schema.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(widerSchema)},
		pulsar.ProducerMessage{Payload: payload, Key: "a"}, pulsar.ProducerMessage{Payload: payload, Key: "b"})
	for range 2 {
		m := in.next(t)
		got, err := codec.Decode(m)
		if err != nil || got.(booked).Seat != "12A" || got.(booked).Price != 2 || m.Header(avromsg.HeaderFingerprint) != schema.Fingerprint() {
			t.Errorf("%+v, %v, headers %v", got, err, m.Headers)
		}
	}
}

// TestIntegrationASchemaThatNobodyCanParse: the client's GetSchemaValue would end the process.
func TestIntegrationASchemaThatNobodyCanParse(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	consume(t, b, subscription(topic, messaging.Shared), in.receive)
	// As a Python producer with required_default writes it.
	const bad = `{"type":"record","name":"Booked","fields":[{"name":"seat","type":["null","string"],"default":"x"}]}`
	send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(bad)}, pulsar.ProducerMessage{Payload: []byte{0}})
	m := in.next(t)
	if _, err := codec.Decode(m); !errors.Is(err, messaging.ErrMalformed) {
		t.Errorf("decoding gives %v, want ErrMalformed", err)
	}
}

func TestIntegrationTheSchemaIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(`{"type":"record","name":"Other","fields":[{"name":"x","type":"int"}]}`)})
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	m, err := codec.Encode(newBooked(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := messaging.Publish(t.Context(), b, m); !errors.Is(err, pulsarmsg.ErrSchemaRefused) || !strings.Contains(err.Error(), topic) {
			t.Errorf("%v, want ErrSchemaRefused and the topic", err)
		}
	}
}

// TestIntegrationPoisonBytes: what cannot be decoded goes to the dead letters, with its reason and its key, and the next message is handled.
func TestIntegrationPoisonBytes(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, dead := topicName(t), newInbox()
	codec := newTestCodec(t, topic)
	c := s.config(t)
	c.Schemas = codec
	b := open(t, c)
	consume(t, b, subscription(messaging.DeadLetterTopicName(topic, "s"), messaging.Shared), dead.receive)
	router, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: b, DeadLetters: messaging.DeadLetterTopic(b), Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	handled := make(chan any, 1)
	if err := router.Handle(subscription(topic, messaging.KeyShared), func(_ context.Context, m messaging.Message) error {
		v, err := codec.Decode(m)
		if err == nil {
			handled <- v
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	wait(t, router.Ready(), "router")
	good, err := codec.Encode(newBooked(1))
	if err != nil {
		t.Fatal(err)
	}
	good.Key = "k"
	poison := good
	poison.ID, poison.Payload = "poison", []byte{0xff, 0xff, 0xff}
	publishAll(t, b, poison, good)
	wait(t, handled, "message after the poison")
	m := dead.next(t)
	if m.ID != "poison" || m.Key != "k" || m.Type != good.Type || !bytes.Equal(m.Payload, poison.Payload) ||
		m.Header(messaging.HeaderDeadLetterTopic) != topic || m.Header(messaging.HeaderDeadLetterReason) == "" {
		t.Errorf("the dead letter is %+v", m)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestIntegrationABatchIsAcknowledgedByTheMessage: what is acknowledged does not come again with its neighbours in the batch, not even to the next consumer.
func TestIntegrationABatchIsAcknowledgedByTheMessage(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	b := open(t, s.config(t))
	came := make(chan string, 100)
	receiver := func(keep func(id string) bool) messaging.Receiver {
		return func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			dispositions := make([]messaging.Disposition, len(batch))
			for i, m := range batch {
				dispositions[i] = messaging.Disposition{Redeliver: keep(m.ID), After: time.Hour}
				came <- m.ID
			}
			return dispositions
		}
	}
	stop := consume(t, b, subscription(topic, messaging.Shared), receiver(func(id string) bool { return id == "2" || id == "7" }))
	var messages []pulsar.ProducerMessage
	for i := range 10 {
		messages = append(messages, pulsar.ProducerMessage{Payload: []byte{}, Properties: map[string]string{pulsarmsg.PropertyID: fmt.Sprint(i)}})
	}
	send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), BatchingMaxPublishDelay: time.Minute}, messages...)
	for range 10 {
		wait(t, came, "message")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	consume(t, b, subscription(topic, messaging.Shared), receiver(func(string) bool { return false }))
	again := []string{wait(t, came, "message"), wait(t, came, "message")}
	slices.Sort(again)
	if !slices.Equal(again, []string{"2", "7"}) {
		t.Errorf("the next consumer got %q, want those that were not acknowledged", again)
	}
	select {
	case id := <-came:
		t.Errorf("message %s came again", id)
	case <-time.After(200 * time.Millisecond):
	}
}

// TestIntegrationDeduplication: a namespace may have it on. The client's batches and what it sends again must not be taken for repetitions.
func TestIntegrationDeduplication(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	b := open(t, s.hardy(t))
	l := newLoad(t, b, topic, messaging.KeyShared)
	s.ask(t, http.MethodPost, s.path(topic)+"/deduplicationEnabled", true, nil)
	eventually(t, func() bool {
		var on bool
		return s.try(http.MethodGet, s.path(topic)+"/deduplicationEnabled?applied=true", nil, &on) == nil && on
	})
	l.during(b, true, func() { s.unload(t, topic) })
}

// TestIntegrationThePublishQueueIsFull: publishers wait, on a connection that is slow, and nothing is lost.
func TestIntegrationThePublishQueueIsFull(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, newServer(t))
	c := s.hardy(t)
	c.MaxPending = 5
	b := open(t, c)
	newLoad(t, b, topicName(t), messaging.Shared).during(b, true, func() { lasting(time.Second, p.Narrow(t, 40)) })
}

func TestIntegrationANewSubscriptionBegins(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, earliest := range []bool{false, true} {
		topic, in := topicName(t), newInbox()
		c := s.config(t)
		c.FromEarliest = earliest
		b := open(t, c)
		publishAll(t, b, messaging.Message{ID: "old", Topic: topic})
		consume(t, b, subscription(topic, messaging.Shared), in.receive)
		publishAll(t, b, messaging.Message{ID: "new", Topic: topic})
		want := "new"
		if earliest {
			want = "old"
		}
		if m := in.next(t); m.ID != want {
			t.Errorf("FromEarliest %v: the first message is %s, want %s", earliest, m.ID, want)
		}
	}
}

// TestIntegrationRetryAfter: a delay of the handler's own, through the router, on every type of subscription.
func TestIntegrationRetryAfter(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, kind := range map[string]messaging.SubscriptionType{"shared": messaging.Shared, "key-shared": messaging.KeyShared, "failover": messaging.Failover} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := topicName(t)
			b := open(t, s.config(t))
			router, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: b, DeadLetters: messaging.DeadLetterTopic(b), Logger: discard()})
			if err != nil {
				t.Fatal(err)
			}
			const after = 300 * time.Millisecond
			type delivery struct {
				n  int
				at time.Time
			}
			deliveries := make(chan delivery, 10)
			if err := router.Handle(subscription(topic, kind), func(_ context.Context, m messaging.Message) error {
				deliveries <- delivery{m.Delivery, time.Now()}
				if m.Delivery < 3 {
					return messaging.RetryAfter(after, errors.New("not yet"))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- router.Run(ctx) }()
			wait(t, router.Ready(), "router")
			publishAll(t, b, messaging.Message{ID: "1", Topic: topic, Key: "k"})
			last := time.Time{}
			for i := range 3 {
				d := wait(t, deliveries, "delivery")
				if d.n != i+1 || i > 0 && d.at.Sub(last) < after {
					t.Errorf("delivery %d came as number %d after %v, want %v at least", i+1, d.n, d.at.Sub(last), after)
				}
				last = d.at
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIntegrationMetrics: those of the client and of this package go to the registry that was given, and a second driver shares it.
func TestIntegrationMetrics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	registry := prometheus.NewRegistry()
	c := s.config(t)
	c.Metrics = registry
	b := open(t, c)
	open(t, c)
	consume(t, b, subscription(topic, messaging.Shared), in.receive)
	publishAll(t, b, messaging.Message{ID: "1", Topic: topic})
	in.next(t)
	s.unload(t, topic)
	eventually(t, func() bool {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, f := range families {
			found[f.GetName()] = true
		}
		return found["pulsar_client_messages_published"] && found["pulsarmsg_subscription_losses_total"] && found["pulsarmsg_held_messages"]
	})
}
