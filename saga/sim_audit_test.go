package saga_test

import (
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/saga"
)

// auditor judges a run by what it hears and sees from outside: inputs, effects and the status. It knows the steps and their order, and
// nothing of how Decide works.
type auditor struct {
	leaves  map[string]*leaf
	facts   map[string]*facts
	ids     map[string]string // message id → what it stands for
	aborted bool
	pivoted bool
	ended   saga.Status
}

// facts is what is known of one step.
type facts struct {
	sent, undoSent              bool
	succeeded, refused, settled bool // settled: its undo was acknowledged
}

func newAuditor(all []*leaf) *auditor {
	a := &auditor{leaves: map[string]*leaf{}, facts: map[string]*facts{}, ids: map[string]string{}}
	for _, l := range all {
		a.leaves[l.path], a.facts[l.path] = l, &facts{}
	}
	return a
}

// hear notes what a reply says.
func (a *auditor) hear(in saga.Input) {
	r, ok := in.(saga.Reply)
	if !ok {
		return
	}
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

// see judges a transition's effects.
func (a *auditor) see(was saga.Status, now saga.State, effects []saga.Effect) error {
	if a.ended != "" && (now.Status != a.ended || len(effects) > 0) {
		return fmt.Errorf("I21: the %s instance became %s with %d effects", a.ended, now.Status, len(effects))
	}
	for _, e := range effects {
		switch e := e.(type) {
		case saga.Log:
			if e.Kind == saga.LogAborted && a.aborted {
				return errors.New("I15: the abort decision was made twice")
			}
			a.aborted = a.aborted || e.Kind == saga.LogAborted
		case saga.Send:
			if err := a.send(e); err != nil {
				return err
			}
		}
	}
	if a.aborted != now.Reversing {
		return fmt.Errorf("I15: the abort decision is not kept: decided %t, state %t", a.aborted, now.Reversing)
	}
	if now.Status.Terminal() {
		a.ended = now.Status
	}
	return nil
}

func (a *auditor) send(c saga.Send) error {
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
		return a.sendDo(c, l, f)
	}
	return a.sendUndo(c, l, f)
}

func (a *auditor) sendDo(c saga.Send, l *leaf, f *facts) error {
	if f.sent {
		return nil
	}
	f.sent = true
	if a.aborted {
		return fmt.Errorf("I15: %s was first sent after the abort", c.Node)
	}
	for _, p := range l.before {
		if !a.facts[p.path].succeeded {
			return fmt.Errorf("R1: %s was sent before %s succeeded", c.Node, p.path)
		}
	}
	return nil
}

func (a *auditor) sendUndo(c saga.Send, l *leaf, f *facts) error {
	if f.undoSent {
		return nil
	}
	f.undoSent = true
	switch {
	case !a.aborted:
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
func (a *auditor) open(l *leaf) bool {
	f := a.facts[l.path]
	return l.Ack != noUndo && f.sent && !f.refused && !f.settled
}

// end judges a run that came to its end.
func (a *auditor) end(status saga.Status) error {
	for path, l := range a.leaves {
		switch {
		case status == saga.Completed && !a.facts[path].succeeded:
			return fmt.Errorf("I20: completed, but %s never succeeded", path)
		case status == saga.Compensated && a.open(l):
			return fmt.Errorf("I19: compensated, but %s may have an effect and nobody acknowledged its undo", path)
		}
	}
	return nil
}
