package wire_test

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
)

// The oddities of what the original sends, one by one.

// send returns a record as a producer of the original sends it: no type, no key, no headers, its own schema.
func send(t *testing.T, topic string, record any) messaging.Message {
	t.Helper()
	payload, err := schemaFile(t, "v1", topic+".avsc").Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return messaging.Message{Topic: topic, Payload: payload}
}

func decodes(t *testing.T, m messaging.Message, want any) {
	t.Helper()
	got, err := newCodec(t).Decode(m)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEnvelopeIDsOfCommandsAreIgnored(t *testing.T) {
	t.Parallel()
	envelope := wire.Envelope{ID: ptr("6d705b48-3216-4535-83dc-67475b14789a"), Type: ptr("RegistrarPartner")}
	for _, name := range []string{"Alice", "Bob"} {
		m := send(t, wire.TopicRegisterPartner, wire.ComandoRegistrarPartner{
			Envelope: envelope, Data: &wire.RegistrarPartner{Nombre: &name, Tipo: ptr("afiliado")},
		})
		decodes(t, m, partner.Register{Name: name, Type: "affiliate"})
	}
}

func TestTheIDNoneIsNoID(t *testing.T) {
	t.Parallel()
	m := send(t, wire.TopicTrackingEvents, wire.EventoTraking{
		Envelope:         wire.Envelope{ID: ptr("None"), Type: ptr("evento_registrado")},
		EventoRegistrado: &wire.EventoRegistrado{ID: ptr("None"), IDPartner: ptr("x1"), IDCampana: ptr("c1"), Fecha: ptr(int64(1795495941735))},
		EventoFallido:    &wire.RegistroEventoFallido{},
	})
	decodes(t, m, tracking.Registered{PartnerID: "x1", CampaignID: "c1", OccurredAt: time.UnixMilli(1795495941735).UTC()})
	// In a command it is what somebody asked for.
	m = send(t, wire.TopicCancelEvent, wire.ComandoCancelarEvento{Data: &wire.CancelarEvento{ID: ptr("None")}})
	decodes(t, m, tracking.Cancel{ID: "None"})
}

func TestNullsAreZeroValues(t *testing.T) {
	t.Parallel()
	for topic, c := range map[string]struct {
		empty, nulls, want any
	}{
		wire.TopicRegisterCampaign: {wire.ComandoRegistrarCampaign{}, wire.ComandoRegistrarCampaign{Data: &wire.RegistrarCampaign{}}, campaign.Register{}},
		wire.TopicApproveCampaign:  {wire.ComandoAprobarCampaign{}, wire.ComandoAprobarCampaign{Data: &wire.AprobarCampaign{}}, campaign.Approve{}},
		wire.TopicCancelCampaign:   {wire.ComandoCancelarCampaign{}, wire.ComandoCancelarCampaign{Data: &wire.CancelarCampaign{}}, campaign.Cancel{}},
		wire.TopicRegisterPartner:  {wire.ComandoRegistrarPartner{}, wire.ComandoRegistrarPartner{Data: &wire.RegistrarPartner{}}, partner.Register{}},
		wire.TopicCancelPartner:    {wire.ComandoCancelarPartner{}, wire.ComandoCancelarPartner{Data: &wire.CancelarPartner{}}, partner.Cancel{}},
		wire.TopicRegisterEvent:    {wire.ComandoRegistrarEvento{}, wire.ComandoRegistrarEvento{Data: &wire.RegistrarEvento{}}, tracking.Register{}},
		wire.TopicCancelEvent:      {wire.ComandoCancelarEvento{}, wire.ComandoCancelarEvento{Data: &wire.CancelarEvento{}}, tracking.Cancel{}},
	} {
		decodes(t, send(t, topic, c.empty), c.want)
		decodes(t, send(t, topic, c.nulls), c.want)
	}
	named := wire.Envelope{Type: ptr("CampaignCreada")}
	decodes(t, send(t, wire.TopicCampaignEvents, wire.EventoCampaign{Envelope: named}), campaign.Registered{})
	named.Type = ptr("partner_fallido")
	decodes(t, send(t, wire.TopicPartnerEvents, wire.EventoPartner{Envelope: named}), partner.RegistrationFailed{})
	named.Type = ptr("evento_fallido")
	decodes(t, send(t, wire.TopicTrackingEvents, wire.EventoTraking{Envelope: named}), tracking.RegistrationFailed{})
}

func TestEventsOfUnknownTypeAreToldByWhatTheyHold(t *testing.T) {
	t.Parallel()
	for _, named := range []*string{nil, ptr(""), ptr("EventoPartner"), ptr("RegistrarPartner")} {
		e := wire.Envelope{Type: named}
		decodes(t, send(t, wire.TopicPartnerEvents, wire.EventoPartner{
			Envelope: e, PartnerRegistrado: &wire.PartnerRegistrado{}, PartnerFallido: &wire.RegistroPartnerFallido{Nombre: ptr("n")},
		}), partner.RegistrationFailed{Name: "n"})
		decodes(t, send(t, wire.TopicPartnerEvents, wire.EventoPartner{
			Envelope: e, PartnerRegistrado: &wire.PartnerRegistrado{Nombre: ptr("n")}, PartnerFallido: &wire.RegistroPartnerFallido{},
		}), partner.Registered{Name: "n"})
		decodes(t, send(t, wire.TopicTrackingEvents, wire.EventoTraking{
			Envelope: e, EventoFallido: &wire.RegistroEventoFallido{IDPartner: ptr("x1")},
		}), tracking.RegistrationFailed{PartnerID: "x1"})
		decodes(t, send(t, wire.TopicCampaignEvents, wire.EventoCampaign{
			Envelope: e, CampaignRegistrada: &wire.CampaignRegistrada{ID: ptr("c1")},
		}), campaign.Registered{ID: "c1"})
		for topic, record := range map[string]any{
			wire.TopicPartnerEvents:  wire.EventoPartner{Envelope: e, PartnerRegistrado: &wire.PartnerRegistrado{}},
			wire.TopicTrackingEvents: wire.EventoTraking{Envelope: e, EventoRegistrado: &wire.EventoRegistrado{}},
			wire.TopicCampaignEvents: wire.EventoCampaign{Envelope: e},
		} {
			if v, err := newCodec(t).Decode(send(t, topic, record)); !errors.Is(err, messaging.ErrMalformed) {
				t.Errorf("%s of nothing: got %+v, %v", topic, v, err)
			}
		}
	}
}

// The header's type is only a hint for the topic: what the payload says is what happened.
func TestTheEnvelopeOverrulesTheMessageType(t *testing.T) {
	t.Parallel()
	m, err := newCodec(t).Encode(partner.RegistrationFailed{ID: "x1"})
	if err != nil {
		t.Fatal(err)
	}
	m.Type, m.Topic = wire.TypePartnerRegistered, "a-dead-letter-topic"
	decodes(t, m, partner.RegistrationFailed{ID: "x1"})
}

func TestMalformedContents(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]messaging.Message{
		"participants that are no JSON": send(t, wire.TopicRegisterCampaign, wire.ComandoRegistrarCampaign{
			Data: &wire.RegistrarCampaign{Participantes: ptr("[{")}}),
		"participants that are empty text": send(t, wire.TopicRegisterCampaign, wire.ComandoRegistrarCampaign{
			Data: &wire.RegistrarCampaign{Participantes: ptr("")}}),
		"participants that are no list": send(t, wire.TopicCampaignEvents, wire.EventoCampaign{
			CampaignRegistrada: &wire.CampaignRegistrada{Participantes: ptr(`{"id": "p1"}`)}}),
		"participants that are numbers": send(t, wire.TopicCampaignEvents, wire.EventoCampaign{
			CampaignRegistrada: &wire.CampaignRegistrada{Participantes: ptr(`[{"id": 7}]`)}}),
		"participants with more behind": send(t, wire.TopicRegisterCampaign, wire.ComandoRegistrarCampaign{
			Data: &wire.RegistrarCampaign{Participantes: ptr("[] []")}}),
		"a year beyond 9999": send(t, wire.TopicRegisterEvent, wire.ComandoRegistrarEvento{
			Data: &wire.RegistrarEvento{Fecha: ptr(int64(math.MaxInt64))}}),
		"a year before 1": send(t, wire.TopicTrackingEvents, wire.EventoTraking{
			EventoRegistrado: &wire.EventoRegistrado{Fecha: ptr(int64(math.MinInt64))}}),
	} {
		if v, err := newCodec(t).Decode(m); !errors.Is(err, messaging.ErrMalformed) || v != nil {
			t.Errorf("%s: got %+v, %v", name, v, err)
		}
	}
}

