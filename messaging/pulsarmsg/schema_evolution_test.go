package pulsarmsg_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// What becomes of a topic's schema in the course of time, on a broker with the strategy FULL, which is its default. The tracking event is the
// original system's, and "foreign" clients are the vendor's, without anything of ours.

// originalSchema returns a schema as the original system registers it.
func originalSchema(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "avro", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// trackingV2 is the first version with a field added, as the broker takes it beside the first.
func trackingV2(t testing.TB) string {
	t.Helper()
	return grown(t, `"default": null, `)
}

// grown adds new_field to the first of the two payload records.
func grown(t testing.TB, middle string) string {
	t.Helper()
	const last = `"name": "fecha",
       "type": [
        "null",
        "long"
       ]
      }`
	text := originalSchema(t, "evento-traking.avsc")
	changed := strings.Replace(text, last, last+`, {`+middle+`"name": "new_field", "type": ["null", "string"]}`, 1)
	if changed == text {
		t.Fatal("the original's schema has another shape")
	}
	return changed
}

type envelope struct {
	ID              *string `avro:"id"`
	Time            *int64  `avro:"time"`
	Ingestion       *int64  `avro:"ingestion"`
	SpecVersion     *string `avro:"specversion"`
	Type            *string `avro:"type"`
	DataContentType *string `avro:"datacontenttype"`
	ServiceName     *string `avro:"service_name"`
}

type tracked struct {
	ID        *string `avro:"id"`
	IDPartner *string `avro:"id_partner"`
	IDCampana *string `avro:"id_campana"`
	Fecha     *int64  `avro:"fecha"`
}

type trackedV2 struct {
	tracked
	NewField *string `avro:"new_field"`
}

type trackingEventV1 struct {
	envelope
	Registered *tracked `avro:"evento_registrado"`
	Failed     *tracked `avro:"evento_fallido"`
}

type trackingEventV2 struct {
	envelope
	Registered *trackedV2 `avro:"evento_registrado"`
	Failed     *tracked   `avro:"evento_fallido"`
}

func eventV1(id string) trackingEventV1 {
	return trackingEventV1{Registered: &tracked{ID: &id}, Failed: &tracked{}}
}

func eventV2(id, news string) trackingEventV2 {
	return trackingEventV2{Registered: &trackedV2{tracked: tracked{ID: &id}, NewField: &news}, Failed: &tracked{}}
}

func avroCodec(t testing.TB, types ...avromsg.Type) *avromsg.Codec {
	t.Helper()
	codec, err := avromsg.NewCodec(types...)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// service is one version of a service: its codec, and a driver that has the codec's schemas.
type service struct {
	codec  *avromsg.Codec
	broker *pulsarmsg.Broker
}

func newService(t testing.TB, s server, types ...avromsg.Type) service {
	t.Helper()
	c := s.config(t)
	codec := avroCodec(t, types...)
	c.Schemas = codec
	return service{codec, open(t, c)}
}

func (s service) message(t testing.TB, v any) messaging.Message {
	t.Helper()
	m, err := s.codec.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// versions returns the texts of all versions of the topic's schema.
func (s server) versions(t testing.TB, topic string) []string {
	t.Helper()
	var answer struct {
		Schemas []struct {
			Version int64
			Data    string
		} `json:"getSchemaResponses"`
	}
	s.ask(t, http.MethodGet, "schemas/"+s.namespace+"/"+topic+"/schemas", nil, &answer)
	var texts []string
	for _, one := range answer.Schemas {
		texts = append(texts, one.Data)
	}
	return texts
}

func encoded(t testing.TB, schema string, v any) []byte {
	t.Helper()
	s, err := avromsg.ParseSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := s.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestIntegrationEvolutionBothWays: a service of the first version and one of the second read each other, and a foreign producer of either, whose messages have a
// schema version and no fingerprint. Neither has been told of the other.
func TestIntegrationEvolutionBothWays(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	v1, v2 := originalSchema(t, "evento-traking.avsc"), trackingV2(t)
	before := newService(t, s, avromsg.Record[trackingEventV1]("evento", topic, v1))
	after := newService(t, s, avromsg.Record[trackingEventV2]("evento", topic, v2))
	old, young := newInbox(), newInbox()
	consume(t, before.broker, messaging.Subscription{Topic: topic, Name: "old", Type: messaging.KeyShared}, old.receive)
	consume(t, after.broker, messaging.Subscription{Topic: topic, Name: "young", Type: messaging.KeyShared}, young.receive)

	publishAll(t, before.broker, before.message(t, eventV1("v1")))
	publishAll(t, after.broker, after.message(t, eventV2("v2", "news")))
	client := foreign(t, s)
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(v1)}, pulsar.ProducerMessage{Payload: encoded(t, v1, eventV1("foreign v1"))})
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(v2)}, pulsar.ProducerMessage{Payload: encoded(t, v2, eventV2("foreign v2", "foreign news"))})
	publishAll(t, before.broker, before.message(t, eventV1("v1 again"))) // the first version goes on beside the second

	var seen []string
	for range 5 {
		v, err := before.codec.Decode(old.next(t))
		if err != nil {
			t.Fatalf("the old reader: %v", err)
		}
		seen = append(seen, *v.(trackingEventV1).Registered.ID)
	}
	slices.Sort(seen)
	if got := strings.Join(seen, ", "); got != "foreign v1, foreign v2, v1, v1 again, v2" {
		t.Errorf("the old reader has %s", got)
	}
	seen = nil
	for range 5 {
		v, err := after.codec.Decode(young.next(t))
		if err != nil {
			t.Fatalf("the new reader: %v", err)
		}
		e, news := v.(trackingEventV2).Registered, "none"
		if e.NewField != nil {
			news = *e.NewField
		}
		seen = append(seen, *e.ID+": "+news)
	}
	slices.Sort(seen)
	if got := strings.Join(seen, ", "); got != "foreign v1: none, foreign v2: foreign news, v1 again: none, v1: none, v2: news" {
		t.Errorf("the new reader has %s", got)
	}
	if texts := s.versions(t, topic); !slices.Equal(texts, []string{v1, v2}) {
		t.Errorf("the broker has %d versions, want both as they were given: %s", len(texts), texts)
	}
}

