package avromsg

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hamba/avro/v2"
)

// maxConflicts bounds the reasons that one error tells.
const maxConflicts = 16

// Conflict is one reason why a reader cannot read what a writer writes.
type Conflict struct {
	// Field is the path of the field in the reader's schema, "" for the whole value.
	Field string
	// Reason says what does not fit.
	Reason string
	// Fix says what to do about it.
	Fix string
}

// String returns the conflict on one line.
func (c Conflict) String() string {
	return "field " + cmp.Or(c.Field, "(the whole record)") + ": " + c.Reason + ": " + c.Fix
}

// IncompatibleError tells all that does not fit between two schemas. It is [ErrIncompatible].
type IncompatibleError struct {
	// Reader and Writer are the names of the two schemas.
	Reader, Writer string
	// Conflicts are the reasons, the first sixteen of them; never empty.
	Conflicts []Conflict
}

// Error tells every conflict, with what to do.
func (e *IncompatibleError) Error() string {
	return fmt.Sprintf("%v: a reader of %s cannot read what a writer of %s writes: %s", ErrIncompatible, e.Reader, e.Writer, joinConflicts(e.Conflicts))
}

// Unwrap returns [ErrIncompatible].
func (e *IncompatibleError) Unwrap() error { return ErrIncompatible }

func joinConflicts(all []Conflict) string {
	lines := make([]string, len(all))
	for i, c := range all {
		lines[i] = c.String()
	}
	return strings.Join(lines, "; ")
}

// EvolutionError says why a schema cannot take its place beside one that is in use. It is [ErrIncompatible].
type EvolutionError struct {
	// Record is the name of the schema.
	Record string
	// Old tells why readers of the new schema cannot read messages of the one in use; nil if they can.
	Old *IncompatibleError
	// New tells why readers of the schema in use cannot read messages of the new one; nil if they can.
	New *IncompatibleError
}

// Error tells which direction fits, which does not, every field that is in the way, and what to do.
func (e *EvolutionError) Error() string {
	text := "avromsg: the schema of " + e.Record + " does not fit beside the one in use: "
	if e.Old == nil {
		text += "readers of the new one can read the old one's messages"
	} else {
		text += "readers of the new one cannot read the old one's messages (" + joinConflicts(e.Old.Conflicts) + ")"
	}
	if e.New == nil {
		text += ", readers of the old one can read the new one's messages"
	} else {
		text += ", readers of the old one cannot read the new one's messages (" + joinConflicts(e.New.Conflicts) + ")"
	}
	return text + "; what cannot be changed so needs a topic of its own"
}

// Unwrap returns the errors of both directions.
func (e *EvolutionError) Unwrap() []error {
	var all []error
	if e.Old != nil {
		all = append(all, e.Old)
	}
	if e.New != nil {
		all = append(all, e.New)
	}
	return all
}

// Compatible says whether the reader's schema can read all that the writer's schema writes: nil or an
// [*IncompatibleError], which is [ErrIncompatible]. Namespaces are not compared; units and scales of logical types are.
func Compatible(reader, writer *Schema) error {
	if conflicts := conflictsOf(reader, writer); len(conflicts) > 0 {
		return &IncompatibleError{Reader: reader.Name(), Writer: writer.Name(), Conflicts: conflicts}
	}
	return nil
}

// Evolves says whether the next schema can take its place beside the current one, as brokers with the strategy FULL want it (Pulsar's default):
// readers of either read the messages of both. If not, the error is an [*EvolutionError], which is [ErrIncompatible].
func Evolves(next, current *Schema) error {
	e := EvolutionError{Record: next.Name()}
	_ = errors.As(Compatible(next, current), &e.Old)
	_ = errors.As(Compatible(current, next), &e.New)
	if e.Old == nil && e.New == nil {
		return nil
	}
	return &e
}

func conflictsOf(reader, writer *Schema) []Conflict {
	return comparer{}.compare(reader.decoder.schema, writer.decoder.schema)
}

// comparer remembers what it compared: a hostile schema may use one type many times, and that in each of many types.
type comparer map[pair][]Conflict

type pair struct{ reader, writer avro.Schema }

// compare returns what is in the way of reading, with paths below the two schemas.
func (c comparer) compare(reader, writer avro.Schema) []Conflict {
	reader, writer = target(reader), target(writer)
	known, ok := c[pair{reader, writer}]
	if !ok {
		known = c.match(reader, writer)
		known = known[:min(len(known), maxConflicts)]
		c[pair{reader, writer}] = known
	}
	return known
}

func target(s avro.Schema) avro.Schema {
	if ref, ok := s.(*avro.RefSchema); ok {
		return ref.Schema()
	}
	return s
}

func (c comparer) match(reader, writer avro.Schema) []Conflict {
	if w, ok := writer.(*avro.UnionSchema); ok {
		var all []Conflict
		for _, branch := range w.Types() {
			all = append(all, c.compare(reader, branch)...)
		}
		return all
	}
	switch r := reader.(type) {
	case *avro.UnionSchema:
		return c.matchUnion(r, writer)
	case *avro.RecordSchema:
		if w, ok := writer.(*avro.RecordSchema); ok {
			return append(matchNames(r, w), c.matchFields(r, w)...)
		}
	case *avro.EnumSchema:
		if w, ok := writer.(*avro.EnumSchema); ok {
			return append(matchNames(r, w), matchSymbols(r, w)...)
		}
	case *avro.FixedSchema:
		if w, ok := writer.(*avro.FixedSchema); ok {
			return append(matchNames(r, w), append(matchSizes(r, w), matchLogical(r, w)...)...)
		}
	case *avro.ArraySchema:
		if w, ok := writer.(*avro.ArraySchema); ok {
			return inside("[]", c.compare(r.Items(), w.Items()))
		}
	case *avro.MapSchema:
		if w, ok := writer.(*avro.MapSchema); ok {
			return inside("[]", c.compare(r.Values(), w.Values()))
		}
	default:
		if reader.Type() == writer.Type() {
			return matchLogical(reader, writer)
		}
		if promotes(writer.Type(), reader.Type()) {
			return nil
		}
	}
	return []Conflict{{
		Reason: fmt.Sprintf("the writer may write a %s, which the reader, who wants a %s, does not take", describe(writer), describe(reader)),
		Fix:    "keep the type, or add another field with a default",
	}}
}

