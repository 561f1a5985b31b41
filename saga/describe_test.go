package saga_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// everyKind is a definition with a node of every kind.
func everyKind() *saga.Definition[data] {
	return saga.MustDefine("every-kind",
		saga.StartOn(func(done) (string, data) { return "", data{} }),
		undoable("first", saga.Matching(func(d data) string { return d.Refs["key"] },
			saga.KeyOf(func(e done) string { return e.Ref }), saga.KeyOf(func(e refused) string { return e.Why }))).Service("desk").UndoneByFailure(),
		saga.Sequence("group", undoable("in-group").UndoneByFailure()),
		saga.Parallel("side-by-side",
			undoable("left").UndoNeedsReply(),
			saga.Sequence("right", undoable("one", saga.Undone(func(*data, undone) {})), undoable("two").UndoUnacknowledged())),
		fan("rooms", undoable("book"), fan("beds", undoable("make"))).AtMost(3).Tolerate(1),
		saga.If("vip", func(d data) bool { return len(d.Refs) > 3 }, undoable("upgrade")).Else(bare("mail").NothingToUndo()),
		saga.If("late", func(data) bool { return false }, bare("fee").NothingToUndo()),
		saga.Wait("approval", func(*data, approval) {}).Deadline(time.Hour).OnDeadline(func(*data) {}),
		saga.Sleep("cool-down", func(data) time.Duration { return time.Minute }),
		bare("pay").Pivot(),
		bare("ticket").Retriable(),
	)
}

type approval struct {
	By string `json:"by"`
}

func TestDescriptionSurvivesJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		described := saga.MustDefine("random", nodes(scenarios().Draw(t, "scenario").Root)...).Describe()
		if back := throughJSON(t, described); !reflect.DeepEqual(back, described) {
			t.Fatalf("%+v became %+v", described, back)
		}
	})
	described := everyKind().Describe()
	equal(t, "every kind", throughJSON(t, described), described)
	described = saga.MustDefine("forms", stepOver[forms]()).Describe()
	equal(t, "every form", throughJSON(t, described), described)
}

type fataler interface {
	Helper()
	Fatal(args ...any)
}

func throughJSON(t fataler, d saga.Description) saga.Description {
	t.Helper()
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var back saga.Description
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	return back
}

// The paths of all nodes, by kind: what pictures are drawn from.
func TestDescriptionHasEveryNode(t *testing.T) {
	t.Parallel()
	var got []string
	var visit func([]saga.NodeDescription)
	visit = func(nodes []saga.NodeDescription) {
		for _, n := range nodes {
			got = append(got, string(n.Kind)+" "+n.Path)
			visit(n.Nodes)
		}
	}
	d := everyKind().Describe()
	visit(d.Nodes)
	equal(t, "nodes", got, []string{
		"step first", "sequence group", "step group/in-group", "parallel side-by-side", "step side-by-side/left",
		"sequence side-by-side/right", "step side-by-side/right/one", "step side-by-side/right/two",
		"for-each rooms", "step rooms/book", "for-each rooms/beds", "step rooms/beds/make",
		"if vip", "sequence vip/then", "step vip/then/upgrade", "sequence vip/else", "step vip/else/mail",
		"if late", "sequence late/then", "step late/then/fee", "sequence late/else",
		"wait approval", "sleep cool-down", "step pay", "step ticket",
	})
	equal(t, "starts", d.StartsOn, []string{"saga_test.done"})
	first := d.Nodes[0]
	if first.Service != "desk" || !first.Matched || first.Undo != "saga_test.undoIt" || first.Acknowledged != saga.ByFailureEvent {
		t.Errorf("first is %+v", first)
	}
	rooms := d.Nodes[3]
	if rooms.AtMost != 3 || rooms.Tolerate != 1 || rooms.Item != "saga_test.data" {
		t.Errorf("rooms are %+v", rooms)
	}
	wait := d.Nodes[6]
	if wait.Signal != "saga_test.approval" || wait.Deadline != time.Hour || !wait.GoesOn {
		t.Errorf("the wait is %+v", wait)
	}
}

