package wire

import "embed"

// The topics. Names are the original's, but for [TopicApproveCampaign], which is ours.
const (
	TopicRegisterCampaign = "comando-registrar-campaign"
	TopicApproveCampaign  = "comando-aprobar-campaign"
	TopicCancelCampaign   = "comando-cancelar-campaign"
	TopicRegisterPartner  = "comando-registrar-partner"
	TopicCancelPartner    = "comando-cancelar-partner"
	TopicRegisterEvent    = "comando-registrar-evento-conversion"
	TopicCancelEvent      = "comando-cancelar-evento"
	TopicCampaignEvents   = "evento-campaigns"
	TopicPartnerEvents    = "evento-partners"
	TopicTrackingEvents   = "evento-traking"
	// TopicTrackingEventsV2 is for the original's second version of the tracking event, whose shape the first topic cannot take.
	TopicTrackingEventsV2 = "evento-traking-v2"
)

// The subscriptions of the original's services, all of type Shared. Nobody subscribed to [TopicCampaignEvents].
const (
	SubscriptionRegisterCampaign = "sub-com-registrar-campaign"
	SubscriptionApproveCampaign  = "sub-com-aprobar-campaign"
	SubscriptionCancelCampaign   = "sub-com-cancelar-campaign"
	SubscriptionRegisterPartner  = "sub-com-registrar-partner"
	SubscriptionCancelPartner    = "sub-com-cancelar-partner"
	SubscriptionRegisterEvent    = "sub-com-registrar-evento-conversion"
	SubscriptionCancelEvent      = "sub-com-cancelar-evento"
	SubscriptionPartnerEvents    = "sub-partner"
	SubscriptionTrackingEvents   = "sub-evento"
)

// Topic describes one topic and the record on it.
type Topic struct {
	// Name is the topic's name, without tenant and namespace.
	Name string
	// Subscription is the original consumer's. Empty: it had none.
	Subscription string
	// Record is the name of the Avro record.
	Record string
	// Schema is the JSON text of the schema that [Codec] writes and reads with: what to register with a broker.
	Schema string
	// Original is the JSON text of the schema that the original registers, and that messages without a fingerprint
	// are read with. Empty for topics that the original does not have.
	Original string
}

// Topics returns the topics of [Codec], commands first. The slice is the caller's.
func Topics() []Topic {
	topics := []Topic{
		{Name: TopicRegisterCampaign, Subscription: SubscriptionRegisterCampaign, Record: "ComandoRegistrarCampaign"},
		{Name: TopicApproveCampaign, Subscription: SubscriptionApproveCampaign, Record: "ComandoAprobarCampaign"},
		{Name: TopicCancelCampaign, Subscription: SubscriptionCancelCampaign, Record: "ComandoCancelarCampaign"},
		{Name: TopicRegisterPartner, Subscription: SubscriptionRegisterPartner, Record: "ComandoRegistrarPartner"},
		{Name: TopicCancelPartner, Subscription: SubscriptionCancelPartner, Record: "ComandoCancelarPartner"},
		{Name: TopicRegisterEvent, Subscription: SubscriptionRegisterEvent, Record: "ComandoRegistrarEvento"},
		{Name: TopicCancelEvent, Subscription: SubscriptionCancelEvent, Record: "ComandoCancelarEvento"},
		{Name: TopicCampaignEvents, Record: "EventoCampaign"},
		{Name: TopicPartnerEvents, Subscription: SubscriptionPartnerEvents, Record: "EventoPartner"},
		{Name: TopicTrackingEvents, Subscription: SubscriptionTrackingEvents, Record: "EventoTraking"},
	}
	for i := range topics {
		t := &topics[i]
		t.Schema = schemaText("v1", t.Name)
		if t.Name != TopicApproveCampaign {
			t.Original = t.Schema
		}
		if t.Name == TopicCampaignEvents {
			t.Schema = schemaText("v2", t.Name)
		}
	}
	return topics
}

// TopicByName returns the description of one of [Topics].
func TopicByName(name string) (Topic, bool) {
	for _, t := range Topics() {
		if t.Name == name {
			return t, true
		}
	}
	return Topic{}, false
}

//go:embed schema/v1/*.avsc schema/v2/evento-campaigns.avsc
var schemas embed.FS

// schemaText returns an embedded schema; a missing one would be "", which is no schema to [NewCodec].
func schemaText(version, topic string) string {
	text, _ := schemas.ReadFile("schema/" + version + "/" + topic + ".avsc")
	return string(text)
}
