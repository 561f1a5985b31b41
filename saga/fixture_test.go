package saga_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// data is the data of every scope in these tests: items are of the same type as what contains them, so that a tree of
// any shape can be built at run time. Refs is what replies and signals brought, by node, and Yes which conditions hold.
type data struct {
	Refs  map[string]string `json:",omitempty"`
	Items map[string][]data `json:",omitempty"`
	Yes   map[string]bool   `json:",omitempty"`
}

// The messages of every step; replies are correlated by header, so that steps may share their types.
type (
	doIt     struct{ Step string }
	undoIt   struct{ Step, Ref string }
	done     struct{ Ref string }
	refused  struct{ Why string }
	undone   struct{}
	rejected struct{ Why string } // the answer to an undo that failed; no step declares it
)

func (r refused) FailureReason() string  { return r.Why }
func (r rejected) FailureReason() string { return r.Why }

// take is the On function of the step with the name.
func take(name string) func(*data, done) {
	return func(d *data, e done) { d.note(name, e.Ref) }
}

// bare is a step without an undo.
func bare(name string, parts ...saga.Part[data]) *saga.StepNode[data] {
	return saga.Step(name, append([]saga.Part[data]{
		saga.Do(func(data) doIt { return doIt{Step: name} }),
		saga.On(take(name)),
		saga.OnFailure(func(*data, refused) {}),
	}, parts...)...)
}

// undoable is a step with an undo.
func undoable(name string, parts ...saga.Part[data]) *saga.StepNode[data] {
	return bare(name, append(parts, saga.Undo(func(d data) undoIt { return undoIt{Step: name, Ref: d.Refs[name]} }))...)
}

// fan is a fan-out over the items that the data has under its name.
func fan(name string, nodes ...saga.Node[data]) *saga.ForEachNode[data] {
	return saga.ForEach(name, func(d data) []data { return d.Items[name] }, nodes...)
}

// items is data with n items for each of the named fan-outs.
func items(n int, fans ...string) data {
	d := data{Items: map[string][]data{}}
	for _, f := range fans {
		d.Items[f] = make([]data, n)
	}
	return d
}

// at is the path of a step of an item.
func at(fan string, i int, step string) string { return fmt.Sprintf("%s[%d]/%s", fan, i, step) }

// decider is [saga.Decide], or a version of it with a mistake.
type decider func(saga.Any, saga.State, saga.Input, time.Time) (saga.State, []saga.Effect, error)

