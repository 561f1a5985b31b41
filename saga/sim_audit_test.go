package saga_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// auditor judges a run by what it hears and sees from outside: inputs, effects and the status. It knows the steps and their order, and
// nothing of how Decide works.
type auditor struct {
	root      *place
	leaves    map[string]*place
	facts     map[string]*facts
	ids       map[string]string // message id → what it stands for
	items     map[string]*place
	tolerated map[string]bool // items
	cancelled bool            // by an operator
	aborted   bool
	pivoted   bool
	ended     saga.Status
}

// facts is what is known of one step, wait or sleep.
type facts struct {
	sent, undoSent              bool
	succeeded, refused, settled bool // settled: its undo was acknowledged
	unknown                     bool // it was given up
	begun                       time.Time
}

func newAuditor(root *place) *auditor {
	a := &auditor{
		root: root, leaves: map[string]*place{}, facts: map[string]*facts{}, ids: map[string]string{},
		items: map[string]*place{}, tolerated: map[string]bool{},
	}
	for _, l := range root.leaves() {
		a.leaves[l.path], a.facts[l.path] = l, &facts{}
		for p := l.up; p != nil; p = p.up {
			a.items[p.path] = p
		}
	}
	return a
}

// hear notes what an input says that was taken.
func (a *auditor) hear(in saga.Input) {
	switch in := in.(type) {
	case saga.Hold:
		a.hear(in.Input)
	case saga.Reply:
		a.hearReply(in)
	case saga.Signal:
		a.facts[in.Node].succeeded = true
	case saga.Act:
		a.cancelled = a.cancelled || in.Action == saga.Cancel
		if f := a.facts[in.Node]; f != nil && in.Action == saga.Skip {
			f.succeeded, f.begun = true, time.Time{}
		}
	}
}

func (a *auditor) hearReply(r saga.Reply) {
	l, f := a.leaves[r.Node], a.facts[r.Node]
	switch {
	case r.Direction == saga.UndoDirection:
		f.settled = f.settled || r.Outcome != saga.Failure
	case r.Outcome == saga.Success:
		f.succeeded = true
		a.pivoted = a.pivoted || l.Class == saga.Pivot
	case l.Class != saga.Retriable:
		f.refused = true
	}
}

// see judges a transition's effects. What it tells comes first, so that nothing is sent beside what fails with it.
func (a *auditor) see(now time.Time, s saga.State, effects []saga.Effect) error {
	if a.ended != "" && (s.Status != a.ended || len(effects) > 0) {
		return fmt.Errorf("I21: the %s instance became %s with %d effects", a.ended, s.Status, len(effects))
	}
	for _, e := range effects {
		if l, ok := e.(saga.Log); ok {
			if err := a.read(now, l); err != nil {
				return err
			}
		}
	}
	for _, e := range effects {
		if c, ok := e.(saga.Send); ok {
			if err := a.send(now, c); err != nil {
				return err
			}
		}
	}
	if a.aborted != s.Reversing {
		return fmt.Errorf("I15: the abort decision is not kept: decided %t, state %t", a.aborted, s.Reversing)
	}
	if s.Status.Terminal() {
		a.ended = s.Status
	}
	return nil
}

func (a *auditor) read(now time.Time, l saga.Log) error {
	f := a.facts[l.Node]
	switch l.Kind {
	case saga.LogTimedOut:
		if l.Direction == saga.DoDirection {
			f.unknown = true
			return nil
		}
		w := a.leaves[l.Node]
		switch {
		case f.succeeded:
			return fmt.Errorf("R1: the deadline of %s passed, although its signal had come", l.Node)
		case w.GoesOn:
			f.succeeded = true
		case !a.pivoted:
			f.refused = true
		}
	case saga.LogWaiting:
		f.begun = now
	case saga.LogTolerated:
		one := a.items[l.Node]
		a.tolerated[l.Node] = true
		if !a.doomed(one) || a.inFlight(one) {
			return fmt.Errorf("R9: %s is tolerated: failed %t, in flight %t", l.Node, a.doomed(one), a.inFlight(one))
		}
	case saga.LogAborted:
		if a.aborted {
			return errors.New("I15: the abort decision was made twice")
		}
		a.aborted = true
		if !a.cancelled && (!a.doomed(a.root) || a.inFlight(a.root)) {
			return fmt.Errorf("R9: aborted: failed %t, in flight %t", a.doomed(a.root), a.inFlight(a.root))
		}
	}
	return nil
}

// doomed reports whether the place has failed or will, by what is known (R9).
func (a *auditor) doomed(p *place) bool {
	if p.leaf() {
		f := a.facts[p.path]
		return f.refused || f.unknown
	}
	failed := 0
	for _, kid := range p.kids {
		if a.doomed(kid) && (p.Kind != saga.KindForEach || !a.inFlight(kid)) {
			failed++
		}
	}
	return failed > p.Tolerate
}

