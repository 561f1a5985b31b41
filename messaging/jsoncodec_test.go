package messaging_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

type line struct {
	Item  string  `json:"item"`
	Price float64 `json:"price"`
}

type placed struct {
	ID    string            `json:"id"`
	At    time.Time         `json:"at"`
	Lines []line            `json:"lines"`
	First line              `json:"first"`
	Notes map[string]string `json:"notes"`
	Any   any               `json:"any"`
}

type cancelled struct {
	ID string `json:"id"`
}

func newCodec(tb testing.TB) *messaging.JSONCodec {
	tb.Helper()
	c, err := messaging.NewJSONCodec(messaging.JSON[placed]("order-placed", "orders", "order-made"), messaging.JSON[cancelled]("order-cancelled", "orders"))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestJSONCodec(t *testing.T) {
	t.Parallel()
	messagingtest.RunCodec(t, messagingtest.CodecHarness{Codec: newCodec(t), Values: []any{
		placed{}, cancelled{ID: "1"},
		placed{ID: "ñ", At: time.Unix(1, 5).UTC(), Lines: []line{{"a", 1.5}, {}}, Notes: map[string]string{"k": "<v>"}, Any: []any{"x", 1.0, nil}},
	}})
}

func TestJSONCodecDecode(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 1_000_000) + strings.Repeat(`]`, 1_000_000)
	for _, test := range []struct {
		name, wire, payload string
		want                any
		err                 error
	}{
		{"unknown fields are ignored", "order-cancelled", `{"id":"1","since":"v2"}`, cancelled{ID: "1"}, nil},
		{"an alias", "order-made", `{"id":"1"}`, placed{ID: "1"}, nil},
		{"white space around", "order-cancelled", " {\"id\":\"1\"}\n", cancelled{ID: "1"}, nil},
		{"an unknown wire name", "order-lost", `{}`, nil, messaging.ErrUnknownType},
		{"nothing", "order-cancelled", ``, nil, messaging.ErrMalformed},
		{"white space", "order-cancelled", ` `, nil, messaging.ErrMalformed},
		{"null", "order-cancelled", `null`, nil, messaging.ErrMalformed},
		{"an array", "order-cancelled", `[]`, nil, messaging.ErrMalformed},
		{"a second object", "order-cancelled", `{}{}`, nil, messaging.ErrMalformed},
		{"a field of another type", "order-cancelled", `{"id":7}`, nil, messaging.ErrMalformed},
		{"a bad time", "order-placed", `{"at":"secret"}`, nil, messaging.ErrMalformed},
		{"a number out of range", "order-placed", `{"first":{"price":1e999}}`, nil, messaging.ErrMalformed},
		{"invalid UTF-8", "order-cancelled", "{\"id\":\"\xff\"}", nil, messaging.ErrMalformed},
		{"nested without end", "order-placed", `{"any":` + deep + `}`, nil, messaging.ErrMalformed},
		{"too large", "order-placed", `{"id":"` + strings.Repeat("x", 16<<20) + `"}`, nil, messaging.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := newCodec(t).Decode(messaging.Message{Type: test.wire, Payload: []byte(test.payload)})
			if !errors.Is(err, test.err) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "999")) {
				t.Errorf("the error quotes the payload: %v", err)
			}
		})
	}
}

func TestJSONCodecEncodeNamesTheField(t *testing.T) {
	t.Parallel()
	_, err := newCodec(t).Encode(placed{First: line{Price: math.NaN()}})
	if err == nil || !strings.Contains(err.Error(), "First.Price") {
		t.Errorf("%v, want it to name First.Price", err)
	}
	if _, err := newCodec(t).Encode(&placed{}); !errors.Is(err, messaging.ErrUnknownType) {
		t.Errorf("a pointer: %v, want ErrUnknownType", err)
	}
}

func TestNewJSONCodecNamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := messaging.NewJSONCodec(
		messaging.JSON[placed]("a", "t"), messaging.JSON[placed]("b", "t"), messaging.JSON[cancelled]("c", "t", "a", ""),
		messaging.JSON[line]("", "t"), messaging.JSON[*time.Location]("d", "t"), messaging.JSON[struct{ C chan int }]("e", "t"), messaging.JSONType{},
	)
	for _, part := range []string{
		"messaging_test.placed is registered twice", `wire name "a" is claimed by`, "empty alias", "messaging_test.line needs a wire name",
		"*time.Location is no struct", "cannot carry a chan int", "JSONType without JSON",
	} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
}

func FuzzJSONCodecDecode(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"id":"1","at":"2025-01-01T00:00:00Z","lines":[{"item":"a","price":1}],"notes":{"a":"b"},"any":[1,{"x":null}]}`, `{"id":1}`, `{}{}`, "{\"\xff\":1}"} {
		f.Add([]byte(seed))
	}
	c := newCodec(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := c.Decode(messaging.Message{Type: "order-placed", Payload: payload})
		if err != nil {
			if !errors.Is(err, messaging.ErrMalformed) || v != nil {
				t.Fatalf("%v, %v; want ErrMalformed alone", v, err)
			}
			return
		}
		if !json.Valid(payload) {
			t.Fatalf("decoded what is no JSON: %q", payload)
		}
		m, err := c.Encode(v)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		again, err := c.Decode(m)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("second time: %+v, %v; want %+v", again, err, v)
		}
	})
}
