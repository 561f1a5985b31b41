package saga_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// plan is a node of a definition that is explored.
type plan struct {
	kind saga.Kind
	name string
	kids []plan // of an If: what it takes if the condition holds
	// Of a step:
	class      saga.Class
	ack        ack
	needsReply bool
	attempts   int
	// Of a fan-out:
	items, atMost, tolerate int
	// Of an If. Whichever it takes, the condition turns over once the first step there has succeeded.
	elses     []plan
	otherwise bool
	// Of a wait:
	onDeadline bool
	// wait is how long a step, a wait or a sleep waits, whatever for. As what is due can be ticked arbitrarily late, other times
	// make other orders in one record only, whose nodes are ticked together.
	wait time.Duration
}

// stepOf is a compensable step.
func stepOf(name string, a ack) plan {
	return plan{kind: saga.KindStep, name: name, class: saga.Compensable, ack: a, attempts: 1, wait: time.Second}
}

// ofClass is a step of another class.
func ofClass(name string, c saga.Class) plan {
	return plan{kind: saga.KindStep, name: name, class: c, attempts: 1, wait: time.Second}
}

// tries gives the step attempts.
func (p plan) tries(n int) plan { p.attempts = n; return p }

// waits gives the node another time.
func (p plan) waits(d time.Duration) plan { p.wait = d; return p }

// needing makes the step's undo need its reply.
func (p plan) needing() plan { p.needsReply = true; return p }

func fanOf(name string, kids ...plan) plan {
	return plan{kind: saga.KindForEach, name: name, kids: kids, items: 2}
}

func (p plan) most(n int) plan      { p.atMost = n; return p }
func (p plan) tolerates(n int) plan { p.tolerate = n; return p }

func parallelOf(name string, kids ...plan) plan {
	return plan{kind: saga.KindParallel, name: name, kids: kids}
}

func sequenceOf(name string, kids ...plan) plan {
	return plan{kind: saga.KindSequence, name: name, kids: kids}
}

func ifOf(name string, otherwise bool, then, elses []plan) plan {
	return plan{kind: saga.KindIf, name: name, kids: then, elses: elses, otherwise: otherwise}
}

func waitOf(name string) plan  { return plan{kind: saga.KindWait, name: name, wait: time.Second} }
func sleepOf(name string) plan { return plan{kind: saga.KindSleep, name: name, wait: time.Second} }

// elsewise makes the wait go on after its deadline.
func (p plan) elsewise() plan { p.onDeadline = true; return p }

// built builds the definition's nodes.
func built(plans []plan) []saga.Node[data] {
	var all []saga.Node[data]
	for _, p := range plans {
		all = append(all, p.build())
	}
	return all
}

func (p plan) build() saga.Node[data] {
	switch p.kind {
	case saga.KindSequence:
		return saga.Sequence(p.name, built(p.kids)...)
	case saga.KindParallel:
		return saga.Parallel(p.name, built(p.kids)...)
	case saga.KindForEach:
		return fan(p.name, built(p.kids)...).AtMost(p.atMost).Tolerate(p.tolerate)
	case saga.KindIf:
		return saga.If(p.name, p.holds, built(p.kids)...).Else(built(p.elses)...)
	case saga.KindSleep:
		return sleep(p.name, p.wait)
	case saga.KindWait:
		w := wait(p.name).Deadline(p.wait)
		if p.onDeadline {
			w.OnDeadline(func(d *data) { d.note(p.name, "nobody") })
		}
		return w
	default:
		return p.buildStep()
	}
}

func (p plan) buildStep() *saga.StepNode[data] {
	s := undoable(p.name)
	switch p.ack {
	case noUndo:
		if s = bare(p.name); p.class == saga.Compensable {
			s.NothingToUndo()
		}
	case ownEvent:
		s = undoable(p.name, saga.Undone(func(*data, undone) {}))
	case byFailure:
		s.UndoneByFailure()
	case unacked:
		s.UndoUnacknowledged()
	default:
	}
	switch p.class {
	case saga.Pivot:
		s.Pivot()
	case saga.Retriable:
		s.Retriable()
	default:
	}
	if p.needsReply {
		s.UndoNeedsReply()
	}
	return s.Attempts(p.attempts).Timeout(p.wait).Backoff(p.wait, p.wait)
}

// holds is the condition of an If.
func (p plan) holds(d data) bool {
	if p.otherwise {
		return d.Refs[p.elses[0].name] != ""
	}
	return d.Refs[p.kids[0].name] == ""
}

