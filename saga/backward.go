package saga

import "slices"

// backward compensates the node and reports whether nothing of it is left to be compensated (R4).
func (m *machine) backward(r *record, n *node) (clean bool, err error) {
	switch n.kind {
	case KindStep:
		return m.backwardStep(r, n)
	case KindForEach:
		return m.backwardEach(r, n)
	case KindWait, KindSleep:
		m.giveUpWait(r, n)
		return true, nil
	case KindParallel:
		clean = true
		for _, kid := range slices.Backward(n.kids) { // side by side
			kidClean, err := m.backward(r, kid)
			if err != nil {
				return false, err
			}
			clean = clean && kidClean
		}
		return clean, nil
	default:
		m.unstick(r.at(n)) // an If whose condition panicked
		for _, kid := range slices.Backward(n.kids) {
			if clean, err := m.backward(r, kid); err != nil || !clean {
				return false, err
			}
		}
		return true, nil
	}
}

func (m *machine) backwardStep(r *record, n *node) (bool, error) {
	st, s := r.at(n), n.step
	switch st.Phase {
	case PhaseIdle:
		m.unstick(st)
		st.Due, st.Again = 0, false
		if len(st.Early) == 0 {
			return true, nil
		}
		st.Phase = PhaseDoing // it went on elsewhere
		return m.backwardStep(r, n)
	case PhaseDoing:
		if len(st.Early) > 0 && !st.Stuck {
			if err := m.takeEarly(r, n); err != nil {
				return false, err
			}
			return m.backwardStep(r, n)
		}
		if s.undo != nil && s.needsReply || m.role != nil {
			return false, nil // R5: its reply is waited for until its deadline, in a choreography for ever
		}
		m.unstick(st)
		st.Phase, st.Unanswered, st.Due, st.Again = PhaseUnknown, true, 0, false
		m.changed = true
	case PhaseDone, PhaseUnknown:
	case PhaseSkipped:
		if st.Attempt == 0 || s.undo == nil || s.needsReply {
			return true, nil
		}
		st.Phase, m.changed = PhaseUnknown, true // an operator took it to have no effect, but it was sent
	case PhaseUndoing:
		return false, nil
	default: // refused, undone, skipped, left
		return true, nil
	}
	switch {
	case s.undo == nil:
		return true, nil
	case st.Stuck, st.Again:
		return false, nil
	case st.Phase == PhaseUnknown && s.needsReply:
		m.stick(r, n, "its undo needs the reply that never came")
		return false, nil
	}
	st.Attempt, st.Epoch = 0, 0
	if err := m.send(r, n, UndoDirection); err != nil || st.Phase != PhaseUndoing {
		return false, err
	}
	if s.unacked {
		st.Phase, st.Due = PhaseUndone, 0
		m.log(LogUndone, r.path(n), UndoDirection, st.Attempt, "not acknowledged, by declaration")
		return true, nil
	}
	return false, nil
}

// backwardEach compensates those items that were started, a page at a time, side by side.
func (m *machine) backwardEach(r *record, n *node) (bool, error) {
	st := r.at(n)
	if st.Fan == nil || st.Phase == PhaseUndone || st.Phase == PhaseLeft {
		m.unstick(st)
		return true, nil
	}
	if st.Phase != PhaseUndoing {
		m.unstick(st)
		st.Phase = PhaseUndoing
		m.changed = true
	}
	fan, path := st.Fan, r.path(n)
	count := inPage(n, fan.Started-fan.Reversing, fan.Undoing+fan.Alone)
	if err := m.prefetch(path, fan.Reversing, fan.Reversing+count); err != nil {
		return false, err
	}
	for range count {
		item, err := m.record(itemKey(path, fan.Reversing))
		if err != nil {
			return false, err
		}
		m.changed = true
		fan.Reversing++
		if item.own().Phase == PhaseUndoing { // it was tolerated: it is taken over as it is
			fan.Alone--
		}
		clean, err := m.reverse(item)
		if err != nil {
			return false, err
		}
		if !clean {
			fan.Undoing++
		}
	}
	st.Due = 0
	switch {
	case fan.Reversing == fan.Started && fan.Undoing == 0:
		st.Phase = PhaseUndone
		return true, nil
	case inPage(n, fan.Started-fan.Reversing, fan.Undoing+fan.Alone) > 0: // the next page is a transition of its own
		st.Due = m.now.UnixMilli()
	}
	return false, nil
}

// reverse tells an item to compensate, unless it has, or does already, as one that was tolerated.
func (m *machine) reverse(item *record) (clean bool, err error) {
	own := item.own()
	if own.Phase == PhaseUndone || own.Phase == PhaseUndoing {
		return own.Phase == PhaseUndone, nil
	}
	own.Phase = PhaseUndoing
	clean, err = m.backward(item, item.scope.root)
	if err == nil && clean {
		own.Phase = PhaseUndone
	}
	return clean, err
}
