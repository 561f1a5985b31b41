package wire_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// original is how the original system is seen by a broker: it registers its own schemas and knows no others.
type original map[string]string // by topic

func (o original) Schema(topic string) (string, bool) {
	text, ok := o[topic]
	return text, ok
}

func (o original) AddWriter(string, string) (string, error) {
	return "", errors.New("the original reads nothing here")
}

func theOriginal(t testing.TB) original {
	t.Helper()
	o := original{}
	for _, topic := range wire.Topics() {
		if topic.Name != wire.TopicApproveCampaign {
			o[topic.Name] = originalText(t, topic.Name+".avsc")
		}
	}
	return o
}

// connect returns a driver with the schemas, that is closed with the test.
func connect(t testing.TB, at testenv.Broker, schemas pulsarmsg.Schemas) *pulsarmsg.Broker {
	t.Helper()
	b, err := pulsarmsg.New(pulsarmsg.Config{
		URL: at.URL, AdminURL: at.AdminURL, Namespace: at.Namespace, Schemas: schemas, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// listen subscribes and returns what arrives.
func listen(t testing.TB, b messaging.Subscriber, s messaging.Subscription) <-chan messaging.Message {
	t.Helper()
	arrived := make(chan messaging.Message, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- b.Subscribe(ctx, s, func() { close(ready) }, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			for _, m := range batch {
				arrived <- m
			}
			return make([]messaging.Disposition, len(batch))
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case <-time.After(time.Minute):
		t.Fatalf("%s is not ready in time", s.Topic)
	}
	return arrived
}

func next(t testing.TB, arrived <-chan messaging.Message) messaging.Message {
	t.Helper()
	select {
	case m := <-arrived:
		return m
	case <-time.After(time.Minute):
		t.Fatal("no message in time")
		return messaging.Message{}
	}
}

func publish(t testing.TB, b messaging.Publisher, messages ...messaging.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := messaging.Publish(ctx, b, messages...); err != nil {
		t.Fatal(err)
	}
}

// ask sends a request to the broker's REST interface, below /admin/v2/.
func ask(t testing.TB, at testenv.Broker, method, path string, body, answer any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, at.AdminURL+"/admin/v2/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s, %v: %s", method, path, response.Status, err, text)
	}
	if answer != nil {
		if err := json.Unmarshal(text, answer); err != nil {
			t.Fatal(err)
		}
	}
}

// register makes the text the topic's schema, as whoever comes first does.
func register(t testing.TB, at testenv.Broker, topic, text string) {
	t.Helper()
	ask(t, at, http.MethodPost, "schemas/"+at.Namespace+"/"+topic+"/schema",
		map[string]any{"type": "AVRO", "schema": text, "properties": map[string]string{}}, nil)
}

// versions returns the texts of all versions of the topic's schema, version 0 first.
func versions(t testing.TB, at testenv.Broker, topic string) []string {
	t.Helper()
	var answer struct {
		Schemas []struct {
			Version int64  `json:"version"`
			Data    string `json:"data"`
		} `json:"getSchemaResponses"`
	}
	ask(t, at, http.MethodGet, "schemas/"+at.Namespace+"/"+topic+"/schemas", nil, &answer)
	texts := make([]string, len(answer.Schemas))
	for i, one := range answer.Schemas {
		if one.Version != int64(i) {
			t.Errorf("%s: version %d comes at place %d", topic, one.Version, i)
		}
		texts[i] = one.Data
	}
	return texts
}

// TestIntegrationOurSchemasAreTheOriginalsVersions: on topics that the original was first on, ours are the same version, and our additions to the
// campaign's events are the next. After that the original's services connect and publish as before.
func TestIntegrationOurSchemasAreTheOriginalsVersions(t *testing.T) {
	t.Parallel()
	at := testenv.Pulsar(t)
	theirs := theOriginal(t)
	for topic, text := range theirs {
		register(t, at, topic, text)
	}
	codec := newCodec(t)
	us := connect(t, at, codec)
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, us, m)
	}
	check := func(when string) {
		t.Helper()
		for _, topic := range wire.Topics() {
			want := []string{topic.Schema}
			if topic.Name == wire.TopicCampaignEvents {
				want = []string{theirs[topic.Name], topic.Schema}
			}
			if got := versions(t, at, topic.Name); !slices.Equal(got, want) {
				t.Errorf("%s: %s has %d versions, want %d, as they were given: %s", when, topic.Name, len(got), len(want), got)
			}
		}
	}
	check("after us")
	arrived := listen(t, us, messaging.Subscription{Topic: wire.TopicCampaignEvents, Name: "s"})
	them := connect(t, at, theirs)
	for _, g := range goldens(t) {
		if g.Schema != originalV2 {
			publish(t, them, messaging.Message{Topic: g.Topic, Payload: g.payload(t)})
		}
	}
	check("after them")
	for range 2 {
		if v, err := codec.Decode(next(t, arrived)); err != nil || v.(campaign.Registered).ID == "" {
			t.Errorf("their event beside ours: %+v, %v", v, err)
		}
	}
}

