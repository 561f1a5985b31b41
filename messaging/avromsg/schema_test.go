package avromsg_test

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

const everythingJSON = `{"type":"record","name":"Everything","fields":[
	{"name":"yes","type":"boolean"},
	{"name":"int","type":"int"},
	{"name":"long","type":"long"},
	{"name":"float","type":"float"},
	{"name":"double","type":"double"},
	{"name":"text","type":"string"},
	{"name":"raw","type":"bytes"},
	{"name":"tail","type":"string"},
	{"name":"fixed","type":{"type":"fixed","name":"Four","size":4}},
	{"name":"color","type":{"type":"enum","name":"Color","symbols":["red","green"]}},
	{"name":"maybe","type":["null","string"]},
	{"name":"inner","type":["null",{"type":"record","name":"Inner","fields":[
		{"name":"n","type":"long"},{"name":"color","type":["null","Color"]}]}]},
	{"name":"list","type":{"type":"array","items":"Inner"}},
	{"name":"words","type":{"type":"map","values":"string"}}]}`

type inner struct {
	N     int64   `avro:"n"`
	Color *string `avro:"color"`
}

type everything struct {
	Yes    bool              `avro:"yes"`
	Int    int32             `avro:"int"`
	Long   int64             `avro:"long"`
	Float  float32           `avro:"float"`
	Double float64           `avro:"double"`
	Text   string            `avro:"text"`
	Raw    []byte            `avro:"raw"`
	Tail   string            `avro:"tail"`
	Fixed  [4]byte           `avro:"fixed"`
	Color  string            `avro:"color"`
	Maybe  *string           `avro:"maybe"`
	Inner  *inner            `avro:"inner"`
	List   []inner           `avro:"list"`
	Words  map[string]string `avro:"words"`
}

func ptr[T any](v T) *T { return &v }

func sample() everything {
	return everything{
		Yes: true, Int: math.MinInt32, Long: math.MaxInt64, Float: 0.1, Double: -2.5, Text: "ñ€😀", Raw: []byte{0, 255}, Tail: "tail",
		Fixed: [4]byte{1, 2, 3, 4}, Color: "green", Maybe: ptr(""), Inner: &inner{N: -1, Color: ptr("red")},
		List: []inner{{N: 1}, {N: 2, Color: ptr("green")}}, Words: map[string]string{"k": "v"},
	}
}