// TestIntegrationALetterOfAnotherWriter is published again by a service whose producer has another schema of the same layout: the broker notes that one's version.
func TestIntegrationALetterOfAnotherWriter(t *testing.T) {
	t.Parallel()
	type moved struct {
		From string `avro:"from"`
		To   string `avro:"to"`
	}
	record := func(first, second string) string {
		return `{"type":"record","name":"Moved","fields":[{"name":"` + first + `","type":"string"},{"name":"` + second + `","type":"string"}]}`
	}
	s := newServer(t)
	topic := topicName(t)
	ours := newService(t, s, avromsg.Record[moved]("moved", topic, record("from", "to")))
	publishAll(t, ours.broker, ours.message(t, moved{"a", "b"})) // the first version
	theirs := newService(t, s, avromsg.Record[moved]("moved", topic, record("to", "from")))
	publishAll(t, theirs.broker, theirs.message(t, moved{"c", "d"})) // the second one
	in := newInbox()
	consume(t, ours.broker, subscription(topic, messaging.Shared), in.receive)
	letter := theirs.message(t, moved{From: "Madrid", To: "Bogota"})
	publishAll(t, ours.broker, letter)
	if v, err := ours.codec.Decode(in.next(t)); err != nil || v != (moved{"Madrid", "Bogota"}) {
		t.Errorf("got %+v, %v", v, err)
	}
	letter.Headers[avromsg.HeaderFingerprint] = "schema-version-9" // as of a schema that could not be read
	publishAll(t, ours.broker, letter)
	if v, err := ours.codec.Decode(in.next(t)); !errors.Is(err, messaging.ErrMalformed) {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestIntegrationSchemasOfOddTopics: a topic's name may hold what means something else in an address.
func TestIntegrationSchemasOfOddTopics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	v1, client := originalSchema(t, "evento-traking.avsc"), foreign(t, s)
	for _, odd := range []string{"orders#1", "a?b", "50%", "a%41", "a+b", "with space"} {
		topic, in := topicName(t)+odd, newInbox()
		ours := newService(t, s, avromsg.Record[trackingEventV1]("evento", topic, v1))
		consume(t, ours.broker, subscription(topic, messaging.Shared), in.receive)
		send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(v1)}, pulsar.ProducerMessage{Payload: encoded(t, v1, eventV1("e"))})
		m := in.next(t)
		if v, err := ours.codec.Decode(m); err != nil || *v.(trackingEventV1).Registered.ID != "e" || m.Header(avromsg.HeaderFingerprint) == "" {
			t.Errorf("%s: %+v, %v, %v", odd, v, err, m.Headers)
		}
	}
}

