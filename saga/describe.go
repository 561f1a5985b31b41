package saga

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// ErrDescription says that a text is no description, or one that this version of the package does not know.
var ErrDescription = errors.New("saga: unreadable description")

// Description is a definition as plain data: what tools read and what a user keeps as a golden file, see [Diff].
// The order of its nodes is the definition's. It is written and read as JSON; reading is strict, see [Description.UnmarshalJSON].
type Description struct {
	// Name is the definition's name, and Hash its [Definition.Hash].
	Name string `json:"name"`
	Hash string `json:"hash"`
	// Data is the Go type of the data.
	Data string `json:"data"`
	// Choreographed says that it is one party's part in a choreography.
	Choreographed bool `json:"choreographed,omitempty"`
	// StartsOn are the types of the events that start an instance.
	StartsOn []string `json:"startsOn,omitempty"`
	// Nodes are the nodes at the top.
	Nodes []NodeDescription `json:"nodes"`
	// Types are the types that are named above and those of their fields that have fields themselves, by name.
	Types []TypeDescription `json:"types"`
}

// Walk calls visit with every node, in the definition's order, each before the nodes within it.
func (d Description) Walk(visit func(NodeDescription)) { eachNode(d.Nodes, visit) }

func eachNode(nodes []NodeDescription, visit func(NodeDescription)) {
	for _, n := range nodes {
		visit(n)
		eachNode(n.Nodes, visit)
	}
}

// NodeDescription is one node of a [Description]. Fields that its kind does not have are zero. Types are Go types, such as "partner.Register".
type NodeDescription struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Path is the node's path, without numbers of items: "rooms/room".
	Path string `json:"path"`

	// Of a step: its class, the service that carries it out, and the types of what is exchanged.
	Class   Class  `json:"class,omitempty"`
	Service string `json:"service,omitempty"`
	Command string `json:"command,omitempty"`
	Success string `json:"success,omitempty"`
	Failure string `json:"failure,omitempty"`
	Undo    string `json:"undo,omitempty"`
	Undone  string `json:"undone,omitempty"`
	// Acknowledged says what acknowledges the undo; empty where there is none.
	Acknowledged Acknowledged `json:"acknowledged,omitempty"`
	// NeedsReply says that the undo needs data that only the reply brings.
	NeedsReply bool `json:"needsReply,omitempty"`
	// Matched says that its replies are recognised by their payload too.
	Matched bool `json:"matched,omitempty"`
	// The step's policy.
	Timeout     time.Duration `json:"timeout,omitempty"`
	Attempts    int           `json:"attempts,omitempty"`
	BackoffBase time.Duration `json:"backoffBase,omitempty"`
	BackoffMax  time.Duration `json:"backoffMax,omitempty"`

	// Of a fan-out: its items' type, how many are under way at once (0: all) and how many may fail.
	Item     string `json:"item,omitempty"`
	AtMost   int    `json:"atMost,omitempty"`
	Tolerate int    `json:"tolerate,omitempty"`

	// Of a wait: its signal's type, how long it waits (0: for ever) and whether it goes on when that has passed.
	Signal   string        `json:"signal,omitempty"`
	Deadline time.Duration `json:"deadline,omitempty"`
	GoesOn   bool          `json:"goesOn,omitempty"`

	// Nodes are the nodes below: of a sequence or fan-out in their order, of a parallel its branches, of an If the
	// sequences "then" and "else".
	Nodes []NodeDescription `json:"nodes,omitempty"`
}

// Acknowledged says what acknowledges an undo.
type Acknowledged string

// What acknowledges an undo.
const (
	ByAnyReply     Acknowledged = "any reply"
	ByUndoneEvent  Acknowledged = "its own event"
	ByFailureEvent Acknowledged = "the failure event"
	ByNothing      Acknowledged = "nothing"
)

// TypeDescription is a Go type as package encoding/json writes it.
type TypeDescription struct {
	// Name is the Go type's, such as "partner.Register". Of several types with one name, all but the first have a number: "partner.Register#2".
	Name string `json:"name"`
	ValueDescription
}

// ValueDescription is the form of a JSON value.
type ValueDescription struct {
	JSON JSONKind `json:"json"`
	// Type says more: of a number its Go kind ("int64"); of an object the name of its type, which is among the description's
	// types; of a string that is a number or text of its own kind, and of an opaque value, its Go type.
	Type string `json:"type,omitempty"`
	// Of is the form of a list's elements or of a map's values.
	Of *ValueDescription `json:"of,omitempty"`
	// Key is the Go kind of a map's keys, or their type if it writes itself.
	Key string `json:"key,omitempty"`
	// Length is that of a list that has a fixed one.
	Length int `json:"length,omitempty"`
	// Fields are an object's where it has no Type to look them up by, in the order of the JSON.
	Fields []FieldDescription `json:"fields,omitempty"`
}

// FieldDescription is one field of an object.
type FieldDescription struct {
	// Name is the field's in the JSON.
	Name string `json:"name"`
	// Optional says that the field may be missing, or null for a pointer that is nil.
	Optional bool `json:"optional,omitempty"`
	ValueDescription
}

