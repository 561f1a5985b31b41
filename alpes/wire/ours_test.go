package wire_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
)

var rewrite = flag.Bool("rewrite", false, "write what the codec encodes now into testdata/wire/ours.jsonl")

// ours is one message as we write it.
type ours struct {
	Value   string            `json:"value"` // the Go value
	Topic   string            `json:"topic"`
	Type    string            `json:"type"`
	Key     string            `json:"key"`
	Headers map[string]string `json:"headers"`
	Hex     string            `json:"hex"`
}

func (o ours) message(t *testing.T) messaging.Message {
	t.Helper()
	payload, err := hex.DecodeString(o.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return messaging.Message{Topic: o.Topic, Type: o.Type, Key: o.Key, Headers: o.Headers, Payload: payload}
}

// TestWhatWeWriteStaysAsItIs: messages are kept for long and read by others, so what we once wrote is written and read for ever. Run with -rewrite after a
// change on purpose, which then needs a schema version of its own.
func TestWhatWeWriteStaysAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.FromSlash("../../testdata/wire/ours.jsonl")
	codec := newCodec(t)
	var now bytes.Buffer
	lines := json.NewEncoder(&now)
	lines.SetEscapeHTML(false)
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		o := ours{Value: fmt.Sprintf("%T%+v", v, v), Topic: m.Topic, Type: m.Type, Key: m.Key, Headers: m.Headers, Hex: hex.EncodeToString(m.Payload)}
		if err := lines.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, now.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, now.Bytes()) {
		t.Errorf("we write\n%s\nand once wrote\n%s", now.Bytes(), before)
	}
	// Read back by a codec of today.
	scanner := bufio.NewScanner(bytes.NewReader(before))
	for _, want := range samples() {
		if !scanner.Scan() {
			t.Fatal("there are fewer messages than values")
		}
		var o ours
		if err := json.Unmarshal(scanner.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		got, err := codec.Decode(o.message(t))
		if err != nil || reflect.TypeOf(got) != reflect.TypeOf(want) {
			t.Errorf("%s: got %+v, %v", o.Value, got, err)
		}
	}
}

// TestWeFillWhatTheOriginalWouldFill: a consumer in Python puts a value of its own process for every null of the envelope, its own id and time among them.
func TestWeFillWhatTheOriginalWouldFill(t *testing.T) {
	t.Parallel()
	codec := newCodec(t)
	for _, v := range samples() {
		m, err := codec.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		r, err := codec.DecodeRecord(m)
		if err != nil {
			t.Fatal(err)
		}
		e, ok := reflect.TypeAssert[wire.Envelope](reflect.ValueOf(r).FieldByName("Envelope"))
		if !ok {
			t.Fatalf("%T has no envelope", r)
		}
		if e.Time == nil || e.Ingestion == nil || e.SpecVersion == nil || e.Type == nil || e.DataContentType == nil || e.ServiceName == nil {
			t.Errorf("%T: a null in the envelope: %+v", v, e)
		}
		if id := reflect.ValueOf(v).FieldByName("ID"); e.ID == nil && id.String() != "" {
			t.Errorf("%T: its id %s is not in the envelope", v, id)
		}
	}
}
