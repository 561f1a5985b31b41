package avromsg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/hamba/avro/v2"
)

// fit says whether values of the Go struct type t travel whole by schema s: every field of t is one of the
// schema's, every field of the schema without a default is one of t's, and their types agree. [ErrUnencodable], naming each field at fault.
func fit(s *Schema, t reflect.Type) error {
	root := s.decoder.root
	if root.kind != avro.Record {
		return fmt.Errorf("%w: schema %s is no record", ErrUnencodable, s.Name())
	}
	if err := fitNames(root, t); err != nil {
		return err
	}
	// The vendor tells of a type that does not agree only when it comes to a value. So take it there, once by each union
	// branch: from bytes to the Go type and back.
	for branch := range widestUnion(root) {
		sample := appendSample(nil, root, branch)
		v := reflect.New(t)
		if err := s.Unmarshal(sample, v.Interface()); err != nil {
			return err
		}
		if _, err := s.Marshal(v.Elem().Interface()); err != nil {
			return err
		}
	}
	return nil
}

// fitNames compares the fields of records with those of structs. A Go field that the schema lacks
// would vanish on the way without a word.
func fitNames(n *node, t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.kind {
	case avro.Union:
		var faults []error
		for _, branch := range n.children {
			if branch.kind != avro.Null {
				faults = append(faults, fitNames(branch, t))
			}
		}
		return errors.Join(faults...)
	case avro.Array, avro.Map:
		if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			return fitNames(n.children[0], t.Elem())
		}
	case avro.Record:
		if t.Kind() == reflect.Struct {
			return fitFields(n, t)
		}
	default:
	}
	return nil
}

func fitFields(n *node, t reflect.Type) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: "+format, append([]any{ErrUnencodable}, args...)...))
	}
	has := map[string]bool{}
	known := make(map[string]*node, len(n.names))
	for i, name := range n.names {
		known[name] = n.children[i]
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("avro"), ",")
		switch {
		case f.Anonymous || !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		has[name] = true
		field, ok := known[name]
		if !ok {
			fault("%s has the field %s, the schema has no %q", t, f.Name, name)
			continue
		}
		faults = append(faults, fitNames(field, f.Type))
	}
	for i, name := range n.names {
		if !has[name] && !n.spare[i] {
			fault("the schema has the field %q, %s has none: give it one with the tag avro:%q", name, t, name)
		}
	}
	return errors.Join(faults...)
}

// widestUnion returns the most branches of any union in n, at least 1.
func widestUnion(n *node) int {
	widest := 1
	if n.kind == avro.Union {
		widest = len(n.children)
	}
	for _, child := range n.children {
		widest = max(widest, widestUnion(child))
	}
	return widest
}

// appendSample appends the encoding of a least value of n that takes the given branch of every
// union, or its last, and has one item in every array and map.
func appendSample(to []byte, n *node, branch int) []byte {
	switch n.kind {
	case avro.Record:
		for _, field := range n.children {
			to = appendSample(to, field, branch)
		}
		return to
	case avro.Union:
		branch := min(branch, len(n.children)-1)
		return appendSample(binary.AppendVarint(to, int64(branch)), n.children[branch], branch)
	case avro.Array:
		return append(appendSample(binary.AppendVarint(to, 1), n.children[0], branch), 0)
	case avro.Map:
		return append(appendSample(append(binary.AppendVarint(to, 1), 0), n.children[0], branch), 0)
	case avro.Null:
		return to
	case avro.Float:
		return append(to, make([]byte, 4)...)
	case avro.Double:
		return append(to, make([]byte, 8)...)
	case avro.Fixed:
		return append(to, make([]byte, n.size)...)
	case avro.String:
		text := ""
		if n.isUUID {
			text = "00000000-0000-0000-0000-000000000000"
		}
		return append(binary.AppendVarint(to, int64(len(text))), text...)
	default: // a boolean, number or index of zero, empty bytes
		return append(to, 0)
	}
}
