package saga_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
)

// lines are the alterations without what to do about them.
func lines(d saga.Difference) []string {
	all := []string{}
	for _, a := range d.Alterations {
		all = append(all, fmt.Sprintf("%s %s: %s", a.Impact, a.Path, a.What))
	}
	return all
}

// nodeAt finds a node of the description.
func nodeAt(nodes []saga.NodeDescription, path string) *saga.NodeDescription {
	for i := range nodes {
		if nodes[i].Path == path {
			return &nodes[i]
		}
		if n := nodeAt(nodes[i].Nodes, path); n != nil {
			return n
		}
	}
	return nil
}

// TestDiffOfNodes changes one thing of a definition with every kind of node.
func TestDiffOfNodes(t *testing.T) {
	t.Parallel()
	at := func(path string, change func(*saga.NodeDescription)) func(*saga.Description) {
		return func(d *saga.Description) { change(nodeAt(d.Nodes, path)) }
	}
	for name, c := range map[string]struct {
		change func(*saga.Description)
		want   string // the lines, separated by "; "
	}{
		"nothing":      {func(*saga.Description) {}, ""},
		"name":         {func(d *saga.Description) { d.Name = "other" }, "pinned : name every-kind → other"},
		"data":         {func(d *saga.Description) { d.Data = "pkg.Data" }, "pinned : data saga_test.data → pkg.Data"},
		"hash":         {func(d *saga.Description) { d.Hash = "other" }, "pinned : the hash is another one for a reason that descriptions do not show, such as NothingToUndo"},
		"choreography": {func(d *saga.Description) { d.Choreographed = true }, "pinned : choreographed: no → yes"},
		"starts":       {func(d *saga.Description) { d.StartsOn = append(d.StartsOn, "x") }, "free : starts on saga_test.done → saga_test.done, x"},
		"added": {func(d *saga.Description) {
			d.Nodes = append(d.Nodes, saga.NodeDescription{Kind: saga.KindStep, Name: "new", Path: "new"})
		}, "pinned new: the step was added"},
		"removed":     {func(d *saga.Description) { d.Nodes = d.Nodes[1:] }, "pinned first: the step was removed"},
		"order":       {func(d *saga.Description) { d.Nodes = append(d.Nodes[1:], d.Nodes[0]) }, "pinned : order first, group, side-by-side, rooms, vip, late, approval, cool-down, pay, ticket → group, side-by-side, rooms, vip, late, approval, cool-down, pay, ticket, first"},
		"branches":    {at("side-by-side", func(n *saga.NodeDescription) { n.Nodes[0], n.Nodes[1] = n.Nodes[1], n.Nodes[0] }), "pinned side-by-side: order left, right → right, left"},
		"renamed":     {at("rooms/book", func(n *saga.NodeDescription) { n.Name, n.Path = "reserve", "rooms/reserve" }), "pinned rooms/book: the step was removed; pinned rooms/reserve: the step was added"},
		"kind":        {at("side-by-side", func(n *saga.NodeDescription) { n.Kind = saga.KindSequence }), "pinned side-by-side: kind parallel → sequence"},
		"below":       {at("vip/else", func(n *saga.NodeDescription) { n.Nodes = nil }), "pinned vip/else/mail: the step was removed"},
		"class":       {at("ticket", func(n *saga.NodeDescription) { n.Class = saga.Pivot }), "pinned ticket: class retriable → pivot"},
		"command":     {at("pay", func(n *saga.NodeDescription) { n.Command = "x" }), "pinned pay: command saga_test.doIt → x"},
		"success":     {at("pay", func(n *saga.NodeDescription) { n.Success = "x" }), "pinned pay: success event saga_test.done → x"},
		"failure":     {at("pay", func(n *saga.NodeDescription) { n.Failure = "" }), "pinned pay: failure event saga_test.refused → none"},
		"undo":        {at("pay", func(n *saga.NodeDescription) { n.Undo = "x" }), "pinned pay: undo none → x"},
		"undone":      {at("side-by-side/right/one", func(n *saga.NodeDescription) { n.Undone = "x" }), "pinned side-by-side/right/one: undone event saga_test.undone → x"},
		"acks":        {at("first", func(n *saga.NodeDescription) { n.Acknowledged = saga.ByAnyReply }), "pinned first: undo is acknowledged by the failure event → any reply"},
		"needs":       {at("side-by-side/left", func(n *saga.NodeDescription) { n.NeedsReply = false }), "pinned side-by-side/left: undo needs the reply: yes → no"},
		"item":        {at("rooms", func(n *saga.NodeDescription) { n.Item = "x" }), "pinned rooms: item saga_test.data → x"},
		"signal":      {at("approval", func(n *saga.NodeDescription) { n.Signal = "x" }), "pinned approval: signal saga_test.approval → x"},
		"timeout":     {at("pay", func(n *saga.NodeDescription) { n.Timeout = time.Minute }), "free pay: timeout 30s → 1m0s"},
		"attempts":    {at("pay", func(n *saga.NodeDescription) { n.Attempts = 1 }), "free pay: attempts 5 → 1"},
		"backoff":     {at("pay", func(n *saga.NodeDescription) { n.BackoffBase, n.BackoffMax = 2, 3 }), "free pay: backoff 1s → 2ns; free pay: longest backoff 1m0s → 3ns"},
		"at most":     {at("rooms", func(n *saga.NodeDescription) { n.AtMost = 0 }), "free rooms: at most 3 → none"},
		"tolerate":    {at("rooms", func(n *saga.NodeDescription) { n.Tolerate = 2 }), "free rooms: tolerates 1 → 2"},
		"deadline":    {at("approval", func(n *saga.NodeDescription) { n.Deadline = 0 }), "free approval: deadline 1h0m0s → none"},
		"goes on":     {at("approval", func(n *saga.NodeDescription) { n.GoesOn = false }), "free approval: goes on after its deadline: yes → no"},
		"service":     {at("first", func(n *saga.NodeDescription) { n.Service = "x" }), "free first: service desk → x"},
		"matching":    {at("pay", func(n *saga.NodeDescription) { n.Matched = true }), "free pay: Matching was added"},
		"no matching": {at("first", func(n *saga.NodeDescription) { n.Matched = false }), "unsafe first: Matching was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := everyKind().Describe()
			c.change(&after)
			got := saga.Diff(everyKind().Describe(), after)
			equal(t, "alterations", strings.Join(lines(got), "; "), c.want)
			equal(t, "compatible", got.Compatible(), !strings.Contains(c.want, "pinned") && !strings.Contains(c.want, "unsafe"))
		})
	}
}