// TestIntegrationWeMayBeFirst: the original's schemas are taken after ours, on every topic.
func TestIntegrationWeMayBeFirst(t *testing.T) {
	t.Parallel()
	at := testenv.Pulsar(t)
	codec, theirs := newCodec(t), theOriginal(t)
	us, them := connect(t, at, codec), connect(t, at, theirs)
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, us, m)
	}
	for _, g := range goldens(t) {
		if g.Schema != originalV2 {
			publish(t, them, messaging.Message{Topic: g.Topic, Payload: g.payload(t)})
		}
	}
	for topic, text := range theirs {
		want := []string{text}
		if topic == wire.TopicCampaignEvents {
			described, _ := wire.TopicByName(topic)
			want = []string{described.Schema, text}
		}
		if got := versions(t, at, topic); !slices.Equal(got, want) {
			t.Errorf("%s has %d versions, want %d", topic, len(got), len(want))
		}
	}
}

// TestIntegrationTheOriginalsMessages: all golden messages, sent as the original sends them, arrive at the original's subscriptions, are decoded by the
// schema version that the broker keeps, and are the same bytes again.
func TestIntegrationTheOriginalsMessages(t *testing.T) {
	t.Parallel()
	at := testenv.Pulsar(t)
	codec, theirs := newCodec(t), theOriginal(t)
	them, us := connect(t, at, theirs), connect(t, at, codec)
	waiting := map[string][]string{} // the payloads, by topic
	for _, g := range goldens(t) {
		if g.Schema != originalV2 {
			waiting[g.Topic] = append(waiting[g.Topic], g.Hex)
		}
	}
	arrived := map[string]<-chan messaging.Message{}
	for _, topic := range wire.Topics() {
		if len(waiting[topic.Name]) > 0 {
			arrived[topic.Name] = listen(t, us, messaging.Subscription{Topic: topic.Name, Name: subscriptionOf(topic), Type: messaging.Shared})
		}
	}
	for _, g := range goldens(t) {
		if g.Schema != originalV2 {
			publish(t, them, messaging.Message{Topic: g.Topic, Payload: g.payload(t)})
		}
	}
	for name, payloads := range waiting {
		topic, _ := wire.TopicByName(name)
		schema, err := avromsg.ParseSchema(theirs[name])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range payloads {
			m := next(t, arrived[name])
			if m.ID != "" || m.Type != "" || m.Key != "" || m.Header(avromsg.HeaderFingerprint) != schema.Fingerprint() {
				t.Errorf("%s: %q %q %q %v, want only the fingerprint of the version that the broker keeps", name, m.ID, m.Type, m.Key, m.Headers)
			}
			if _, err := codec.Decode(m); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			r, err := codec.DecodeRecord(m)
			if err != nil {
				t.Fatal(err)
			}
			again, err := schema.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, hex.EncodeToString(again))
		}
		slices.Sort(got)
		if slices.Sort(payloads); !slices.Equal(got, payloads) {
			t.Errorf("%s: other bytes than were sent:\n%s\n%s", name, got, payloads)
		}
		var stats struct {
			Subscriptions map[string]struct{ Type string } `json:"subscriptions"`
		}
		ask(t, at, http.MethodGet, "persistent/"+at.Namespace+"/"+name+"/stats", nil, &stats)
		if kind := stats.Subscriptions[subscriptionOf(topic)].Type; kind != "Shared" {
			t.Errorf("%s: the subscription %s is %q: %v", name, subscriptionOf(topic), kind, stats)
		}
	}
}

// subscriptionOf returns the original's subscription, or one for the topic that it has none on.
func subscriptionOf(t wire.Topic) string {
	if t.Subscription == "" {
		return "nobody"
	}
	return t.Subscription
}

// The tracking event's second version, ours and the original's.
type (
	registradoV2 struct {
		wire.EventoRegistrado
		NewField *string `avro:"new_field"`
	}
	trakingV2 struct {
		wire.Envelope
		EventoRegistrado *registradoV2               `avro:"evento_registrado"`
		EventoFallido    *wire.RegistroEventoFallido `avro:"evento_fallido"`
	}
	trakingV2Original struct {
		wire.Envelope
		Data *registradoV2 `avro:"data"`
	}
)

