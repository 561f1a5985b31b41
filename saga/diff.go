package saga

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Impact says what a change of a definition means for the instances that are under way.
type Impact string

// The impacts, from the least to the worst.
const (
	// Free: instances under way go on with the new definition.
	Free Impact = "free"
	// Pinned: the hash is another one. Instances under way need the old definition registered beside the new one, until they have ended.
	Pinned Impact = "pinned"
	// Unsafe: instances under way would break or lose data, even if the old definition stays registered.
	Unsafe Impact = "unsafe"
)

func (i Impact) rank() int { return slices.Index([]Impact{Free, Pinned, Unsafe}, i) }

// Alteration is one thing that differs between two versions of a definition.
type Alteration struct {
	Impact Impact `json:"impact"`
	// Path says where: a node's path ("rooms/book"), or a type with a field ("Trip.rooms[].name"). Empty is the definition itself.
	Path string `json:"path"`
	// What is different, and what to do about it.
	What string `json:"what"`
	Do   string `json:"do"`
}

// Difference is what [Diff] finds: the alterations, the worst first, then in the order of the definition.
type Difference struct {
	// Definition is the definition's new name.
	Definition string `json:"definition"`
	// Before and After are the hashes.
	Before      string       `json:"before"`
	After       string       `json:"after"`
	Alterations []Alteration `json:"alterations"`
}

// Impact is the worst of the alterations'; "" if there are none.
func (d Difference) Impact() Impact {
	var worst Impact
	for _, a := range d.Alterations {
		if a.Impact.rank() > worst.rank() {
			worst = a.Impact
		}
	}
	return worst
}

// Compatible reports whether the new definition can take the old one's place at once: instances under way go on with it.
func (d Difference) Compatible() bool { return d.Impact() == "" || d.Impact() == Free }