// TestIntegrationSchemasThatDoNotFit: the codec says so before anything is published, with the field and what to do, and the broker refuses the same.
func TestIntegrationSchemasThatDoNotFit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	v1 := originalSchema(t, "evento-traking.avsc")
	type originalV2 struct {
		envelope
		Data *trackedV2 `avro:"data"`
	}
	for name, c := range map[string]struct {
		record func(topic string) avromsg.Type
		value  any
		fields []string
	}{
		"an addition without a default": {
			record: func(topic string) avromsg.Type { return avromsg.Record[trackingEventV2]("evento", topic, grown(t, "")) },
			value:  eventV2("e", "news"), fields: []string{"field evento_registrado.new_field: ", `"default": null`},
		},
		"the original's second version": {
			record: func(topic string) avromsg.Type {
				return avromsg.Record[originalV2]("evento", topic, originalSchema(t, "evento-traking.v2-original.avsc"))
			},
			value: originalV2{}, fields: []string{"field data: ", "field evento_registrado: ", "field evento_fallido: ", "a topic of its own"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := topicName(t)
			send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(v1)}, pulsar.ProducerMessage{Payload: encoded(t, v1, eventV1("v1"))})
			next := newService(t, s, c.record(topic))
			err := next.codec.Check(topic, s.versions(t, topic)[0])
			if !errors.Is(err, avromsg.ErrIncompatible) {
				t.Fatalf("Check: %v", err)
			}
			for _, field := range append(c.fields, topic) {
				if !strings.Contains(err.Error(), field) {
					t.Errorf("Check does not name %s: %v", field, err)
				}
			}
			err = messaging.Publish(t.Context(), next.broker, next.message(t, c.value))
			if !errors.Is(err, pulsarmsg.ErrSchemaRefused) || !errors.Is(err, avromsg.ErrIncompatible) || !strings.Contains(err.Error(), c.fields[0]) {
				t.Errorf("the broker: %v, want ErrSchemaRefused with the field", err)
			}
			if texts := s.versions(t, topic); !slices.Equal(texts, []string{v1}) {
				t.Errorf("the broker has now %d versions", len(texts))
			}
			// A topic of its own takes it.
			own := newService(t, s, c.record(topic+"-v2"))
			in := newInbox()
			consume(t, own.broker, subscription(topic+"-v2", messaging.Shared), in.receive)
			publishAll(t, own.broker, own.message(t, c.value))
			if _, err := own.codec.Decode(in.next(t)); err != nil {
				t.Errorf("on a topic of its own: %v", err)
			}
		})
	}
}