// JSONKind is what a value looks like as JSON.
type JSONKind string

// The kinds of JSON values.
const (
	JSONString  JSONKind = "string"
	JSONNumber  JSONKind = "number"
	JSONBoolean JSONKind = "boolean"
	JSONObject  JSONKind = "object"
	JSONMap     JSONKind = "map" // an object with any keys
	JSONList    JSONKind = "list"
	JSONBytes   JSONKind = "bytes"  // a string in base64
	JSONAny     JSONKind = "any"    // an interface, or JSON as it is
	JSONOpaque  JSONKind = "opaque" // the type writes itself
	JSONNone    JSONKind = "none"   // cannot be written: a channel or a function
)

// UnmarshalJSON reads what a description was written as. A field that this version does not know, or a text that lacks what
// every description has, is an [ErrDescription]: [Diff] would be blind for it.
func (d *Description) UnmarshalJSON(text []byte) error {
	type plain Description // without this method
	var read plain
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return fmt.Errorf("%w: %w: it may be of another version of this package; write it anew with Describe", ErrDescription, err)
	}
	for _, part := range []struct {
		name  string
		there bool
	}{{"name", read.Name != ""}, {"hash", read.Hash != ""}, {"data", read.Data != ""}, {"nodes", read.Nodes != nil}, {"types", read.Types != nil}} {
		if !part.there {
			return fmt.Errorf("%w: it has no field %q: write it with Describe", ErrDescription, part.name)
		}
	}
	*d = Description(read)
	return nil
}

// Describe returns the definition as plain data.
func (d *Definition[D]) Describe() Description {
	var b describer
	described := Description{Name: d.name, Hash: d.Hash(), Data: b.name(d.tree.typ), Choreographed: d.role != nil}
	for _, s := range d.tree.starts {
		described.StartsOn = append(described.StartsOn, b.name(s.typ))
	}
	described.Nodes = b.nodes(d.tree.root.kids)
	slices.SortFunc(b.types, func(x, y TypeDescription) int { return strings.Compare(x.Name, y.Name) })
	described.Types = b.types
	return described
}

// describer collects the types that it names.
type describer struct {
	known []namedType
	types []TypeDescription
}

type namedType struct {
	typ  reflect.Type
	name string
}

func (b *describer) nodes(nodes []*node) []NodeDescription {
	var described []NodeDescription
	for _, n := range nodes {
		described = append(described, b.node(n))
	}
	return described
}

func (b *describer) node(n *node) NodeDescription {
	d := NodeDescription{Kind: n.kind, Name: n.name, Path: n.path}
	d.Matched = n.match != nil
	switch n.kind {
	case KindStep:
		b.step(n.step, &d)
	case KindWait:
		d.Signal, d.Deadline, d.GoesOn = b.name(n.wait.on.typ), n.wait.deadline, n.wait.onDeadline != nil
	case KindForEach:
		d.Item, d.AtMost, d.Tolerate = b.name(n.each.inner.typ), n.each.atMost, n.each.tolerate
		d.Nodes = b.nodes(n.each.inner.root.kids)
	default:
		d.Nodes = b.nodes(n.kids)
	}
	return d
}

func (b *describer) step(s *step, d *NodeDescription) {
	d.Service, d.Class, d.Command, d.Success = s.service, s.class, b.name(s.do.typ), b.name(s.on.typ)
	d.Timeout, d.Attempts, d.BackoffBase, d.BackoffMax = s.timeout, s.attempts, s.backoffBase, s.backoffMax
	if s.onFailure != nil {
		d.Failure = b.name(s.onFailure.typ)
	}
	if s.undo == nil {
		return
	}
	d.Undo, d.NeedsReply, d.Acknowledged = b.name(s.undo.typ), s.needsReply, ByAnyReply
	switch {
	case s.undone != nil:
		d.Undone, d.Acknowledged = b.name(s.undone.typ), ByUndoneEvent
	case s.byFailure:
		d.Acknowledged = ByFailureEvent
	case s.unacked:
		d.Acknowledged = ByNothing
	}
}

// name returns what the description calls the type, and takes it into the types.
func (b *describer) name(t reflect.Type) string {
	namesakes := 0
	for _, k := range b.known {
		if k.typ == t {
			return k.name
		}
		if k.typ.String() == t.String() {
			namesakes++
		}
	}
	name := t.String()
	if namesakes > 0 {
		name += "#" + strconv.Itoa(namesakes+1)
	}
	b.known = append(b.known, namedType{t, name}) // before its fields, which may be of this type
	described := TypeDescription{Name: name, ValueDescription: b.written(t)}
	if described.JSON == JSONObject && t.Kind() == reflect.Struct {
		described.Type, described.Fields = "", b.fields(t)
	}
	b.types = append(b.types, described)
	return name
}

// value describes the form of values of the type, which may be a part of another.
func (b *describer) value(t reflect.Type) ValueDescription {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	v := b.written(t)
	if v.JSON == JSONObject && v.Type != "" {
		v.Type = b.name(t)
	}
	return v
}

