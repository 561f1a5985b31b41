// Package wire is how commands and events of the reference system look outside: Spanish names,
// Pulsar topics and Avro records, byte for byte those of the original Alpes Partners. Nothing else knows
// Spanish; the domain packages campaign, partner and tracking are its Go side.
//
//	codec, err := wire.NewCodec(wire.Config{})
//	m, err := codec.Encode(partner.Register{ID: id, CampaignID: campaign, Name: "Alice Doe", Type: "affiliate"})
//	v, err := codec.Decode(m) // a partner.Register
//
// # Semantics
//
// Every message is one record: an [Envelope], then its payload. The envelope's id is the entity's
// own id, its times are [Config].Now, so that equal values encode to equal bytes at equal times. Messages are keyed by
// the campaign they concern, or by the entity's id where they name no campaign.
//
// The records were made for Python and lack what we need; it travels in headers, which the
// original neither sends nor reads, and is empty where they are missing:
//
//   - [HeaderEntityID]: the id that a registration command gives its entity beforehand;
//   - [HeaderBudget]: the exact budget, as the record's is a 32-bit float;
//   - [HeaderReason]: why a registration failed.
//
// # What the original sends
//
// Messages of the original have no type, no key and no headers; [Codec.Decode] goes by their topic. Ids of their
// command envelopes repeat and are ignored. The id "None" of a tracking event means that nobody was told it: it
// decodes to "". A null decodes to the zero value. An event is recognised by its envelope's type, and where that is unknown by
// the first payload record that holds anything.
//
// # Schema
//
// Schemas are kept in versioned folders, schema/v1 and schema/v2. Nine in v1 are the original's
// files; comando-aprobar-campaign is ours. In v2, evento-campaigns and evento-traking are v1 with nullable
// fields that default to null, which a broker accepts on the same topic; evento-traking.v2-original changes the record's shape and
// needs the topic [TopicTrackingEventsV2]. We write evento-campaigns by v2 and all others by v1.
//
// # Errors
//
// Encode: [messaging.ErrUnknownType], and [avromsg.ErrUnencodable] naming the field. Decode:
// [messaging.ErrUnknownType] and [messaging.ErrMalformed].
//
// # Concurrency
//
// A [Codec] is safe for concurrent use.
package wire
