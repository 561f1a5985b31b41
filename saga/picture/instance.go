package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// Instance draws the definition with the state of an instance of it. Items are drawn as far as their records are loaded, ten for each
// fan-out. Of an instance that is of another version of the definition only the status is drawn.
func Instance(def saga.Any, s saga.State) string {
	in := &instance{state: s, nodes: map[string]saga.NodeState{}, items: map[string][]item{}}
	in.foreign = s.Exists() && (s.Definition != def.Name() || s.Hash != def.Hash())
	if !in.foreign {
		for _, view := range saga.View(def, s) {
			in.add(view)
		}
	}
	return draw(def.Describe(), in)
}

// instance is what a chart of an instance adds. A nil one adds nothing.
type instance struct {
	state   saga.State
	foreign bool                      // of another version of the definition
	nodes   map[string]saga.NodeState // of the root, by path
	items   map[string][]item         // by the path of their fan-out in the definition, in the order of their numbers
}

// item is a record of a fan-out's item.
type item struct {
	key   string
	own   saga.NodeState
	views []saga.NodeView
}

func (in *instance) add(view saga.NodeView) {
	end := strings.LastIndexByte(view.Path, ']') + 1
	if end == 0 {
		in.nodes[view.Path] = view.State
		return
	}
	key := view.Path[:end]
	fan := fanOf(key)
	list := in.items[fan]
	if len(list) == 0 || list[len(list)-1].key != key {
		it := item{key: key}
		if nodes := in.state.Items[key].Nodes; len(nodes) > 0 {
			it.own = nodes[0]
		}
		list = append(list, it)
	}
	last := &list[len(list)-1]
	last.views = append(last.views, view)
	in.items[fan] = list
}

// fanOf is the path in the definition of the fan-out of an item: "rooms/beds" for "rooms[3]/beds[1]".
func fanOf(key string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(key, "]") {
		before, _, _ := strings.Cut(part, "[")
		b.WriteString(before)
	}
	return b.String()
}

func (in *instance) title() []string {
	s := in.state
	lines := []string{string(s.ID)}
	if s.Key != "" {
		lines = append(lines, "key "+s.Key)
	}
	switch {
	case !s.Exists():
		return append(lines, "not started")
	case in.foreign:
		lines = append(lines, fmt.Sprintf("of another version of the definition: %s at %s", s.Definition, s.Hash))
	}
	status := string(s.Status)
	if s.Orphaned {
		status += ", cannot be decided"
	}
	return append(lines, status, s.Reason)
}

// class is the style of the first node.
func (in *instance) class() style {
	if in == nil {
		return styleControl
	}
	switch in.state.Status {
	case saga.Running:
		return styleDoing
	case saga.Compensating:
		return styleUndoing
	case saga.Parked:
		return styleStuck
	case saga.Completed:
		return styleDone
	case saga.Compensated:
		return styleUndone
	case saga.Forced:
		return styleSkipped
	default:
		return styleIdle
	}
}

// end is the style of the last node.
func (in *instance) end() style {
	if in.state.Status == saga.Completed {
		return styleDone
	}
	return styleIdle
}

// state returns the style of a node and its state in words; that of a definition is plain.
func (c *chart) state(n saga.NodeDescription, plain style) (style, string) {
	switch {
	case c.instance == nil:
		return plain, ""
	case c.aside == untaken:
		return styleIdle, "– not taken"
	case c.aside == pattern:
		return styleIdle, ""
	default:
		st := c.instance.nodes[n.Path]
		return styleOf(st), words(n.Kind, st)
	}
}

// undo is the style of a step's undo.
func (c *chart) undo(n saga.NodeDescription) style {
	if c.instance == nil {
		return styleUndo
	}
	if s, _ := c.state(n, styleUndo); s == styleUndoing || s == styleUndone {
		return s
	}
	return styleIdle
}

// taken is the number of the way that an If took, 0 if none was.
func (c *chart) taken(n saga.NodeDescription) int {
	if c.instance == nil || c.aside != live {
		return 0
	}
	return c.instance.nodes[n.Path].Taken
}

func styleOf(st saga.NodeState) style {
	if st.Stuck {
		return styleStuck
	}
	switch st.Phase {
	case saga.PhaseDoing, saga.PhaseWaiting:
		return styleDoing
	case saga.PhaseDone:
		return styleDone
	case saga.PhaseRefused, saga.PhaseUnknown:
		return styleFailed
	case saga.PhaseUndoing:
		return styleUndoing
	case saga.PhaseUndone:
		return styleUndone
	case saga.PhaseSkipped, saga.PhaseLeft:
		return styleSkipped
	default:
		return styleIdle
	}
}

// mark is the sign of a state, which stands for its style where colours are not seen.
func mark(st saga.NodeState) string {
	if st.Stuck {
		return "!"
	}
	switch st.Phase {
	case saga.PhaseDoing, saga.PhaseWaiting:
		return "…"
	case saga.PhaseDone:
		return "✓"
	case saga.PhaseRefused:
		return "✗"
	case saga.PhaseUnknown:
		return "?"
	case saga.PhaseUndoing:
		return "↶"
	case saga.PhaseUndone:
		return "↩"
	case saga.PhaseSkipped, saga.PhaseLeft:
		return "»"
	default:
		if st.Again {
			return "…"
		}
		return ""
	}
}