func trackingV2(t testing.TB, topic, file string) *avromsg.Codec {
	t.Helper()
	var record avromsg.Type
	if file == originalV2 {
		record = avromsg.Record[trakingV2Original]("EventoTraking", topic, schemaFile(t, "v2", file).JSON())
	} else {
		record = avromsg.Record[trakingV2]("EventoTraking", topic, schemaFile(t, "v2", file).JSON())
	}
	codec, err := avromsg.NewCodec(record)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// TestIntegrationTrackingV2BothWays: a tracking service of the second version beside readers of the first, and the other way round, with the schema's
// fingerprint in the message and without it.
func TestIntegrationTrackingV2BothWays(t *testing.T) {
	t.Parallel()
	at := testenv.Pulsar(t)
	const topic = wire.TopicTrackingEvents
	register(t, at, topic, originalText(t, topic+".avsc"))
	old, young := newCodec(t), trackingV2(t, topic, "evento-traking.avsc")
	before, after := connect(t, at, old), connect(t, at, young)
	toOld := listen(t, before, messaging.Subscription{Topic: topic, Name: wire.SubscriptionTrackingEvents})
	toYoung := listen(t, after, messaging.Subscription{Topic: topic, Name: "young"})
	v1, err := old.Encode(tracking.Registered{ID: "t1", PartnerID: "x1"})
	if err != nil {
		t.Fatal(err)
	}
	v1.Type = "EventoTraking" // what the other codec calls it
	v2, err := young.Encode(trakingV2{
		Envelope: wire.Envelope{Type: ptr(wire.TypeEventRegistered), SpecVersion: ptr("v2")},
		EventoRegistrado: &registradoV2{
			EventoRegistrado: wire.EventoRegistrado{ID: ptr("t2"), IDPartner: ptr("x2")}, NewField: ptr("news"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	v2.Type = "" // the envelope has it
	bare := func(m messaging.Message) messaging.Message {
		return messaging.Message{Topic: m.Topic, Payload: m.Payload}
	}
	publish(t, before, v1, bare(v1))
	publish(t, after, v2, bare(v2))
	seen := map[any]int{}
	for range 4 {
		m := next(t, toOld)
		m.Type = "" // decoded by its topic
		v, err := old.Decode(m)
		if err != nil {
			t.Fatalf("the old reader: %v", err)
		}
		seen[v]++
		m = next(t, toYoung)
		v, err = young.Decode(m)
		if err != nil {
			t.Fatalf("the new reader: %v", err)
		}
		e := v.(trakingV2).EventoRegistrado
		if e.NewField == nil {
			e.NewField = ptr("")
		}
		seen[*e.ID+" "+*e.NewField]++
	}
	want := map[any]int{
		tracking.Registered{ID: "t1", PartnerID: "x1"}: 2, tracking.Registered{ID: "t2", PartnerID: "x2"}: 2, "t1 ": 2, "t2 news": 2,
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	if got := versions(t, at, topic); len(got) != 2 {
		t.Errorf("%d versions, want 2", len(got))
	}
}

// TestIntegrationTheOriginalsTrackingV2 has another shape: the broker refuses it on the first version's topic, our codec says why, and a topic of its own has it.
func TestIntegrationTheOriginalsTrackingV2(t *testing.T) {
	t.Parallel()
	at := testenv.Pulsar(t)
	register(t, at, wire.TopicTrackingEvents, originalText(t, wire.TopicTrackingEvents+".avsc"))
	var g golden
	for _, one := range goldens(t) {
		if one.Schema == originalV2 {
			g = one
		}
	}
	text := originalText(t, originalV2)
	misplaced := connect(t, at, original{wire.TopicTrackingEvents: text})
	err := messaging.Publish(t.Context(), misplaced, messaging.Message{Topic: wire.TopicTrackingEvents, Payload: g.payload(t)})
	if !errors.Is(err, pulsarmsg.ErrSchemaRefused) {
		t.Errorf("on the first version's topic: %v, want ErrSchemaRefused", err)
	}
	if err := newCodec(t).Check(wire.TopicTrackingEvents, text); !errors.Is(err, avromsg.ErrIncompatible) {
		t.Errorf("Check: %v", err)
	}
	codec := trackingV2(t, wire.TopicTrackingEventsV2, originalV2)
	us := connect(t, at, codec)
	arrived := listen(t, us, messaging.Subscription{Topic: wire.TopicTrackingEventsV2, Name: "s"})
	publish(t, connect(t, at, original{wire.TopicTrackingEventsV2: text}), messaging.Message{Topic: wire.TopicTrackingEventsV2, Payload: g.payload(t)})
	m := next(t, arrived)
	v, err := codec.Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec.Encode(v)
	if err != nil || hex.EncodeToString(again.Payload) != g.Hex {
		t.Errorf("encodes to %x, %v, want %s", again.Payload, err, g.Hex)
	}
	publish(t, us, again)
	next(t, arrived)
	if got := versions(t, at, wire.TopicTrackingEventsV2); !slices.Equal(got, []string{text}) {
		t.Errorf("%d versions, want the original's alone", len(got))
	}
}
