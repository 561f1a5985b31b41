package avromsg

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"

	"github.com/alpespartners/alpespartners/messaging"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrSchema says that a text is not a schema this package can use.
	ErrSchema = errors.New("avromsg: invalid schema")
	// ErrIncompatible says that a reader's schema cannot read what a writer's schema writes.
	ErrIncompatible = errors.New("avromsg: incompatible schemas")
	// ErrUnencodable says that a Go value, or every value of a Go type, does not fit the schema. The error names the field.
	ErrUnencodable = errors.New("avromsg: value does not fit the schema")
)

// Schema is one parsed Avro schema. It is immutable and safe for concurrent use. Make it with
// [ParseSchema]; the zero value is not usable.
type Schema struct {
	json        string
	fingerprint string
	decoder     Decoder
}

// ParseSchema parses the JSON text of a schema. Names are resolved within the text alone. A text that is no
// valid schema, or a recursive one: [ErrSchema].
func ParseSchema(text string) (*Schema, error) {
	var syntax *json.SyntaxError
	if strings.ContainsAny(text, `{["`) && errors.As(json.Unmarshal([]byte(text), new(json.RawMessage)), &syntax) { // else it may be a type's bare name
		return nil, fmt.Errorf("%w: it is not valid JSON at byte %d: %w", ErrSchema, syntax.Offset, syntax)
	}
	// The vendor's default cache is shared by the whole process: a name that this text forgot to define would
	// silently be another schema's.
	parsed, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	root, err := compile(parsed, nil)
	if err != nil {
		return nil, err
	}
	sum, err := parsed.FingerprintUsing(avro.CRC64Avro)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return &Schema{
		json:        text,
		fingerprint: hex.EncodeToString(sum),
		decoder:     newDecoder(root, parsed, root.hasBytes),
	}, nil
}

// parseWriter parses a schema that others write with. Their defaults are of no use to a reader, and some are not valid: a Python
// producer can be made to register ["null", "string"] with a text as its default, which the vendor refuses and the broker does not.
func parseWriter(text string) (*Schema, error) {
	s, err := ParseSchema(text)
	if err == nil {
		return s, nil
	}
	var tree any
	if json.Unmarshal([]byte(text), &tree) != nil {
		return nil, err
	}
	dropDefaults(tree)
	bare, failed := json.Marshal(tree)
	if failed != nil {
		return nil, err
	}
	if s, failed = ParseSchema(string(bare)); failed != nil {
		return nil, err // of the text as it came
	}
	s.json = text
	return s, nil
}

func dropDefaults(tree any) {
	switch tree := tree.(type) {
	case map[string]any:
		delete(tree, "default")
		for _, inner := range tree {
			dropDefaults(inner)
		}
	case []any:
		for _, inner := range tree {
			dropDefaults(inner)
		}
	}
}

// JSON returns the text that the schema was parsed from, byte for byte.
func (s *Schema) JSON() string { return s.json }

// Name returns the full name of a named schema (record, enum, fixed), and the type's name of any other.
func (s *Schema) Name() string {
	if named, ok := s.decoder.schema.(avro.NamedSchema); ok {
		return named.FullName()
	}
	return string(s.decoder.schema.Type())
}

// Fingerprint returns the CRC-64-AVRO fingerprint of the schema's canonical form, as 16 hexadecimal
// digits. Schemas that differ only in defaults, aliases or documentation have the same one.
func (s *Schema) Fingerprint() string { return s.fingerprint }

// Marshal returns the binary encoding of v, a struct (or a pointer to one) or a generic value such as map[string]any. A
// value that the schema cannot carry, text that is not UTF-8 included: [ErrUnencodable], naming the field.
func (s *Schema) Marshal(v any) ([]byte, error) {
	if v == nil {
		return nil, fmt.Errorf("%w: no value", ErrUnencodable)
	}
	if value := reflect.ValueOf(v); value.Kind() == reflect.Pointer && value.IsNil() {
		return nil, fmt.Errorf("%w: no value", ErrUnencodable)
	}
	data, err := s.decoder.api.Marshal(s.decoder.schema, v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnencodable, err)
	}
	// What every reader of ours would refuse must not leave the house.
	if err := s.decoder.root.check(data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnencodable, err)
	}
	return data, nil
}

