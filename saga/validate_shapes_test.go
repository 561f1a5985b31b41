package saga_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

func TestEveryFaultOfAShapeIsNamed(t *testing.T) {
	t.Parallel()
	pivot := func() saga.Node[data] { return bare("pay").Pivot() }
	a := func() saga.Node[data] { return undoable("a") }
	start := saga.StartOn(func(done) (string, data) { return "", data{} })
	event := saga.KeyOf(func(done) string { return "" })
	nodKey := saga.KeyOf(func(nod) string { return "" })
	of := func(data) string { return "" }
	plain := func(parts ...saga.Part[data]) saga.Node[data] {
		return saga.Step("a", append([]saga.Part[data]{do, on}, parts...)...).NothingToUndo()
	}
	var (
		noParallel *saga.ParallelNode[data]
		noIf       *saga.IfNode[data]
		noWait     *saga.WaitNode[data]
		noSleep    *saga.SleepNode[data]
		noFan      *saga.ForEachNode[data]
	)
	for _, test := range []struct {
		fault string
		nodes []saga.Node[data]
	}{
		{`all: has no nodes: add a step`, []saga.Node[data]{saga.Parallel[data]("all")}},
		{`all: node 1 is nil`, []saga.Node[data]{saga.Parallel("all", a(), nil)}},
		{`all: node 0 is nil`, []saga.Node[data]{saga.Parallel[data]("all", noParallel, a())}},
		{`all: node 0 is nil`, []saga.Node[data]{saga.Parallel[data]("all", noIf, a())}},
		{`all: node 0 is nil`, []saga.Node[data]{saga.Parallel[data]("all", noWait, a())}},
		{`all: node 0 is nil`, []saga.Node[data]{saga.Parallel[data]("all", noSleep, a())}},
		{`all: node 0 is nil`, []saga.Node[data]{saga.Parallel[data]("all", noFan, a())}},
		{`all/a: two nodes have this name: rename one`, []saga.Node[data]{saga.Parallel("all", a(), a())}},
		{`all/a/b: the name "a/b" holds`, []saga.Node[data]{saga.Parallel("all", undoable("a/b"))}},
		{`all/pay: is a pivot within a parallel: a saga has one point of no return, put it outside`, []saga.Node[data]{saga.Parallel("all", pivot())}},
		{`all/b/pay: is a pivot within a parallel`, []saga.Node[data]{saga.Parallel("all", branch("b", a(), pivot()))}},
		{`i/then/pay: is a pivot within an If: a saga has one point of no return, put it outside`, []saga.Node[data]{choice("i", pivot())}},
		{`i/else/pay: is a pivot within an If`, []saga.Node[data]{choice("i", a()).Else(pivot())}},
		{`rooms/all/pay: is a pivot within a parallel`, []saga.Node[data]{fan("rooms", saga.Parallel("all", pivot()))}},
		{`all/rooms/pay: is a pivot within a fan-out`, []saga.Node[data]{saga.Parallel("all", fan("rooms", pivot()))}},
		{`all/a: is compensable but comes after the pivot pay`, []saga.Node[data]{pivot(), saga.Parallel("all", a())}},
		{`i/else/a: is compensable but comes after the pivot pay`, []saga.Node[data]{pivot(), choice("i", bare("b").Retriable()).Else(a())}},
		{`all/a: is retriable but comes before any pivot`, []saga.Node[data]{saga.Parallel("all", bare("a").Retriable())}},

		{`i: has no condition: give it a function`, []saga.Node[data]{saga.If("i", nil, a())}},
		{`i/then: has no nodes: add a step`, []saga.Node[data]{choice("i")}},
		{`i/then: has no nodes: add a step`, []saga.Node[data]{choice("i").Else(a())}},
		{`i/then: node 0 is nil`, []saga.Node[data]{choice("i", nil, a())}},
		{`i/else: node 1 is nil`, []saga.Node[data]{choice("i", a()).Else(a(), nil)}},
		{`i/else/a: two nodes have this name: rename one`, []saga.Node[data]{choice("i", a()).Else(a(), a())}},

		{`w: has no function for its signal: give it one`, []saga.Node[data]{saga.Wait[data, nod]("w", nil)}},
		{`w: waits for string: signals are plain structs`, []saga.Node[data]{saga.Wait("w", func(*data, string) {})}},
		{`w: waits for *saga_test.nod: signals are plain structs`, []saga.Node[data]{saga.Wait("w", func(*data, *nod) {})}},
		{`w: Deadline(-1s) is negative: use 0 to wait for ever`, []saga.Node[data]{wait("w").Deadline(-time.Second)}},
		{`w: has an OnDeadline but no Deadline: add one`, []saga.Node[data]{wait("w").OnDeadline(func(*data) {})}},
		{`w: has an OnDeadline without a function: give it one`, []saga.Node[data]{wait("w").Deadline(time.Second).OnDeadline(nil)}},
		{`w: has the part Do: only steps have it`, []saga.Node[data]{wait("w", do)}},
		{`w: has the part On: only steps have it`, []saga.Node[data]{wait("w", on)}},
		{`w: has the part Undone: only steps have it`, []saga.Node[data]{wait("w", undid)}},
		{`s: has no function for its duration: give it one`, []saga.Node[data]{saga.Sleep[data]("s", nil)}},
		{`rooms: has no function that finds its items: give it one`, []saga.Node[data]{saga.ForEach[data, data]("rooms", nil, a())}},
		{`rooms: Tolerate(-1) is negative: use 0 to tolerate no failure`, []saga.Node[data]{fan("rooms", a()).Tolerate(-1)}},
		{
			`rooms: tolerates failures but comes after the pivot pay: nothing fails there, leave it out`,
			[]saga.Node[data]{pivot(), fan("rooms", bare("b").Retriable()).Tolerate(1)},
		},

		{`a: its Do has no function: give it one`, []saga.Node[data]{saga.Step("a", saga.Do[data, doIt](nil), on).NothingToUndo()}},
		{`a: its On has no function: give it one`, []saga.Node[data]{saga.Step("a", do, saga.On[data, done](nil)).NothingToUndo()}},
		{`a: its OnFailure has no function: give it one`, []saga.Node[data]{plain(saga.OnFailure[data, refused](nil))}},
		{`a: its Undo has no function: give it one`, []saga.Node[data]{saga.Step("a", do, on, saga.Undo[data, undoIt](nil))}},
		{`a: its Undone has no function: give it one`, []saga.Node[data]{saga.Step("a", do, on, undo, saga.Undone[data, undone](nil))}},

		{`a: has a Matching without a function: give it one`, []saga.Node[data]{plain(saga.Matching[data](nil, event))}},
		{`a: has more than one Matching: keep one`, []saga.Node[data]{plain(saga.Matching(of, event), saga.Matching(of, event))}},
		{`a: its Matching has no KeyOf for the event saga_test.done: add it`, []saga.Node[data]{plain(saga.Matching(of))}},
		{`a: its Matching has no KeyOf for the event saga_test.refused: add it`, []saga.Node[data]{plain(failure, saga.Matching(of, event))}},
		{`a: its Matching has a KeyOf without a function for saga_test.done: give it one`, []saga.Node[data]{plain(saga.Matching(of, saga.KeyOf[done](nil)))}},
		{`a: its Matching has a KeyOf for saga_test.nod, which is none of its events: leave it out`, []saga.Node[data]{plain(saga.Matching(of, event, nodKey))}},
		{
			`a: is matched by payload but its undo is acknowledged by headers only: say Undone, UndoneByFailure or UndoUnacknowledged`,
			[]saga.Node[data]{saga.Step("a", do, on, undo, saga.Matching(of, event))},
		},
		{
			`all/y/w: claims the event saga_test.nod by its payload, as all/w does, which is under way at the same time: use two types`,
			[]saga.Node[data]{saga.Parallel("all", wait("w", saga.Matching(of, nodKey)), branch("y", wait("w", saga.Matching(of, nodKey))))},
		},
		{
			`all/rooms/w: claims the event saga_test.nod by its payload, as all/w does, which is under way at the same time: use two types`,
			[]saga.Node[data]{saga.Parallel("all", wait("w", saga.Matching(of, nodKey)), fan("rooms", wait("w", saga.Matching(of, nodKey))))},
		},
		{`w: its Matching has no KeyOf for the event saga_test.nod: add it`, []saga.Node[data]{wait("w", saga.Matching(of))}},

		{`(the definition): has a StartOn without a function: give it one`, []saga.Node[data]{a(), saga.StartOn[data, done](nil)}},
		{`(the definition): starts on string: events are plain structs`, []saga.Node[data]{a(), saga.StartOn(func(string) (string, data) { return "", data{} })}},
		{`(the definition): has no nodes: add a step`, []saga.Node[data]{start}},
		{`(the definition): starts twice on saga_test.done: keep one`, []saga.Node[data]{a(), start, start}},
		{`part: has a StartOn: only a definition as a whole is started, put it at the top`, []saga.Node[data]{saga.Sequence("part", a(), start)}},
		{`all: has a StartOn: only a definition as a whole is started, put it at the top`, []saga.Node[data]{saga.Parallel("all", a(), start)}},
		{`i/then: has a StartOn: only a definition as a whole is started, put it at the top`, []saga.Node[data]{choice("i", a(), start)}},
		{`rooms: has a StartOn: only a definition as a whole is started, put it at the top`, []saga.Node[data]{fan("rooms", a(), start)}},
	} {
		t.Run(test.fault, func(t *testing.T) {
			t.Parallel()
			d, err := saga.Define("x", test.nodes...)
			if !errors.Is(err, saga.ErrInvalid) || d != nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("definition %v, error %v", d, err)
			}
			if n := len(faults(err)); n != 1 {
				t.Errorf("%d faults instead of one: %v", n, err)
			}
		})
	}
}

