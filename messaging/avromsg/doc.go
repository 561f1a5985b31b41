// Package avromsg encodes messages as Avro records: a [messaging.Codec] for plain structs, and
// under it [Schema], strict binary encoding by one schema.
//
//	codec, err := avromsg.NewCodec(
//		avromsg.Record[FlightBooked]("flight-booked", "flights", flightBookedV2).WithWriters(flightBookedV1),
//	)
//	message, err := codec.Encode(FlightBooked{Seat: "12A"})
//	value, err := codec.Decode(message)
//
// With sagas: a topic has one type, and a coordinator reads the topics of declared events, so that a definition has to declare every reply, that to an undo
// with saga.Undone. The example of package coordinator with Avro shows a whole saga.
//
// # Semantics
//
// A payload is the bare Avro binary of one record, without magic byte or header, as Pulsar's own
// clients write it. Struct fields are matched by the tag avro:"field"; a field of type
// ["null", T] is a pointer. [NewCodec] checks that each Go type carries its schema whole, so that
// a forgotten field is found at start-up and not by the first message.
//
// Decoding is strict: every payload is first walked by the schema it was written with. Bytes that
// end early, or go on after the value, or hold a length, a union branch, an enum index or a text
// that is impossible are [messaging.ErrMalformed], before anything is allocated for them. The
// decoded value keeps no reference to the payload.
//
// # Schema
//
// A message carries the fingerprint of the schema it was written with in the header
// [HeaderFingerprint], because brokers do not always carry a schema version (Pulsar does not for
// unbatched sends). The reader finds the writer's schema by it and resolves to its own: fields
// added with a default and fields removed are bridged as the Avro specification says. A message
// without the header is read with the first of the topic's schemas. A fingerprint that the reader
// has not been told of, by [Type.WithWriters] or [Codec.AddWriter], is malformed: reading it with another schema
// would invent values.
//
// The fingerprint is CRC-64-AVRO of the schema's Parsing Canonical Form. That form drops
// defaults, aliases and documentation: two schemas that differ only in these have one
// fingerprint, rightly so, as they write the same bytes. Therefore fingerprints identify writers only, and
// never stand for a schema where defaults matter (compatibility, resolution, caches).
//
// Of a writer's schema only what it writes counts: defaults in it are not looked at, not even invalid ones.
//
// # Evolution
//
// A broker that keeps to the strategy FULL, as Pulsar does by default, lets a topic's next schema in when readers of either read the messages of both. [Evolves], and
// [Codec.Check] for the topics of a codec, say so before anything is published, with each field that is in the way and what to do about it. What always fits is a
// field ["null", T] with "default": null, added or removed. What never does (a field without a default, another type, another name) needs
// a topic of its own.
//
// Brokers also admit what readers cannot read, such as a new symbol of an enum or another unit; Evolves does not. docs/schemas.md has the known traps, with their tests.
//
// Deploy in any order: an old reader meets the new schema's fingerprint, is given its text by the broker's driver, which calls [Codec.AddWriter], and skips what it does not know.
//
// # Limits
//
// Recursive schemas are refused: no message type here needs them, and hostile bytes could use them to exhaust
// the stack. The arrays and maps of one value hold at most [MaxItems] items together. Names are ASCII, as the specification says.
//
// # Concurrency
//
// A [Schema], a [Decoder] and a [Codec] are safe for concurrent use. Nothing is shared between them: there
// is no process-wide cache or registry.
package avromsg
