package messaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxJSON bounds what the JSON codec decodes, in bytes; brokers stop earlier.
const maxJSON = 16 << 20

// JSONType ties a Go type to its wire name and topic. Make one with [JSON].
type JSONType struct {
	goType  reflect.Type
	name    string
	topic   string
	aliases []string
	decode  func([]byte) (any, error)
}

// JSON says that values of the struct type T travel on topic under the wire name. Messages under one of the
// aliases are decoded as T too, so that a type can be renamed on the wire while old messages are about.
func JSON[T any](name, topic string, aliases ...string) JSONType {
	return JSONType{
		goType: reflect.TypeFor[T](), name: name, topic: topic, aliases: aliases,
		decode: func(payload []byte) (any, error) {
			var v T
			err := json.Unmarshal(payload, &v)
			return v, err
		},
	}
}

// JSONCodec is a [Codec] whose payloads are JSON objects. Decoding ignores fields that the Go type does not
// have, so that types may grow, and is strict otherwise: anything but one whole object in UTF-8 that fits the
// type is [ErrMalformed]. Its errors name fields and positions, never contents. Make one with [NewJSONCodec].
type JSONCodec struct {
	byType map[reflect.Type]JSONType
	byName map[string]JSONType
}

// NewJSONCodec returns a codec for the types. The error joins all faults: names, aliases or Go types that occur
// twice, a missing name or topic, a type that is no struct or that JSON cannot carry.
func NewJSONCodec(types ...JSONType) (*JSONCodec, error) {
	c := &JSONCodec{byType: make(map[reflect.Type]JSONType), byName: make(map[string]JSONType)}
	var faults []error
	for _, t := range types {
		if t.goType == nil {
			faults = append(faults, errors.New("messaging: JSONType without JSON"))
			continue
		}
		faults = append(faults, t.validate())
		if _, ok := c.byType[t.goType]; ok {
			faults = append(faults, fmt.Errorf("messaging: type %s is registered twice", t.goType))
		}
		c.byType[t.goType] = t
		for _, name := range append([]string{t.name}, t.aliases...) {
			if other, ok := c.byName[name]; ok {
				faults = append(faults, fmt.Errorf("messaging: wire name %q is claimed by %s and %s", name, other.goType, t.goType))
			}
			c.byName[name] = t
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, nil
}

func (t JSONType) validate() error {
	var faults []error
	if t.name == "" || t.topic == "" {
		faults = append(faults, fmt.Errorf("messaging: type %s needs a wire name and a topic", t.goType))
	}
	for _, alias := range t.aliases {
		if alias == "" {
			faults = append(faults, fmt.Errorf("messaging: type %s has an empty alias", t.goType))
		}
	}
	if t.goType.Kind() != reflect.Struct {
		return errors.Join(append(faults, fmt.Errorf("messaging: type %s is no struct", t.goType))...)
	}
	var unsupported *json.UnsupportedTypeError
	if _, err := json.Marshal(reflect.Zero(t.goType).Interface()); errors.As(err, &unsupported) {
		faults = append(faults, fmt.Errorf("messaging: type %s: JSON cannot carry a %s", t.goType, unsupported.Type))
	}
	return errors.Join(faults...)
}

// Encode implements [Codec].
func (c *JSONCodec) Encode(v any) (Message, error) {
	t, err := c.typeOf(v)
	if err != nil {
		return Message{}, err
	}
	payload, err := json.Marshal(v)
	if err != nil {
		return Message{}, fmt.Errorf("messaging: encode %s: field %s: %w", t.name, faultyField(reflect.ValueOf(v)), err)
	}
	return Message{Topic: t.topic, Type: t.name, Payload: payload}, nil
}

// Decode implements [Codec].
func (c *JSONCodec) Decode(m Message) (any, error) {
	t, ok := c.byName[m.Type]
	if !ok {
		return nil, fmt.Errorf("%w: wire name %q", ErrUnknownType, m.Type)
	}
	// The decoder takes null for any type, and replaces invalid UTF-8 without a word.
	object := bytes.TrimLeft(m.Payload, " \t\r\n")
	if len(m.Payload) > maxJSON || len(object) == 0 || object[0] != '{' || !utf8.Valid(object) {
		return nil, fmt.Errorf("%w: %s: not a JSON object of at most %d bytes in UTF-8", ErrMalformed, t.name, maxJSON)
	}
	v, err := t.decode(m.Payload)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %s", ErrMalformed, t.name, locate(err))
	}
	return v, nil
}

// Topic implements [Codec].
func (c *JSONCodec) Topic(v any) (string, error) {
	t, err := c.typeOf(v)
	return t.topic, err
}

// Types implements [Catalog].
func (c *JSONCodec) Types(topic string) []any {
	var types []JSONType
	for _, t := range c.byType {
		if t.topic == topic {
			types = append(types, t)
		}
	}
	slices.SortFunc(types, func(a, b JSONType) int { return strings.Compare(a.name, b.name) })
	values := make([]any, len(types))
	for i, t := range types {
		values[i] = reflect.Zero(t.goType).Interface()
	}
	return values
}

func (c *JSONCodec) typeOf(v any) (JSONType, error) {
	t, ok := c.byType[reflect.TypeOf(v)]
	if !ok {
		return JSONType{}, fmt.Errorf("%w: Go type %T", ErrUnknownType, v)
	}
	return t, nil
}

// locate tells where a payload is wrong without quoting it, as the decoder's own texts do.
func locate(err error) string {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("not valid JSON at byte %d", syntax.Offset)
	case errors.As(err, &mismatch):
		return fmt.Sprintf("field %q at byte %d is no %s", mismatch.Field, mismatch.Offset, mismatch.Type)
	default:
		return fmt.Sprintf("a field does not fit its Go type (%T)", err)
	}
}

// faultyField returns the path of the first field that JSON cannot carry, since the encoder's errors do not
// name it.
func faultyField(v reflect.Value) string {
	if v.Kind() != reflect.Struct {
		return ""
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if _, err := json.Marshal(v.Field(i).Interface()); err == nil {
			continue
		}
		if inner := faultyField(v.Field(i)); inner != "" {
			return field.Name + "." + inner
		}
		return field.Name
	}
	return ""
}
