package avromsg_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

const (
	bookedV1 = `{"type":"record","name":"FlightBooked","fields":[{"name":"seat","type":"string"}]}`
	bookedV2 = `{"type":"record","name":"FlightBooked","fields":[{"name":"seat","type":"string"},{"name":"gate","type":["null","string"],"default":null}]}`
	bookedV3 = `{"type":"record","name":"FlightBooked","fields":[{"name":"seat","type":"string"},{"name":"row","type":"int"}]}`
)

type booked struct {
	Seat string  `avro:"seat"`
	Gate *string `avro:"gate"`
}

func newCodec(t testing.TB, types ...avromsg.Type) *avromsg.Codec {
	t.Helper()
	c, err := avromsg.NewCodec(types...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func bookedType() avromsg.Type {
	return avromsg.Record[booked]("flight-booked", "flights", bookedV2).WithWriters(bookedV1)
}

func everythingType() avromsg.Type {
	return avromsg.Record[everything]("everything", "all", everythingJSON)
}

func TestCodecRoundTrip(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType(), everythingType())
	for _, want := range []any{booked{Seat: "12A", Gate: ptr("B7")}, booked{}, sample()} {
		m, err := c.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := c.Topic(want)
		if err != nil || m.Topic != topic || m.Type == "" || m.Header(avromsg.HeaderFingerprint) == "" {
			t.Errorf("message %+v, topic %q, %v", m, topic, err)
		}
		got, err := c.Decode(m)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		m.Type = "" // as from a producer that sends no such property
		if got, err = c.Decode(m); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("by topic: got %+v, %v, want %+v", got, err, want)
		}
	}
}

func TestCodecKnowsOnlyItsTypes(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType())
	for _, v := range []any{nil, 1, &booked{}, sample()} {
		if _, err := c.Encode(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Encode %T: got %v", v, err)
		}
		if _, err := c.Topic(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Topic %T: got %v", v, err)
		}
	}
	for _, m := range []messaging.Message{{}, {Topic: "other"}, {Topic: "flights", Type: "other"}} {
		if _, err := c.Decode(m); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Decode %+v: got %v", m, err)
		}
	}
	if _, err := c.AddWriter("other", bookedV1); !errors.Is(err, messaging.ErrUnknownType) {
		t.Errorf("AddWriter: got %v", err)
	}
}

func TestCodecReadsWithTheWritersSchema(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType())
	old := marshal(t, parse(t, bookedV1), map[string]any{"seat": "12A"})
	other := marshal(t, parse(t, bookedV3), map[string]any{"seat": "12A", "row": 12})
	want := booked{Seat: "12A"}

	// No fingerprint: the first of the writers' schemas.
	if got, err := c.Decode(messaging.Message{Topic: "flights", Payload: old}); err != nil || got != want {
		t.Errorf("without a fingerprint: got %v, %v", got, err)
	}
	fingerprint := parse(t, bookedV3).Fingerprint()
	m := messaging.Message{Topic: "flights", Payload: other, Headers: map[string]string{avromsg.HeaderFingerprint: fingerprint}}
	if _, err := c.Decode(m); !errors.Is(err, messaging.ErrMalformed) || !strings.Contains(err.Error(), "unknown writer's schema") {
		t.Errorf("unknown fingerprint: got %v", err)
	}
	if c.Knows("flights", fingerprint) || c.Knows("other", fingerprint) || !c.Knows("flights", parse(t, bookedV1).Fingerprint()) ||
		!c.Knows("flights", parse(t, bookedV2).Fingerprint()) {
		t.Error("Knows before AddWriter")
	}
	for range 2 {
		if got, err := c.AddWriter("flights", bookedV3); err != nil || got != fingerprint {
			t.Fatalf("AddWriter: got %s, %v", got, err)
		}
	}
	if !c.Knows("flights", fingerprint) {
		t.Error("Knows after AddWriter")
	}
	if got, err := c.Decode(m); err != nil || got != want {
		t.Errorf("known fingerprint: got %v, %v", got, err)
	}
	if _, err := c.AddWriter("flights", plainX); !errors.Is(err, avromsg.ErrIncompatible) {
		t.Errorf("another record: got %v", err)
	}
	if _, err := c.AddWriter("flights", "{"); !errors.Is(err, avromsg.ErrSchema) {
		t.Errorf("no schema: got %v", err)
	}
}

