package saga

import (
	"bytes"
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// NodeView is one node of an instance as people see it.
type NodeView struct {
	// Path is the node's path, with the item's number.
	Path string
	Kind Kind
	// Class is the step's; empty for every other kind.
	Class Class
	State NodeState
}

// View returns the nodes of the loaded records, without sequences: the root's in the order of the definition, then
// those of each item in the order of their numbers.
func View(def Any, s State) []NodeView {
	root := def.root()
	views := viewRecord(root, s.Root)
	for _, key := range sortedKeys(s.Items) {
		if inner := scopeOf(root, key); inner != nil {
			views = append(views, viewRecord(inner, s.Items[key])...)
		}
	}
	return views
}

func viewRecord(sc *scope, r Record) []NodeView {
	var views []NodeView
	for _, n := range sc.nodes {
		if n.kind == KindSequence || n.index >= len(r.Nodes) {
			continue
		}
		view := NodeView{Path: joinPath(r.Key, n.local), Kind: n.kind, State: r.Nodes[n.index]}
		if n.step != nil {
			view.Class = n.step.class
		}
		views = append(views, view)
	}
	return views
}

// scopeOf finds the scope of the item record with the key; nil if the definition has no such fan-out.
func scopeOf(root *scope, key string) *scope {
	fanPath, _, ok := splitItem(key)
	if !ok {
		return nil
	}
	parentKey, local := splitPath(fanPath)
	parent := root
	if parentKey != "" {
		if parent = scopeOf(root, parentKey); parent == nil {
			return nil
		}
	}
	n := parent.byLocal[local]
	if n == nil || n.each == nil {
		return nil
	}
	return n.each.inner
}

func sortedKeys(items map[string]Record) []string {
	return slices.SortedFunc(maps.Keys(items), compareItems)
}

// compareItems orders item keys by fan-out, then by number; an item comes before those of fan-outs within it.
func compareItems(a, b string) int {
	for a != "" && b != "" {
		fanA, restA, _ := strings.Cut(a, "[")
		fanB, restB, _ := strings.Cut(b, "[")
		numberA, tailA, _ := strings.Cut(restA, "]")
		numberB, tailB, _ := strings.Cut(restB, "]")
		// Of two numbers without leading zeros the longer one is the larger.
		order := cmp.Or(strings.Compare(fanA, fanB), len(numberA)-len(numberB), strings.Compare(numberA, numberB))
		if order != 0 {
			return order
		}
		a, b = tailA, tailB
	}
	return len(a) - len(b)
}

// sameNode compares as reflect.DeepEqual does, which costs a transition more than deciding it.
func sameNode(a, b NodeState) bool {
	return a.Phase == b.Phase && a.Attempt == b.Attempt && a.Epoch == b.Epoch && a.Due == b.Due && a.Again == b.Again && a.Stuck == b.Stuck &&
		a.Reason == b.Reason && a.Unanswered == b.Unanswered && a.Late == b.Late && a.Taken == b.Taken && a.Resting == b.Resting &&
		bytes.Equal(a.Signal, b.Signal) && (a.Fan == b.Fan || a.Fan != nil && b.Fan != nil && *a.Fan == *b.Fan) &&
		slices.EqualFunc(a.Early, b.Early, func(x, y EarlyReply) bool { return reflect.DeepEqual(x, y) }) &&
		slices.EqualFunc(a.Kept, b.Kept, func(x, y KeptSignal) bool { return x.Node == y.Node && bytes.Equal(x.Event, y.Event) })
}

// Changed returns the records of after that differ from before's, the root's included, in a stable order. Data that did
// not change is nil. It tells a store what to write.
func Changed(before, after State) []Record {
	var changed []Record
	add := func(old Record, existed bool, r Record) {
		if existed && old.Wake.Equal(r.Wake) && bytes.Equal(old.Data, r.Data) && slices.EqualFunc(old.Nodes, r.Nodes, sameNode) {
			return
		}
		if existed && bytes.Equal(old.Data, r.Data) {
			r.Data = nil
		}
		changed = append(changed, r)
	}
	add(before.Root, before.Exists(), after.Root)
	for _, key := range sortedKeys(after.Items) {
		old, existed := before.Items[key]
		add(old, existed, after.Items[key])
	}
	return changed
}