// matchUnion looks for a branch that takes what is written. Where none does, the conflicts of the only branch of its kind say more than
// that none fits.
func (c comparer) matchUnion(r *avro.UnionSchema, writer avro.Schema) []Conflict {
	var alike []Conflict
	kinds := 0
	for _, branch := range r.Types() {
		found := c.compare(branch, writer)
		if len(found) == 0 {
			return nil
		}
		if target(branch).Type() == writer.Type() {
			alike = found
			kinds++
		}
	}
	if kinds == 1 {
		return alike
	}
	return []Conflict{{
		Reason: fmt.Sprintf("the writer may write a %s, for which the reader's union has no branch", describe(writer)),
		Fix:    "keep the branches of the union, or add another field with a default",
	}}
}

func (c comparer) matchFields(r, w *avro.RecordSchema) []Conflict {
	var all []Conflict
	for _, field := range r.Fields() {
		i := slices.IndexFunc(w.Fields(), func(f *avro.Field) bool {
			return f.Name() == field.Name() || slices.Contains(field.Aliases(), f.Name())
		})
		switch {
		case i >= 0:
			all = append(all, inside(field.Name(), c.compare(field.Type(), w.Fields()[i].Type()))...)
		case !field.HasDefault():
			all = append(all, Conflict{
				Field:  field.Name(),
				Reason: "the writer does not write it, and the reader's schema has no default for it",
				Fix:    `add and remove only fields with a default: ["null", T] with "default": null`,
			})
		}
	}
	return all
}

func matchNames(r, w avro.NamedSchema) []Conflict {
	if r.Name() == w.Name() || slices.Contains(r.Aliases(), w.FullName()) {
		return nil
	}
	return []Conflict{{
		Reason: fmt.Sprintf("the writer writes a %s %s, and the reader wants a %s", w.Type(), w.FullName(), r.FullName()),
		Fix:    "keep the name, or give the reader's type the other name as an alias",
	}}
}

func matchSymbols(r, w *avro.EnumSchema) []Conflict {
	if r.HasDefault() {
		return nil
	}
	var all []Conflict
	for _, symbol := range w.Symbols() {
		if !slices.Contains(r.Symbols(), symbol) {
			all = append(all, Conflict{
				Reason: fmt.Sprintf("the writer may write the symbol %s, which the reader's enum %s does not have", symbol, r.Name()),
				Fix:    "keep the symbols, or give the enum a default",
			})
		}
	}
	return all
}

func matchSizes(r, w *avro.FixedSchema) []Conflict {
	if r.Size() == w.Size() {
		return nil
	}
	return []Conflict{{
		Reason: fmt.Sprintf("the writer writes %d bytes, and the reader wants %d", w.Size(), r.Size()),
		Fix:    "keep the size, or add another field with a default",
	}}
}

// matchLogical finds types whose bytes are read without an error, and as another value: milliseconds as microseconds, cents as euros. The specification leaves
// that to the reader.
func matchLogical(reader, writer avro.Schema) []Conflict {
	r, w := logical(reader), logical(writer)
	if r == w || r == "" || w == "" {
		return nil
	}
	return []Conflict{{
		Reason: fmt.Sprintf("the writer writes a %s, and the reader would take it for a %s", w, r),
		Fix:    "keep the logical type, or add another field with a default",
	}}
}

// logical returns a type's unit or scale, "" for those that have none.
func logical(s avro.Schema) string {
	l, ok := s.(avro.LogicalTypeSchema)
	if !ok || l.Logical() == nil {
		return ""
	}
	switch kind := l.Logical().Type(); kind {
	case avro.Decimal:
		if d, ok := l.Logical().(*avro.DecimalLogicalSchema); ok {
			return fmt.Sprintf("decimal with %d digits after the point", d.Scale())
		}
		return string(kind)
	case avro.TimeMillis, avro.TimeMicros, avro.TimestampMillis, avro.TimestampMicros, avro.LocalTimestampMillis, avro.LocalTimestampMicros, avro.Duration:
		return string(kind)
	default:
		return ""
	}
}

func promotes(writer, reader avro.Type) bool {
	switch writer {
	case avro.Int:
		return reader == avro.Long || reader == avro.Float || reader == avro.Double
	case avro.Long:
		return reader == avro.Float || reader == avro.Double
	case avro.Float:
		return reader == avro.Double
	case avro.String:
		return reader == avro.Bytes
	case avro.Bytes:
		return reader == avro.String
	default:
		return false
	}
}

func describe(s avro.Schema) string {
	if named, ok := s.(avro.NamedSchema); ok {
		return string(s.Type()) + " " + named.FullName()
	}
	return string(s.Type())
}

func inside(name string, all []Conflict) []Conflict {
	moved := make([]Conflict, len(all))
	for i, c := range all {
		c.Field = fieldPath(name, c.Field)
		moved[i] = c
	}
	return moved
}