// itemsOf is the data with the items of the plans' fan-outs.
func itemsOf(plans []plan) data {
	d := data{Items: map[string][]data{}}
	for _, p := range plans {
		if p.kind == saga.KindForEach {
			for range p.items {
				d.Items[p.name] = append(d.Items[p.name], itemsOf(p.kids))
			}
			continue
		}
		maps.Copy(d.Items, itemsOf(p.kids).Items)
		maps.Copy(d.Items, itemsOf(p.elses).Items)
	}
	return d
}

// part is a step, a wait or a sleep of an instance.
type part struct {
	plan
	index         int
	path          string
	record        string
	idle          bool // it lies in a sequence that its If does not take
	before, after []*part
	lies          []lies // in these, the outermost first
}

// lies tells in which branch of which container a part lies.
type lies struct {
	in     *container
	branch int
	bit    uint32 // its place in a set of branches
}

// container is a fan-out or a parallel of an instance.
type container struct {
	plan
	path     string
	branches []lane
	lies     []lies // it lies in these, the outermost first
}

// lane is one of the branches of a container.
type lane struct {
	lies
	parts []*part
}

// step reports whether the part has a participant.
func (p *part) step() bool { return p.kind == saga.KindStep }

// within reports whether the part lies in that branch of the container.
func (p *part) within(c *container, branch int) bool {
	for _, l := range p.lies {
		if l.in == c && l.branch == branch {
			return true
		}
	}
	return false
}

// layout lists an instance's parts and containers in the order of the definition.
type layout struct {
	parts      []*part
	containers []*container
	branches   int
}

func (l *layout) sequence(prefix string, plans []plan, around []lies, idle bool) []*part {
	var all []*part
	for _, p := range plans {
		inner := l.node(strings.TrimPrefix(prefix+"/"+p.name, "/"), p, around, idle)
		for _, earlier := range all {
			for _, later := range inner {
				earlier.after = append(earlier.after, later)
				later.before = append(later.before, earlier)
			}
		}
		all = append(all, inner...)
	}
	return all
}

func (l *layout) node(path string, p plan, around []lies, idle bool) []*part {
	switch p.kind {
	case saga.KindSequence:
		return l.sequence(path, p.kids, around, idle)
	case saga.KindIf:
		then := l.sequence(path+"/then", p.kids, around, idle || p.otherwise)
		return append(then, l.sequence(path+"/else", p.elses, around, idle || !p.otherwise)...)
	case saga.KindParallel, saga.KindForEach:
		c := &container{plan: p, path: path, lies: around}
		l.containers = append(l.containers, c)
		count := p.items
		if p.kind == saga.KindParallel {
			count = len(p.kids)
		}
		var all []*part
		for i := range count {
			here := lies{c, i, 1 << l.branches}
			l.branches++
			inside := slices.Concat(around, []lies{here})
			var parts []*part
			if p.kind == saga.KindParallel {
				parts = l.node(path+"/"+p.kids[i].name, p.kids[i], inside, idle)
			} else {
				parts = l.sequence(fmt.Sprintf("%s[%d]", path, i), p.kids, inside, idle)
			}
			c.branches = append(c.branches, lane{here, parts})
			all = append(all, parts...)
		}
		return all
	default:
		record := path[:strings.LastIndexByte(path, ']')+1]
		one := &part{plan: p, index: len(l.parts), path: path, record: record, idle: idle, lies: around}
		l.parts = append(l.parts, one)
		return []*part{one}
	}
}

// outline tells the plans in one line each.
func outline(plans []plan) []string {
	var all []string
	for _, p := range plans {
		line := fmt.Sprintf("%s %s", p.kind, p.name)
		switch p.kind {
		case saga.KindStep:
			line = fmt.Sprintf("%s %s (undo %q, needs reply %t, %d attempts, %s)", p.class, p.name, p.ack, p.needsReply, p.attempts, p.wait)
		case saga.KindWait, saga.KindSleep:
			line += fmt.Sprintf(" (%s, goes on %t)", p.wait, p.onDeadline)
		case saga.KindForEach:
			line += fmt.Sprintf(" (%d items, at most %d, tolerates %d)", p.items, p.atMost, p.tolerate)
		case saga.KindIf:
			line += fmt.Sprintf(" (else %t)", p.otherwise)
		default:
		}
		if len(p.kids) > 0 {
			line += " {" + strings.Join(outline(p.kids), ", ") + "}"
		}
		if len(p.elses) > 0 {
			line += " else {" + strings.Join(outline(p.elses), ", ") + "}"
		}
		all = append(all, line)
	}
	return all
}
