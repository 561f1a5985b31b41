package avromsg

import (
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
)

// HeaderFingerprint is the message header with the [Schema.Fingerprint] of the schema that the payload was written with.
const HeaderFingerprint = "avro-fingerprint"

// MaxWriters bounds the writers' schemas that a [Codec] knows for one topic.
const MaxWriters = 256

// The errors of a codec's configuration.
var (
	// ErrType says that a type given to [NewCodec] is incomplete or contradicts another.
	ErrType = errors.New("avromsg: invalid type")
	// ErrTooManyWriters says that a topic has its [MaxWriters] schemas.
	ErrTooManyWriters = errors.New("avromsg: too many writers' schemas")
)

// Type ties a Go struct to its wire name, its topic and its schema. Make it with [Record].
type Type struct {
	name    string
	topic   string
	json    string
	writers []string
	goType  reflect.Type
	decode  func(*Decoder, []byte) (any, error)
}

// Record describes the messages of one topic: structs T, with the wire name and the JSON text of
// the schema that they are written and read with. Faults are told by [NewCodec].
func Record[T any](name, topic, schemaJSON string) Type {
	return Type{
		name:   name,
		topic:  topic,
		json:   schemaJSON,
		goType: reflect.TypeFor[T](),
		decode: func(d *Decoder, data []byte) (any, error) {
			var v T
			if err := d.Unmarshal(data, &v); err != nil {
				return nil, err
			}
			return v, nil
		},
	}
}

// WithWriters returns t with the schemas that messages on the topic were or are also written
// with, oldest first. The first one reads messages that carry no fingerprint; without any, that is the type's own schema.
func (t Type) WithWriters(schemaJSON ...string) Type {
	t.writers = schemaJSON
	return t
}

// Codec is a [messaging.Codec] for plain structs, one type for each topic. It is safe for concurrent use. Make it with [NewCodec].
type Codec struct {
	byGo    map[reflect.Type]*entry
	byName  map[string]*entry
	byTopic map[string]*entry
}

// entry is a registered type.
type entry struct {
	Type
	schema  *Schema
	unnamed *Decoder // of messages without a fingerprint

	mu      sync.RWMutex
	writers map[string]*Decoder // by the writer's fingerprint
}

var (
	_ messaging.Codec   = (*Codec)(nil)
	_ messaging.Catalog = (*Codec)(nil)
)

// NewCodec returns a codec for the types. Type names, topics and Go types must be distinct. All faults are
// returned at once: [ErrType], [ErrSchema], [ErrUnencodable] where a Go type does not fit its schema, [ErrIncompatible] where a
// writer's schema cannot be read.
func NewCodec(types ...Type) (*Codec, error) {
	c := &Codec{
		byGo:    make(map[reflect.Type]*entry, len(types)),
		byName:  make(map[string]*entry, len(types)),
		byTopic: make(map[string]*entry, len(types)),
	}
	var faults []error
	for _, t := range types {
		if err := c.add(t); err != nil {
			faults = append(faults, fmt.Errorf("type %q: %w", t.name, err))
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return c, nil
}

func (c *Codec) add(t Type) error {
	switch {
	case t.goType == nil || t.name == "" || t.topic == "":
		return fmt.Errorf("%w: name, topic and Go type are required", ErrType)
	case t.goType.Kind() != reflect.Struct:
		return fmt.Errorf("%w: %s is no struct", ErrType, t.goType)
	case c.byName[t.name] != nil:
		return fmt.Errorf("%w: the name is taken", ErrType)
	case c.byTopic[t.topic] != nil:
		return fmt.Errorf("%w: topic %q is taken", ErrType, t.topic)
	case c.byGo[t.goType] != nil:
		return fmt.Errorf("%w: %s is taken", ErrType, t.goType)
	}
	schema, err := ParseSchema(t.json)
	if err != nil {
		return err
	}
	if err := fit(schema, t.goType); err != nil {
		return err
	}
	e := &entry{Type: t, schema: schema, unnamed: &schema.decoder, writers: map[string]*Decoder{schema.fingerprint: &schema.decoder}}
	for i, json := range t.writers {
		fingerprint, err := e.addWriter(json)
		if err != nil {
			return fmt.Errorf("writer's schema %d: %w", i+1, err)
		}
		if i == 0 {
			e.unnamed = e.writers[fingerprint]
		}
	}
	c.byName[t.name], c.byTopic[t.topic], c.byGo[t.goType] = e, e, e
	return nil
}

// Encode implements [messaging.Codec]. A value that the schema cannot carry: [ErrUnencodable], naming the field.
func (c *Codec) Encode(v any) (messaging.Message, error) {
	e, err := c.entryOf(v)
	if err != nil {
		return messaging.Message{}, err
	}
	payload, err := e.schema.Marshal(v)
	if err != nil {
		return messaging.Message{}, fmt.Errorf("encode %s: %w", e.name, err)
	}
	return messaging.Message{
		Topic:   e.topic,
		Type:    e.name,
		Headers: map[string]string{HeaderFingerprint: e.schema.fingerprint},
		Payload: payload,
	}, nil
}

// Decode implements [messaging.Codec]. The message's type decides, or its topic where it names
// none. A fingerprint that the codec does not know: [messaging.ErrMalformed].
func (c *Codec) Decode(m messaging.Message) (any, error) {
	e := c.byName[m.Type]
	if m.Type == "" {
		e = c.byTopic[m.Topic]
	}
	if e == nil {
		return nil, fmt.Errorf("%w: %q on topic %q", messaging.ErrUnknownType, m.Type, m.Topic)
	}
	d, err := e.decoderFor(m)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.name, err)
	}
	v, err := e.decode(d, m.Payload)
	if err != nil && !errors.Is(err, messaging.ErrMalformed) {
		// The Go type fits the schema, so it is this value that does not fit the Go type (a text that no UUID is, say).
		err = fmt.Errorf("%w: %w", messaging.ErrMalformed, err)
	}
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", e.name, err)
	}
	return v, nil
}

