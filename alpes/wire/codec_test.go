package wire_test

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

func clock() time.Time { return time.UnixMilli(1795495941532).UTC() }

func newCodec(t testing.TB) *wire.Codec {
	t.Helper()
	c, err := wire.NewCodec(wire.Config{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ptr[T any](v T) *T { return &v }

// samples has one value of each type, and some more.
func samples() []any {
	people := []campaign.Participant{
		{ID: "p1", Type: "influencer", Name: "Benito Ñáñez", Profile: `"quoted" \ and	😀`},
		{ID: "p2", Type: "afiliado", Name: "Carla"},
	}
	at := time.UnixMilli(1795495980583).UTC()
	return []any{
		campaign.Register{ID: "c1", Name: "Otoño", Budget: "16777217.10", Currency: "EUR", BrandID: "b", Participants: people},
		campaign.Register{Budget: "0"},
		campaign.Approve{ID: "c1"},
		campaign.Cancel{ID: "c1"},
		campaign.Registered{ID: "c1", Name: "Otoño", Budget: "0.1", Currency: "EUR", BrandID: "b", Participants: people, At: at},
		campaign.RegistrationFailed{ID: "c1", Name: "Otoño", Budget: "-1", Currency: "EUR", BrandID: "b", Reason: "budget: ñ"},
		campaign.RegistrationFailed{Budget: "plenty"},
		campaign.RegistrationFailed{Budget: "1e99"},
		campaign.RegistrationFailed{},
		campaign.Approved{ID: "c1"},
		partner.Register{ID: "x1", CampaignID: "c1", Name: "Alice", Type: "affiliate", Profile: "p"},
		partner.Register{Type: "influencer"},
		partner.Cancel{ID: "x1"},
		partner.Registered{ID: "x1", CampaignID: "c1", Name: "Alice", Type: "affiliate", Profile: "p"},
		partner.RegistrationFailed{ID: "x1", CampaignID: "c1", Name: "Alice", Type: "influencer", Reason: "name: taken"},
		partner.RegistrationFailed{},
		tracking.Register{ID: "t1", PartnerID: "x1", CampaignID: "c1", OccurredAt: at},
		tracking.Register{},
		tracking.Cancel{ID: "t1"},
		tracking.Registered{ID: "t1", PartnerID: "x1", CampaignID: "c1", OccurredAt: at},
		tracking.RegistrationFailed{ID: "t1", PartnerID: "x1", CampaignID: "c1", OccurredAt: at, Reason: "r"},
		tracking.RegistrationFailed{},
	}
}

func TestCodecKeepsTheContract(t *testing.T) {
	t.Parallel()
	messagingtest.RunCodec(t, messagingtest.CodecHarness{Codec: newCodec(t), Values: samples()})
}

func TestEncodeSetsKeyAndHeaders(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, c := range []struct {
		v       any
		key     string
		headers map[string]string
	}{
		{campaign.Register{ID: "c1", Budget: "1.50"}, "c1", map[string]string{"entity-id": "c1", "budget": "1.50"}},
		{campaign.Approve{ID: "c1"}, "c1", nil},
		{campaign.Cancel{ID: "c1"}, "c1", nil},
		{campaign.Registered{ID: "c1", Budget: "2"}, "c1", map[string]string{"budget": "2"}},
		{campaign.RegistrationFailed{ID: "c1", Budget: "2", Reason: "r\xff"}, "c1", map[string]string{"budget": "2", "reason": "r\uFFFD"}},
		{campaign.Approved{ID: "c1"}, "c1", nil},
		{partner.Register{ID: "x1", CampaignID: "c1", Type: "afiliado"}, "c1", map[string]string{"entity-id": "x1"}},
		{partner.Cancel{ID: "x1"}, "x1", nil},
		{partner.Registered{ID: "x1", CampaignID: "c1", Type: "affiliate"}, "c1", nil},
		{partner.RegistrationFailed{ID: "x1", CampaignID: "c1", Reason: "r"}, "c1", map[string]string{"reason": "r"}},
		{tracking.Register{ID: "t1", CampaignID: "c1"}, "c1", map[string]string{"entity-id": "t1"}},
		{tracking.Cancel{ID: "t1"}, "t1", nil},
		{tracking.Registered{ID: "t1", CampaignID: "c1"}, "c1", nil},
		{tracking.RegistrationFailed{ID: "t1", CampaignID: "c1", Reason: "r"}, "c1", map[string]string{"reason": "r"}},
	} {
		m, err := codec.Encode(c.v)
		if err != nil {
			t.Errorf("%T: %v", c.v, err)
			continue
		}
		topic, _ := wire.TopicByName(m.Topic)
		schema, err := avromsg.ParseSchema(topic.Schema)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{avromsg.HeaderFingerprint: schema.Fingerprint()}
		maps.Copy(want, c.headers)
		if m.Key != c.key || !reflect.DeepEqual(m.Headers, want) {
			t.Errorf("%T: key %q, headers %v, want %q, %v", c.v, m.Key, m.Headers, c.key, want)
		}
		again, err := codec.Encode(c.v)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%T: encodes differently the second time", c.v)
		}
	}
}

func TestEncodeNamesTheField(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	bad := "\xff"
	for _, c := range []struct {
		v     any
		field string
	}{
		{campaign.Register{}, "field budget:"},
		{campaign.Register{Budget: "ten"}, "field budget:"},
		{campaign.Register{Budget: "NaN"}, "field budget:"},
		{campaign.Register{Budget: "-Inf"}, "field budget:"},
		{campaign.Register{Budget: "0x10"}, "field budget:"},
		{campaign.Register{Budget: "1_000"}, "field budget:"},
		{campaign.Register{Budget: "1.2.3"}, "field budget:"},
		{campaign.Register{Budget: "1e39"}, "field budget:"},
		{campaign.Register{Budget: "1e999"}, "field budget:"},
		{campaign.Registered{Budget: "ten"}, "field budget:"},
		{campaign.Register{Budget: "1", Name: bad}, "field data.nombre:"},
		{campaign.Register{Budget: "1", Participants: []campaign.Participant{{}, {Name: bad}}}, "field participants[1].name:"},
		{campaign.Registered{Budget: "1", Participants: []campaign.Participant{{Type: bad}}}, "field participants[0].type:"},
		{campaign.RegistrationFailed{Participants: []campaign.Participant{{Profile: bad}}}, "field participants[0].profile:"},
		{partner.Register{}, "field type:"},
		{partner.Register{Type: "celebrity"}, "field type:"},
		{partner.Registered{Type: "celebrity"}, "field type:"},
		{tracking.Register{OccurredAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, "field occurredAt:"},
		{tracking.Registered{OccurredAt: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}, "field occurredAt:"},
		{tracking.RegistrationFailed{OccurredAt: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}, "field occurredAt:"},
		{tracking.Cancel{ID: bad}, "field id:"},
	} {
		_, err := codec.Encode(c.v)
		if !errors.Is(err, avromsg.ErrUnencodable) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%#v: got %v, want %s", c.v, err, c.field)
		}
	}
}

func TestTypesTravelAsSymbols(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for in, want := range map[string]string{"afiliado": "affiliate", "affiliate": "affiliate", "influencer": "influencer"} {
		m, err := codec.Encode(partner.Register{Type: in})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := codec.Decode(m); err != nil || got.(partner.Register).Type != want {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	m, err := codec.Encode(partner.RegistrationFailed{Type: "celebrity"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := codec.Decode(m); err != nil || got.(partner.RegistrationFailed).Type != "" {
		t.Errorf("an unknown type in a refusal: got %+v, %v", got, err)
	}
}

func TestBudgetIsExact(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, c := range []struct{ sent, header, want string }{
		{"16777217", "16777217", "16777217"}, // no 32-bit float
		{"10000.50", "10000.50", "10000.50"}, // with its zero
		{"16777217", "", "16777216"},         // an original's message
		{"0.1", "", "0.1"},                   // the shortest
		{"10000", "", "10000"},               // no exponent
		{"10000", "20000", "10000"},          // another message's header
		{"10000", "ten thousand", "10000"},   // no number
		{"340282346638528859811704183484516925440", "", "340282350000000000000000000000000000000"},
	} {
		m, err := codec.Encode(campaign.Register{Budget: c.sent})
		if err != nil {
			t.Fatal(err)
		}
		m.Headers[wire.HeaderBudget] = c.header
		if got, err := codec.Decode(m); err != nil || got.(campaign.Register).Budget != c.want {
			t.Errorf("%+v: got %+v, %v", c, got, err)
		}
	}
}

// TestTheTimeOfTheEnvelope is the event's: told once it was sent, and the same whoever sends it on.
func TestTheTimeOfTheEnvelope(t *testing.T) {
	t.Parallel()
	sent := campaign.Registered{ID: "c1", Budget: "1"}
	for _, at := range []time.Time{{}, clock().Add(-time.Hour)} {
		sent.At = at
		m, err := newCodec(t).Encode(sent)
		if err != nil {
			t.Fatal(err)
		}
		later, err := wire.NewCodec(wire.Config{Now: func() time.Time { return clock().Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		want := cmp.Or(at, clock())
		got, err := later.Decode(m)
		if err != nil || !got.(campaign.Registered).At.Equal(want) {
			t.Fatalf("got %+v, %v, want the time %v", got, err, want)
		}
		again, err := later.Encode(got)
		if err != nil || !bytes.Equal(again.Payload, m.Payload) {
			t.Errorf("sent on it is another message: %x, %v, was %x", again.Payload, err, m.Payload)
		}
	}
	for _, ms := range []*int64{nil, ptr(int64(math.MaxInt64))} {
		decodes(t, send(t, wire.TopicCampaignEvents, wire.EventoCampaign{
			Envelope: wire.Envelope{Type: ptr("CampaignCreada"), Time: ms},
		}), campaign.Registered{})
	}
}

func TestCodecKnowsOnlyItsTypes(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, v := range []any{nil, &campaign.Cancel{}, campaign.Participant{}, wire.EventoPartner{}} {
		if _, err := codec.Encode(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Encode %T: got %v", v, err)
		}
		if _, err := codec.Topic(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Topic %T: got %v", v, err)
		}
	}
	for _, m := range []messaging.Message{{}, {Topic: "other"}, {Topic: wire.TopicPartnerEvents, Type: "other"}} {
		if _, err := codec.Decode(m); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Decode %+v: got %v", m, err)
		}
	}
}

func TestZeroConfigUsesTheClock(t *testing.T) {
	t.Parallel()
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().UnixMilli()
	m, err := codec.Encode(campaign.Cancel{ID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := codec.DecodeRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	if ms := *r.(wire.ComandoCancelarCampaign).Time; ms < before || ms > time.Now().UnixMilli() {
		t.Errorf("time is %d", ms)
	}
}

func TestAddWriter(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	v2 := schemaFile(t, "v2", "evento-traking.avsc")
	m, err := codec.Encode(tracking.Registered{ID: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	m.Headers = map[string]string{avromsg.HeaderFingerprint: v2.Fingerprint()}
	m.Payload, err = v2.Marshal(map[string]any{
		"id": nil, "time": nil, "ingestion": nil, "specversion": nil, "type": "evento_registrado", "datacontenttype": nil, "service_name": nil,
		"evento_registrado": map[string]any{"EventoRegistrado": map[string]any{
			"id": "t1", "id_partner": nil, "id_campana": nil, "fecha": nil, "new_field": "x"}},
		"evento_fallido": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Decode(m); !errors.Is(err, messaging.ErrMalformed) {
		t.Errorf("before: got %v", err)
	}
	if _, err := codec.AddWriter(m.Topic, v2.JSON()); err != nil {
		t.Fatal(err)
	}
	if got, err := codec.Decode(m); err != nil || got != any(tracking.Registered{ID: "t1"}) {
		t.Errorf("after: got %+v, %v", got, err)
	}
}

func TestDomainRoundTrips(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	id := rapid.StringMatching(`[a-z0-9-]{0,36}`)
	budget := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,6})?`)
	people := rapid.Custom(func(t *rapid.T) []campaign.Participant {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) campaign.Participant {
			s := rapid.String()
			return campaign.Participant{ID: s.Draw(t, "id"), Type: s.Draw(t, "type"), Name: s.Draw(t, "name"), Profile: s.Draw(t, "profile")}
		}), 1, 4).Draw(t, "list")
	})
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMilli(rapid.Int64Range(-62135596799999, 253402300799999).Draw(t, "ms")).UTC()
	})
	kind := rapid.SampledFrom([]string{"affiliate", "influencer"})
	rapid.Check(t, func(t *rapid.T) {
		s := func(name string) string { return rapid.String().Draw(t, name) }
		for _, want := range []any{
			campaign.Register{ID: id.Draw(t, "id"), Name: s("name"), Budget: budget.Draw(t, "budget"), Currency: s("currency"), BrandID: s("brand"), Participants: people.Draw(t, "people")},
			campaign.Registered{ID: id.Draw(t, "id"), Name: s("name"), Budget: budget.Draw(t, "budget"), Currency: s("currency"), BrandID: s("brand"), Participants: people.Draw(t, "people"), At: at.Draw(t, "sent")},
			campaign.RegistrationFailed{ID: id.Draw(t, "id"), Name: s("name"), Budget: s("budget"), Currency: s("currency"), BrandID: s("brand"), Participants: people.Draw(t, "people"), Reason: s("reason")},
			partner.Register{ID: id.Draw(t, "id"), CampaignID: s("campaign"), Name: s("name"), Type: kind.Draw(t, "type"), Profile: s("profile")},
			partner.Registered{ID: id.Draw(t, "id"), CampaignID: s("campaign"), Name: s("name"), Type: kind.Draw(t, "type"), Profile: s("profile")},
			partner.RegistrationFailed{ID: id.Draw(t, "id"), CampaignID: s("campaign"), Name: s("name"), Type: kind.Draw(t, "type"), Profile: s("profile"), Reason: s("reason")},
			tracking.Register{ID: id.Draw(t, "id"), PartnerID: s("partner"), CampaignID: s("campaign"), OccurredAt: at.Draw(t, "at")},
			tracking.Registered{ID: id.Draw(t, "id"), PartnerID: s("partner"), CampaignID: s("campaign"), OccurredAt: at.Draw(t, "at")},
			tracking.RegistrationFailed{ID: id.Draw(t, "id"), PartnerID: s("partner"), CampaignID: s("campaign"), OccurredAt: at.Draw(t, "at"), Reason: s("reason")},
		} {
			m, err := codec.Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := codec.Decode(m)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	codec := newCodec(f)
	topics := wire.Topics()
	numbers := make(map[string]uint8, len(topics))
	for i, topic := range topics {
		numbers[topic.Name] = uint8(i)
	}
	for _, g := range goldens(f) {
		f.Add(numbers[g.Topic], false, g.payload(f))
	}
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(numbers[m.Topic], true, m.Payload)
	}
	f.Fuzz(func(t *testing.T, topic uint8, ours bool, payload []byte) {
		to := topics[int(topic)%len(topics)]
		m := messaging.Message{Topic: to.Name, Payload: payload}
		if ours {
			schema, err := avromsg.ParseSchema(to.Schema)
			if err != nil {
				t.Fatal(err)
			}
			m.Headers = map[string]string{avromsg.HeaderFingerprint: schema.Fingerprint()}
		}
		v, err := codec.Decode(m)
		if err != nil {
			if !errors.Is(err, messaging.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if v == nil {
			t.Fatal("no value and no error")
		}
		again, err := codec.Encode(v)
		if errors.Is(err, avromsg.ErrUnencodable) {
			return // an amount or a type that we would not send
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.Decode(again)
		if e, ok := v.(campaign.Registered); ok && e.At.IsZero() {
			e.At = clock() // where it was not told, it is when we send it
			v = e
		}
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("%+v became %+v, %v", v, got, err)
		}
	})
}

func BenchmarkCodec(b *testing.B) {
	codec := newCodec(b)
	v := any(partner.Register{ID: "x1", CampaignID: "7448ff5f-92b0-4436-bbd0-0650161a6eae", Name: "Alice Doe", Type: "affiliate", Profile: "Influencer de moda con 200k seguidores"})
	m, err := codec.Encode(v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(int64(len(m.Payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.Encode(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(m.Payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := codec.Decode(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestSchemaIsTheOneThatTheTopicIsWrittenWith(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, topic := range wire.Topics() {
		if text, ok := codec.Schema(topic.Name); !ok || text != topic.Schema || text == "" {
			t.Errorf("%s: %t, %q", topic.Name, ok, text)
		}
	}
	if text, ok := codec.Schema("another-topic"); ok || text != "" {
		t.Errorf("a topic of others: %t, %q", ok, text)
	}
}

// TestCodecKnowsTheWritersItWasToldOf: a driver asks for the others.
func TestCodecKnowsTheWritersItWasToldOf(t *testing.T) {
	t.Parallel()
	c := newCodec(t)
	own, ok := c.Schema(wire.TopicTrackingEvents)
	if !ok {
		t.Fatal("no schema")
	}
	next := strings.Replace(own, `"fields": [`, `"fields": [{"name": "added", "type": ["null", "string"], "default": null}, `, 1)
	s, err := avromsg.ParseSchema(next)
	if err != nil {
		t.Fatal(err)
	}
	if c.Knows(wire.TopicTrackingEvents, s.Fingerprint()) {
		t.Error("a schema is known that nobody told of")
	}
	if _, err := c.AddWriter(wire.TopicTrackingEvents, next); err != nil || !c.Knows(wire.TopicTrackingEvents, s.Fingerprint()) {
		t.Errorf("a schema is not known: %v", err)
	}
}