// Unmarshal decodes data, which was written with this schema, into v, a pointer to a zero value. Data
// that is not exactly one value: [messaging.ErrMalformed]; v is then undefined. A v of a type that does not fit the schema: [ErrUnencodable].
func (s *Schema) Unmarshal(data []byte, v any) error { return s.decoder.Unmarshal(data, v) }

// Resolve returns a decoder of data written with the writer's schema into values of the reader's: fields that only the writer knows are skipped, fields that
// only the reader knows get their defaults. [ErrIncompatible] as [Compatible], with one exception: brokers admit schemas with new symbols in an enum, so they
// cost only the messages that hold such a symbol, which are [messaging.ErrMalformed].
func Resolve(reader, writer *Schema) (*Decoder, error) {
	root, wide := writer.decoder.root, reader
	if unknown := unknownSymbols(reader, writer); len(unknown) > 0 {
		// The vendor resolves enums whole or not at all. So it gets a reader that knows them all, and the walk that comes before refuses what ours does not.
		var err error
		if wide, err = reader.withSymbols(unknown); err != nil {
			return nil, err
		}
		if root, err = compile(writer.decoder.schema, unknown); err != nil {
			return nil, err
		}
	}
	if Compatible(wide, writer) != nil {
		return nil, Compatible(reader, writer)
	}
	// A fresh instance each time: the vendor caches answers by a fingerprint that drops defaults, which are what decides.
	resolved, err := avro.NewSchemaCompatibility().Resolve(wide.decoder.schema, writer.decoder.schema)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIncompatible, err)
	}
	d := newDecoder(root, resolved, reader.decoder.clips)
	return &d, nil
}

// Decoder decodes data of one writer's schema into values of one reader's schema. It is safe for concurrent
// use. Make it with [Resolve]; the zero value is not usable.
type Decoder struct {
	root   *node       // how the bytes were written
	schema avro.Schema // how they are read
	clips  bool        // byte slices occur in what is read
	api    avro.API
}

// newDecoder gives the decoder an API of its own: the vendor's caches and pools are per API and keyed by
// fingerprints that drop defaults.
func newDecoder(root *node, schema avro.Schema, clips bool) Decoder {
	// No limit on lengths: root.check has held each against the bytes that are there.
	return Decoder{root: root, schema: schema, clips: clips, api: avro.Config{MaxByteSliceSize: -1}.Freeze()}
}

// Unmarshal decodes data into v, a pointer to a zero value. Errors as [Schema.Unmarshal].
func (d *Decoder) Unmarshal(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("%w: %T is not a pointer to a value", ErrUnencodable, v)
	}
	if err := d.root.check(data); err != nil {
		return fmt.Errorf("%w: %w", messaging.ErrMalformed, err)
	}
	// The vendor takes the end of input for success, at a field's boundary even when a field is missing; check has excluded it.
	if err := d.api.Unmarshal(d.schema, data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrUnencodable, err)
	}
	if d.clips {
		clip(target.Elem())
	}
	return nil
}

// clip ends the capacity of decoded byte slices at their length: the vendor cuts them, and strings,
// from one shared slab, so that an append to one would write into another value.
func clip(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Interface && v.CanSet() {
			if b, ok := reflect.TypeAssert[[]byte](v); ok {
				v.Set(reflect.ValueOf(slices.Clip(b)))
				return
			}
		}
		clip(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() || v.Type().Field(i).Anonymous {
				clip(v.Field(i))
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			item := reflect.New(v.Type().Elem()).Elem()
			item.Set(v.MapIndex(key))
			clip(item)
			v.SetMapIndex(key, item)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.CanSet() {
				v.SetCap(v.Len())
			}
			return
		}
		for i := range v.Len() {
			clip(v.Index(i))
		}
	default:
	}
}

// fieldPath joins the names on the way to a field.
func fieldPath(outer, inner string) string {
	if inner == "" || strings.HasPrefix(inner, "[") {
		return outer + inner
	}
	return outer + "." + inner
}