// TestIntegrationTheBrokerAgreesAboutEvolution: what Evolves says of a change is what the broker says under FULL. Where they differ, ours is the stricter one, and said.
func TestIntegrationTheBrokerAgreesAboutEvolution(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	record := func(fields string) string { return `{"type":"record","name":"R","fields":[` + fields + `]}` }
	enum := func(symbols, rest string) string {
		return record(`{"name":"e","type":{"type":"enum","name":"E","symbols":[` + symbols + `]` + rest + `}}`)
	}
	x := `{"name":"x","type":["null","string"]}`
	for i, c := range []struct {
		name, current, next string
		stricter            bool
	}{
		{"nothing", record(x), record(x), false},
		{"documentation", record(x), `{"type":"record","name":"R","doc":"d","fields":[` + x + `]}`, false},
		{"nullable addition", record(x), record(x + `,{"name":"y","type":["null","long"],"default":null}`), false},
		{"nullable addition in front", record(x), record(`{"name":"y","type":["null","long"],"default":null},` + x), false},
		{"addition with a value", record(x), record(x + `,{"name":"y","type":"long","default":7}`), false},
		{"bare addition", record(x), record(x + `,{"name":"y","type":["null","long"]}`), false},
		{"removal", record(x + `,{"name":"y","type":["null","long"]}`), record(x), false},
		{"removal of one with default", record(x + `,{"name":"y","type":["null","long"],"default":null}`), record(x), false},
		{"renaming", record(x), record(`{"name":"z","type":["null","string"]}`), false},
		{"renaming with an alias on one side", record(x), record(`{"name":"z","aliases":["x"],"type":["null","string"]}`), false},
		{"another type", record(x), record(`{"name":"x","type":["null","long"]}`), false},
		{"never null", record(x), record(`{"name":"x","type":"string"}`), false},
		{"branches turned round", record(x), record(`{"name":"x","type":["string","null"]}`), false},
		{"int to long", record(`{"name":"x","type":"int"}`), record(`{"name":"x","type":"long"}`), false},
		{"text to bytes", record(`{"name":"x","type":"string"}`), record(`{"name":"x","type":"bytes"}`), false},
		{"a symbol more", enum(`"a"`, ""), enum(`"a","b"`, ""), true}, // readers that do not have it fail by the message
		{"symbols turned round", enum(`"a","b"`, ""), enum(`"b","a"`, ""), false},
		{"a symbol more, with defaults", enum(`"a"`, `,"default":"a"`), enum(`"a","b"`, `,"default":"a"`), false},
		{"another record name", record(x), `{"type":"record","name":"Q","fields":[` + x + `]}`, true},
		{"another name inside", record(`{"name":"in","type":["null",{"type":"record","name":"A","fields":[` + x + `]}]}`),
			record(`{"name":"in","type":["null",{"type":"record","name":"B","fields":[` + x + `]}]}`), true},
		{"another namespace", record(x), `{"type":"record","name":"R","namespace":"n","fields":[` + x + `]}`, false},
		{"another unit", record(`{"name":"x","type":{"type":"long","logicalType":"timestamp-millis"}}`),
			record(`{"name":"x","type":{"type":"long","logicalType":"timestamp-micros"}}`), true},
	} {
		topic := fmt.Sprintf("%s-%d", topicName(t), i)
		s.ask(t, http.MethodPost, "schemas/"+s.namespace+"/"+topic+"/schema", registration(c.current), nil)
		compatible := s.takes(t, topic, c.next)
		current, err := avromsg.ParseSchema(c.current)
		if err != nil {
			t.Fatal(err)
		}
		next, err := avromsg.ParseSchema(c.next)
		if err != nil {
			t.Fatal(err)
		}
		err = avromsg.Evolves(next, current)
		if agree := (err == nil) == compatible; agree == c.stricter {
			t.Errorf("%s: the broker says %t, Evolves %v", c.name, compatible, err)
		}
	}
}

// takes asks the broker, whose strategy is FULL, whether it would take the schema on the topic. Where it would not, it answers with an error of its own making.
func (s server) takes(t testing.TB, topic, schema string) bool {
	t.Helper()
	var answer struct {
		Compatible bool   `json:"compatibility"`
		Strategy   string `json:"schemaCompatibilityStrategy"`
	}
	err := s.try(http.MethodPost, "schemas/"+s.namespace+"/"+topic+"/compatibility", registration(schema), &answer)
	if err != nil && strings.Contains(err.Error(), "compatibility check with strategy FULL") {
		return false
	}
	if err != nil || answer.Strategy != "FULL" {
		t.Fatalf("the broker's answer is %+v, %v", answer, err)
	}
	return answer.Compatible
}

// registration is a schema as the REST interface takes it.
func registration(text string) any {
	return map[string]any{"type": "AVRO", "schema": text, "properties": map[string]string{}}
}