// A budget that is no amount is the service's to refuse, and its refusal can be sent.
func TestABudgetThatIsNoAmountCanBeRefused(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for budget, want := range map[float32]string{float32(math.Inf(1)): "+Inf", float32(math.NaN()): "NaN"} {
		v, err := codec.Decode(send(t, wire.TopicRegisterCampaign, wire.ComandoRegistrarCampaign{
			Data: &wire.RegistrarCampaign{Presupuesto: &budget},
		}))
		if err != nil || v.(campaign.Register).Budget != want {
			t.Errorf("got %+v, %v", v, err)
			continue
		}
		m, err := codec.Encode(campaign.RegistrationFailed{Budget: want, Reason: "budget: not a number"})
		if err != nil {
			t.Fatal(err)
		}
		decodes(t, m, campaign.RegistrationFailed{Budget: want, Reason: "budget: not a number"})
	}
}

func TestParticipantsAreWrittenAsPythonDoes(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	m, err := codec.Encode(campaign.Register{Budget: "1", Participants: []campaign.Participant{
		{ID: "é€😀", Type: "\"\\/\n\r\t\f\b\x01\x1f\x7f", Name: "<&>\u2028", Profile: ""}, {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := codec.DecodeRecord(m)
	if err != nil {
		t.Fatal(err)
	}
	// From json.dumps of Python 3.
	want := `[{"id": "\u00e9\u20ac\ud83d\ude00", "tipo": "\"\\/\n\r\t\f\b\u0001\u001f\u007f", "nombre": "<&>\u2028", "informacion_perfil": ""}, ` +
		`{"id": "", "tipo": "", "nombre": "", "informacion_perfil": ""}]`
	if got := *r.(wire.ComandoRegistrarCampaign).Data.Participantes; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEnvelopesAreTheOriginals(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, c := range []struct {
		v                               any
		messageType, content, publisher string
	}{
		{campaign.Register{ID: "c1", Budget: "1"}, "RegistrarCampaign", "RegistrarCampaign", "campaign.aeroalpes"},
		{campaign.Approve{ID: "c1"}, "AprobarCampaign", "AprobarCampaign", "campaign.aeroalpes"},
		{campaign.Cancel{ID: "c1"}, "CancelarCampaign", "CancelarCampaign", "campaign.aeroalpes"},
		{partner.Register{ID: "c1", Type: "influencer"}, "RegistrarPartner", "RegistrarPartner", "partner.aeroalpes"},
		{partner.Cancel{ID: "c1"}, "CancelarPartner", "CancelarPartner", "partner.aeroalpes"},
		{tracking.Register{ID: "c1"}, "RegistrarEvento", "RegistrarEvento", "traking.aeroalpes"},
		{tracking.Cancel{ID: "c1"}, "CancelarEvento", "CancelarEvento", "partner.aeroalpes"},
		{campaign.Registered{ID: "c1", Budget: "1"}, "CampaignCreada", "AVRO", "alpespartners"},
		{campaign.RegistrationFailed{ID: "c1"}, "RegistroCampaignFallido", "AVRO", "alpespartners"},
		{campaign.Approved{ID: "c1"}, "CampaignAprobada", "AVRO", "alpespartners"},
		{partner.Registered{ID: "c1", Type: "influencer"}, "partner_registrado", "AVRO", "alpespartners"},
		{partner.RegistrationFailed{ID: "c1"}, "partner_fallido", "AVRO", "alpespartners"},
		{tracking.Registered{ID: "c1"}, "evento_registrado", "AVRO", "alpespartners"},
		{tracking.RegistrationFailed{ID: "c1"}, "evento_fallido", "AVRO", "alpespartners"},
	} {
		m, err := codec.Encode(c.v)
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.DecodeRecord(m)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.ValueOf(r).FieldByName("Envelope").Interface().(wire.Envelope)
		ms := clock().UnixMilli()
		want := wire.Envelope{
			ID: ptr("c1"), Time: &ms, Ingestion: &ms, SpecVersion: ptr("v1"),
			Type: &c.messageType, DataContentType: &c.content, ServiceName: &c.publisher,
		}
		if !reflect.DeepEqual(got, want) || m.Type != c.messageType {
			t.Errorf("%T: got %+v", c.v, got)
		}
	}
}

// A payload that does not apply is the record of nulls on the wire, but for the two that we added.
func TestPayloadsThatDoNotApply(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, c := range []struct{ v, want any }{
		{campaign.Registered{Budget: "1"}, [3]bool{true, false, false}},
		{campaign.RegistrationFailed{}, [3]bool{true, true, false}},
		{campaign.Approved{}, [3]bool{true, false, true}},
		{partner.Registered{Type: "affiliate"}, [2]bool{true, true}},
		{partner.RegistrationFailed{}, [2]bool{true, true}},
		{tracking.Registered{}, [2]bool{true, true}},
		{tracking.RegistrationFailed{}, [2]bool{true, true}},
	} {
		m, err := codec.Encode(c.v)
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.DecodeRecord(m)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		switch r := r.(type) {
		case wire.EventoCampaign:
			got = [3]bool{r.CampaignRegistrada != nil, r.RegistroCampaignFallido != nil, r.CampaignAprobada != nil}
		case wire.EventoPartner:
			got = [2]bool{r.PartnerRegistrado != nil, r.PartnerFallido != nil}
		case wire.EventoTraking:
			got = [2]bool{r.EventoRegistrado != nil, r.EventoFallido != nil}
		}
		if got != c.want {
			t.Errorf("%T: records on the wire %v, want %v", c.v, got, c.want)
		}
	}
}
