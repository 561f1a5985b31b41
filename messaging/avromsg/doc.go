// Package avromsg encodes messages as Avro records: a [messaging.Codec] for plain structs, and
// under it [Schema], strict binary encoding by one schema.
//
//	codec, err := avromsg.NewCodec(
//		avromsg.Record[FlightBooked]("flight-booked", "flights", flightBookedV2).WithWriters(flightBookedV1),
//	)
//	message, err := codec.Encode(FlightBooked{Seat: "12A"})
//	value, err := codec.Decode(message)
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
