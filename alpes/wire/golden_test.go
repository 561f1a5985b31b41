package wire_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

// golden is one message as the original wrote it.
type golden struct {
	Topic  string         `json:"topic"`
	Schema string         `json:"schema"` // the file
	Value  map[string]any `json:"value"`
	Hex    string         `json:"hex"`
}

func (g golden) payload(t testing.TB) []byte {
	t.Helper()
	payload, err := hex.DecodeString(g.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func goldens(t testing.TB) []golden {
	t.Helper()
	file, err := os.Open(filepath.FromSlash("../../testdata/wire/golden.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []golden
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var g golden
		if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
			t.Fatal(err)
		}
		all = append(all, g)
	}
	if len(all) != 32 {
		t.Fatalf("%d messages, want 32", len(all))
	}
	return all
}

const originalV2 = "evento-traking.v2-original.avsc"

func schemaFile(t testing.TB, version, name string) *avromsg.Schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("schema", version, name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := avromsg.ParseSchema(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// originalText returns the text of a schema as the original registers it.
func originalText(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "avro", file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// originalSchema returns the schema that the message was written with.
func (g golden) originalSchema(t testing.TB) *avromsg.Schema {
	t.Helper()
	s, err := avromsg.ParseSchema(originalText(t, g.Schema))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// simple turns a decoded generic value into what its JSON decodes to: union branches without their names, numbers as float64.
func simple(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, field := range v {
			inner := simple(field)
			if branch, ok := inner.(map[string]any); ok && len(branch) == 1 {
				for _, value := range branch {
					inner = value
				}
			}
			out[name] = inner
		}
		return out
	case int64:
		return float64(v)
	case float32:
		return float64(v)
	default:
		return v
	}
}

func TestGoldenMessagesAsGenericValues(t *testing.T) {
	t.Parallel()
	for i, g := range goldens(t) {
		schema, payload := g.originalSchema(t), g.payload(t)
		var got any
		if err := schema.Unmarshal(payload, &got); err != nil {
			t.Errorf("message %d: %v", i, err)
			continue
		}
		if want := any(g.Value); !reflect.DeepEqual(unwrap(g, simple(got)), want) {
			t.Errorf("message %d: got %v, want %v", i, simple(got), want)
		}
		again, err := schema.Marshal(got)
		if err != nil || hex.EncodeToString(again) != g.Hex {
			t.Errorf("message %d: encodes to %x, %v, want %s", i, again, err, g.Hex)
		}
	}
}

// unwrap restores a payload of one field, which simple takes for a union branch.
func unwrap(g golden, v any) any {
	record := v.(map[string]any)
	for name, field := range record {
		want, isRecord := g.Value[name].(map[string]any)
		if _, still := field.(map[string]any); isRecord && !still {
			for only := range want {
				record[name] = map[string]any{only: field}
			}
		}
	}
	return record
}

// Records of ours say field by field what the original's bytes say, and are written to the same bytes.
func TestGoldenMessagesAsRecords(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for i, g := range goldens(t) {
		if g.Schema == originalV2 {
			continue // has a topic of its own, and no record
		}
		record, err := codec.DecodeRecord(messaging.Message{Topic: g.Topic, Payload: g.payload(t)})
		if err != nil {
			t.Errorf("message %d: %v", i, err)
			continue
		}
		// The original's schema, not ours: it is the original that is to be reproduced.
		again, err := g.originalSchema(t).Marshal(record)
		if err != nil || hex.EncodeToString(again) != g.Hex {
			t.Errorf("message %d: encodes to %x, %v, want %s", i, again, err, g.Hex)
		}
		if g.Topic == wire.TopicCampaignEvents {
			continue // by our schema two fields longer
		}
		if m, err := codec.EncodeRecord(record); err != nil || hex.EncodeToString(m.Payload) != g.Hex || m.Topic != g.Topic {
			t.Errorf("message %d: encodes to %x on %q, %v", i, m.Payload, m.Topic, err)
		}
	}
}

// What the original sends, decoded to the domain, encodes to the same bytes but for what we do otherwise on
// purpose: ids and times of the envelope, and the id that is never told.
func TestGoldenMessagesThroughTheDomain(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for i, g := range goldens(t) {
		if g.Schema == originalV2 {
			continue
		}
		in := messaging.Message{Topic: g.Topic, Payload: g.payload(t)}
		v, err := codec.Decode(in)
		if err != nil {
			t.Errorf("message %d: %v", i, err)
			continue
		}
		out, err := codec.Encode(v)
		if err != nil {
			t.Errorf("message %d, a %T: %v", i, v, err)
			continue
		}
		if out.Topic != g.Topic || out.Type != g.Value["type"] {
			t.Errorf("message %d: topic %q, type %q", i, out.Topic, out.Type)
		}
		want, got := record(t, codec, in), record(t, codec, out)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("message %d, a %T:\n got %s\nwant %s", i, v, got, want)
		}
	}
}

// record returns the message's record as JSON, without what differs on purpose.
func record(t *testing.T, codec *wire.Codec, m messaging.Message) string {
	t.Helper()
	r, err := codec.DecodeRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ID", "Time", "Ingestion"} {
		delete(fields, name)
	}
	if data, ok := fields["Data"].(map[string]any); ok && data["FechaCreacion"] != nil {
		delete(data, "FechaCreacion") // our clock's
	}
	if e, ok := fields["EventoRegistrado"].(map[string]any); ok && e["ID"] == "None" {
		e["ID"] = ""
	}
	text, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSchemasOfBothVersions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"evento-campaigns.avsc", "evento-traking.avsc"} {
		v1, v2 := schemaFile(t, "v1", name), schemaFile(t, "v2", name)
		if err := avromsg.Compatible(v2, v1); err != nil {
			t.Errorf("%s: v2 reads v1: %v", name, err)
		}
		if err := avromsg.Compatible(v1, v2); err != nil {
			t.Errorf("%s: v1 reads v2: %v", name, err)
		}
		if v1.Fingerprint() == v2.Fingerprint() {
			t.Errorf("%s: one fingerprint for both", name)
		}
	}
	// The original's own second version can't be read as the first: it needs its own topic.
	v1, v2 := schemaFile(t, "v1", "evento-traking.avsc"), schemaFile(t, "v2", originalV2)
	if avromsg.Compatible(v1, v2) == nil || avromsg.Compatible(v2, v1) == nil {
		t.Error("the original's v2 of the tracking event is compatible with v1")
	}
}

// TestSchemasAreTheOriginalsToTheByte: a broker compares them parsed, but a person compares texts.
func TestSchemasAreTheOriginalsToTheByte(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.FromSlash("../../testdata/avro/*.avsc"))
	if err != nil || len(files) != 10 {
		t.Fatalf("%d schemas, %v, want the nine topics' and the second version", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == originalV2 {
			if schemaFile(t, "v2", name).JSON() != originalText(t, name) {
				t.Errorf("%s is not the original's", name)
			}
			continue
		}
		topic, ok := wire.TopicByName(strings.TrimSuffix(name, ".avsc"))
		if !ok || topic.Original != originalText(t, name) {
			t.Errorf("%s: the topic's original schema is not the original's", name)
		}
	}
}

// TestTopicsAreThoseOfTheOriginal, and one of ours.
func TestTopicsAreThoseOfTheOriginal(t *testing.T) {
	t.Parallel()
	var got []string
	for _, topic := range wire.Topics() {
		got = append(got, topic.Name+" "+topic.Subscription+" "+topic.Record)
	}
	want := []string{
		"comando-registrar-campaign sub-com-registrar-campaign ComandoRegistrarCampaign",
		"comando-aprobar-campaign sub-com-aprobar-campaign ComandoAprobarCampaign", // ours
		"comando-cancelar-campaign sub-com-cancelar-campaign ComandoCancelarCampaign",
		"comando-registrar-partner sub-com-registrar-partner ComandoRegistrarPartner",
		"comando-cancelar-partner sub-com-cancelar-partner ComandoCancelarPartner",
		"comando-registrar-evento-conversion sub-com-registrar-evento-conversion ComandoRegistrarEvento",
		"comando-cancelar-evento sub-com-cancelar-evento ComandoCancelarEvento",
		"evento-campaigns  EventoCampaign", // nobody subscribed
		"evento-partners sub-partner EventoPartner",
		"evento-traking sub-evento EventoTraking",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTopicsCarryTheSchemas(t *testing.T) {
	t.Parallel()
	for _, topic := range wire.Topics() {
		v1 := schemaFile(t, "v1", topic.Name+".avsc").JSON()
		switch topic.Name {
		case wire.TopicApproveCampaign:
			if topic.Original != "" || topic.Schema != v1 {
				t.Errorf("%s: schemas", topic.Name)
			}
		case wire.TopicCampaignEvents:
			if topic.Original != v1 || topic.Schema != schemaFile(t, "v2", topic.Name+".avsc").JSON() {
				t.Errorf("%s: schemas", topic.Name)
			}
		default:
			if topic.Original != v1 || topic.Schema != v1 {
				t.Errorf("%s: schemas", topic.Name)
			}
		}
		if name := schemaFile(t, "v1", topic.Name+".avsc").Name(); name != topic.Record {
			t.Errorf("%s: record %s, schema %s", topic.Name, topic.Record, name)
		}
		if found, ok := wire.TopicByName(topic.Name); !ok || found != topic {
			t.Errorf("%s is not found by its name", topic.Name)
		}
	}
	if _, ok := wire.TopicByName("other"); ok {
		t.Error("found a topic that does not exist")
	}
}

// A participant that is still the original's reads what we publish on evento-campaigns with our schema,
// resolved to its own.
func TestTheOriginalReadsOurCampaignEvents(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	v1, v2 := schemaFile(t, "v1", "evento-campaigns.avsc"), schemaFile(t, "v2", "evento-campaigns.avsc")
	toV1, err := avromsg.Resolve(v1, v2)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		if m.Topic != wire.TopicCampaignEvents {
			continue
		}
		if m.Header(avromsg.HeaderFingerprint) != v2.Fingerprint() {
			t.Errorf("%T: fingerprint %s", v, m.Header(avromsg.HeaderFingerprint))
		}
		type v1Record struct {
			wire.Envelope
			CampaignRegistrada *wire.CampaignRegistrada `avro:"campaign_registrada"`
		}
		var got v1Record
		if err := toV1.Unmarshal(m.Payload, &got); err != nil || got.CampaignRegistrada == nil || *got.Type != m.Type {
			t.Errorf("%T: got %+v, %v", v, got, err)
		}
	}
}