// TestIntegrationForeignConsumersKeepTheirSchema: one that subscribes with the first version is admitted after the second was registered, and can tell by the version
// of each message which text it was written with.
func TestIntegrationForeignConsumersKeepTheirSchema(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	v1, v2 := originalSchema(t, "evento-traking.avsc"), trackingV2(t)
	before := newService(t, s, avromsg.Record[trackingEventV1]("evento", topic, v1))
	after := newService(t, s, avromsg.Record[trackingEventV2]("evento", topic, v2))
	// The topic's first consumer registers its schema, if nobody has.
	client := foreign(t, s)
	consumer := func(schema string) pulsar.Consumer {
		c, err := client.Subscribe(pulsar.ConsumerOptions{
			Topic: s.full(topic), SubscriptionName: fmt.Sprint("s", len(schema)), Schema: avroSchema(schema),
			SubscriptionInitialPosition: pulsar.SubscriptionPositionEarliest,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	consumer(v1)
	publishAll(t, before.broker, before.message(t, eventV1("v1")))
	publishAll(t, after.broker, after.message(t, eventV2("v2", "news")))
	young := consumer(v2)
	old, err := client.Subscribe(pulsar.ConsumerOptions{
		Topic: s.full(topic), SubscriptionName: "late", Schema: avroSchema(v1), SubscriptionInitialPosition: pulsar.SubscriptionPositionEarliest,
	})
	if err != nil {
		t.Fatalf("a consumer with the first version: %v", err)
	}
	defer old.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, c := range []pulsar.Consumer{old, young} {
		for want := range 2 {
			m, err := c.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if v := m.SchemaVersion(); len(v) != 8 || binary.BigEndian.Uint64(v) != uint64(want) {
				t.Errorf("message %d has the schema version %x", want, v)
			}
		}
	}
	if texts := s.versions(t, topic); !slices.Equal(texts, []string{v1, v2}) {
		t.Errorf("the broker has %d versions, want both as they were given", len(texts))
	}
}

// TestIntegrationMessagesWithoutASchema: a producer that has no schema, and one that has it and does not batch, send no version. Both are read with
// the first of the topic's schemas, which is what a producer without anything of ours writes.
func TestIntegrationMessagesWithoutASchema(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	v1, v2 := originalSchema(t, "evento-traking.avsc"), trackingV2(t)
	after := newService(t, s, avromsg.Record[trackingEventV2]("evento", topic, v2).WithWriters(v1))
	consume(t, after.broker, subscription(topic, messaging.Shared), in.receive)
	client := foreign(t, s)
	payload := pulsar.ProducerMessage{Payload: encoded(t, v1, eventV1("old"))}
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic)}, payload)
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic), Schema: avroSchema(v1), DisableBatching: true}, payload)
	for range 2 {
		m := in.next(t)
		if m.Header(avromsg.HeaderFingerprint) != "" {
			t.Errorf("headers %v", m.Headers)
		}
		if v, err := after.codec.Decode(m); err != nil || *v.(trackingEventV2).Registered.ID != "old" {
			t.Errorf("got %+v, %v", v, err)
		}
	}
	// The second version without a word that it is one: its bytes go on after a value of the first.
	send(t, client, pulsar.ProducerOptions{Topic: s.full(topic)}, pulsar.ProducerMessage{Payload: encoded(t, v2, eventV2("new", "news"))})
	if v, err := after.codec.Decode(in.next(t)); !errors.Is(err, messaging.ErrMalformed) {
		t.Errorf("got %+v, %v", v, err)
	}
}

// TestIntegrationATopicOfAnotherSchemaType: JSON is never Avro. A producer of ours is refused, and messages that are there are malformed.
func TestIntegrationATopicOfAnotherSchemaType(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	v1 := originalSchema(t, "evento-traking.avsc")
	ours := newService(t, s, avromsg.Record[trackingEventV1]("evento", topic, v1))
	consume(t, ours.broker, subscription(topic, messaging.Shared), in.receive)
	asJSON := foreignSchema{info: &pulsar.SchemaInfo{Name: "x", Type: pulsar.JSON, Schema: v1}}
	send(t, foreign(t, s), pulsar.ProducerOptions{Topic: s.full(topic), Schema: asJSON}, pulsar.ProducerMessage{Payload: []byte(`{}`)})
	if v, err := ours.codec.Decode(in.next(t)); !errors.Is(err, messaging.ErrMalformed) {
		t.Errorf("got %+v, %v", v, err)
	}
	if err := messaging.Publish(t.Context(), ours.broker, ours.message(t, eventV1("e"))); !errors.Is(err, pulsarmsg.ErrSchemaRefused) {
		t.Errorf("publish: %v, want ErrSchemaRefused", err)
	}
}

// TestIntegrationDefaultsSurviveTheRESTInterface: it once lost "default": null, and with it what makes a field an addition.
func TestIntegrationDefaultsSurviveTheRESTInterface(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	v1, v2 := originalSchema(t, "evento-traking.avsc"), trackingV2(t)
	for _, text := range []string{v1, v2} {
		s.ask(t, http.MethodPost, "schemas/"+s.namespace+"/"+topic+"/schema", registration(text), nil)
	}
	if texts := s.versions(t, topic); !slices.Equal(texts, []string{v1, v2}) {
		t.Fatalf("the broker has %d versions, want both as they were given", len(texts))
	}
	after := newService(t, s, avromsg.Record[trackingEventV2]("evento", topic, v2))
	publishAll(t, after.broker, after.message(t, eventV2("e", "news")))
	if texts := s.versions(t, topic); len(texts) != 2 {
		t.Errorf("the second version was registered again: %d versions", len(texts))
	}
}
