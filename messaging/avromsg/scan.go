package avromsg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/hamba/avro/v2"
)

// MaxItems bounds the items in all arrays and maps of one value together.
const MaxItems = 1 << 20

// The reasons why bytes are not a value of a schema. None tells what the bytes hold.
var (
	errShort    = errors.New("ends early")
	errTrailing = errors.New("goes on after the value")
	errInteger  = errors.New("integer out of range")
	errLength   = errors.New("impossible length")
	errBranch   = errors.New("no such union branch")
	errSymbol   = errors.New("no such enum symbol")
	errBoolean  = errors.New("neither true nor false")
	errText     = errors.New("text is not UTF-8")
	errItems    = errors.New("too many items")
	errBlock    = errors.New("block has another size than it says")
)

// node is a schema compiled to what a walk over binary data needs.
type node struct {
	kind     avro.Type
	names    []string // of a record's fields
	spare    []bool   // of a record's fields: those that have a default
	children []*node  // a record's fields, a union's branches, the items of an array or map
	size     int      // of a fixed; the number of symbols of an enum
	hasBytes bool     // bytes occur in it
	isUUID   bool     // its texts are UUIDs
	refused  []bool   // of an enum: the symbols that a reader does not have; nil means none
}

// compile returns the node of a schema, whose enums are refused the symbols, by the enum's name. Recursive: [ErrSchema].
func compile(s avro.Schema, refused map[string][]string) (*node, error) {
	return compiler{refused: refused, done: map[avro.Schema]*node{}, open: map[avro.Schema]bool{}}.compile(s)
}

type compiler struct {
	refused map[string][]string
	done    map[avro.Schema]*node // shared by references, so that the result is no larger than the text
	open    map[avro.Schema]bool
}

func (c compiler) compile(s avro.Schema) (*node, error) {
	if ref, ok := s.(*avro.RefSchema); ok {
		s = ref.Schema()
	}
	if n, ok := c.done[s]; ok {
		return n, nil
	}
	if c.open[s] {
		return nil, fmt.Errorf("%w: recursive", ErrSchema)
	}
	c.open[s] = true
	defer delete(c.open, s)

	n := &node{kind: s.Type(), hasBytes: s.Type() == avro.Bytes}
	var children []avro.Schema
	switch s := s.(type) {
	case *avro.RecordSchema:
		for _, field := range s.Fields() {
			n.names, n.spare = append(n.names, field.Name()), append(n.spare, field.HasDefault())
			children = append(children, field.Type())
		}
	case *avro.UnionSchema:
		children = s.Types()
	case *avro.ArraySchema:
		children = []avro.Schema{s.Items()}
	case *avro.MapSchema:
		children = []avro.Schema{s.Values()}
	case *avro.FixedSchema:
		n.size = s.Size()
	case *avro.EnumSchema:
		n.size = len(s.Symbols())
		if unknown := c.refused[s.Name()]; len(unknown) > 0 {
			for _, symbol := range s.Symbols() {
				n.refused = append(n.refused, slices.Contains(unknown, symbol))
			}
		}
	case *avro.PrimitiveSchema:
		n.isUUID = s.Logical() != nil && s.Logical().Type() == avro.UUID
	}
	for _, child := range children {
		compiled, err := c.compile(child)
		if err != nil {
			return nil, err
		}
		n.children = append(n.children, compiled)
		n.hasBytes = n.hasBytes || compiled.hasBytes
	}
	c.done[s] = n
	return n, nil
}

// check says whether data is exactly one value of n's schema. It allocates nothing but its error.
func (n *node) check(data []byte) error {
	s := scanner{data: data}
	if err := s.value(n); err != nil {
		return err
	}
	if s.at < len(data) {
		return errTrailing
	}
	return nil
}

// scanError is a reason with the path of the field that it concerns.
type scanError struct {
	path string
	err  error
}

func (e *scanError) Error() string { return "field " + e.path + ": " + e.err.Error() }
func (e *scanError) Unwrap() error { return e.err }

func inField(name string, err error) error {
	if inner, ok := errors.AsType[*scanError](err); ok {
		return &scanError{path: fieldPath(name, inner.path), err: inner.err}
	}
	return &scanError{path: name, err: err}
}

