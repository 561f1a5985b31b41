package saga

// SequenceNode is a list of nodes, one after the other.
type SequenceNode[D any] struct{ n *node }

func (s *SequenceNode[D]) erase(D) *node {
	if s == nil {
		return nil
	}
	return s.n
}

// Sequence groups nodes under a name. A definition is a sequence already; use it to name a part, such as a branch of a
// [Parallel], or one that several definitions share.
func Sequence[D any](name string, nodes ...Node[D]) *SequenceNode[D] {
	return &SequenceNode[D]{n: group(KindSequence, name, nodes)}
}

func group[D any](k Kind, name string, nodes []Node[D]) *node {
	kids, flaws := eraseAll(nodes)
	return &node{kind: k, name: name, kids: kids, flaws: flaws, gaps: len(flaws) > 0}
}

// ParallelNode is a set of branches, side by side.
type ParallelNode[D any] struct{ n *node }

func (p *ParallelNode[D]) erase(D) *node {
	if p == nil {
		return nil
	}
	return p.n
}

// Parallel runs the nodes, its branches, side by side, and succeeds when every one has. When one fails, the others send no
// further command and give up their waits; what is under way is awaited, then the parallel fails, and what had an effect is undone,
// side by side (R9). The branches share the data: let each write fields of its own.
func Parallel[D any](name string, branches ...Node[D]) *ParallelNode[D] {
	return &ParallelNode[D]{n: group(KindParallel, name, branches)}
}

// IfNode is a choice between two sequences.
type IfNode[D any] struct{ n *node }

func (i *IfNode[D]) erase(D) *node {
	if i == nil {
		return nil
	}
	return i.n
}

// The names of an If's sequences, as they stand in paths: "vip/then/upgrade".
const (
	thenName = "then"
	elseName = "else"
)

// If runs the nodes, a sequence, if the condition holds for the data as it is when the saga comes to it. The choice is
// made once and kept. Its nodes' paths have "then" or "else" in them: "vip/then/upgrade".
func If[D any](name string, condition func(D) bool, nodes ...Node[D]) *IfNode[D] {
	n := &node{kind: KindIf, name: name, kids: []*node{group(KindSequence, thenName, nodes), {kind: KindSequence, name: elseName}}}
	if condition == nil {
		n.flaws = append(n.flaws, "has no condition: give it a function")
	} else {
		n.cond = func(data any) bool { return condition(*data.(*D)) } //nolint:errcheck,forcetypeassert // its scope's data
	}
	return &IfNode[D]{n: n}
}

// Else gives the sequence for when the condition does not hold. Without it, nothing is done then.
func (i *IfNode[D]) Else(nodes ...Node[D]) *IfNode[D] {
	i.n.kids[1] = group(KindSequence, elseName, nodes)
	return i
}
