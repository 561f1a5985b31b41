package avromsg_test

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

// SeatTaken is what users write: a plain struct whose nullable fields are pointers.
type SeatTaken struct {
	Seat string  `avro:"seat"`
	Gate *string `avro:"gate"`
}

func ExampleNewCodec() {
	const v1 = `{"type":"record","name":"SeatTaken","fields":[{"name":"seat","type":"string"}]}`
	const v2 = `{"type":"record","name":"SeatTaken","fields":[
		{"name":"seat","type":"string"},
		{"name":"gate","type":["null","string"],"default":null}]}`

	codec, err := avromsg.NewCodec(avromsg.Record[SeatTaken]("seat-taken", "seats", v2).WithWriters(v1))
	if err != nil {
		fmt.Println(err)
		return
	}
	gate := "B7"
	m, err := codec.Encode(SeatTaken{Seat: "12A", Gate: &gate})
	fmt.Println(m.Type, "on", m.Topic, len(m.Payload), "bytes", err)

	// A producer that still writes the first version, and tells nothing about it.
	value, err := codec.Decode(messaging.Message{Topic: "seats", Payload: []byte("\x0612A")})
	fmt.Println(value.(SeatTaken).Seat, value.(SeatTaken).Gate == nil, err)

	m.Payload = m.Payload[:len(m.Payload)-1]
	_, err = codec.Decode(m)
	fmt.Println(errors.Is(err, messaging.ErrMalformed))
	// Output:
	// seat-taken on seats 8 bytes <nil>
	// 12A true <nil>
	// true
}

func ExampleParseSchema() {
	s, err := avromsg.ParseSchema(`{"type":"record","name":"Point","fields":[{"name":"x","type":"long"}]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := s.Marshal(map[string]any{"x": int64(-1)})
	fmt.Println(s.Name(), s.Fingerprint(), hex.EncodeToString(data), err)
	// Output:
	// Point 66e61270bd708e2f 01 <nil>
}

func ExampleResolve() {
	written, _ := avromsg.ParseSchema(`{"type":"record","name":"Point","fields":[{"name":"x","type":"int"}]}`)
	read, _ := avromsg.ParseSchema(`{"type":"record","name":"Point","fields":[{"name":"x","type":"long"},{"name":"y","type":"long","default":5}]}`)

	fmt.Println(avromsg.Compatible(read, written))
	fmt.Println(errors.Is(avromsg.Compatible(written, read), avromsg.ErrIncompatible))

	decoder, err := avromsg.Resolve(read, written)
	if err != nil {
		fmt.Println(err)
		return
	}
	var point struct {
		X int64 `avro:"x"`
		Y int64 `avro:"y"`
	}
	fmt.Println(decoder.Unmarshal([]byte{6}, &point), point)
	// Output:
	// <nil>
	// true
	// <nil> {3 5}
}
