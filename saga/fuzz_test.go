package saga

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzSplitPath: any path divides into a record and a local path that make the path again, and a record's key is
// written in one way only: what is not written so belongs to no record.
func FuzzSplitPath(f *testing.F) {
	for _, path := range []string{"", "a", "a/b", "a[0]", "a[0]/b", "a[1]/b[22]/c", "a[01]/b", "a[+1]/b", "a[1]b", "a[1]/", "]", "[", "[]/a", "a[9999999999999999999]/b"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		record, local := splitPath(path)
		if joined := joinPath(record, local); joined != path {
			t.Fatalf("%q became %q and %q, that is %q", path, record, local, joined)
		}
		if fan, i, ok := splitItem(record); ok && itemKey(fan, i) != record {
			t.Fatalf("%q is item %d of %q, that is %q", record, i, fan, itemKey(fan, i))
		}
	})
}

// FuzzCompareItems: the order of keys is total, and that of items of one fan-out that of their numbers.
func FuzzCompareItems(f *testing.F) {
	f.Add("a", "a", uint16(9), uint16(10))
	f.Add("a[1]/b", "a[2]/b", uint16(0), uint16(0))
	f.Fuzz(func(t *testing.T, fanA, fanB string, i, j uint16) {
		a, b := itemKey(fanA, int(i)), itemKey(fanB, int(j))
		ab, ba := compareItems(a, b), compareItems(b, a)
		if (ab < 0) != (ba > 0) || (ab == 0) != (ba == 0) {
			t.Fatalf("%q and %q compare %d and %d", a, b, ab, ba)
		}
		plain := !strings.ContainsAny(fanA, "[]")
		if plain && fanA == fanB && (ab < 0) != (i < j) {
			t.Fatalf("%q and %q compare %d", a, b, ab)
		}
	})
}

// FuzzMessageID: ids are well-formed for any text and differ where what they stand for does.
func FuzzMessageID(f *testing.F) {
	f.Add("s1", "rooms[3]/book", true, 0, "s1", "rooms[3]/book", false, 0)
	f.Fuzz(func(t *testing.T, idA, pathA string, doA bool, epochA int, idB, pathB string, doB bool, epochB int) {
		if strings.Contains(idA+pathA+idB+pathB, "\x00") {
			t.Skip("neither ids nor paths hold it")
		}
		direction := map[bool]Direction{true: DoDirection, false: UndoDirection}
		a, b := MessageID(ID(idA), pathA, direction[doA], epochA), MessageID(ID(idB), pathB, direction[doB], epochB)
		if len(a) != 36 || a[14] != '5' {
			t.Fatalf("%q is no version 5 UUID", a)
		}
		if same := idA == idB && pathA == pathB && doA == doB && epochA == epochB; same != (a == b) {
			t.Fatalf("same %t, ids %s and %s", same, a, b)
		}
	})
}

// FuzzNodeState: what a store keeps of a node is read back as it was, and short where little happened.
func FuzzNodeState(f *testing.F) {
	f.Add(`{}`)
	f.Add(`{"p":"doing","a":2,"e":1,"d":1767323045000,"g":true,"s":true,"r":"full","u":true,"l":true,"f":{"t":3,"c":2,"n":1,"a":1,"w":1,"x":1,"b":1,"ba":1}}`)
	f.Add(`{"p":"waiting","d":1767323045000,"k":2,"m":"e30=","w":true}`)
	f.Add(`{"y":[{"e":1,"m":"e30="},{"f":true,"r":"full"}]}`)
	f.Fuzz(func(t *testing.T, stored string) {
		var st, again NodeState
		if json.Unmarshal([]byte(stored), &st) != nil {
			t.Skip("not a node's state")
		}
		b, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &again); err != nil || !reflect.DeepEqual(st, again) {
			t.Fatalf("%s became %s: %v", stored, b, err)
		}
		if reflect.DeepEqual(st, NodeState{}) && string(b) != "{}" {
			t.Fatalf("an idle node takes %s", b)
		}
	})
}

// fuzzed is a definition of every shape, with an instance in the middle of it.
func fuzzed(f *testing.F) (Any, State) {
	f.Helper()
	type item struct{ N int }
	type command struct{ N int }
	type compensation struct{ N int }
	step := func(name string) *StepNode[item] {
		return Step(name, Do(func(item) command { return command{} }), On(func(*item, fuzzEvent) {}), Undo(func(item) compensation { return compensation{} }))
	}
	nod := func(name string, parts ...Part[item]) *WaitNode[item] {
		return Wait(name, func(*item, fuzzEvent) {}, parts...)
	}
	matched := Matching(func(item) string { return "k" }, KeyOf(func(fuzzEvent) string { return "k" }))
	def := MustDefine("fuzz",
		Parallel("p",
			ForEach("a", func(item) []item { return make([]item, 12) }, step("b"), nod("w", matched), Sleep("s", func(item) time.Duration { return 1 })).Tolerate(2).AtMost(11),
			If("i", func(item) bool { return true }, nod("w").Deadline(time.Hour))),
		Step("c", Do(func(item) command { return command{} }), On(func(*item, fuzzEvent) {})).Pivot())
	start, _, err := Decide(def, State{}, Start{ID: "s", Data: item{}}, time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	return def, start
}

type fuzzEvent struct{ N int }

// FuzzDecide: no input from outside makes Decide panic, or ask for a record that does not exist, or change anything as it fails.
func FuzzDecide(f *testing.F) {
	def, start := fuzzed(f)
	for _, path := range []string{"", "p", "p/a", "c", "p/a[0]/b", "p/a[11]/b", "p/a[12]/b", "p/a[-0]/b", "p/a[00]/w", "p/a[0]b", "p/a[0]/b[0]/c", "p/a[0]/w", "p/i", "p/i/then/w"} {
		f.Add(path, "do", "success", 0, "retry", "")
		f.Add(path, "undo", "failure", 1, "skip", "{}")
		f.Add(path, "signal", "nothing", -1, "edit", `{"N": 7}`)
	}
	f.Fuzz(func(t *testing.T, path, direction, outcome string, epoch int, action, data string) {
		for _, in := range []Input{
			Reply{Node: path, Direction: Direction(direction), Epoch: epoch, Outcome: Outcome(outcome), Event: fuzzEvent{}},
			Signal{Node: path, Event: fuzzEvent{}},
			Tick{Record: path},
			Act{ID: "1", Action: Action(action), Node: path, Data: data, By: "b", Why: "w"},
		} {
			for _, in := range []Input{in, Hold{Input: in}} {
				next, _, err := Decide(def, start, in, time.Unix(1e6, 0))
				if _, asks := err.(*NeedError); asks { //nolint:errorlint // it is never wrapped
					t.Fatalf("%#v: every record is there: %v", in, err)
				}
				if err != nil && !reflect.DeepEqual(next, start) {
					t.Fatalf("%#v: error %v with a changed state", in, err)
				}
			}
		}
		Accepts(def, path, Direction(direction), fuzzEvent{})
	})
}