func TestAddWriterIsBounded(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType())
	var err error
	for i := 0; i <= avromsg.MaxWriters && err == nil; i++ {
		_, err = c.AddWriter("flights", fmt.Sprintf(`{"type":"record","name":"FlightBooked","fields":[
			{"name":"seat","type":"string"},{"name":"f%d","type":"int"}]}`, i))
	}
	if !errors.Is(err, avromsg.ErrTooManyWriters) {
		t.Errorf("got %v", err)
	}
}

func TestNewCodecTellsAllFaults(t *testing.T) {
	t.Parallel()
	type missing struct {
		Seat string `avro:"seat"`
	}
	type typo struct {
		Seat string  `avro:"seat"`
		Gate *string `avro:"gate"`
		Row  int     `avro:"rwo"`
	}
	type plain struct {
		Seat string `avro:"seat"`
		Gate string `avro:"gate"`
	}
	_, err := avromsg.NewCodec(
		avromsg.Type{},
		avromsg.Record[int]("not-a-struct", "t1", `"int"`),
		avromsg.Record[missing]("misses-a-field-with-default", "t2", bookedV2),
		avromsg.Record[missing]("misses-a-field", "t3", bookedV3),
		avromsg.Record[typo]("typo", "t4", bookedV2),
		avromsg.Record[plain]("no-pointer", "t5", bookedV2),
		avromsg.Record[booked]("bad-schema", "t6", "{"),
		avromsg.Record[booked]("bad-writer", "t7", bookedV2).WithWriters(plainX),
		avromsg.Record[everything]("twin", "t8", everythingJSON),
		avromsg.Record[everything]("twin", "t9", everythingJSON),
		avromsg.Record[everything]("twin-type", "t10", everythingJSON),
		avromsg.Record[booked]("twin-topic", "t8", bookedV2),
	)
	for _, sentinel := range []error{avromsg.ErrType, avromsg.ErrSchema, avromsg.ErrUnencodable, avromsg.ErrIncompatible} {
		if !errors.Is(err, sentinel) {
			t.Errorf("%v is not among: %v", sentinel, err)
		}
	}
	for _, name := range []string{`type ""`, "not-a-struct", "misses-a-field\"", "typo", "rwo", "no-pointer", "Gate",
		"bad-schema", "bad-writer", "twin\"", "twin-type", "twin-topic"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not told of: %v", name, err)
		}
	}
	if _, err := avromsg.NewCodec(avromsg.Record[missing]("m", "t", bookedV2)); err != nil {
		t.Errorf("a field with a default may be missing: %v", err)
	}
}

func TestCodecDecodeRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType(), everythingType())
	for _, v := range []any{booked{Seat: "12A"}, sample()} {
		m, err := c.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		whole := m.Payload
		for n := range whole {
			m.Payload = whole[:n]
			if _, err := c.Decode(m); !errors.Is(err, messaging.ErrMalformed) {
				t.Errorf("%T: first %d bytes: got %v", v, n, err)
			}
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	c := newCodec(b, everythingType())
	m, err := c.Encode(sample())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		v := any(sample())
		b.SetBytes(int64(len(m.Payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Encode(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(m.Payload)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Decode(m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestCodecKeepsTheContract(t *testing.T) {
	t.Parallel()
	messagingtest.RunCodec(t, messagingtest.CodecHarness{
		Codec:  newCodec(t, bookedType(), everythingType()),
		Values: []any{booked{Seat: "12A", Gate: ptr("B7")}, booked{}, sample()},
	})
}

// TestNewCodecTellsAllThatDoesNotFit at once, in nested records too.
func TestNewCodecTellsAllThatDoesNotFit(t *testing.T) {
	t.Parallel()
	type inner struct{ Z string }
	type outer struct {
		X     string
		Inner inner
	}
	const schema = `{"type":"record","name":"r","fields":[{"name":"x","type":"string"},{"name":"y","type":"string"},
		{"name":"Inner","type":{"type":"record","name":"i","fields":[{"name":"z","type":"string"}]}}]}`
	_, err := avromsg.NewCodec(avromsg.Record[outer]("r", "t", schema))
	for _, want := range []string{`no "X"`, `the field "x"`, `the field "y"`, `no "Z"`, `the field "z"`} {
		if !errors.Is(err, avromsg.ErrUnencodable) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %s: %v", want, err)
		}
	}
	for _, text := range []string{"{", schema[:40], `["string"`} {
		if _, err := avromsg.ParseSchema(text); !errors.Is(err, avromsg.ErrSchema) || !strings.Contains(err.Error(), "not valid JSON at byte") {
			t.Errorf("ParseSchema(%q): %v", text, err)
		}
	}
	if _, err := avromsg.ParseSchema("string"); err != nil {
		t.Errorf("a type's bare name: %v", err)
	}
}
