package saga_test

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// product is one state of all that there is: the instance, its participants, and the network between them.
//
// The network forgets nothing: once sent, a command or a reply may arrive at any time, in any order, any number of times, or
// never. So every loss, duplicate and delay is walked, without a bound on any of them, and so is what a crash does to
// messages: one before the commit leaves the input to come again; one after it, before what was sent is published or the input
// is acknowledged, delays the one and repeats the other.
//
// Times are relative to a clock that stands still at [epoch]; when time passes, all that is due comes nearer.
type product struct {
	state   saga.State
	actors  []actor // one for each part of the instance, in the order of [layout.parts]
	failed  uint32  // the branches that failed, by [lies.bit]
	encoded []byte  // of the state
}

// The directions as indexes.
const (
	doing   = 0
	undoing = 1
)

func directionOf(index int) saga.Direction {
	return [...]saga.Direction{saga.DoDirection, saga.UndoDirection}[index]
}

// epochs is a set of small epochs.
type epochs uint8

func (s epochs) has(e int) bool { return s&(1<<e) != 0 }
func (s *epochs) add(e int)     { *s |= 1 << e }

// said is what a participant answered, as index of [actor.replies].
type said uint8

const (
	unasked said = iota // not asked yet
	succeeds
	refuses
	findsNothing
)

func (s said) outcome() saga.Outcome {
	return [...]saga.Outcome{saga.Unsaid, saga.Success, saga.Failure, saga.Nothing}[s]
}

// actor is one step's participant behind its barrier, the messages to and from it, and what the coordinator was told by
// it; or what a wait was told. It is a plain value that can be compared.
type actor struct {
	commands [2]epochs    // in the network, by direction
	replies  [2][4]epochs // in the network, by direction and what they say
	last     [2]said      // the barrier's row: the latest answer
	epoch    [2]uint8     // and its epoch
	refusals [2]uint8     // how often the participant refused
	applied  uint8
	undone   uint8

	succeeded bool      // a reply said so; of a wait: a signal came
	refused   [2]epochs // those epochs of which a reply said so
	settled   bool      // a reply acknowledged the undo, or none is to be expected
	broken    bool      // it was refused, given up as unknown, or its deadline passed
	skipped   bool      // by an operator, going forward
	left      bool      // by an operator, going back
}

// sent reports whether the command was ever sent.
func (a *actor) sent(direction int) bool { return a.commands[direction] != 0 }

// moveKind is what can happen next.
type moveKind uint8

const (
	moveStart moveKind = iota
	moveCommand
	moveReply
	moveTick
	movePass
	moveSignal
	moveAct
)

// move is one thing that happens. Moves can be compared and name everything that is needed to make them again.
type move struct {
	kind      moveKind
	node      string // the path; of ticks: the record
	direction int
	epoch     int
	said      said // of commands: what the participant does with it, if it comes to that; of replies: what they say
	action    saga.Action
	held      bool // the definition is paused when the input comes
}

// runs reports whether the participant's handler is called for the command, or its barrier answers.
func (a *actor) runs(direction, epoch int) bool {
	if direction == doing && a.last[undoing] != unasked {
		return false // barred
	}
	return a.last[direction] == unasked || a.last[direction] == refuses && epoch > int(a.epoch[direction])
}

// deliver gives the command of the move to its participant.
func (a *actor) deliver(p *part, m move) {
	d := m.direction
	if d == doing && a.last[undoing] != unasked {
		return
	}
	if a.runs(d, m.epoch) {
		a.last[d], a.epoch[d] = m.said, uint8(m.epoch)
		switch {
		case m.said == refuses:
			a.refusals[d]++
		case d == doing:
			a.applied++
		case m.said == succeeds:
			a.undone++
		}
	}
	if d == doing || p.ack != unacked {
		a.replies[d][a.last[d]].add(m.epoch)
	}
}

// choices are what the participant may do with a command in the direction, if it runs; refusals bounds how often it may refuse what can come again.
func (a *actor) choices(p *part, direction, refusals int) []said {
	may := []said{succeeds}
	switch {
	case direction == undoing && a.last[doing] != succeeds:
		return []said{findsNothing} // there is nothing that could fail
	case direction == undoing && p.ack == unacked:
		return may
	case direction == doing && p.class != saga.Retriable:
		refusals = 1
	}
	if int(a.refusals[direction]) < refusals {
		may = append(may, refuses)
	}
	return may
}

// reply builds the reply of the move to the step's command.
func (p *part) reply(m move) saga.Reply {
	r := saga.Reply{Node: p.path, Direction: directionOf(m.direction), Epoch: m.epoch, Outcome: m.said.outcome()}
	switch {
	case m.direction == doing && m.said == succeeds:
		r.Event = done{Ref: "ref-" + p.path}
	case m.direction == doing:
		r.Event = refused{Why: "full"}
	case m.said == refuses:
		r.Event = rejected{Why: "closed"}
	case p.ack == byFailure:
		r.Event = refused{Why: "cancelled"}
	default:
		r.Event = undone{}
	}
	return r
}

