package saga

import (
	"fmt"
	"reflect"

	"github.com/alpespartners/alpespartners/internal/legible"
)

// FailureReason may be implemented by failure events: the text goes to the instance's reason and log, for people to
// read. It should hold no personal data.
type FailureReason interface {
	// FailureReason says in one line why the command was refused. What is longer than a kilobyte is cut.
	FailureReason() string
}

// reply takes a participant's answer.
func (m *machine) reply(in Reply) error {
	if m.s.Status.Terminal() {
		return nil // R8
	}
	key, local := splitPath(in.Node)
	r, err := m.record(key)
	if err != nil {
		return err
	}
	n := r.scope.byLocal[local]
	if n == nil || n.step == nil {
		return fmt.Errorf("%w: no step %q", ErrNotFound, in.Node)
	}
	outcome, err := meaning(n.step, in)
	if err != nil {
		return fmt.Errorf("%s: %w", in.Node, err)
	}
	if in.Epoch == AnyEpoch {
		in.Epoch = r.at(n).Epoch
	}
	if in.Direction == UndoDirection {
		return m.undoReply(r, n, in, outcome)
	}
	return m.doReply(r, n, in, outcome)
}

// meaning tells success from failure: by the event's type where the step declares it, else by what the participant said.
func meaning(s *step, in Reply) (Outcome, error) {
	t := reflect.TypeOf(in.Event)
	is := func(h *handler) bool { return h != nil && h.typ == t }
	unexpected := fmt.Errorf("%w: %v, outcome %q, to %q", ErrUnexpectedReply, t, in.Outcome, in.Direction)
	switch in.Outcome {
	case Unsaid, Success, Failure, Nothing:
	default:
		return "", fmt.Errorf("%w: use success, failure or nothing", unexpected)
	}
	switch in.Direction {
	case DoDirection:
		switch {
		case is(s.on) && in.Outcome != Failure:
			return Success, nil
		case is(s.onFailure) && in.Outcome != Success, in.Outcome == Failure && !is(s.on):
			return Failure, nil
		}
	case UndoDirection:
		if s.undo == nil {
			return "", unexpected
		}
		declared := s.undone != nil || s.byFailure
		switch {
		case in.Outcome == Nothing, is(s.undone), s.byFailure && is(s.onFailure):
			return Success, nil
		case in.Outcome == Failure, in.Outcome == Unsaid && is(s.onFailure):
			return Failure, nil
		case !declared:
			return Success, nil
		}
	case SignalDirection:
	}
	return "", unexpected
}

func (m *machine) doReply(r *record, n *node, in Reply, outcome Outcome) error {
	st := r.at(n)
	if m.role != nil && st.Phase == PhaseIdle { // its service was faster than the events that come before
		if kept, err := m.keepForItsTurn(r, n, in, outcome); err != nil || kept {
			return err
		}
		st.Phase, st.Epoch = PhaseDoing, in.Epoch
	}
	switch {
	case st.Phase == PhaseDoing:
		wasStuck := st.Stuck
		taken, err := m.answer(r, n, in, outcome)
		if err != nil || !taken && (wasStuck || !st.Stuck) {
			return err
		}
		if m.role != nil && !taken { // nobody gives another service's answer again: a retry takes this one
			if err := m.keepReply(r, n, in, outcome); err != nil {
				return err
			}
		}
		return m.proceed(r) // where the step got stuck too: what lies around may decide without it (R9)
	case st.Phase == PhaseUnknown:
		return m.resolve(r, n, in, outcome)
	case st.Unanswered && !st.Late && (st.Phase == PhaseUndoing || st.Phase == PhaseUndone || st.Phase == PhaseLeft):
		// R5: the step was unknown and its undo is under way; the barrier settles the race.
		st.Late, m.changed = true, true
		m.log(LogLate, in.Node, DoDirection, 0, string(outcome))
	}
	return nil
}

// answer takes the reply to a command that is in flight. It reports false where the reply was none to it, or its function panicked.
func (m *machine) answer(r *record, n *node, in Reply, outcome Outcome) (taken bool, err error) {
	switch {
	case outcome == Success:
		return m.succeed(r, n, in)
	case in.Epoch == r.at(n).Epoch:
		return m.refuse(r, n, in)
	default:
		return false, nil
	}
}