// world keeps one instance as a store would, record by record, and decides each input with no more records than
// Decide asked for. It checks what must hold for every transition whatever.
type world struct {
	def     saga.Any
	decide  decider
	now     time.Time
	header  saga.State // without records
	records map[string]saga.Record
	loaded  int  // records that the last transition needed besides the root's nodes
	changed int  // records that it wrote
	once    bool // decide once, without the comparisons, which take their time with thousands of items
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newWorld(def saga.Any) *world {
	return &world{def: def, decide: saga.Decide, now: epoch, records: map[string]saga.Record{}}
}

// load reads the header with the root record, and of the other records and the root's data what was asked for.
func (w *world) load(keys []string) saga.State {
	s := w.header
	s.Root = w.records[""]
	s.Root.Data = nil
	for _, key := range keys {
		r, ok := w.records[key]
		switch {
		case key == "":
			s.Root.Data = r.Data
		case ok:
			if s.Items == nil {
				s.Items = map[string]saga.Record{}
			}
			s.Items[key] = r
		}
	}
	return s
}

// whole is the instance with all its records.
func (w *world) whole() saga.State {
	keys := make([]string, 0, len(w.records))
	for key := range w.records {
		keys = append(keys, key)
	}
	return w.load(keys)
}

// apply takes the input through the NeedError protocol and stores what changed.
func (w *world) apply(in saga.Input) ([]saga.Effect, error) {
	var keys []string
	asked := map[string]bool{}
	for {
		s := w.load(keys)
		next, effects, err := w.decideTwice(s, in)
		var need *saga.NeedError
		if !errors.As(err, &need) {
			return effects, errors.Join(err, w.save(s, next, effects, len(keys)))
		}
		if len(need.Keys) == 0 {
			return nil, errors.New("NeedError without keys: the loop would not end")
		}
		for _, key := range need.Keys {
			if _, exists := w.records[key]; !exists || asked[key] {
				return nil, fmt.Errorf("NeedError asks for %q, which does not exist or was given", key)
			}
			asked[key] = true
			keys = append(keys, key)
		}
	}
}

// decideTwice decides and checks that Decide is a function of its arguments and leaves them alone (I38).
func (w *world) decideTwice(s saga.State, in saga.Input) (saga.State, []saga.Effect, error) {
	if w.once || len(w.records) > 60 && w.header.Version%8 > 0 { // with many items, now and then is enough
		return w.decide(w.def, s, in, w.now)
	}
	before := asJSON(s)
	next, effects, err := w.decide(w.def, s, in, w.now)
	again, effectsAgain, errAgain := w.decide(w.def, s, in, w.now)
	switch {
	case asJSON(s) != before:
		return s, nil, fmt.Errorf("I38: Decide modified its argument on %T", in)
	case !reflect.DeepEqual(next, again) || !reflect.DeepEqual(effects, effectsAgain) || fmt.Sprint(err) != fmt.Sprint(errAgain):
		return s, nil, fmt.Errorf("I38: Decide gave two answers to the same %T", in)
	case err != nil && (!reflect.DeepEqual(next, s) || effects != nil):
		return s, nil, fmt.Errorf("an error came with a changed state or effects: %w", err)
	}
	return next, effects, err
}

// save writes the header and the changed records.
func (w *world) save(before, after saga.State, effects []saga.Effect, loaded int) error {
	w.loaded, w.changed = loaded, 0
	if after.Version == before.Version {
		if !w.once && !reflect.DeepEqual(before, after) || len(effects) > 0 {
			return errors.New("I23: a change without a new version")
		}
		return nil
	}
	if after.Version != before.Version+1 {
		return fmt.Errorf("I23: version %d follows %d", after.Version, before.Version)
	}
	for _, r := range saga.Changed(before, after) {
		if r.Data == nil {
			r.Data = w.records[r.Key].Data
		}
		w.records[r.Key] = r
		w.changed++
	}
	w.header = after
	w.header.Root, w.header.Items = saga.Record{}, nil
	return errors.Join(w.stuckAddUp(), w.countsAddUp())
}

// stuckAddUp checks the header's count against the records.
func (w *world) stuckAddUp() error {
	if w.header.Status.Terminal() || len(w.records) > 500 {
		return nil
	}
	stuck := 0
	for _, r := range w.records {
		for _, n := range r.Nodes {
			if n.Stuck {
				stuck++
			}
		}
	}
	if stuck != w.header.Stuck || (stuck > 0) != (w.header.Status == saga.Parked && !w.header.Orphaned) {
		return fmt.Errorf("R6: %d nodes are stuck, the %s instance counts %d", stuck, w.header.Status, w.header.Stuck)
	}
	return nil
}

// due returns the keys of the records whose time has come, and the earliest time after.
func (w *world) due() (keys []string, next time.Time) {
	for key, r := range w.records {
		switch {
		case r.Wake.IsZero() || w.header.Status.Terminal():
		case !r.Wake.After(w.now):
			keys = append(keys, key)
		case next.IsZero() || r.Wake.Before(next):
			next = r.Wake
		}
	}
	slices.Sort(keys)
	return keys, next
}

func (w *world) node(path string) saga.NodeState {
	record := path[:strings.LastIndexByte(path, ']')+1]
	for _, v := range saga.View(w.def, w.load([]string{record})) {
		if v.Path == path {
			return v.State
		}
	}
	return saga.NodeState{Phase: "no such node"}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// tagged gives the effects' types to asJSON.
func tagged(effects []saga.Effect) []any {
	var all []any
	for _, e := range effects {
		all = append(all, fmt.Sprintf("%T", e), e)
	}
	return all
}

// driver drives a world in a test, where an error is the end.
type driver struct {
	testing.TB
	*world
}

func drive(tb testing.TB, nodes ...saga.Node[data]) *driver {
	tb.Helper()
	def, err := saga.Define("trip", nodes...)
	if err != nil {
		tb.Fatal(err)
	}
	return &driver{tb, newWorld(def)}
}

// do applies the input and returns what was sent, such as "do flight", with the epoch and the attempt where they are
// not the first: "do flight e1 a2".
func (d *driver) do(in saga.Input) []string {
	d.Helper()
	effects, err := d.apply(in)
	if err != nil {
		d.Fatalf("%#v: %v", in, err)
	}
	return sends(effects)
}

func sends(effects []saga.Effect) []string {
	sent := []string{}
	for _, e := range effects {
		if s, ok := e.(saga.Send); ok {
			sent = append(sent, sendText(s))
		}
	}
	return sent
}

func sendText(s saga.Send) string {
	text := string(s.Direction) + " " + s.Node
	if s.Epoch > 0 {
		text += fmt.Sprintf(" e%d", s.Epoch)
	}
	if s.Attempt > 1 {
		text += fmt.Sprintf(" a%d", s.Attempt)
	}
	return text
}

func (d *driver) start(root data) []string {
	d.Helper()
	return d.do(saga.Start{ID: "s1", Key: "k1", Data: root})
}

// ok, no, undone and undoFailed are replies to the present command of the node.
func (d *driver) ok(node string) []string {
	d.Helper()
	return d.do(saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: d.node(node).Epoch, Outcome: saga.Success, Event: done{Ref: "ref-" + node}})
}

func (d *driver) no(node string) []string {
	d.Helper()
	return d.do(refusal(node, d.node(node).Epoch))
}

func refusal(node string, epoch int) saga.Reply {
	return saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: epoch, Outcome: saga.Failure, Event: refused{Why: "full"}}
}

