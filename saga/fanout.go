package saga

type each struct {
	items    func(data any) (values []any)
	atMost   int
	tolerate int
	inner    *scope
}

// ForEachNode is a fan-out: a sequence of nodes for each item.
type ForEachNode[D any] struct{ n *node }

func (f *ForEachNode[D]) erase(D) *node {
	if f == nil {
		return nil
	}
	return f.n
}

// ForEach runs the nodes, a sequence, once for each item that items finds in the data; the nodes' data is the item. Every item has
// a record of its own, made of a copy: what its events write stays there, and the list in the data stays as it was, so that later nodes do not
// see what the items brought. The fan-out succeeds when every item has. When more fail than [ForEachNode.Tolerate] allows, no further
// item and no further step is started; what is under way is awaited, then what had an effect is undone (R9).
func ForEach[D, I any](name string, items func(D) []I, nodes ...Node[I]) *ForEachNode[D] {
	var flaws []string
	if items == nil {
		flaws = append(flaws, "has no function that finds its items: give it one")
	}
	return &ForEachNode[D]{n: &node{kind: KindForEach, name: name, flaws: flaws, each: &each{
		inner: newScope(nodes),
		items: func(data any) []any {
			list := items(*data.(*D)) //nolint:errcheck,forcetypeassert // its scope's data
			values := make([]any, len(list))
			for i := range list {
				values[i] = list[i]
			}
			return values
		},
	}}}
}

// AtMost bounds how many items are under way at once. Zero, the default, is no bound.
func (f *ForEachNode[D]) AtMost(n int) *ForEachNode[D] {
	f.n.each.atMost = n
	return f
}

// Tolerate lets up to k items fail: what such an item did is undone on its own while the others go on, and the fan-out
// succeeds without it. Which ones failed stands in their records and in the log, not in the data. Zero, the default, tolerates none.
func (f *ForEachNode[D]) Tolerate(k int) *ForEachNode[D] {
	f.n.each.tolerate = k
	return f
}
