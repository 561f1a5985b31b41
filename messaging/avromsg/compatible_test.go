package avromsg_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"
	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

func record(fields string) string {
	return `{"type":"record","name":"R","fields":[` + fields + `]}`
}

// TestConflictsAreNamed: each reason, the path of its field and what to do.
func TestConflictsAreNamed(t *testing.T) {
	t.Parallel()
	const (
		text   = `{"name":"x","type":"string"}`
		maybe  = `{"name":"x","type":["null","string"]}`
		number = `{"name":"x","type":"long"}`
	)
	enum := func(symbols string) string {
		return `{"name":"x","type":{"type":"enum","name":"E","symbols":[` + symbols + `]}}`
	}
	inner := func(fields string) string {
		return `{"name":"in","type":["null",{"type":"array","items":{"type":"record","name":"In","fields":[` + fields + `]}}]}`
	}
	millis := `{"name":"x","type":{"type":"long","logicalType":"timestamp-millis"}}`
	micros := `{"name":"x","type":{"type":"long","logicalType":"timestamp-micros"}}`
	cents := `{"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}`
	mills := `{"name":"x","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}}`
	fixed := func(size int) string {
		return fmt.Sprintf(`{"name":"x","type":{"type":"fixed","name":"F","size":%d}}`, size)
	}
	for name, c := range map[string]struct {
		reader, writer string
		field, says    string // field "-": it can be read
	}{
		"the same":                   {record(text), record(text), "-", ""},
		"a field too many":           {record(text), record(text + `,{"name":"y","type":"long"}`), "-", ""},
		"a field that is missing":    {record(text + `,{"name":"y","type":"long"}`), record(text), "y", "no default"},
		"deep inside":                {record(inner(text + "," + `{"name":"y","type":"long"}`)), record(inner(text)), "in[].y", "no default"},
		"a missing one with default": {record(text + `,{"name":"y","type":"long","default":1}`), record(text), "-", ""},
		"an alias":                   {record(`{"name":"y","type":"string","aliases":["x"]}`), record(text), "-", ""},
		"another type":               {record(text), record(number), "x", "a long"},
		"a wider type":               {record(`{"name":"x","type":"double"}`), record(number), "-", ""},
		"a narrower type":            {record(number), record(`{"name":"x","type":"double"}`), "x", "a double"},
		"text as bytes":              {record(`{"name":"x","type":"bytes"}`), record(text), "-", ""},
		"may be null now":            {record(text), record(maybe), "x", "a null"},
		"is never null now":          {record(maybe), record(text), "-", ""},
		"another branch":             {record(maybe), record(number), "x", "no branch"},
		"a symbol too many":          {record(enum(`"a"`)), record(enum(`"a","b"`)), "x", "symbol b"},
		"a symbol less":              {record(enum(`"a","b"`)), record(enum(`"b"`)), "-", ""},
		"a symbol and a default":     {record(`{"name":"x","type":{"type":"enum","name":"E","symbols":["a"],"default":"a"}}`), record(enum(`"b"`)), "-", ""},
		"another name":               {`{"type":"record","name":"S","fields":[]}`, record(""), "(the whole record)", "record R"},
		"another namespace":          {`{"type":"record","name":"R","namespace":"n","fields":[]}`, record(""), "-", ""},
		"another size":               {record(fixed(4)), record(fixed(8)), "x", "8 bytes"},
		"another unit":               {record(millis), record(micros), "x", "timestamp-micros"},
		"another scale":              {record(cents), record(mills), "x", "3 digits"},
		"no unit":                    {record(number), record(micros), "-", ""},
		"a map of other things":      {record(`{"name":"x","type":{"type":"map","values":"long"}}`), record(`{"name":"x","type":{"type":"map","values":"string"}}`), "x[]", "a string"},
	} {
		err := avromsg.Compatible(parse(t, c.reader), parse(t, c.writer))
		_, failed := avromsg.Resolve(parse(t, c.reader), parse(t, c.writer))
		if (err == nil) != (failed == nil) && name != "a symbol too many" { // which costs the messages that hold it
			t.Errorf("%s: Compatible %v, Resolve %v", name, err, failed)
		}
		if c.field == "-" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var told *avromsg.IncompatibleError
		if !errors.Is(err, avromsg.ErrIncompatible) || !errors.As(err, &told) || len(told.Conflicts) != 1 || told.Conflicts[0].Fix == "" ||
			!strings.Contains(err.Error(), "field "+c.field+": ") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want field %s and %q", name, err, c.field, c.says)
		}
	}
}