func (m *machine) succeed(r *record, n *node, in Reply) (taken bool, err error) {
	applied, err := m.apply(r, n, n.step.on, in.Event)
	if err != nil || !applied {
		return false, err
	}
	st := r.at(n)
	m.unstick(st)
	st.Phase, st.Due, st.Again, st.Unanswered, st.Reason = PhaseDone, 0, false, false, ""
	m.changed = true
	if n.step.class == Pivot {
		m.s.Pivoted = true
	}
	m.log(LogSucceeded, in.Node, DoDirection, st.Attempt, "")
	return true, nil
}

func (m *machine) refuse(r *record, n *node, in Reply) (taken bool, err error) {
	applied, err := m.apply(r, n, n.step.onFailure, in.Event)
	if err != nil || !applied {
		return false, err
	}
	st := r.at(n)
	reason := reasonOf(in.Event)
	m.changed = true
	m.log(LogRefused, in.Node, DoDirection, st.Attempt, reason)
	if n.step.class == Retriable {
		m.again(r, n, reason)
		return true, nil
	}
	m.unstick(st)
	st.Phase, st.Due, st.Again, st.Reason = PhaseRefused, 0, false, reason
	m.blame(r, in.Node+": "+reason)
	return true, nil
}

// resolve takes the late reply of a step that was given up as unknown: now its effect is known. It never moves the
// saga forward, but an undo that waited for it can go on (R5).
func (m *machine) resolve(r *record, n *node, in Reply, outcome Outcome) error {
	h, phase := n.step.on, PhaseDone
	if outcome == Failure {
		h, phase = n.step.onFailure, PhaseRefused
	}
	applied, err := m.apply(r, n, h, in.Event)
	if err != nil || !applied {
		return err
	}
	st := r.at(n)
	m.unstick(st)
	st.Phase, st.Due, st.Again = phase, 0, false // an undo that was held back is no more, or goes out now
	st.Late, m.changed = true, true
	m.log(LogLate, in.Node, DoDirection, 0, string(outcome))
	return m.proceed(r)
}

func (m *machine) undoReply(r *record, n *node, in Reply, outcome Outcome) error {
	st := r.at(n)
	early := m.role != nil && (st.Phase == PhaseIdle || st.Phase == PhaseDoing || st.Phase == PhaseDone)
	switch {
	case early && outcome == Success: // its service learned of the abort before this party did
		m.blame(r, in.Node+": undone by its service")
	case st.Phase != PhaseUndoing:
		return nil
	}
	if outcome == Failure {
		if in.Epoch == st.Epoch {
			m.changed = true
			reason := reasonOf(in.Event)
			m.log(LogUndoFailed, in.Node, UndoDirection, st.Attempt, reason)
			m.again(r, n, reason)
		}
		return nil
	}
	applied, err := m.apply(r, n, n.step.undone, in.Event)
	if err != nil || !applied {
		return err
	}
	m.unstick(st)
	st.Phase, st.Due, st.Again = PhaseUndone, 0, false
	m.changed = true
	m.log(LogUndone, in.Node, UndoDirection, st.Attempt, "")
	return m.proceed(r)
}

// apply takes the event into the record's data, if the step declares it. A panic of the function parks the node: once the
// function is mended, a retry makes the participant give its answer again.
func (m *machine) apply(r *record, n *node, h *handler, event any) (bool, error) {
	if h == nil || h.typ != reflect.TypeOf(event) {
		return true, nil
	}
	data, err := m.data(r)
	if err != nil {
		return false, err
	}
	if err := guard("the function for "+h.typ.String(), func() { h.apply(data, event) }); err != nil {
		m.stick(r, n, err.Error())
		return false, nil
	}
	r.dirty = true
	return true, nil
}

// reasonOf is what the event says, or else its type. It comes from outside, and is made such that every store can keep it.
func reasonOf(event any) string {
	reason := fmt.Sprintf("%T", event)
	if said, ok := event.(FailureReason); ok {
		if err := guard("FailureReason", func() { reason = said.FailureReason() }); err != nil {
			return err.Error()
		}
	}
	return legible.Line(reason)
}
