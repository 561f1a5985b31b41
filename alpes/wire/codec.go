package wire

import (
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

// The headers that carry what the records cannot.
const (
	// HeaderEntityID is the id that a registration command gives its entity.
	HeaderEntityID = "entity-id"
	// HeaderBudget is the exact budget, a decimal number.
	HeaderBudget = "budget"
	// HeaderReason says why a registration failed.
	HeaderReason = "reason"
)

// The types of messages: the envelope's field type, and [messaging.Message].Type.
const (
	TypeRegisterCampaign = "RegistrarCampaign"
	TypeApproveCampaign  = "AprobarCampaign"
	TypeCancelCampaign   = "CancelarCampaign"
	TypeRegisterPartner  = "RegistrarPartner"
	TypeCancelPartner    = "CancelarPartner"
	TypeRegisterEvent    = "RegistrarEvento"
	TypeCancelEvent      = "CancelarEvento"

	TypeCampaignRegistered         = "CampaignCreada"
	TypeCampaignRegistrationFailed = "RegistroCampaignFallido"
	TypeCampaignApproved           = "CampaignAprobada"
	TypePartnerRegistered          = "partner_registrado"
	TypePartnerRegistrationFailed  = "partner_fallido"
	TypeEventRegistered            = "evento_registrado"
	TypeEventRegistrationFailed    = "evento_fallido"
)

// topicOf returns the topic of a message type, "" for an unknown one.
func topicOf(messageType string) string {
	switch messageType {
	case TypeRegisterCampaign:
		return TopicRegisterCampaign
	case TypeApproveCampaign:
		return TopicApproveCampaign
	case TypeCancelCampaign:
		return TopicCancelCampaign
	case TypeRegisterPartner:
		return TopicRegisterPartner
	case TypeCancelPartner:
		return TopicCancelPartner
	case TypeRegisterEvent:
		return TopicRegisterEvent
	case TypeCancelEvent:
		return TopicCancelEvent
	case TypeCampaignRegistered, TypeCampaignRegistrationFailed, TypeCampaignApproved:
		return TopicCampaignEvents
	case TypePartnerRegistered, TypePartnerRegistrationFailed:
		return TopicPartnerEvents
	case TypeEventRegistered, TypeEventRegistrationFailed:
		return TopicTrackingEvents
	default:
		return ""
	}
}

// Config is what a [Codec] may be told.
type Config struct {
	// Now is the clock for the envelope's times. It must be safe for concurrent use. Nil means [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Codec is the [messaging.Codec] of the reference system: for the commands and events of the packages campaign,
// partner and tracking. It is safe for concurrent use. Make it with [NewCodec].
type Codec struct {
	now     func() time.Time
	records *avromsg.Codec
}

var _ messaging.Codec = (*Codec)(nil)

// NewCodec returns the codec. It fails only if this package's own records and schemas disagree.
func NewCodec(config Config) (*Codec, error) {
	var types []avromsg.Type
	for _, topic := range Topics() {
		t := recordType(topic)
		if topic.Original != "" {
			t = t.WithWriters(topic.Original)
		}
		types = append(types, t)
	}
	records, err := avromsg.NewCodec(types...)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return &Codec{now: config.withDefaults().Now, records: records}, nil
}

func recordType(t Topic) avromsg.Type {
	switch t.Name {
	case TopicRegisterCampaign:
		return avromsg.Record[ComandoRegistrarCampaign](t.Record, t.Name, t.Schema)
	case TopicApproveCampaign:
		return avromsg.Record[ComandoAprobarCampaign](t.Record, t.Name, t.Schema)
	case TopicCancelCampaign:
		return avromsg.Record[ComandoCancelarCampaign](t.Record, t.Name, t.Schema)
	case TopicRegisterPartner:
		return avromsg.Record[ComandoRegistrarPartner](t.Record, t.Name, t.Schema)
	case TopicCancelPartner:
		return avromsg.Record[ComandoCancelarPartner](t.Record, t.Name, t.Schema)
	case TopicRegisterEvent:
		return avromsg.Record[ComandoRegistrarEvento](t.Record, t.Name, t.Schema)
	case TopicCancelEvent:
		return avromsg.Record[ComandoCancelarEvento](t.Record, t.Name, t.Schema)
	case TopicCampaignEvents:
		return avromsg.Record[EventoCampaign](t.Record, t.Name, t.Schema)
	case TopicPartnerEvents:
		return avromsg.Record[EventoPartner](t.Record, t.Name, t.Schema)
	case TopicTrackingEvents:
		return avromsg.Record[EventoTraking](t.Record, t.Name, t.Schema)
	default:
		return avromsg.Type{}
	}
}

// Encode implements [messaging.Codec]. The message also has its Key and its headers. A value that the
// record cannot carry: [avromsg.ErrUnencodable], naming the field.
func (c *Codec) Encode(v any) (messaging.Message, error) {
	o, err := encode(v, c.now())
	if err != nil {
		return messaging.Message{}, fmt.Errorf("wire: encode %T: %w", v, err)
	}
	m, err := c.EncodeRecord(o.record)
	if err != nil {
		return messaging.Message{}, err
	}
	m.Type, m.Key = o.messageType, o.key
	for name, value := range o.headers {
		if value != "" {
			m.Headers[name] = value
		}
	}
	return m, nil
}

// Decode implements [messaging.Codec]. The type says which topic's record the payload is, or, where the message has none, the topic.
func (c *Codec) Decode(m messaging.Message) (any, error) {
	record, err := c.DecodeRecord(m)
	if err != nil {
		return nil, err
	}
	v, err := decode(record, m)
	if err != nil {
		return nil, fmt.Errorf("wire: decode %T: %w", record, err)
	}
	return v, nil
}

// Topic implements [messaging.Codec].
func (c *Codec) Topic(v any) (string, error) {
	if topic := topicOf(typeOf(v)); topic != "" {
		return topic, nil
	}
	return "", fmt.Errorf("wire: %w: %T", messaging.ErrUnknownType, v)
}

// EncodeRecord encodes one of this package's record structs, such as [EventoPartner], as it is: a
// message with the topic, the payload and the schema's fingerprint, and the record's name as its type. Errors as [Codec.Encode].
func (c *Codec) EncodeRecord(record any) (messaging.Message, error) {
	m, err := c.records.Encode(record)
	if err != nil {
		return messaging.Message{}, fmt.Errorf("wire: %w", err)
	}
	return m, nil
}

// DecodeRecord returns m's payload as the record struct. Errors as [Codec.Decode].
func (c *Codec) DecodeRecord(m messaging.Message) (any, error) {
	if topic := topicOf(m.Type); topic != "" {
		m.Topic, m.Type = topic, ""
	}
	record, err := c.records.Decode(m)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return record, nil
}

// Schema returns the JSON text of the schema that messages on the topic are written with, which is what to register with a broker. ok is
// false for topics that are not among [Topics].
func (c *Codec) Schema(topic string) (schemaJSON string, ok bool) {
	return c.records.Schema(topic)
}

// Check says whether the topic's schema can be registered beside the one in use there; see [avromsg.Codec.Check].
func (c *Codec) Check(topic, currentJSON string) error { return c.records.Check(topic, currentJSON) }

// AddWriter makes a further schema known that messages on the topic are written with; see [avromsg.Codec.AddWriter].
func (c *Codec) AddWriter(topic, schemaJSON string) (fingerprint string, err error) {
	return c.records.AddWriter(topic, schemaJSON)
}

// Knows says whether messages on the topic with the fingerprint can be read; see [avromsg.Codec.Knows].
func (c *Codec) Knows(topic, fingerprint string) bool { return c.records.Knows(topic, fingerprint) }