// written describes the form of values of the type but for the fields of a struct that has a name.
func (b *describer) written(t reflect.Type) ValueDescription {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return ValueDescription{JSON: JSONAny}
	case t == reflect.TypeFor[json.Number]():
		return ValueDescription{JSON: JSONNumber, Type: t.String()}
	case t.Kind() == reflect.Interface:
		return ValueDescription{JSON: JSONAny}
	case writesItself(t):
		return ValueDescription{JSON: JSONOpaque, Type: t.String()}
	case writesText(t):
		return ValueDescription{JSON: JSONString, Type: t.String()}
	}
	switch t.Kind() {
	case reflect.Bool:
		return ValueDescription{JSON: JSONBoolean}
	case reflect.String:
		return ValueDescription{JSON: JSONString}
	case reflect.Struct:
		if t.Name() == "" {
			return ValueDescription{JSON: JSONObject, Fields: b.fields(t)}
		}
		return ValueDescription{JSON: JSONObject, Type: t.String()}
	case reflect.Pointer:
		return b.value(t)
	case reflect.Map:
		of := b.value(t.Elem())
		key := t.Key().Kind().String()
		if writesText(t.Key()) {
			key = t.Key().String()
		}
		return ValueDescription{JSON: JSONMap, Of: &of, Key: key}
	case reflect.Slice:
		if e := t.Elem(); e.Kind() == reflect.Uint8 && !writesItself(e) && !writesText(e) {
			return ValueDescription{JSON: JSONBytes}
		}
		of := b.value(t.Elem())
		return ValueDescription{JSON: JSONList, Of: &of}
	case reflect.Array:
		of := b.value(t.Elem())
		return ValueDescription{JSON: JSONList, Of: &of, Length: t.Len()}
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return ValueDescription{JSON: JSONNone, Type: t.String()}
	default:
		return ValueDescription{JSON: JSONNumber, Type: t.Kind().String()}
	}
}

func writesItself(t reflect.Type) bool {
	return has[json.Marshaler](t) || has[json.Unmarshaler](t)
}

func writesText(t reflect.Type) bool {
	return has[encoding.TextMarshaler](t) || has[encoding.TextUnmarshaler](t)
}

func has[I any](t reflect.Type) bool {
	i := reflect.TypeFor[I]()
	return t.Implements(i) || reflect.PointerTo(t).Implements(i)
}

// structField is a field that may become one of the JSON object.
type structField struct {
	FieldDescription
	typ    reflect.Type
	quoted bool
	depth  int  // in how many embedded structs it lies
	tagged bool // it has its name of a tag
}

// fields returns the fields of a struct as package encoding/json finds them: those of embedded structs are the outer's too. Of
// several with one name the least deep counts, of these a tagged one; two that are equal in that hide each other.
func (b *describer) fields(t reflect.Type) []FieldDescription {
	candidates := structFields(t, nil)
	var described []FieldDescription
	for i, f := range candidates {
		if slices.ContainsFunc(candidates[:i], f.hiddenBy) || slices.ContainsFunc(candidates[i+1:], f.hiddenBy) {
			continue
		}
		d := f.FieldDescription
		d.ValueDescription = b.value(f.typ)
		if f.quoted && (d.JSON == JSONNumber || d.JSON == JSONBoolean || d.JSON == JSONString && d.Type == "") {
			d.JSON, d.Type = JSONString, f.typ.Kind().String()
		}
		described = append(described, d)
	}
	return described
}

func (f structField) hiddenBy(other structField) bool {
	if other.Name != f.Name || other.depth > f.depth {
		return false
	}
	return other.depth < f.depth || other.tagged || !f.tagged
}

// structFields returns the fields of the struct and of those embedded in it; outer are the structs that it is embedded in.
func structFields(t reflect.Type, outer []reflect.Type) []structField {
	outer = append(slices.Clone(outer), t)
	var all []structField
	for sf := range t.Fields() {
		typ := sf.Type
		if typ.Kind() == reflect.Pointer && typ.Name() == "" {
			typ = typ.Elem()
		}
		embedded := sf.Anonymous && typ.Kind() == reflect.Struct
		tag := sf.Tag.Get("json")
		if !sf.IsExported() && !embedded || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validName(name) {
			name = ""
		}
		if embedded && name == "" {
			if !slices.Contains(outer, typ) {
				all = append(all, structFields(typ, outer)...)
			}
			continue
		}
		f := structField{typ: typ, depth: len(outer), tagged: name != ""}
		f.Name = name
		if name == "" {
			f.Name = sf.Name
		}
		for option := range strings.SplitSeq(options, ",") {
			f.Optional = f.Optional || option == "omitempty" || option == "omitzero"
			f.quoted = f.quoted || option == "string"
		}
		f.Optional = f.Optional || sf.Type.Kind() == reflect.Pointer
		all = append(all, f)
	}
	return all
}

// validName reports whether package encoding/json takes the name of a tag.
func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	})
}