func TestUnreadableDescriptions(t *testing.T) {
	t.Parallel()
	whole := `{"name":"n","hash":"h","data":"d","nodes":[],"types":[]}`
	for name, c := range map[string]struct{ text, want string }{
		"whole":               {whole, ""},
		"another document":    {`{}`, `it has no field "name": write it with Describe`},
		"of an older version": {`{"name":"n","hash":"h","data":"d","nodes":[]}`, `it has no field "types"`},
		"of a newer version":  {whole[:len(whole)-1] + `,"colour":"red"}`, `unknown field "colour": it may be of another version of this package`},
		"a newer node":        {`{"name":"n","hash":"h","data":"d","nodes":[{"kind":"step","priority":1}],"types":[]}`, `unknown field "priority"`},
		"another type":        {`{"name":7}`, "cannot unmarshal number"},
		"a list":              {`[]`, "cannot unmarshal array"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d saga.Description
			err := json.Unmarshal([]byte(c.text), &d)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, saga.ErrDescription) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

// stepOver is a step whose data is of any type.
func stepOver[D any]() saga.Node[D] {
	return saga.Step("step", saga.Do(func(D) doIt { return doIt{} }), saga.On(func(*D, done) {})).NothingToUndo()
}

// The types of the forms' fields.
type (
	itself struct{ n int }
	word   struct{ text string }
	amount int32
	tree   struct {
		Name string  `json:"name"`
		Kids []*tree `json:"kids,omitempty"`
	}
	base struct {
		ID     string
		Hidden int
		Shared string
	}
	Deep  struct{ Deepest bool }
	Other struct {
		*Deep
		Shared string
		Tagged string `json:"tagged"`
	}
	Tagged struct {
		In string `json:"in"`
	}
	private struct{ secret int } //nolint:unused // that nothing of it is written is the point
)

func (itself) MarshalJSON() ([]byte, error)       { return []byte("1"), nil }
func (w word) MarshalText() ([]byte, error)       { return []byte(w.text), nil }
func (w *word) UnmarshalText(text []byte) error   { w.text = string(text); return nil }
func (i *itself) UnmarshalJSON(text []byte) error { i.n = len(text); return nil }

// forms has a field of every form.
type forms struct {
	base
	Other
	Tagged   `json:"box"`
	private         //nolint:unused // see there
	Hidden   string // hides base's
	Text     string
	Flag     bool     `json:"flag,omitempty"`
	Whole    int      `json:",omitzero"`
	Small    uint8    `json:"small"`
	Amount   amount   `json:"amount"`
	Ratio    float32  `json:"ratio"`
	Quoted   int64    `json:"quoted,string"`
	Sure     bool     `json:"sure,string"`
	Pointer  *float64 `json:"pointer"`
	Raw      []byte
	Hash     [4]byte
	Words    []word
	Names    map[string][]string
	ByNumber map[int]bool
	ByWord   map[word]any
	Anything any
	AsIs     json.RawMessage
	Exact    json.Number
	At       time.Time
	For      time.Duration
	Itself   *itself
	Tree     tree
	Inline   struct {
		X int `json:"x"`
	}
	Left   string `json:"-"`
	Dash   string `json:"-,"`   //nolint:staticcheck // what is made of it is the point
	BadTag string `json:"a\\b"` //nolint:staticcheck // see above
	lower  string //nolint:unused // that it is left out is the point
}

const formsOfFields = `
ID string
Deepest boolean
tagged string
box object (saga_test.Tagged)
Hidden string
Text string
flag boolean optional
Whole number (int) optional
small number (uint8)
amount number (int32)
ratio number (float32)
quoted string (int64)
sure string (bool)
pointer number (float64) optional
Raw bytes
Hash list of 4 of number (uint8)
Words list of string (saga_test.word)
Names map by string of list of string
ByNumber map by int of boolean
ByWord map by saga_test.word of any
Anything any
AsIs any
Exact number (json.Number)
At opaque (time.Time)
For number (int64)
Itself opaque (saga_test.itself) optional
Tree object (saga_test.tree)
Inline object
- string
BadTag string
`

func TestFormsOfTypes(t *testing.T) {
	t.Parallel()
	d := saga.MustDefine("forms", stepOver[forms]()).Describe()
	var got strings.Builder
	for _, f := range fieldsOf(t, d, "saga_test.forms") {
		got.WriteString(f.Name + " " + f.String())
		if f.Optional {
			got.WriteString(" optional")
		}
		got.WriteString("\n")
	}
	equal(t, "fields", "\n"+got.String(), formsOfFields)
	tree := fieldsOf(t, d, "saga_test.tree")
	equal(t, "a type that contains itself", tree[1].String(), "list of object (saga_test.tree)")
	var names []string
	for _, typ := range d.Types {
		names = append(names, typ.Name)
	}
	equal(t, "types", names, []string{"saga_test.Tagged", "saga_test.doIt", "saga_test.done", "saga_test.forms", "saga_test.tree"})
}

// The names and their order are those that package encoding/json writes.
func TestFieldsAreThoseOfTheJSON(t *testing.T) {
	t.Parallel()
	value := forms{Flag: true, Whole: 1, Pointer: new(float64), Itself: &itself{}, AsIs: []byte("1"), Exact: "1"}
	value.Deep = &Deep{}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	for depth, key := 0, true; decoder.More() || depth > 0; {
		token, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			key = depth == 1
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			key = depth == 1
			continue
		}
		if depth == 1 && key {
			want = append(want, token.(string))
		}
		key = depth == 1 && !key
	}
	var got []string
	for _, f := range fieldsOf(t, saga.MustDefine("forms", stepOver[forms]()).Describe(), "saga_test.forms") {
		got = append(got, f.Name)
	}
	equal(t, "fields", got, want)
}

func fieldsOf(t *testing.T, d saga.Description, name string) []saga.FieldDescription {
	t.Helper()
	i := slices.IndexFunc(d.Types, func(t saga.TypeDescription) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("no type %s in %+v", name, d.Types)
	}
	return d.Types[i].Fields
}

// Two types that Go calls the same are told apart.
func TestNamesakes(t *testing.T) {
	t.Parallel()
	type doIt struct{ Number int } // not the one above
	d := saga.MustDefine("namesakes", stepOver[data](), saga.Step("two",
		saga.Do(func(data) doIt { return doIt{} }), saga.On(func(*data, done) {})).NothingToUndo()).Describe()
	equal(t, "commands", d.Nodes[0].Command+" "+d.Nodes[1].Command, "saga_test.doIt saga_test.doIt#2")
	equal(t, "the first", fieldsOf(t, d, "saga_test.doIt")[0].Name, "Step")
	equal(t, "the second", fieldsOf(t, d, "saga_test.doIt#2")[0].Name, "Number")
}

// Data need not be a struct.
func TestFormsOfOtherData(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]saga.Description{
		"list of string":            saga.MustDefine("list", stepOver[[]string]()).Describe(),
		"map by string of any":      saga.MustDefine("map", stepOver[map[string]any]()).Describe(),
		"opaque (saga_test.itself)": saga.MustDefine("opaque", stepOver[itself]()).Describe(),
		"object (saga_test.tree)":   saga.MustDefine("pointer", stepOver[*tree]()).Describe(),
		"number (int32)":            saga.MustDefine("number", stepOver[amount]()).Describe(),
	} {
		i := slices.IndexFunc(d.Types, func(t saga.TypeDescription) bool { return t.Name == d.Data })
		if i < 0 {
			t.Fatalf("no type %s in %+v", d.Data, d.Types)
		}
		equal(t, "form", d.Types[i].String(), want)
	}
}