// Who carries out a step of a choreography must be the same for all parties.
func TestDiffOfServicesInAChoreography(t *testing.T) {
	t.Parallel()
	before, after := everyKind().Describe(), everyKind().Describe()
	before.Choreographed, after.Choreographed = true, true
	nodeAt(after.Nodes, "first").Service = "bank"
	equal(t, "alterations", lines(saga.Diff(before, after)), []string{"unsafe first: service desk → bank"})
}

// described is a definition over D with a step that takes M.
func described[D, M any]() saga.Description {
	return saga.MustDefine("forms", saga.Step("step",
		saga.Do(func(D) M { var m M; return m }), saga.On(func(*D, done) {})).NothingToUndo()).Describe()
}

// field is the description of a definition whose data has one field, X, of type T. The data's type has one name whatever T is.
func field[T any]() saga.Description {
	type one struct{ X T }
	return renamed(described[one, doIt](), "pkg.one")
}

// message is the same with a command.
func message[T any]() saga.Description {
	type one struct{ X T }
	return renamed(described[data, one](), "pkg.one")
}

// renamed gives the type that is called one the name, and the description a hash.
func renamed(d saga.Description, name string) saga.Description {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	for _, typ := range d.Types {
		if strings.HasPrefix(typ.Name, "saga_test.one[") {
			quoted, err := json.Marshal(typ.Name)
			if err != nil {
				panic(err)
			}
			text = []byte(strings.ReplaceAll(string(text), string(quoted), `"`+name+`"`))
		}
	}
	var result saga.Description
	if err := json.Unmarshal(text, &result); err != nil {
		panic(err)
	}
	result.Hash = "same"
	return result
}