// TestEvolvesSaysWhatFits: both directions, and all fields at once.
func TestEvolvesSaysWhatFits(t *testing.T) {
	t.Parallel()
	old := record(`{"name":"x","type":"string"},{"name":"y","type":"long"}`)
	for name, c := range map[string]struct {
		next     string
		old, new string // the fields in the way of each direction
	}{
		"nullable addition": {record(`{"name":"x","type":"string"},{"name":"y","type":"long"},{"name":"z","type":["null","string"],"default":null}`), "", ""},
		"bare addition":     {record(`{"name":"x","type":"string"},{"name":"y","type":"long"},{"name":"z","type":["null","string"]}`), "z", ""},
		"removal":           {record(`{"name":"x","type":"string"}`), "", "y"},
		"renaming":          {record(`{"name":"x","type":"string"},{"name":"z","type":"long"}`), "z", "y"},
		"everything else":   {record(`{"name":"x","type":"int"},{"name":"y","type":"string"}`), "x y", "x y"},
	} {
		err := avromsg.Evolves(parse(t, c.next), parse(t, old))
		if c.old == "" && c.new == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var told *avromsg.EvolutionError
		if !errors.As(err, &told) || !errors.Is(err, avromsg.ErrIncompatible) || fields(told.Old) != c.old || fields(told.New) != c.new {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), "readers of the new one can read") != (c.old == "") ||
			strings.Contains(err.Error(), "readers of the old one can read") != (c.new == "") || !strings.Contains(err.Error(), "topic of its own") {
			t.Errorf("%s: the text is %v", name, err)
		}
	}
}

func fields(e *avromsg.IncompatibleError) string {
	if e == nil {
		return ""
	}
	var names []string
	for _, c := range e.Conflicts {
		names = append(names, c.Field)
	}
	return strings.Join(names, " ")
}

// TestHostileSchemasAreComparedQuickly: types used twice in each of many types have more paths than can be walked.
func TestHostileSchemasAreComparedQuickly(t *testing.T) {
	t.Parallel()
	nest := func(leaf string) string {
		s := leaf
		for i := range 60 {
			s = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":%q}]}`, i, s, nameOf(i-1))
		}
		return s
	}
	reader := nest(`{"type":"record","name":"Leaf","fields":[{"name":"x","type":"string"}]}`)
	writer := nest(`{"type":"record","name":"Leaf","fields":[{"name":"x","type":"long"}]}`)
	err := avromsg.Compatible(parse(t, reader), parse(t, writer))
	var told *avromsg.IncompatibleError
	if !errors.As(err, &told) || len(told.Conflicts) != 16 {
		t.Errorf("got %v", err)
	}
}

func nameOf(i int) string {
	if i < 0 {
		return "Leaf"
	}
	return fmt.Sprintf("R%d", i)
}

// TestCheckAsksForOneTopic is what is called before anything is published.
func TestCheckAsksForOneTopic(t *testing.T) {
	t.Parallel()
	c := newCodec(t, bookedType())
	if text, ok := c.Schema("flights"); !ok || text != bookedV2 {
		t.Errorf("Schema: %q, %t", text, ok)
	}
	if text, ok := c.Schema("other"); ok || text != "" {
		t.Errorf("Schema of another topic: %q, %t", text, ok)
	}
	if err := c.Check("flights", bookedV1); err != nil {
		t.Errorf("v1: %v", err)
	}
	err := c.Check("flights", bookedV3)
	if !errors.Is(err, avromsg.ErrIncompatible) || !strings.Contains(err.Error(), "topic flights") || !strings.Contains(err.Error(), "field row") {
		t.Errorf("v3: %v", err)
	}
	if err := c.Check("flights", "{"); !errors.Is(err, avromsg.ErrSchema) {
		t.Errorf("no schema: %v", err)
	}
	if err := c.Check("other", bookedV1); !errors.Is(err, messaging.ErrUnknownType) {
		t.Errorf("another topic: %v", err)
	}
}