func parse(t testing.TB, json string) *avromsg.Schema {
	t.Helper()
	s, err := avromsg.ParseSchema(json)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func marshal(t testing.TB, s *avromsg.Schema, v any) []byte {
	t.Helper()
	data, err := s.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSchemaRoundTrip(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	if s.JSON() != everythingJSON || s.Name() != "Everything" {
		t.Errorf("JSON or name %q differ from what was parsed", s.Name())
	}
	data := marshal(t, s, sample())
	var got everything
	if err := s.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("got %+v", got)
	}
}

func TestUnmarshalRefusesEveryTruncation(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	data := marshal(t, s, sample())
	for n := range data {
		var v everything
		if err := s.Unmarshal(data[:n], &v); !errors.Is(err, messaging.ErrMalformed) {
			t.Errorf("first %d of %d bytes: got %v", n, len(data), err)
		}
	}
	for _, tail := range []byte{0, 2, 255} {
		var v everything
		if err := s.Unmarshal(append(slices.Clip(data), tail), &v); !errors.Is(err, messaging.ErrMalformed) {
			t.Errorf("trailing byte %d: got %v", tail, err)
		}
	}
}

func TestUnmarshalRefusesHostileBytes(t *testing.T) {
	t.Parallel()
	long := func(values ...int64) []byte {
		var b []byte
		for _, v := range values {
			b = binary.AppendVarint(b, v)
		}
		return b
	}
	nothing := make([]struct{}, 0)
	for name, c := range map[string]struct {
		schema string
		data   []byte
		v      any
	}{
		"text of 2^62 bytes":        {`"string"`, long(1 << 62), new(string)},
		"text of negative length":   {`"string"`, long(-1), new(string)},
		"text that is not UTF-8":    {`"string"`, []byte{2, 0xff}, new(string)},
		"bytes of 2^62 bytes":       {`"bytes"`, long(1 << 62), new([]byte)},
		"array of 2^62 items":       {`{"type":"array","items":"long"}`, long(1 << 62), new([]int64)},
		"array of -2^63 items":      {`{"type":"array","items":"long"}`, long(math.MinInt64, 0), new([]int64)},
		"array of 2^62 nothings":    {`{"type":"array","items":"null"}`, long(1<<62, 0), &nothing},
		"array of many nothings":    {`{"type":"array","items":"null"}`, long(avromsg.MaxItems, 1, 0), &nothing},
		"block of a wrong size":     {`{"type":"array","items":"long"}`, long(-1, 5, 1, 0), new([]int64)},
		"block of a negative size":  {`{"type":"array","items":"long"}`, long(-1, -1, 1, 0), new([]int64)},
		"map of 2^62 items":         {`{"type":"map","values":"long"}`, long(1 << 62), new(map[string]int64)},
		"map key that is not UTF-8": {`{"type":"map","values":"long"}`, []byte{2, 2, 0xff, 0, 0}, new(map[string]int64)},
		"int above 32 bits":         {`"int"`, long(math.MaxInt32 + 1), new(int32)},
		"int in too many bytes":     {`"int"`, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, new(int32)},
		"long above 64 bits":        {`"long"`, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, new(int64)},
		"boolean of 2":              {`"boolean"`, []byte{2}, new(bool)},
		"third branch of two":       {`["null","string"]`, long(2), new(*string)},
		"negative branch":           {`["null","string"]`, long(-1), new(*string)},
		"unknown enum symbol":       {`{"type":"enum","name":"E","symbols":["a"]}`, long(1), new(string)},
		"empty":                     {`"long"`, nil, new(int64)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := parse(t, c.schema).Unmarshal(c.data, c.v); !errors.Is(err, messaging.ErrMalformed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A block may tell its size in bytes, for readers that skip it.
func TestUnmarshalReadsSizedBlocks(t *testing.T) {
	t.Parallel()
	var got []int64
	if err := parse(t, `{"type":"array","items":"long"}`).Unmarshal([]byte{3, 4, 2, 4, 2, 6, 0}, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, []int64{1, 2, 3}) {
		t.Errorf("got %v", got)
	}
}

func TestUnmarshalCopies(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	data := marshal(t, s, sample())
	var got everything
	if err := s.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	clear(data)
	_ = append(got.Raw, "overwritten?"...)
	if !reflect.DeepEqual(got, sample()) {
		t.Errorf("the value shares memory: %+v", got)
	}
	var generic any
	data = marshal(t, s, sample())
	if err := s.Unmarshal(data, &generic); err != nil {
		t.Fatal(err)
	}
	record := generic.(map[string]any)
	_ = append(record["raw"].([]byte), "overwritten?"...)
	if record["tail"] != "tail" {
		t.Errorf("the generic value shares memory: %v", record["tail"])
	}
}

func TestUnmarshalNeedsAPointer(t *testing.T) {
	t.Parallel()
	s := parse(t, `"string"`)
	for _, v := range []any{nil, "", (*string)(nil), new(int64)} {
		if err := s.Unmarshal([]byte{0}, v); !errors.Is(err, avromsg.ErrUnencodable) {
			t.Errorf("%T: got %v", v, err)
		}
	}
}

func TestMarshalNamesTheField(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	for field, spoil := range map[string]func(*everything){
		"Color":     func(e *everything) { e.Color = "blue" },
		"Inner":     func(e *everything) { e.Inner.Color = ptr("blue") },
		"text":      func(e *everything) { e.Text = "\xff" },
		"maybe":     func(e *everything) { e.Maybe = ptr("\xff") },
		"words[0]":  func(e *everything) { e.Words = map[string]string{"k": "\xff"} },
		"words[0]:": func(e *everything) { e.Words = map[string]string{"\xff": "v"} },
	} {
		v := sample()
		spoil(&v)
		if _, err := s.Marshal(v); !errors.Is(err, avromsg.ErrUnencodable) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for _, v := range []any{nil, (*everything)(nil), struct{}{}, "text"} {
		if _, err := s.Marshal(v); !errors.Is(err, avromsg.ErrUnencodable) {
			t.Errorf("%T: got %v", v, err)
		}
	}
}

func TestParseSchemaRefuses(t *testing.T) {
	t.Parallel()
	// A name defined by one schema is unknown to the next.
	parse(t, `{"type":"record","name":"Lonely","fields":[{"name":"x","type":{"type":"enum","name":"Shared","symbols":["a"]}}]}`)
	for name, json := range map[string]string{
		"empty":                     "",
		"no JSON":                   "{",
		"an undefined name":         `{"type":"record","name":"R","fields":[{"name":"x","type":"Shared"}]}`,
		"recursion":                 `{"type":"record","name":"Node","fields":[{"name":"next","type":["null","Node"]}]}`,
		"recursion in a list":       `{"type":"record","name":"Tree","fields":[{"name":"kids","type":{"type":"array","items":"Tree"}}]}`,
		"a symbol outside of ASCII": `{"type":"enum","name":"E","symbols":["año"]}`,
	} {
		if _, err := avromsg.ParseSchema(json); !errors.Is(err, avromsg.ErrSchema) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	// The value for "null" is from the Avro specification's CRC-64-AVRO algorithm.
	if got := parse(t, `"null"`).Fingerprint(); got != "63dd24e7cc258f8a" {
		t.Errorf("null: got %s", got)
	}
	base := parse(t, `{"type":"record","name":"R","fields":[{"name":"x","type":["null","string"]}]}`)
	same := parse(t, `{"doc":"d", "name":"R","type":"record","fields":[{"type":["null","string"],"name":"x","default":null}]}`)
	other := parse(t, `{"type":"record","name":"R","fields":[{"name":"y","type":["null","string"]}]}`)
	if base.Fingerprint() != same.Fingerprint() || base.Fingerprint() == other.Fingerprint() {
		t.Error("fingerprints do not follow the canonical form")
	}
}

const (
	plainX   = `{"type":"record","name":"R","fields":[{"name":"x","type":"long"}]}`
	needsY   = `{"type":"record","name":"R","fields":[{"name":"x","type":"long"},{"name":"y","type":["null","string"]}]}`
	defaultY = `{"type":"record","name":"R","fields":[{"name":"x","type":"long"},{"name":"y","type":["null","string"],"default":null}]}`
	defaultZ = `{"type":"record","name":"R","fields":[{"name":"z","type":"string","default":"zed"},{"name":"x","type":"double"}]}`
)

// The same question with and without a default has different answers, in whatever order it is asked.
func TestCompatibleSeesDefaults(t *testing.T) {
	t.Parallel()
	writer := parse(t, plainX)
	for range 2 {
		if err := avromsg.Compatible(parse(t, defaultY), writer); err != nil {
			t.Errorf("with a default: %v", err)
		}
		if err := avromsg.Compatible(parse(t, needsY), writer); !errors.Is(err, avromsg.ErrIncompatible) {
			t.Errorf("without a default: got %v", err)
		}
	}
	if _, err := avromsg.Resolve(parse(t, needsY), writer); !errors.Is(err, avromsg.ErrIncompatible) {
		t.Errorf("Resolve: got %v", err)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	type withY struct {
		X int64   `avro:"x"`
		Y *string `avro:"y"`
	}
	type withZ struct {
		Z string  `avro:"z"`
		X float64 `avro:"x"`
	}
	old, grown, moved := parse(t, plainX), parse(t, defaultY), parse(t, defaultZ)
	oldData := marshal(t, old, map[string]any{"x": int64(7)})
	grownData := marshal(t, grown, withY{X: 7, Y: ptr("y")})

	read := func(reader, writer *avromsg.Schema, data []byte, v any) {
		t.Helper()
		d, err := avromsg.Resolve(reader, writer)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
		for n := range data {
			if err := d.Unmarshal(data[:n], reflect.New(reflect.TypeOf(v).Elem()).Interface()); !errors.Is(err, messaging.ErrMalformed) {
				t.Errorf("first %d bytes: got %v", n, err)
			}
		}
	}
	var y, back withY
	read(grown, old, oldData, &y)
	read(old, grown, grownData, &back)
	var z withZ
	read(moved, grown, grownData, &z)
	if y.X != 7 || y.Y != nil || back.X != 7 || back.Y != nil || z != (withZ{Z: "zed", X: 7}) {
		t.Errorf("got %+v, %+v, %+v", y, back, z)
	}
}

func TestSchemaIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range 100 {
				want := sample()
				want.Long = int64(i)
				data, err := s.Marshal(want)
				if err != nil {
					t.Error(err)
					return
				}
				var got everything
				if err := s.Unmarshal(data[:len(data)-1], &everything{}); err == nil {
					t.Error("truncation accepted")
				}
				if err := s.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("got %+v, %v", got, err)
					return
				}
			}
		})
	}
	running.Wait()
}

func drawEverything(t *rapid.T) everything {
	color := rapid.SampledFrom([]string{"red", "green"})
	item := rapid.Custom(func(t *rapid.T) inner {
		return inner{N: rapid.Int64().Draw(t, "n"), Color: rapid.Ptr(color, true).Draw(t, "color")}
	})
	v := everything{
		Yes: rapid.Bool().Draw(t, "yes"), Int: rapid.Int32().Draw(t, "int"), Long: rapid.Int64().Draw(t, "long"),
		Float: rapid.Float32().Draw(t, "float"), Double: rapid.Float64().Draw(t, "double"),
		Text: rapid.String().Draw(t, "text"), Raw: rapid.SliceOf(rapid.Byte()).Draw(t, "raw"), Tail: rapid.String().Draw(t, "tail"),
		Fixed: [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "fixed")), Color: color.Draw(t, "color"),
		Maybe: rapid.Ptr(rapid.String(), true).Draw(t, "maybe"), Inner: rapid.Ptr(item, true).Draw(t, "inner"),
		List: rapid.SliceOf(item).Draw(t, "list"), Words: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "words"),
	}
	return v
}

func TestSchemaProperties(t *testing.T) {
	t.Parallel()
	s := parse(t, everythingJSON)
	rapid.Check(t, func(t *rapid.T) {
		want := drawEverything(t)
		data, err := s.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got everything
		if err := s.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if err := s.Unmarshal(data[:cut], &everything{}); !errors.Is(err, messaging.ErrMalformed) {
			t.Fatalf("first %d bytes: got %v", cut, err)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	s := parse(f, everythingJSON)
	f.Add(marshal(f, s, sample()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v everything
		if err := s.Unmarshal(data, &v); err != nil {
			if !errors.Is(err, messaging.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var again everything
		if err := s.Unmarshal(marshal(t, s, v), &again); err != nil {
			t.Fatal(err)
		}
		if !same(v, again) {
			t.Fatalf("%+v became %+v", v, again)
		}
	})
}

// same compares by value, with NaN equal to itself.
func same(a, b everything) bool {
	if math.IsNaN(float64(a.Float)) && math.IsNaN(float64(b.Float)) {
		a.Float, b.Float = 0, 0
	}
	if math.IsNaN(a.Double) && math.IsNaN(b.Double) {
		a.Double, b.Double = 0, 0
	}
	return reflect.DeepEqual(a, b)
}
