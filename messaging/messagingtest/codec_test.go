package messagingtest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

type order struct {
	ID    string
	Lines []string
	Note  []byte
}

type empty struct{}

func samples() []any {
	return []any{order{}, order{ID: "o-1", Lines: []string{"a", "ñ"}, Note: []byte{0, 255}}, empty{}}
}

func jsonCodec(t *testing.T) messaging.Codec {
	t.Helper()
	c, err := messaging.NewJSONCodec(messaging.JSON[order]("order", "orders"), messaging.JSON[empty]("empty", "orders"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRunCodec(t *testing.T) {
	t.Parallel()
	messagingtest.RunCodec(t, messagingtest.CodecHarness{Codec: jsonCodec(t), Values: samples()})
}

// patched is a codec with one method replaced.
type patched struct {
	messaging.Codec
	encode func(messaging.Codec, any) (messaging.Message, error)
	decode func(messaging.Codec, messaging.Message) (any, error)
	types  []any
}

func (p patched) Types(topic string) []any {
	catalog, ok := p.Codec.(messaging.Catalog)
	if p.types != nil || !ok {
		return p.types
	}
	return catalog.Types(topic)
}

func (p patched) Encode(v any) (messaging.Message, error) {
	if p.encode == nil {
		return p.Codec.Encode(v)
	}
	return p.encode(p.Codec, v)
}

func (p patched) Decode(m messaging.Message) (any, error) {
	if p.decode == nil {
		return p.Codec.Decode(m)
	}
	return p.decode(p.Codec, m)
}

func brokenCodecs() map[string]struct {
	fails string
	patched
} {
	type broken = struct {
		fails string
		patched
	}
	var last []byte
	return map[string]broken{
		"swallows truncation": {"ATruncatedPayloadIsErrMalformedAtEachByte", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			v, err := c.Decode(m)
			if errors.Is(err, messaging.ErrMalformed) && len(m.Payload) > 0 {
				return order{}, nil
			}
			return v, err
		}}},
		"has errors of its own": {"ATruncatedPayloadIsErrMalformedAtEachByte", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			v, err := c.Decode(m)
			if errors.Is(err, messaging.ErrMalformed) {
				err = errors.New("bad input")
			}
			return v, err
		}}},
		"takes the first value and ignores the rest": {"TrailingBytesAreErrMalformed", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			var first json.RawMessage
			if json.NewDecoder(bytes.NewReader(m.Payload)).Decode(&first) == nil {
				m.Payload = first
			}
			return c.Decode(m)
		}}},
		"guesses unknown types": {"UnregisteredTypesAreErrUnknownType", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			v, err := c.Decode(m)
			if errors.Is(err, messaging.ErrUnknownType) {
				m.Type = "order"
				return c.Decode(m)
			}
			return v, err
		}}},
		"returns pointers": {"DecodeReturnsWhatEncodeWasGiven", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			v, err := c.Decode(m)
			if o, ok := v.(order); ok {
				return &o, err
			}
			return v, err
		}}},
		"loses a field": {"DecodeReturnsWhatEncodeWasGiven", patched{decode: func(c messaging.Codec, m messaging.Message) (any, error) {
			v, err := c.Decode(m)
			if o, ok := v.(order); ok {
				o.Note = nil
				return o, err
			}
			return v, err
		}}},
		"sets no topic": {"EncodeSetsTopicTypeAndPayload", patched{encode: func(c messaging.Codec, v any) (messaging.Message, error) {
			m, err := c.Encode(v)
			m.Topic = ""
			return m, err
		}}},
		"lists one type for all topics": {"ACatalogListsTheTypesOfATopic", patched{types: []any{order{}}}},
		"reuses its buffer": {"NoReferenceToAPayloadIsKept", patched{encode: func(c messaging.Codec, v any) (messaging.Message, error) {
			m, err := c.Encode(v)
			clear(last)
			last = m.Payload
			return m, err
		}}},
	}
}

// TestSuiteOnBrokenCodec runs in the child processes of TestRunCodecFailsOnBrokenCodecs.
func TestSuiteOnBrokenCodec(t *testing.T) {
	broken, ok := brokenCodecs()[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("runs only as the child of TestRunCodecFailsOnBrokenCodecs")
	}
	codec := broken.patched
	codec.Codec = jsonCodec(t)
	messagingtest.RunCodec(t, messagingtest.CodecHarness{Codec: codec, Values: samples()})
}

func TestRunCodecFailsOnBrokenCodecs(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenCodecs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, "TestSuiteOnBrokenCodec", broken.fails, name)
		})
	}
}