// Topic implements [messaging.Codec].
func (c *Codec) Topic(v any) (string, error) {
	e, err := c.entryOf(v)
	if err != nil {
		return "", err
	}
	return e.topic, nil
}

// Schema returns the JSON text of the schema that messages on the topic are written with, byte for byte as it was given to [Record]: what to register with a
// broker. ok is false for topics that no type is on.
func (c *Codec) Schema(topic string) (schemaJSON string, ok bool) {
	if e := c.byTopic[topic]; e != nil {
		return e.json, true
	}
	return "", false
}

// Check says whether the topic's schema can be registered beside one that is in use there, before anything is published: nil, or an [*EvolutionError] that
// names what fits, every field that does not, and what to do. A text that is no schema: [ErrSchema]; no type on the topic: [messaging.ErrUnknownType].
func (c *Codec) Check(topic, currentJSON string) error {
	e := c.byTopic[topic]
	if e == nil {
		return fmt.Errorf("%w: topic %q", messaging.ErrUnknownType, topic)
	}
	current, err := ParseSchema(currentJSON)
	if err != nil {
		return fmt.Errorf("topic %s: the schema in use: %w", topic, err)
	}
	if err := Evolves(e.schema, current); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	return nil
}

// AddWriter makes a further writer's schema of the topic known, such as one that a schema registry told of, and returns the
// fingerprint by which messages name it. Adding one again does nothing. No type on the topic: [messaging.ErrUnknownType]; a schema that cannot be
// read: [ErrSchema] or [ErrIncompatible]; more than [MaxWriters]: [ErrTooManyWriters].
func (c *Codec) AddWriter(topic, schemaJSON string) (fingerprint string, err error) {
	e := c.byTopic[topic]
	if e == nil {
		return "", fmt.Errorf("%w: topic %q", messaging.ErrUnknownType, topic)
	}
	return e.addWriter(schemaJSON)
}

// Knows says whether messages on the topic with the fingerprint can be read: it is that of the type's own schema, or of a writer's that was added.
func (c *Codec) Knows(topic, fingerprint string) bool {
	e := c.byTopic[topic]
	if e == nil {
		return false
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.writers[fingerprint] != nil
}

// Types implements [messaging.Catalog]: it is one type at most.
func (c *Codec) Types(topic string) []any {
	e := c.byTopic[topic]
	if e == nil {
		return nil
	}
	return []any{reflect.Zero(e.goType).Interface()}
}

func (c *Codec) entryOf(v any) (*entry, error) {
	if e := c.byGo[reflect.TypeOf(v)]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: %T", messaging.ErrUnknownType, v)
}

func (e *entry) addWriter(text string) (string, error) {
	writer, err := parseWriter(text)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.writers[writer.fingerprint] != nil {
		return writer.fingerprint, nil
	}
	if len(e.writers) >= MaxWriters {
		return "", ErrTooManyWriters
	}
	d, err := Resolve(e.schema, writer)
	if err != nil {
		return "", err
	}
	e.writers[writer.fingerprint] = d
	return writer.fingerprint, nil
}

func (e *entry) decoderFor(m messaging.Message) (*Decoder, error) {
	fingerprint := m.Header(HeaderFingerprint)
	if fingerprint == "" {
		return e.unnamed, nil
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if d := e.writers[fingerprint]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%w: unknown writer's schema: none with the fingerprint %.16q was added", messaging.ErrMalformed, fingerprint)
}