// TestResolveKeepsDefaultsApart: two readers of one canonical form, and with it of one fingerprint, have different defaults.
func TestResolveKeepsDefaultsApart(t *testing.T) {
	t.Parallel()
	writer := parse(t, plainX)
	data := marshal(t, writer, map[string]any{"x": int64(7)})
	for range 2 {
		for _, text := range []string{"one", "two"} {
			reader := parse(t, record(`{"name":"x","type":"long"},{"name":"y","type":"string","default":"`+text+`"}`))
			d, err := avromsg.Resolve(reader, writer)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				X int64  `avro:"x"`
				Y string `avro:"y"`
			}
			if err := d.Unmarshal(data, &got); err != nil || got.Y != text {
				t.Errorf("got %+v, %v, want %s", got, err, text)
			}
		}
	}
}

// TestAWritersDefaultsAreNotNeeded: a Python producer with required_default registers such a text.
func TestAWritersDefaultsAreNotNeeded(t *testing.T) {
	t.Parallel()
	const odd = `{"type":"record","name":"FlightBooked","fields":[{"name":"seat","type":"string"},` +
		`{"name":"gate","type":["null","string"],"default":"none"},{"name":"default","type":["null","long"]}]}`
	if _, err := avromsg.ParseSchema(odd); !errors.Is(err, avromsg.ErrSchema) {
		t.Errorf("as a schema of ours: %v", err)
	}
	c := newCodec(t, bookedType())
	fingerprint, err := c.AddWriter("flights", odd)
	if err != nil {
		t.Fatal(err)
	}
	m := messaging.Message{
		Topic: "flights", Payload: []byte{6, '1', '2', 'A', 2, 4, 'B', '7', 0},
		Headers: map[string]string{avromsg.HeaderFingerprint: fingerprint},
	}
	if got, err := c.Decode(m); err != nil || !reflect.DeepEqual(got, booked{Seat: "12A", Gate: ptr("B7")}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestAWriterOfAnotherUnitIsRefused: its numbers would be read as other ones.
func TestAWriterOfAnotherUnitIsRefused(t *testing.T) {
	t.Parallel()
	type stamped struct {
		At int64 `avro:"at"`
	}
	type priced struct {
		Price []byte `avro:"price"`
	}
	decimal := func(scale int) string {
		return record(fmt.Sprintf(`{"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":%d}}`, scale))
	}
	c := newCodec(t,
		avromsg.Record[stamped]("stamped", "stamps", record(`{"name":"at","type":"long"}`)),
		avromsg.Record[priced]("priced", "prices", record(`{"name":"price","type":"bytes"}`)))
	for _, unit := range []string{"timestamp-millis", "timestamp-micros"} {
		if _, err := c.AddWriter("stamps", record(`{"name":"at","type":{"type":"long","logicalType":"`+unit+`"}}`)); err != nil {
			t.Errorf("a reader of numbers refuses %s: %v", unit, err)
		}
	}
	if parse(t, decimal(2)).Fingerprint() == parse(t, decimal(3)).Fingerprint() {
		t.Error("two scales have one fingerprint")
	}
	if err := avromsg.Evolves(parse(t, decimal(2)), parse(t, decimal(3))); !errors.Is(err, avromsg.ErrIncompatible) {
		t.Errorf("two scales: %v", err)
	}
}

// TestANewSymbolCostsItsMessagesOnly: brokers admit it, though readers do not have it.
func TestANewSymbolCostsItsMessagesOnly(t *testing.T) {
	t.Parallel()
	type partner struct {
		Tipo  string  `avro:"tipo"`
		Again *string `avro:"again"`
	}
	schema := func(namespace, symbols, more string) string {
		return record(`{"name":"tipo","type":{"type":"enum","name":"Tipo","namespace":"` + namespace + `","symbols":[` + symbols + `]}},` +
			`{"name":"again","type":["null","` + strings.TrimPrefix(namespace+".Tipo", ".") + `"]}` + more)
	}
	for _, namespace := range []string{"", "n.m"} {
		c := newCodec(t, avromsg.Record[partner]("partner", "partners", schema(namespace, `"a","b"`, "")))
		// The new symbol is in front, so that the others' numbers move; a field that only the writer has may hold any.
		writer := schema(namespace, `"new","b","a"`, `,{"name":"other","type":{"type":"enum","name":"Other","symbols":["x","y"]}}`)
		fingerprint, err := c.AddWriter("partners", writer)
		if err != nil {
			t.Fatal(err)
		}
		decode := func(payload ...byte) (any, error) {
			return c.Decode(messaging.Message{Topic: "partners", Payload: payload, Headers: map[string]string{avromsg.HeaderFingerprint: fingerprint}})
		}
		if got, err := decode(4, 2, 2, 2); err != nil || !reflect.DeepEqual(got, partner{Tipo: "a", Again: ptr("b")}) {
			t.Errorf("known symbols: got %+v, %v", got, err)
		}
		for _, payload := range [][]byte{{0, 0, 2}, {4, 2, 0, 2}} {
			if got, err := decode(payload...); !errors.Is(err, messaging.ErrMalformed) || !strings.Contains(err.Error(), "symbol") {
				t.Errorf("%v: got %+v, %v", payload, got, err)
			}
		}
	}
}

// TestLargeTextsAreRead: the vendor's limit of 1 MiB is not ours.
func TestLargeTextsAreRead(t *testing.T) {
	t.Parallel()
	s := parse(t, `"string"`)
	want := strings.Repeat("ñ", 1<<20)
	var got string
	if err := s.Unmarshal(marshal(t, s, want), &got); err != nil || got != want {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// drawSchema returns a schema as a JSON tree. Names are those of the path, so that two schemas have many in common.
func drawSchema(t *rapid.T, path string, depth int) any {
	kinds := []string{"null", "boolean", "int", "long", "float", "double", "string", "bytes", "enum", "fixed"}
	if depth > 0 {
		kinds = append(kinds, "record", "record", "record", "array", "map", "union", "union")
	}
	switch kind := rapid.SampledFrom(kinds).Draw(t, path); kind {
	case "enum":
		return map[string]any{"type": kind, "name": "E" + path, "symbols": rapid.SampledFrom([][]string{{"a"}, {"a", "b"}}).Draw(t, "symbols")}
	case "fixed":
		return map[string]any{"type": kind, "name": "F" + path, "size": rapid.IntRange(1, 2).Draw(t, "size")}
	case "array":
		return map[string]any{"type": kind, "items": drawSchema(t, path+"i", depth-1)}
	case "map":
		return map[string]any{"type": kind, "values": drawSchema(t, path+"i", depth-1)}
	case "union":
		branches := []any{"null"}
		for _, one := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"long", "string", "double"}), 0, 2, rapid.ID).Draw(t, "branches") {
			branches = append(branches, one)
		}
		if rapid.Bool().Draw(t, "nested") {
			branches = append(branches, drawRecord(t, path+"u", depth-1))
		}
		return branches
	case "record":
		return drawRecord(t, path, depth)
	default:
		return kind
	}
}

func drawRecord(t *rapid.T, path string, depth int) any {
	fields := []any{}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(t, "fields") {
		field := map[string]any{"name": name}
		if rapid.Bool().Draw(t, "default") {
			field["type"], field["default"] = []any{"null", "string"}, nil
		} else {
			field["type"] = drawSchema(t, path+name, depth-1)
		}
		fields = append(fields, field)
	}
	return map[string]any{"type": "record", "name": "R" + path, "fields": fields}
}

// TestCompatibleAgreesWithTheVendor, who cannot say where a schema does not fit.
func TestCompatibleAgreesWithTheVendor(t *testing.T) {
	t.Parallel()
	answers := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		var texts [2]string
		for i := range texts {
			text, err := json.Marshal(drawSchema(t, "p", 3))
			if err != nil {
				t.Fatal(err)
			}
			texts[i] = string(text)
		}
		reader, err := avro.ParseWithCache(texts[0], "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		writer, err := avro.ParseWithCache(texts[1], "", &avro.SchemaCache{})
		if err != nil {
			t.Fatal(err)
		}
		want := avro.NewSchemaCompatibility().Compatible(reader, writer)
		got := avromsg.Compatible(parseIn(t, texts[0]), parseIn(t, texts[1]))
		if (got == nil) != (want == nil) {
			t.Fatalf("reader %s, writer %s: got %v, want %v", texts[0], texts[1], got, want)
		}
		answers[got == nil]++
	})
	if answers[true] < 5 || answers[false] < 5 {
		t.Errorf("one-sided: %v", answers)
	}
}

func parseIn(t *rapid.T, text string) *avromsg.Schema {
	s, err := avromsg.ParseSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
