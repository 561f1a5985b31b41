package saga

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxData is how large a record's encoded data may be unless [Definition.WithMaxData] says otherwise, in bytes: 4 MiB, some
// 50,000 small items of a fan-out.
const DefaultMaxData = 4 << 20

// DataCodec writes the data of instances for the store and reads it back. It must be deterministic in what it reads,
// not in what it writes, and safe for concurrent use. The default is JSON; encrypt with one of your own.
type DataCodec interface {
	// Encode returns v, a struct or a pointer to one, in the stored form.
	Encode(v any) ([]byte, error)
	// Decode reads the stored form into v, a pointer.
	Decode(data []byte, v any) error
}

type jsonCodec struct{}

func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }

// WithCodec returns the definition with another codec for its data, that of its fan-outs' items and kept signals. Its hash stays. Instances
// whose data was written with another codec cannot be read with it: let the codec recognise what is older.
func (d *Definition[D]) WithCodec(c DataCodec) *Definition[D] {
	return d.with(func(s *scope) { s.codec = c })
}

// WithMaxData returns the definition with another limit for the encoded data of each record, in bytes. A start that exceeds
// it is refused with [ErrTooLarge]; a reply that makes the data exceed it parks the instance.
func (d *Definition[D]) WithMaxData(limit int) *Definition[D] {
	return d.with(func(s *scope) { s.maxData = limit })
}

// with returns a copy of the definition with all its scopes changed.
func (d *Definition[D]) with(change func(*scope)) *Definition[D] {
	c := *d
	c.tree = d.tree.clone()
	compile(c.tree)
	c.tree.each(change)
	return &c
}

// each visits the scope and those of the fan-outs in it.
func (s *scope) each(visit func(*scope)) {
	visit(s)
	for _, n := range s.nodes {
		if n.each != nil {
			n.each.inner.each(visit)
		}
	}
}

// decode returns the data as *D.
func (s *scope) decode(data []byte) (any, error) {
	d := s.newData()
	return d, s.read(data, d)
}

// read decodes what encode wrote into v, a pointer.
func (s *scope) read(data []byte, v any) error {
	var err error
	if panicked := guard("decoding", func() { err = s.codec.Decode(data, v) }); panicked != nil {
		err = panicked
	}
	if err != nil {
		return fmt.Errorf("%w: as %T: %w", ErrData, v, err)
	}
	return nil
}

// encode takes *D, D or a signal.
func (s *scope) encode(data any) ([]byte, error) {
	var b []byte
	var err error
	if panicked := guard("encoding", func() { b, err = s.codec.Encode(data) }); panicked != nil {
		err = panicked
	}
	if err != nil {
		return nil, fmt.Errorf("%w: of %T: %w", ErrData, data, err)
	}
	if len(b) > s.maxData {
		return nil, fmt.Errorf("%w: %w: %T takes %d bytes, at most %d: keep large values elsewhere and their keys here, or raise WithMaxData",
			ErrData, ErrTooLarge, data, len(b), s.maxData)
	}
	return b, nil
}

// edited reads an operator's JSON as the scope's data. It is held to the data's fields, and to its Validate method if it has one.
func (s *scope) edited(text []byte) ([]byte, error) {
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) { // it would pass, and leave nothing of the data
		return nil, fmt.Errorf("%w: data as %s: null is no value", ErrNotAllowed, s.typ)
	}
	d := s.newData()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: data as %s: %w", ErrNotAllowed, s.typ, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data as %s: there is more after the first value", ErrNotAllowed, s.typ)
	}
	if v, ok := d.(interface{ Validate() error }); ok {
		var err error
		if panicked := guard("Validate", func() { err = v.Validate() }); panicked != nil {
			err = panicked
		}
		if err != nil {
			return nil, fmt.Errorf("%w: data as %s: %w", ErrNotAllowed, s.typ, err)
		}
	}
	b, err := s.encode(d)
	if errors.Is(err, ErrTooLarge) {
		return nil, fmt.Errorf("%w: %w: %v", ErrNotAllowed, ErrTooLarge, err) //nolint:errorlint // it is no ErrData: the instance's own is usable
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNotAllowed, err) //nolint:errorlint // as above
	}
	return b, nil
}

// DataJSON returns the record's data as JSON for people and tools, whatever codec it is stored with.
func DataJSON(def Any, r Record) ([]byte, error) {
	s := def.root()
	if r.Key != "" {
		s = scopeOf(s, r.Key)
	}
	if s == nil {
		return nil, fmt.Errorf("%w: no fan-out with the item %q", ErrNotFound, r.Key)
	}
	d, err := s.decode(r.Data)
	if err != nil {
		return nil, err
	}
	return jsonCodec{}.Encode(d)
}