// What is right is not a fault: an Else without nodes, a wait at the end, a pivot after shapes, names that repeat in different branches.
func TestShapesThatAreRight(t *testing.T) {
	t.Parallel()
	keyed := saga.Matching(func(data) string { return "" }, saga.KeyOf(func(nod) string { return "" }))
	for name, nodes := range map[string][]saga.Node[data]{
		"an Else without nodes": {choice("i", undoable("a")).Else()},
		"a wait alone":          {wait("w")},
		"a sleep alone":         {sleep("s", 0)},
		"one branch":            {saga.Parallel("all", undoable("a"))},
		"names in branches":     {saga.Parallel("all", branch("x", undoable("a")), branch("y", undoable("a"))), undoable("a")},
		"names in an If":        {choice("i", undoable("a")).Else(undoable("a"))},
		"a pivot after shapes":  {saga.Parallel("all", fan("rooms", wait("w")).Tolerate(1)), choice("i", undoable("a")), saga.Sequence("end", bare("pay").Pivot())},
		"shapes after a pivot":  {bare("pay").Pivot(), saga.Parallel("all", bare("a").Retriable(), fan("rooms", bare("a").Retriable())), wait("w"), choice("i", bare("a").Retriable())},
		"one event in two waits, one after the other": {
			saga.Parallel("all", branch("x", wait("v", keyed), wait("w", keyed)), wait("w"), undoable("a")),
		},
		"matching an unacknowledged undo": {
			saga.Step("a", do, on, undo, saga.Matching(func(data) string { return "" }, saga.KeyOf(func(done) string { return "" }))).UndoUnacknowledged(),
		},
	} {
		if _, err := saga.Define("x", nodes...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The hash tells shapes apart, and leaves alone what an instance under way does not depend on.
func TestHashOfShapes(t *testing.T) {
	t.Parallel()
	hash := func(nodes ...saga.Node[data]) string {
		t.Helper()
		d, err := saga.Define("trip", nodes...)
		if err != nil {
			t.Fatal(err)
		}
		return d.Hash()
	}
	a, b := undoable("a"), undoable("b")
	seen := map[string]string{}
	for name, h := range map[string]string{
		"sequence":     hash(saga.Sequence("x", a, b)),
		"parallel":     hash(saga.Parallel("x", a, b)),
		"other order":  hash(saga.Parallel("x", b, a)),
		"fan-out":      hash(fan("x", a, b)),
		"if":           hash(choice("x", a, b)),
		"if else":      hash(choice("x", a).Else(b)),
		"wait":         hash(wait("x"), a, b),
		"other signal": hash(saga.Wait("x", func(*data, done) {}), a, b),
		"sleep":        hash(sleep("x", time.Second), a, b),
	} {
		if other, taken := seen[h]; taken {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
	equal(t, "deadline", hash(wait("x").Deadline(time.Hour).OnDeadline(func(*data) {}), a), hash(wait("x"), a))
	equal(t, "duration", hash(sleep("x", time.Hour), a), hash(sleep("x", 0), a))
	equal(t, "bounds", hash(fan("x", a).AtMost(3).Tolerate(2)), hash(fan("x", a)))
	equal(t, "service", hash(undoable("a").Service("air")), hash(a))
	equal(t, "start", hash(a, saga.StartOn(func(done) (string, data) { return "", data{} })), hash(a))
}
