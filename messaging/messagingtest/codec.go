package messagingtest

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
)

// CodecHarness is what [RunCodec] needs to know about a codec.
type CodecHarness struct {
	// Codec is the codec. Required.
	Codec messaging.Codec
	// Values are sample values, best one or more of each registered type: struct values, not pointers.
	// Required.
	Values []any
	// Equal compares a sample with what was decoded. Nil means [reflect.DeepEqual].
	Equal func(want, got any) bool
}

// unregistered is a type that no codec knows.
type unregistered struct{ X int }

// RunCodec tests a codec against the contract of [messaging.Codec].
func RunCodec(t *testing.T, h CodecHarness) {
	if h.Equal == nil {
		h.Equal = reflect.DeepEqual
	}
	if h.Codec == nil || len(h.Values) == 0 {
		t.Fatal("messagingtest: CodecHarness needs a Codec and Values")
	}
	for _, c := range []struct {
		promise string
		run     func(*testing.T, CodecHarness)
	}{
		{"DecodeReturnsWhatEncodeWasGiven", codecRoundTrip},
		{"EncodeSetsTopicTypeAndPayload", codecSetsFields},
		{"ACatalogListsTheTypesOfATopic", codecLists},
		{"UnregisteredTypesAreErrUnknownType", codecUnknown},
		{"ATruncatedPayloadIsErrMalformedAtEachByte", codecTruncated},
		{"TrailingBytesAreErrMalformed", codecTrailing},
		{"NoReferenceToAPayloadIsKept", codecKeepsNothing},
		{"ConcurrentUseIsSafe", codecConcurrent},
	} {
		t.Run(c.promise, func(t *testing.T) {
			t.Parallel()
			c.run(t, h)
		})
	}
}

// encode returns the sample's message.
func (h CodecHarness) encode(t *testing.T, v any) messaging.Message {
	t.Helper()
	m, err := h.Codec.Encode(v)
	if err != nil {
		t.Fatalf("Encode of a %T: %v", v, err)
	}
	return m
}

// check wants m to decode to v.
func (h CodecHarness) check(t *testing.T, m messaging.Message, v any) {
	t.Helper()
	got, err := h.Codec.Decode(m)
	switch {
	case err != nil:
		t.Errorf("Decode of a %T: %v", v, err)
	case reflect.TypeOf(got) != reflect.TypeOf(v):
		t.Errorf("Decode returned a %T, want a %T", got, v)
	case !h.Equal(v, got):
		t.Errorf("Decode returned %+v, want %+v", got, v)
	}
}

func codecRoundTrip(t *testing.T, h CodecHarness) {
	for _, v := range h.Values {
		h.check(t, h.encode(t, v), v)
	}
}

func codecSetsFields(t *testing.T, h CodecHarness) {
	for _, v := range h.Values {
		m := h.encode(t, v)
		if m.Topic == "" || m.Type == "" || m.ID != "" {
			t.Errorf("Encode of a %T gives topic %q, type %q and ID %q; want the first two and no ID", v, m.Topic, m.Type, m.ID)
		}
		if topic, err := h.Codec.Topic(v); err != nil || topic != m.Topic {
			t.Errorf("Topic of a %T is %q, %v; Encode said %q", v, topic, err, m.Topic)
		}
	}
}

func codecLists(t *testing.T, h CodecHarness) {
	catalog, ok := h.Codec.(messaging.Catalog)
	if !ok {
		t.Skip("the codec is no messaging.Catalog")
	}
	for _, v := range h.Values {
		topic := h.encode(t, v).Topic
		types := catalog.Types(topic)
		if !slices.ContainsFunc(types, func(listed any) bool { return reflect.TypeOf(listed) == reflect.TypeOf(v) }) {
			t.Errorf("Types of %q are %T: no %T", topic, types, v)
		}
		for _, listed := range types {
			if other, err := h.Codec.Topic(listed); err != nil || other != topic || !reflect.ValueOf(listed).IsZero() {
				t.Errorf("Types of %q hold %+v of topic %q, %v: want zero values of the topic's types", topic, listed, other, err)
			}
		}
	}
	if types := catalog.Types("messagingtest-no-such-topic"); len(types) > 0 {
		t.Errorf("Types of a topic that nothing travels on: %v", types)
	}
}

func codecUnknown(t *testing.T, h CodecHarness) {
	for _, v := range []any{unregistered{X: 1}, nil, 7} {
		if _, err := h.Codec.Encode(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Encode of a %T: %v, want ErrUnknownType", v, err)
		}
		if _, err := h.Codec.Topic(v); !errors.Is(err, messaging.ErrUnknownType) {
			t.Errorf("Topic of a %T: %v, want ErrUnknownType", v, err)
		}
	}
	m := h.encode(t, h.Values[0])
	m.Type = "messagingtest-no-such-type"
	if _, err := h.Codec.Decode(m); !errors.Is(err, messaging.ErrUnknownType) {
		t.Errorf("Decode of type %q: %v, want ErrUnknownType", m.Type, err)
	}
}

// malformed wants m to be refused.
func (h CodecHarness) malformed(t *testing.T, m messaging.Message, what string) {
	t.Helper()
	switch v, err := h.Codec.Decode(m); {
	case err == nil:
		t.Errorf("type %s: %s decoded to %+v", m.Type, what, v)
	case !errors.Is(err, messaging.ErrMalformed):
		t.Errorf("type %s: %s gave %v, want ErrMalformed", m.Type, what, err)
	}
}

func codecTruncated(t *testing.T, h CodecHarness) {
	for _, v := range h.Values {
		m := h.encode(t, v)
		whole := m.Payload
		for n := range whole {
			m.Payload = slices.Clip(whole[:n])
			h.malformed(t, m, "a truncated payload")
			if t.Failed() {
				t.Fatalf("at byte %d of %d", n, len(whole))
			}
		}
	}
}

func codecTrailing(t *testing.T, h CodecHarness) {
	for _, v := range h.Values {
		m := h.encode(t, v)
		whole := m.Payload
		for _, more := range [][]byte{{0}, {'}'}, {0xff}, whole} {
			if len(more) == 0 {
				continue
			}
			m.Payload = slices.Concat(whole, more)
			h.malformed(t, m, "a payload with bytes after its end")
		}
	}
}

func codecKeepsNothing(t *testing.T, h CodecHarness) {
	for _, v := range h.Values {
		m := h.encode(t, v)
		copied := m
		copied.Payload = bytes.Clone(m.Payload)
		got, err := h.Codec.Decode(copied)
		if err != nil {
			t.Fatalf("Decode of a %T: %v", v, err)
		}
		for i := range copied.Payload {
			copied.Payload[i] ^= 0xff
		}
		if !h.Equal(v, got) {
			t.Errorf("a decoded %T changed with its payload", v)
		}
		h.encode(t, v) // must not write into what the first call returned
		h.check(t, m, v)
	}
}

func codecConcurrent(t *testing.T, h CodecHarness) {
	const goroutines, rounds = 8, 25
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				for _, v := range h.Values {
					m, err := h.Codec.Encode(v)
					if err != nil {
						t.Errorf("Encode of a %T: %v", v, err)
						return
					}
					h.check(t, m, v)
				}
			}
		})
	}
	wg.Wait()
}