func (d *driver) undone(node string) []string {
	d.Helper()
	return d.do(saga.Reply{Node: node, Direction: saga.UndoDirection, Epoch: d.node(node).Epoch, Outcome: saga.Success, Event: undone{}})
}

func (d *driver) undoFailed(node string) []string {
	d.Helper()
	return d.do(saga.Reply{
		Node: node, Direction: saga.UndoDirection, Epoch: d.node(node).Epoch, Outcome: saga.Failure, Event: rejected{Why: "closed"},
	})
}

// pass lets the time go by and ticks what is due, as often as anything is.
func (d *driver) pass(wait time.Duration) []string {
	d.Helper()
	sent := []string{}
	end := d.now.Add(wait)
	for {
		keys, next := d.due()
		for _, key := range keys {
			sent = append(sent, d.do(saga.Tick{Record: key})...)
		}
		switch {
		case len(keys) > 0:
		case next.IsZero() || next.After(end):
			d.now = end
			return sent
		default:
			d.now = next
		}
	}
}

var operatorActs = map[saga.Action]string{saga.Retry: "try again", saga.Skip: "done by hand", saga.Force: "given up", saga.Cancel: "customer called"}

func (d *driver) act(action saga.Action, node string) []string {
	d.Helper()
	id := fmt.Sprintf("act-%d", d.header.Version)
	return d.do(saga.Act{ID: id, Action: action, Node: node, By: "ana", Why: operatorActs[action]})
}

// want fails the test unless the sends are those of the list, separated by ", ".
func (d *driver) want(got []string, list string) {
	d.Helper()
	if text := strings.Join(got, ", "); text != list {
		d.Fatalf("sent %q, want %q", text, list)
	}
}

func (d *driver) is(status saga.Status) {
	d.Helper()
	if d.header.Status != status {
		d.Fatalf("the instance is %s (%s), want %s", d.header.Status, d.header.Reason, status)
	}
}

func (d *driver) phase(node string, phase saga.Phase) {
	d.Helper()
	if got := d.node(node).Phase; got != phase {
		d.Fatalf("%s is %q, want %q", node, got, phase)
	}
}

// same fails the test if the input changes anything.
func (d *driver) same(in saga.Input) {
	d.Helper()
	version := d.header.Version
	effects, err := d.apply(in)
	if err != nil || len(effects) > 0 || d.header.Version != version {
		d.Fatalf("%#v: changed something: version %d → %d, effects %v, error %v", in, version, d.header.Version, effects, err)
	}
}

// fails returns the error that the input gives and fails the test if it is not the sentinel.
func (d *driver) fails(in saga.Input, sentinel error) error {
	d.Helper()
	version := d.header.Version
	effects, err := d.apply(in)
	if !errors.Is(err, sentinel) || len(effects) > 0 || d.header.Version != version {
		d.Fatalf("%#v: error %v, want %v and no change", in, err, sentinel)
	}
	return err
}

// equal fails the test unless got equals want.
func equal(tb testing.TB, what string, got, want any) {
	tb.Helper()
	if !reflect.DeepEqual(got, want) {
		tb.Fatalf("%s: %v, want %v", what, got, want)
	}
}