// recordKeys returns the keys of the state's records in order, the root's first.
func recordKeys(s *saga.State) []string {
	keys := make([]string, 1, 1+len(s.Items))
	for key := range s.Items {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func recordOf(s *saga.State, key string) saga.Record {
	if key == "" {
		return s.Root
	}
	return s.Items[key]
}

// present is the time that stands still, in Unix milliseconds.
func present() int64 { return epoch.UnixMilli() }

// later is the state at the time when the next thing becomes due, and how long that takes; it may be never.
func later(s saga.State) (saga.State, time.Duration, bool) {
	var next int64
	for _, key := range recordKeys(&s) {
		for _, n := range recordOf(&s, key).Nodes {
			if n.Due > present() && (next == 0 || n.Due < next) {
				next = n.Due
			}
		}
	}
	if next == 0 {
		return s, 0, false
	}
	wait := next - present()
	s.Root = nearer(s.Root, wait)
	s.Items = maps.Clone(s.Items)
	for key, r := range s.Items {
		s.Items[key] = nearer(r, wait)
	}
	return s, time.Duration(wait) * time.Millisecond, true
}

// nearer moves what the record waits for. How long something is overdue does not matter.
func nearer(r saga.Record, wait int64) saga.Record {
	r.Nodes = slices.Clone(r.Nodes)
	for i := range r.Nodes {
		if r.Nodes[i].Due != 0 {
			r.Nodes[i].Due = max(present(), r.Nodes[i].Due-wait)
		}
	}
	if !r.Wake.IsZero() {
		r.Wake = time.UnixMilli(max(present(), r.Wake.UnixMilli()-wait)).UTC()
	}
	return r
}

// digest is a product's identity: states that differ in versions, timestamps and the wording of reasons only are one.
type digest [16]byte

func (p *product) encode() {
	if p.encoded == nil {
		p.encoded = appendState(make([]byte, 0, 512), &p.state)
	}
}

func (p *product) digest() digest {
	p.encode()
	b := append(make([]byte, 0, 1024), p.encoded...)
	b = binary.AppendUvarint(b, uint64(p.failed))
	for i := range p.actors {
		b = p.actors[i].append(b)
	}
	sum := sha256.Sum256(b)
	return digest(sum[:16])
}

func (a *actor) append(b []byte) []byte {
	for d := range 2 {
		b = append(b, byte(a.commands[d]), byte(a.last[d]), a.epoch[d], a.refusals[d], byte(a.refused[d]))
		for _, e := range a.replies[d] {
			b = append(b, byte(e))
		}
	}
	return append(b, a.applied, a.undone, bits(a.succeeded, a.settled, a.broken, a.skipped, a.left))
}

// appendState encodes what distinguishes states.
func appendState(b []byte, s *saga.State) []byte {
	b = appendText(b, string(s.ID), s.Definition, s.Hash, s.Key, string(s.Status))
	b = append(b, bits(s.Reversing, s.Pivoted, s.Orphaned, s.Reason != "", s.Exists()), byte(s.Stuck))
	for _, key := range recordKeys(s) {
		r := recordOf(s, key)
		b = appendText(b, key, string(r.Data))
		wake := int64(0)
		if !r.Wake.IsZero() {
			wake = 1 + r.Wake.UnixMilli() - present()
		}
		b = binary.AppendVarint(b, wake)
		for i := range r.Nodes {
			b = appendNode(b, &r.Nodes[i])
		}
	}
	return b
}

// How many fields of [saga.NodeState] and [saga.Fan] appendNode knows.
const (
	nodeFields = 15
	fanFields  = 9
)

func appendNode(b []byte, n *saga.NodeState) []byte {
	b = appendText(b, string(n.Phase))
	due := int64(0)
	if n.Due != 0 {
		due = 1 + n.Due - present()
	}
	b = binary.AppendVarint(b, due)
	b = append(b, byte(n.Attempt), byte(n.Epoch), bits(n.Again, n.Stuck, n.Reason != "", n.Unanswered, n.Late, n.Fan != nil, n.Resting), byte(n.Taken))
	b = appendText(b, string(n.Signal))
	b = append(b, byte(len(n.Early)), byte(len(n.Kept)))
	if f := n.Fan; f != nil {
		for _, count := range [fanFields]int{f.Total, f.Created, f.Started, f.Active, f.Resting, f.Failed, f.Reversing, f.Undoing, f.Alone} {
			b = append(b, byte(count))
		}
	}
	return b
}

func appendText(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	return b
}

func bits(flags ...bool) byte {
	var b byte
	for i, f := range flags {
		if f {
			b |= 1 << i
		}
	}
	return b
}
