package saga_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// Parts of steps that are wrong in one way only.
var (
	do      = saga.Do(func(data) doIt { return doIt{} })
	on      = saga.On(func(*data, done) {})
	failure = saga.OnFailure(func(*data, refused) {})
	undo    = saga.Undo(func(data) undoIt { return undoIt{} })
	undid   = saga.Undone(func(*data, undone) {})
)

func TestEveryFaultOfADefinitionIsNamed(t *testing.T) {
	t.Parallel()
	pivot := func() saga.Node[data] { return bare("pay").Pivot() }
	var none *saga.StepNode[data]
	for fault, nodes := range map[string][]saga.Node[data]{
		`(the definition): has no nodes: add a step`:                                              {},
		`(the definition): node 0 is nil: give it a node, or leave it out`:                        {nil, pivot()},
		`(the definition): node 1 is nil: give it a node, or leave it out`:                        {pivot(), none},
		`(the definition): node 0 is nil: give it a node, or leave it o`:                          {none},
		`stay: node 0 is nil: give it a node, or leave it out`:                                    {saga.Sequence[data]("stay", nil), pivot()},
		`a: part 1 is empty: make it with Do, On or another of the functions for parts, or leave`: {saga.Step("a", do, saga.Part[data]{}, on).NothingToUndo()},
		`approval: part 0 is empty: make it with Do, On or another of the functions for parts`:    {saga.Wait("approval", func(*data, done) {}, saga.Part[data]{}), pivot()},
		`part: has no nodes: add a step`:                                                          {saga.Sequence[data]("part"), pivot()},
		`rooms: has no nodes: add a step`:                                                         {fan("rooms"), pivot()},
		`the name "" is empty: give it one`:                                                       {undoable("")},
		`the name "a/b" holds '/', '[', ']' or a control character: leave them out`:               {undoable("a/b")},
		`the name "a[0]" holds '/', '[', ']' or a control character: leave them out`:              {undoable("a[0]")},
		`the name "a\n" holds '/', '[', ']' or a control character: leave them out`:               {undoable("a\n")},
		`is longer than 64 bytes: shorten it`:                                                     {undoable(strings.Repeat("é", 33))},
		`a: two nodes have this name: rename one`:                                                 {undoable("a"), fan("a", undoable("b"))},
		`a: has no Do: say which command it sends`:                                                {saga.Step("a", on).NothingToUndo()},
		`a: has no On: say which event means success`:                                             {saga.Step("a", do).NothingToUndo()},
		`a: has more than one Do: keep one`:                                                       {saga.Step("a", do, do, on).NothingToUndo()},
		`a: has more than one On: keep one`:                                                       {saga.Step("a", do, on, on).NothingToUndo()},
		`a: has more than one OnFailure: keep one`:                                                {saga.Step("a", do, on, failure, failure).NothingToUndo()},
		`a: has more than one Undo: keep one`:                                                     {saga.Step("a", do, on, undo, undo)},
		`a: has more than one Undone: keep one`:                                                   {saga.Step("a", do, on, undo, undid, undid)},
		`a: Timeout(0s) is not positive`:                                                          {undoable("a").Timeout(0)},
		`a: Attempts(0) is less than 1`:                                                           {undoable("a").Attempts(0)},
		`a: Backoff(2s, 1s): want 0 < base <= limit`:                                              {undoable("a").Backoff(2*time.Second, time.Second)},
		`a: Backoff(0s, 1s): want 0 < base <= limit`:                                              {undoable("a").Backoff(0, time.Second)},
		`rooms: AtMost(-1) is negative: use 0 for no bound`:                                       {fan("rooms", undoable("a")).AtMost(-1)},
		`a: is compensable but comes after the pivot pay: make it Retriable or move it before`:    {pivot(), undoable("a")},
		`rooms/a: is compensable but comes after the pivot pay: make it Retriable or move it be`:  {pivot(), fan("rooms", undoable("a"))},
		`b: is a second pivot after pay: keep one`:                                                {pivot(), bare("b").Pivot()},
		`rooms/a: is a pivot within a fan-out: a saga has one point of no return, put it outside`: {fan("rooms", bare("a").Pivot())},
		`a: is retriable but comes before any pivot: it could not be undone`:                      {bare("a").Retriable(), pivot()},
		`a: has an Undo but is a pivot step: it is never undone, leave it out`:                    {undoable("a").Pivot()},
		`a: has an Undo but is a retriable step: it is never undone, leave it out`:                {pivot(), undoable("a").Retriable()},
		`a: says NothingToUndo but is a pivot step: leave it out`:                                 {bare("a").NothingToUndo().Pivot()},
		`a: is compensable but has no Undo: add one, or say NothingToUndo`:                        {bare("a")},
		`a: has an Undo and says NothingToUndo: keep one`:                                         {undoable("a").NothingToUndo()},
		`a: does and undoes with the same command type saga_test.doIt: use two types`:             {bare("a", saga.Undo(func(data) doIt { return doIt{} }))},
		`a: says how its Undo goes but has none: add the Undo`:                                    {bare("a").NothingToUndo().UndoNeedsReply()},
		`a: declares more than one of Undone, UndoneByFailure and UndoUnacknowledged: keep one`:   {undoable("a").UndoneByFailure().UndoUnacknowledged()},
		`a: says UndoneByFailure but has no OnFailure: add it`:                                    {saga.Step("a", do, on, undo).UndoneByFailure()},
		`a: On takes *saga_test.done: events are plain structs`:                                   {saga.Step("a", do, saga.On(func(*data, *done) {})).NothingToUndo()},
		`a: On and OnFailure both claim the event saga_test.done: use two types`:                  {saga.Step("a", do, on, saga.OnFailure(func(*data, done) {})).NothingToUndo()},
		`a: OnFailure and Undone both claim the event saga_test.refused: use two types`:           {bare("a", undo, saga.Undone(func(*data, refused) {}))},
		`a: sends string: commands are plain structs`:                                             {saga.Step("a", saga.Do(func(data) string { return "" }), on).NothingToUndo()},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			d, err := saga.Define("x", nodes...)
			if !errors.Is(err, saga.ErrInvalid) || d != nil || !strings.Contains(err.Error(), fault) {
				t.Errorf("definition %v, error %v", d, err)
			}
			if n := len(faults(err)); n != 1 {
				t.Errorf("%d faults instead of one: %v", n, err)
			}
		})
	}
}