// TestDiffOfForms: what is stored, or is on its way, must be read as it was written.
func TestDiffOfForms(t *testing.T) {
	t.Parallel()
	type (
		words   struct{ A, B string }
		fewer   struct{ A string }
		another struct{ A, C string }
		lower   struct {
			A string
			B string `json:"b"`
		}
		keys map[string]words
	)
	for name, c := range map[string]struct {
		before, after saga.Description
		want          string
	}{
		"same":                {field[words](), field[words](), ""},
		"another type's name": {field[words](), field[struct{ A, B string }](), ""},
		"pointer":             {field[words](), field[*words](), ""},
		"no pointer":          {field[**words](), field[words](), ""},
		"field added":         {field[fewer](), field[words](), "free pkg.one.X.B: the field was added (string)"},
		"field removed":       {field[words](), field[fewer](), "unsafe pkg.one.X.B: the field was removed (string)"},
		"field renamed":       {field[words](), field[another](), "unsafe pkg.one.X.B: the field was removed (string); free pkg.one.X.C: the field was added (string)"},
		"other case":          {field[words](), field[lower](), "free pkg.one.X.B: the field is named b now, and reads the same"},
		"other case, message": {message[words](), message[lower](), "unsafe pkg.one.X.B: the field is named b now"},
		"removed, message":    {message[words](), message[fewer](), "unsafe pkg.one.X.B: the field was removed (string)"},
		"below a list":        {field[[]words](), field[[]fewer](), "unsafe pkg.one.X[].B: the field was removed (string)"},
		"below a map":         {field[map[string]words](), field[keys](), ""},
		"type":                {field[string](), field[int](), "unsafe pkg.one.X: string → number (int)"},
		"to a list":           {field[string](), field[[]string](), "unsafe pkg.one.X: string → list of string"},
		"elements":            {field[[]string](), field[[]int](), "unsafe pkg.one.X[]: string → number (int)"},
		"to anything":         {field[string](), field[any](), ""},
		"to JSON as it is":    {field[words](), field[json.RawMessage](), ""},
		"from anything":       {field[any](), field[string](), "unsafe pkg.one.X: any → string"},
		"wider":               {field[int32](), field[int64](), ""},
		"narrower":            {field[int64](), field[int32](), "unsafe pkg.one.X: number (int64) → number (int32)"},
		"unsigned":            {field[int](), field[uint](), "unsafe pkg.one.X: number (int) → number (uint)"},
		"signed":              {field[uint16](), field[int32](), ""},
		"signed, as wide":     {field[uint32](), field[int32](), "unsafe pkg.one.X: number (uint32) → number (int32)"},
		"small":               {field[int8](), field[int16](), ""},
		"smaller":             {field[uint16](), field[uint8](), "unsafe pkg.one.X: number (uint16) → number (uint8)"},
		"largest":             {field[uint32](), field[uint64](), ""},
		"to floating":         {field[int32](), field[float64](), ""},
		"to floating, wide":   {field[int64](), field[float64](), "unsafe pkg.one.X: number (int64) → number (float64)"},
		"from floating":       {field[float32](), field[int64](), "unsafe pkg.one.X: number (float32) → number (int64)"},
		"floating narrower":   {field[float64](), field[float32](), "unsafe pkg.one.X: number (float64) → number (float32)"},
		"shorter":             {field[[4]int](), field[[3]int](), "unsafe pkg.one.X: list of 4 of number (int) → list of 3 of number (int)"},
		"longer":              {field[[3]int](), field[[4]int](), ""},
		"no length":           {field[[3]int](), field[[]int](), ""},
		"length":              {field[[]int](), field[[3]int](), "unsafe pkg.one.X: list of number (int) → list of 3 of number (int)"},
		"keys to text":        {field[map[int]bool](), field[map[string]bool](), ""},
		"keys from text":      {field[map[string]bool](), field[map[int]bool](), "unsafe pkg.one.X: map by string of boolean → map by int of boolean"},
		"bytes":               {field[string](), field[[]byte](), "unsafe pkg.one.X: string → bytes"},
		"writes itself":       {field[string](), field[time.Time](), "unsafe pkg.one.X: string → opaque (time.Time)"},
		"another that writes": {field[time.Time](), field[itself](), "unsafe pkg.one.X: opaque (time.Time) → opaque (saga_test.itself)"},
		"text of its own":     {field[string](), field[word](), "unsafe pkg.one.X: string → string (saga_test.word)"},
		"contains itself":     {field[tree](), field[tree](), ""},
		"not pinned by name":  {field[words](), described[data, doIt](), "pinned : data pkg.one → saga_test.data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			equal(t, "alterations", strings.Join(lines(saga.Diff(c.before, c.after)), "; "), c.want)
		})
	}
}