// inFlight reports whether a command of a step below the place was sent and is awaited.
func (a *auditor) inFlight(p *place) bool {
	for _, l := range p.leaves() {
		if f := a.facts[l.path]; f.sent && !f.succeeded && !f.refused && !f.unknown {
			return true
		}
	}
	return false
}

func (a *auditor) send(now time.Time, c saga.Send) error {
	l, f := a.leaves[c.Node], a.facts[c.Node]
	if l == nil {
		return fmt.Errorf("there is no step %q", c.Node)
	}
	what := fmt.Sprintf("%s %s %d", c.Direction, c.Node, c.Epoch)
	if c.ID != saga.MessageID("s1", c.Node, c.Direction, c.Epoch) {
		return fmt.Errorf("I11: the id of %s is not the function of it", what)
	}
	if other, used := a.ids[c.ID]; used && other != what {
		return fmt.Errorf("I11: %s has the id of %s", what, other)
	}
	a.ids[c.ID] = what
	if c.Direction == saga.DoDirection {
		return a.sendDo(now, c, l, f)
	}
	return a.sendUndo(c, l, f)
}

func (a *auditor) sendDo(now time.Time, c saga.Send, l *place, f *facts) error {
	if f.sent {
		return nil
	}
	if a.aborted {
		return fmt.Errorf("I15: %s was first sent after the abort", c.Node)
	}
	for p := l.up; p != nil; p = p.up {
		if (p.Kind == saga.KindParallel || p.Kind == saga.KindForEach) && a.doomed(p) {
			return fmt.Errorf("R9: %s was first sent although %s has failed", c.Node, p.path)
		}
		if a.tolerated[p.path] {
			return fmt.Errorf("R9: %s was first sent although %s was given up", c.Node, p.path)
		}
	}
	for _, p := range l.before {
		if !a.passed(now, p) {
			return fmt.Errorf("R1: %s was sent before %s succeeded", c.Node, p.path)
		}
	}
	f.sent = true
	return nil
}

// passed reports whether what follows the leaf may begin: it succeeded, or its item was tolerated and undone.
func (a *auditor) passed(now time.Time, l *place) bool {
	if a.spared(l) {
		return !a.open(l)
	}
	f := a.facts[l.path]
	if l.Kind == saga.KindSleep {
		return f.succeeded || !f.begun.IsZero() && !now.Before(f.begun.Add(nap))
	}
	return f.succeeded
}

// spared reports whether the leaf lies in an item whose failure was tolerated.
func (a *auditor) spared(l *place) bool {
	for p := l.up; p != nil; p = p.up {
		if a.tolerated[p.path] {
			return true
		}
	}
	return false
}

func (a *auditor) sendUndo(c saga.Send, l *place, f *facts) error {
	if f.undoSent {
		return nil
	}
	f.undoSent = true
	switch {
	case !a.aborted && !a.spared(l):
		return fmt.Errorf("R3: %s is undone without an abort decision", c.Node)
	case a.pivoted:
		return fmt.Errorf("I18: %s is undone after the pivot", c.Node)
	case !f.sent || f.refused || l.Ack == noUndo:
		return fmt.Errorf("I13: %s is undone: sent %t, refused %t, undo %q", c.Node, f.sent, f.refused, l.Ack)
	case l.NeedsReply && !f.succeeded:
		return fmt.Errorf("R5: %s is undone without the reply that its undo needs", c.Node)
	case l.NeedsReply && c.Command.(undoIt).Ref == "":
		return fmt.Errorf("R5: the undo of %s lacks what the reply brought", c.Node)
	}
	f.settled = f.settled || l.Ack == unacked
	for _, later := range l.after {
		if a.open(later) {
			return fmt.Errorf("I14: %s is undone before %s was", c.Node, later.path)
		}
	}
	return nil
}

// open reports whether the step may have an effect that is not undone yet.
func (a *auditor) open(l *place) bool {
	f := a.facts[l.path]
	return l.Kind == saga.KindStep && l.Ack != noUndo && f.sent && !f.refused && !f.settled
}

// end judges a run that came to its end.
func (a *auditor) end(now time.Time, status saga.Status) error {
	for path, l := range a.leaves {
		switch {
		case status == saga.Completed && !a.passed(now, l):
			return fmt.Errorf("I20: completed, but %s never succeeded, or was not undone", path)
		case status == saga.Compensated && a.open(l):
			return fmt.Errorf("I19: compensated, but %s may have an effect and nobody acknowledged its undo", path)
		}
	}
	return nil
}