// faults are the single faults in the error of Define.
func faults(err error) []error {
	type several interface{ Unwrap() []error }
	if both, ok := err.(several); ok {
		if all, ok := both.Unwrap()[1].(several); ok {
			return all.Unwrap()
		}
	}
	return nil
}

func TestFaultsOfNamesAndData(t *testing.T) {
	t.Parallel()
	if _, err := saga.Define("a/b", bare("a").NothingToUndo()); !errors.Is(err, saga.ErrInvalid) || !strings.Contains(err.Error(), `the definition's name "a/b" holds`) {
		t.Errorf("a bad name: %v", err)
	}
	type unstorable struct{ F func() }
	step := saga.Step("a", saga.Do(func(unstorable) doIt { return doIt{} }), saga.On(func(*unstorable, done) {})).NothingToUndo()
	if _, err := saga.Define("x", step); !errors.Is(err, saga.ErrInvalid) || !strings.Contains(err.Error(), "cannot be stored as JSON") {
		t.Errorf("a function in the data: %v", err)
	}
	loose := saga.Step("a", saga.Do(func(any) doIt { return doIt{} }), saga.On(func(*any, done) {})).NothingToUndo()
	if _, err := saga.Define("x", loose); !errors.Is(err, saga.ErrInvalid) || !strings.Contains(err.Error(), "use a struct") {
		t.Errorf("an interface as data: %v", err)
	}
}

// All faults are reported at once, each with the path of its node.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := saga.Define("",
		bare("early").Retriable(),
		saga.Sequence("part", bare("a").Attempts(0), bare("a").NothingToUndo().Timeout(-1)),
		bare("pay").Pivot(),
		fan("rooms", undoable("book"), bare("again").Pivot()).AtMost(-2),
	)
	want := []string{
		"saga: invalid definition", "the definition's name", "early: is retriable", "part/a: Attempts(0)", "part/a: is compensable but has no Undo",
		"part/a: two nodes have this name", "part/a: Timeout(-1ns)", "rooms: AtMost(-2)", "rooms/book: is compensable but comes after", "rooms/again: is a second pivot",
	}
	for _, fault := range want {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q is not reported in: %v", fault, err)
		}
	}
}

func TestMustDefinePanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, saga.ErrInvalid) {
			t.Errorf("recovered %v", err)
		}
	}()
	saga.MustDefine[data]("x")
}

// An instance is pinned to its definition's structure; what an instance under way does not depend on may change.
func TestHash(t *testing.T) {
	t.Parallel()
	define := func(name string, nodes ...saga.Node[data]) string {
		d, err := saga.Define(name, nodes...)
		if err != nil {
			t.Fatal(err)
		}
		return d.Hash()
	}
	base := define("trip", undoable("a"), bare("b").Pivot())
	equal(t, "hash", base, define("trip", undoable("a").Timeout(time.Hour).Attempts(9).Backoff(1, 2), bare("b").Pivot()))
	equal(t, "digits", len(base), 32)
	for what, other := range map[string]string{
		"name":       define("trips", undoable("a"), bare("b").Pivot()),
		"node name":  define("trip", undoable("c"), bare("b").Pivot()),
		"order":      define("trip", bare("b").NothingToUndo(), undoable("a")),
		"class":      define("trip", undoable("a"), bare("b").NothingToUndo()),
		"policy":     define("trip", undoable("a").UndoNeedsReply(), bare("b").Pivot()),
		"kind":       define("trip", saga.Sequence("a", undoable("a")), bare("b").Pivot()),
		"event type": define("trip", undoable("a", undid), bare("b").Pivot()),
		"more nodes": define("trip", undoable("a"), bare("b").Pivot(), bare("c").Retriable()),
	} {
		if other == base {
			t.Errorf("another %s has the same hash", what)
		}
	}
}

func TestCommandsAndEvents(t *testing.T) {
	t.Parallel()
	d := saga.MustDefine("trip", undoable("a", undid), fan("rooms", undoable("b")), bare("c").Pivot())
	equal(t, "commands", d.Commands(), []any{doIt{}, undoIt{}})
	equal(t, "events", d.Events(), []any{done{}, refused{}, undone{}})
	equal(t, "name", d.Name(), "trip")
}

// A definition is immutable: its nodes may be used in others, and changed afterwards.
func TestNodesMayBeShared(t *testing.T) {
	t.Parallel()
	shared := undoable("shared")
	rooms := fan("rooms", undoable("book"), shared)
	one := drive(t, undoable("a"), undoable("b"), saga.Sequence("part", shared), rooms)
	two := drive(t, shared, rooms)
	shared.Attempts(0).Timeout(time.Nanosecond)
	rooms.AtMost(-1)
	one.start(items(1, "rooms"))
	one.ok("a")
	one.want(one.ok("b"), "do part/shared")
	one.want(one.ok("part/shared"), "do rooms[0]/book")
	one.want(one.ok("rooms[0]/book"), "do rooms[0]/shared")
	two.want(two.start(data{}), "do shared")
	two.want(two.pass(time.Second), "")
	two.ok("shared")
	two.is(saga.Completed)
}

// Data that is not of the definition's type is reported as such and changes nothing.
func TestUnusableData(t *testing.T) {
	t.Parallel()
	d := drive(t, chain()...)
	d.start(data{})
	r := d.records[""]
	r.Data = []byte(`{"Refs": 7}`)
	d.records[""] = r
	d.fails(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}, saga.ErrData)
	type nan struct{ F float64 }
	bad := saga.MustDefine("nan", saga.Step("a", saga.Do(func(nan) doIt { return doIt{} }), saga.On(func(n *nan, _ done) { n.F /= n.F })).NothingToUndo())
	w := &driver{t, newWorld(bad)}
	w.do(saga.Start{ID: "s1", Data: nan{}})
	w.fails(saga.Reply{Node: "a", Direction: saga.DoDirection, Event: done{}}, saga.ErrData)
	var input saga.Input
	w.fails(input, saga.ErrNotAllowed)
}