// scanner walks binary data. It depends on nothing of the vendor's reader, which reads on after the
// end of its input, allocates for a length before it has seen the bytes, and loops over counts that hostile input chose.
type scanner struct {
	data  []byte
	at    int
	items int
}

func (s *scanner) value(n *node) error {
	switch n.kind {
	case avro.Null:
		return nil
	case avro.Record:
		for i, field := range n.children {
			if err := s.value(field); err != nil {
				return inField(n.names[i], err)
			}
		}
		return nil
	case avro.Union:
		branch, err := s.index(len(n.children), errBranch)
		if err != nil {
			return err
		}
		return s.value(n.children[branch])
	case avro.Enum:
		symbol, err := s.index(n.size, errSymbol)
		if err == nil && n.refused != nil && n.refused[symbol] {
			err = errSymbol
		}
		return err
	case avro.String:
		text, err := s.bytes()
		if err == nil && !utf8.Valid(text) {
			err = errText
		}
		return err
	case avro.Bytes:
		_, err := s.bytes()
		return err
	case avro.Array, avro.Map:
		return s.blocks(n)
	case avro.Boolean:
		return s.boolean()
	case avro.Int:
		_, err := s.int32()
		return err
	case avro.Long:
		_, err := s.int64()
		return err
	case avro.Float:
		return s.skip(4)
	case avro.Double:
		return s.skip(8)
	case avro.Fixed:
		return s.skip(n.size)
	default:
		return fmt.Errorf("%w: type %s", ErrSchema, n.kind)
	}
}

func (s *scanner) skip(size int) error {
	if size > len(s.data)-s.at {
		return errShort
	}
	s.at += size
	return nil
}

func (s *scanner) boolean() error {
	if s.at == len(s.data) {
		return errShort
	}
	if s.data[s.at] > 1 {
		return errBoolean
	}
	s.at++
	return nil
}

func (s *scanner) int64() (int64, error) {
	v, size := binary.Varint(s.data[s.at:])
	if size == 0 {
		return 0, errShort
	}
	if size < 0 {
		return 0, errInteger
	}
	s.at += size
	return v, nil
}

// maxInt32Bytes is the length of the longest encoding of an int; the vendor reads no more.
const maxInt32Bytes = 5

func (s *scanner) int32() (int64, error) {
	from := s.at
	v, err := s.int64()
	if err != nil {
		return 0, err
	}
	if v < math.MinInt32 || v > math.MaxInt32 || s.at-from > maxInt32Bytes {
		return 0, errInteger
	}
	return v, nil
}

func (s *scanner) index(count int, outside error) (int, error) {
	v, err := s.int32()
	if err != nil {
		return 0, err
	}
	if v < 0 || v >= int64(count) {
		return 0, outside
	}
	return int(v), nil
}

func (s *scanner) bytes() ([]byte, error) {
	size, err := s.int64()
	switch {
	case err != nil:
		return nil, err
	case size < 0:
		return nil, errLength
	case size > int64(len(s.data)-s.at):
		return nil, errShort
	}
	from := s.at
	s.at += int(size)
	return s.data[from:s.at], nil
}

// blocks walks the blocks of an array or a map: a count of items, or a negative count and the
// block's size in bytes, up to the block of no items.
func (s *scanner) blocks(n *node) error {
	for {
		count, err := s.int64()
		if err != nil || count == 0 {
			return err
		}
		size := int64(-1)
		if count < 0 {
			if size, err = s.int64(); err != nil {
				return err
			}
			if size < 0 {
				return errBlock
			}
			count = -count
		}
		if count < 0 || count > MaxItems-int64(s.items) {
			return errItems
		}
		s.items += int(count)
		from := s.at
		for i := range count {
			if err := s.item(n); err != nil {
				return inField(fmt.Sprintf("[%d]", i), err)
			}
		}
		if size >= 0 && int64(s.at-from) != size {
			return errBlock
		}
	}
}

func (s *scanner) item(n *node) error {
	if n.kind == avro.Map {
		key, err := s.bytes()
		if err != nil {
			return err
		}
		if !utf8.Valid(key) {
			return errText
		}
	}
	return s.value(n.children[0])
}