// A change is told once, at the first place that has it, also in a type that contains itself.
func TestDiffTellsAChangeOnce(t *testing.T) {
	t.Parallel()
	before := field[[2]tree]()
	after := field[[2]tree]()
	for i, typ := range after.Types {
		if typ.Name == "saga_test.tree" {
			after.Types[i].Fields = typ.Fields[1:]
		}
	}
	equal(t, "alterations", lines(saga.Diff(before, after)), []string{"unsafe pkg.one.X[].name: the field was removed (string)"})
}

// What is stored is told before messages, the worst first of all.
func TestDiffTellsTheWorstFirst(t *testing.T) {
	t.Parallel()
	before, after := field[string](), field[int]()
	nodeAt(after.Nodes, "step").Attempts = 9
	nodeAt(after.Nodes, "step").Class = saga.Pivot
	d := saga.Diff(before, after)
	equal(t, "alterations", lines(d), []string{
		"unsafe pkg.one.X: string → number (int)", "pinned step: class compensable → pivot", "free step: attempts 5 → 9",
	})
	equal(t, "impact", d.Impact(), saga.Unsafe)
}

// The first line is the verdict.
func TestDiffTellsTheVerdictFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after saga.Description
		want  string
	}{
		{field[string](), "forms: unchanged\n"},
		{field[any](), "forms: unchanged\n"},
		{field[int](), "forms: unsafe: instances under way would break or lose data\n  unsafe pkg.one.X: string → number (int). "},
		{described[data, doIt](), "forms: pinned: instances under way need the old version registered beside the new one\n  pinned (the definition): data "},
	} {
		if got := saga.Diff(field[string](), c.after).String(); !strings.HasPrefix(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A description that somebody edited may lack what a list is of.
func TestDiffOfWhatIsIncomplete(t *testing.T) {
	t.Parallel()
	d := saga.Description{Data: "d", Types: []saga.TypeDescription{{Name: "d", ValueDescription: saga.ValueDescription{JSON: saga.JSONList}}}}
	whole := saga.Description{Data: "d", Types: []saga.TypeDescription{{Name: "d", ValueDescription: saga.ValueDescription{
		JSON: saga.JSONList, Of: &saga.ValueDescription{JSON: saga.JSONString},
	}}}}
	equal(t, "alterations", lines(saga.Diff(d, whole)), []string{"unsafe d[]: unknown → string"})
	equal(t, "alterations", lines(saga.Diff(d, d)), []string{})
}

func TestPropertyDiffOfTheSameIsEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := saga.MustDefine("random", nodes(scenarios().Draw(t, "scenario").Root)...).Describe()
		if found := saga.Diff(d, throughJSON(t, d)); len(found.Alterations) > 0 || found.Impact() != "" || !found.Compatible() {
			t.Fatal(found)
		}
	})
}

// TestPropertyDiffSeesTheHash: two definitions with different hashes are never compatible, and those with one hash are
// never pinned.
func TestPropertyDiffSeesTheHash(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := saga.MustDefine("random", nodes(scenarios().Draw(t, "before").Root)...).Describe()
		b := saga.MustDefine("random", nodes(scenarios().Draw(t, "after").Root)...).Describe()
		if found := saga.Diff(a, b); (a.Hash == b.Hash) != found.Compatible() {
			t.Fatalf("hashes %s and %s: %v", a.Hash, b.Hash, found)
		}
	})
}

// FuzzDiff: whatever a golden says, comparing it ends and says the same each time.
func FuzzDiff(f *testing.F) {
	for _, d := range []saga.Description{everyKind().Describe(), field[[]tree](), message[map[string]word]()} {
		text, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"name":"n","hash":"h","data":"d","nodes":[{"kind":"step","name":"a","path":"a"},{"kind":"step","name":"a","path":"a"}],` +
		`"types":[{"name":"d","json":"list"},{"name":"e","json":"object","type":"e"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d saga.Description
		if json.Unmarshal(text, &d) != nil {
			return
		}
		known := everyKind().Describe()
		first := saga.Diff(known, d)
		if second := saga.Diff(known, d); !reflect.DeepEqual(first, second) {
			t.Fatalf("%v, then %v", first, second)
		}
		_ = saga.Diff(d, known).String()
	})
}