// String returns the verdict and a line for each alteration: its impact, where, what, and what to do.
func (d Difference) String() string {
	verdict := "unchanged"
	switch d.Impact() {
	case Free:
		verdict = "compatible: instances under way go on with the new version"
	case Pinned:
		verdict = "pinned: instances under way need the old version registered beside the new one"
	case Unsafe:
		verdict = "unsafe: instances under way would break or lose data"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", d.Definition, verdict)
	for _, a := range d.Alterations {
		fmt.Fprintf(&b, "  %-6s %s: %s. %s.\n", a.Impact, cmp.Or(a.Path, "(the definition)"), a.What, a.Do)
	}
	return b.String()
}

// What to do about an alteration.
const (
	doNothing  = "Nothing to do"
	doFromNext = "Instances under way use it from their next command or wait on"
	doKeepOld  = "Keep the old version registered until its instances have ended"
	doNewName  = "Keep the old version registered until its instances have ended. Keys are unique within a name: an instance may start a second time"
	doHash     = "Keep the old version registered until its instances have ended. If nothing was changed, the hash is another release's of this package"
	doStored   = "Keep the field as it was, or give the type a new name so that the old version keeps the old type; else let the instances end first"
	doMessage  = "Let the messages under way arrive first, and deploy who reads it before who writes it"
	doMatching = "Let the steps under way end first: replies that name no saga are not recognised any more"
	doParties  = "Let the instances end first: while parties differ, two of them or none carry the step out"
	doFill     = "What was written before has its zero value"
)

// Diff says what the change from one version of a definition to another means for the instances under way. Policy
// (timeouts, attempts, bounds) is free. What the hash is taken of, the tree, its classes and types, pins them to the
// old version. Unsafe is what the hash does not see: the JSON of a type whose name stayed was changed so that what is stored, or
// is on its way as a message, is not read as it was written.
//
// Types are compared as package encoding/json writes them: with a codec of your own for data or messages, it has to keep the same rules.
// The code of functions is not compared.
func Diff(before, after Description) Difference {
	c := comparison{before: before, after: after}
	c.change(Pinned, "", "name", before.Name, after.Name, doNewName)
	c.change(Pinned, "", "data", before.Data, after.Data, doKeepOld)
	c.change(Pinned, "", "choreographed:", yes(before.Choreographed), yes(after.Choreographed), doKeepOld)
	c.change(Free, "", "starts on", strings.Join(before.StartsOn, ", "), strings.Join(after.StartsOn, ", "), doNothing)
	c.nodes("", before.Nodes, after.Nodes)
	if before.Hash != after.Hash && !slices.ContainsFunc(c.found, func(a Alteration) bool { return a.Impact == Pinned }) {
		c.add(Pinned, "", "the hash is another one for a reason that descriptions do not show, such as NothingToUndo", doHash)
	}
	c.types()
	slices.SortStableFunc(c.found, func(a, b Alteration) int { return b.Impact.rank() - a.Impact.rank() })
	return Difference{Definition: after.Name, Before: before.Hash, After: after.Hash, Alterations: c.found}
}

// comparison collects alterations.
type comparison struct {
	before, after Description
	found         []Alteration
	// Of the type that is being compared: whether it is stored or is a message, and which pairs of types were compared in it.
	stored bool
	seen   [][2]string
}

func (c *comparison) add(i Impact, path, what, do string) {
	c.found = append(c.found, Alteration{Impact: i, Path: path, What: what, Do: do})
}

// change adds an alteration if the values differ; an empty one is none.
func (c *comparison) change(i Impact, path, what, before, after, do string) {
	if before != after {
		c.add(i, path, what+" "+cmp.Or(before, "none")+" → "+cmp.Or(after, "none"), do)
	}
}

// nodes compares the nodes below the one with the path.
func (c *comparison) nodes(path string, before, after []NodeDescription) {
	var kept, now []string // the names of those that stay, as they were ordered and as they are
	for _, b := range before {
		if find(after, b.Name) == nil {
			c.add(Pinned, b.Path, "the "+string(b.Kind)+" was removed", doKeepOld)
			continue
		}
		kept = append(kept, b.Name)
	}
	for _, a := range after {
		b := find(before, a.Name)
		if b == nil {
			c.add(Pinned, a.Path, "the "+string(a.Kind)+" was added", doKeepOld)
			continue
		}
		now = append(now, a.Name)
		if b.Kind != a.Kind {
			c.change(Pinned, a.Path, "kind", string(b.Kind), string(a.Kind), doKeepOld)
			continue
		}
		c.node(*b, a)
	}
	if !slices.Equal(kept, now) {
		c.change(Pinned, path, "order", strings.Join(kept, ", "), strings.Join(now, ", "), doKeepOld)
	}
}

func find(nodes []NodeDescription, name string) *NodeDescription {
	i := slices.IndexFunc(nodes, func(n NodeDescription) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return &nodes[i]
}

// node compares two nodes of one kind.
func (c *comparison) node(b, a NodeDescription) {
	for _, pinned := range []struct{ what, before, after string }{
		{"class", string(b.Class), string(a.Class)},
		{"command", b.Command, a.Command},
		{"success event", b.Success, a.Success},
		{"failure event", b.Failure, a.Failure},
		{"undo", b.Undo, a.Undo},
		{"undone event", b.Undone, a.Undone},
		{"undo is acknowledged by", string(b.Acknowledged), string(a.Acknowledged)},
		{"undo needs the reply:", yes(b.NeedsReply), yes(a.NeedsReply)},
		{"item", b.Item, a.Item},
		{"signal", b.Signal, a.Signal},
	} {
		c.change(Pinned, a.Path, pinned.what, pinned.before, pinned.after, doKeepOld)
	}
	for _, policy := range []struct{ what, before, after string }{
		{"timeout", duration(b.Timeout), duration(a.Timeout)},
		{"attempts", number(b.Attempts), number(a.Attempts)},
		{"backoff", duration(b.BackoffBase), duration(a.BackoffBase)},
		{"longest backoff", duration(b.BackoffMax), duration(a.BackoffMax)},
		{"at most", number(b.AtMost), number(a.AtMost)},
		{"tolerates", number(b.Tolerate), number(a.Tolerate)},
		{"deadline", duration(b.Deadline), duration(a.Deadline)},
		{"goes on after its deadline:", yes(b.GoesOn), yes(a.GoesOn)},
	} {
		c.change(Free, a.Path, policy.what, policy.before, policy.after, doFromNext)
	}
	if c.after.Choreographed {
		c.change(Unsafe, a.Path, "service", b.Service, a.Service, doParties)
	} else {
		c.change(Free, a.Path, "service", b.Service, a.Service, doFromNext)
	}
	switch {
	case b.Matched && !a.Matched:
		c.add(Unsafe, a.Path, "Matching was removed", doMatching)
	case a.Matched && !b.Matched:
		c.add(Free, a.Path, "Matching was added", doFromNext)
	}
	c.nodes(a.Path, b.Nodes, a.Nodes)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// types compares the types that both versions name: first those that are stored, then those of messages.
func (c *comparison) types() {
	stored, messages := []string{c.after.Data}, slices.Clone(c.after.StartsOn)
	c.after.Walk(func(n NodeDescription) {
		stored = append(stored, n.Item, n.Signal)
		messages = append(messages, n.Command, n.Success, n.Failure, n.Undo, n.Undone)
	})
	done := map[string]bool{}
	for i, name := range append(stored, messages...) {
		before, existed := typeOf(c.before, name)
		after, exists := typeOf(c.after, name)
		if existed && exists && !done[name] {
			c.stored, c.seen = i < len(stored), nil
			c.value(name, before, after)
		}
		done[name] = true
	}
}

// typeOf looks a type up. An object's form keeps its name.
func typeOf(d Description, name string) (v ValueDescription, exists bool) {
	i := slices.IndexFunc(d.Types, func(t TypeDescription) bool { return t.Name == name })
	if i < 0 {
		return v, false
	}
	v = d.Types[i].ValueDescription
	if v.JSON == JSONObject {
		v.Type = cmp.Or(v.Type, name)
	}
	return v, true
}

// value compares two forms of one value.
func (c *comparison) value(path string, before, after ValueDescription) {
	fits := before.JSON == after.JSON
	switch {
	case after.JSON == JSONAny:
	case fits && before.JSON == JSONObject:
		c.object(path, before, after)
	case fits && before.JSON == JSONList && (after.Length == 0 || 0 < before.Length && before.Length <= after.Length),
		fits && before.JSON == JSONMap && (before.Key == after.Key || after.Key == "string"):
		c.value(path+"[]", before.element(), after.element())
	case fits && before.JSON != JSONList && before.JSON != JSONMap && (before.Type == after.Type || holds(after.Type, before.Type)):
	default:
		c.add(Unsafe, path, before.String()+" → "+after.String(), c.keep())
	}
}

// keep is what to do about what is not read as it was written.
func (c *comparison) keep() string {
	if c.stored {
		return doStored
	}
	return doMessage
}

func (v ValueDescription) element() ValueDescription {
	if v.Of == nil {
		return ValueDescription{}
	}
	return *v.Of
}

// object compares the fields of two objects. A type that is met again, as one that contains itself is, is not compared again.
func (c *comparison) object(path string, before, after ValueDescription) {
	pair := [2]string{before.Type, after.Type}
	if before.Type != "" && slices.Contains(c.seen, pair) {
		return
	}
	c.seen = append(c.seen, pair)
	old, fields := before.fields(c.before), after.fields(c.after)
	for _, b := range old {
		at := path + "." + b.Name
		a := field(fields, b.Name)
		switch {
		case a == nil:
			c.add(Unsafe, at, "the field was removed ("+b.String()+")", c.keep())
			continue
		case a.Name != b.Name && !c.stored:
			c.add(Unsafe, at, "the field is named "+a.Name+" now", c.keep())
			continue
		case a.Name != b.Name:
			c.add(Free, at, "the field is named "+a.Name+" now, and reads the same", doNothing)
		}
		c.value(at, b.ValueDescription, a.ValueDescription)
	}
	for _, a := range fields {
		if field(old, a.Name) == nil {
			c.add(Free, path+"."+a.Name, "the field was added ("+a.String()+")", doFill)
		}
	}
}

func (v ValueDescription) fields(d Description) []FieldDescription {
	if v.Type != "" {
		v, _ = typeOf(d, v.Type)
	}
	return v.Fields
}

// field finds the field that takes a value with the name, as package encoding/json does: the one with that very name, else the
// first that differs only in case.
func field(fields []FieldDescription, name string) *FieldDescription {
	var found *FieldDescription
	for i := range fields {
		switch f := &fields[i]; {
		case f.Name == name:
			return f
		case found == nil && strings.EqualFold(f.Name, name):
			found = f
		}
	}
	return found
}

// holds reports whether every number of the inner Go kind is one of the outer.
func holds(outer, inner string) bool {
	o, i := rangeOf(outer), rangeOf(inner)
	return o.whole >= i.whole && i.whole > 0 && o.fraction >= i.fraction && (o.signed || !i.signed)
}

// numbers is what a Go kind of number holds.
type numbers struct {
	whole    int  // bits of the whole numbers, up to the first that is missing; 0 of what is no number
	fraction int  // bits of a floating-point number
	signed   bool // with negative numbers
}

func rangeOf(kind string) numbers {
	switch kind {
	case "int8":
		return numbers{whole: 7, signed: true}
	case "int16":
		return numbers{whole: 15, signed: true}
	case "int32":
		return numbers{whole: 31, signed: true}
	case "int64", "int":
		return numbers{whole: 63, signed: true}
	case "uint8":
		return numbers{whole: 8}
	case "uint16":
		return numbers{whole: 16}
	case "uint32":
		return numbers{whole: 32}
	case "uint64", "uint", "uintptr":
		return numbers{whole: 64}
	case "float32":
		return numbers{whole: 24, fraction: 32, signed: true}
	case "float64":
		return numbers{whole: 53, fraction: 64, signed: true}
	default:
		return numbers{}
	}
}

// String is the form in words: "list of number (int64)".
func (v ValueDescription) String() string {
	text := string(v.JSON)
	switch {
	case v.Length > 0:
		text = fmt.Sprintf("list of %d", v.Length)
	case v.JSON == JSONMap:
		text = "map by " + v.Key
	case v.JSON == "":
		text = "unknown"
	}
	if v.Of != nil {
		return text + " of " + v.Of.String()
	}
	if v.Type != "" {
		text += " (" + v.Type + ")"
	}
	return text
}