// words is a state in words, with its mark; "" for a node that is yet to come.
func words(kind saga.Kind, st saga.NodeState) string {
	text := phase(kind, st)
	if st.Stuck {
		text = "stuck"
		if st.Phase != saga.PhaseIdle {
			text += " (" + phase(kind, st) + ")"
		}
	}
	if text == "" {
		return ""
	}
	text = mark(st) + " " + text
	if st.Attempt > 1 && (st.Phase == saga.PhaseDoing || st.Phase == saga.PhaseUndoing) {
		text += fmt.Sprintf(", attempt %d", st.Attempt)
	}
	if st.Fan != nil {
		text += ", " + counts(*st.Fan)
	}
	if st.Late {
		text += ", a late reply came"
	}
	if st.Reason != "" && st.Phase != saga.PhaseDone {
		text += ": " + st.Reason
	}
	return strings.TrimSpace(text)
}

func phase(kind saga.Kind, st saga.NodeState) string {
	step, idles := kind == saga.KindStep, kind == saga.KindWait || kind == saga.KindSleep
	switch {
	case kind == saga.KindIf && st.Taken == 1:
		return "then"
	case kind == saga.KindIf && st.Taken == 2:
		return "else"
	case st.Again && st.Phase == saga.PhaseIdle:
		return "held back"
	case st.Again:
		return "sent again at " + at(st.Due)
	case st.Phase == saga.PhaseWaiting && st.Due > 0:
		return "waiting until " + at(st.Due)
	case st.Phase == saga.PhaseRefused && !step:
		return "failed"
	case st.Phase == saga.PhaseUnknown:
		return "never answered"
	case st.Phase == saga.PhaseUndone && idles:
		return "given up"
	case st.Phase == saga.PhaseLeft:
		return "left as it is"
	default:
		return string(st.Phase)
	}
}

// at is a time of a node's state.
func at(milliseconds int64) string { return time.UnixMilli(milliseconds).UTC().Format(time.RFC3339) }

// counts tells how far the items have come. Those under way matter only until the first is told to undo.
func counts(f saga.Fan) string {
	if f.Reversing > 0 {
		f.Active = 0
	}
	parts := []string{fmt.Sprintf("%d items: %d started", f.Total, f.Started)}
	for _, part := range []struct {
		n    int
		what string
	}{{f.Active, "under way"}, {f.Failed, "failed"}, {f.Reversing, "told to undo"}, {f.Undoing, "undoing"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}

// maxItems bounds the items that are drawn of a fan-out.
const maxItems = 10

// items draws those items of the fan-out whose records are loaded, below each other, those that need attention first.
func (c *chart) items(fan string) {
	if c.instance == nil {
		return
	}
	list := slices.Clone(c.instance.items[fan])
	slices.SortStableFunc(list, func(a, b item) int { return a.urgency() - b.urgency() })
	above := ""
	below := func(id string) {
		if above != "" {
			fmt.Fprintf(&c.arrows, "    %s ~~~ %s\n", above, id)
		}
		above = id
	}
	for _, it := range list[:min(len(list), maxItems)] {
		below(c.node("[", label(it.lines()...), "]", it.style()))
	}
	if more := len(list) - maxItems; more > 0 {
		below(c.node("[", label(fmt.Sprintf("and %d more that are loaded", more)), "]", styleIdle))
	}
}

// any reports whether the state of one of the item's nodes is as asked.
func (it item) any(is func(saga.NodeState) bool) bool {
	return slices.ContainsFunc(it.views, func(v saga.NodeView) bool { return is(v.State) })
}

func (it item) style() style {
	if it.any(func(st saga.NodeState) bool { return st.Stuck }) {
		return styleStuck
	}
	return styleOf(it.own)
}

// urgency orders items: the smaller the sooner. One that failed stays early, also when it is undone.
func (it item) urgency() int {
	s := it.style()
	if s != styleStuck && it.any(func(st saga.NodeState) bool { return styleOf(st) == styleFailed }) {
		s = styleFailed
	}
	return slices.Index([]style{styleStuck, styleFailed, styleUndoing, styleDoing, styleSkipped, styleUndone, styleDone, styleIdle}, s)
}

// lines are the item's key and the states of its nodes.
func (it item) lines() []string {
	var marks []string
	var reason string
	for _, v := range it.views {
		name := strings.TrimPrefix(strings.TrimPrefix(v.Path, it.key), "/")
		if m := mark(v.State); m != "" {
			marks = append(marks, m+" "+name)
		}
		if v.State.Reason != "" && (v.State.Stuck || reason == "") {
			reason = v.State.Reason
		}
	}
	return []string{it.key, strings.Join(marks, ", "), cmp.Or(reason, it.own.Reason)}
}
