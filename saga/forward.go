package saga

import (
	"fmt"
	"time"
)

// verdict is how far a node has come going forward.
type verdict int

const (
	pending verdict = iota
	succeeded
	failed
)

// forward moves the node on as far as it can go (R1).
func (m *machine) forward(r *record, n *node) (verdict, error) {
	switch n.kind {
	case KindStep:
		return m.forwardStep(r, n)
	case KindForEach:
		return m.forwardEach(r, n)
	default:
		for _, kid := range n.kids {
			if v, err := m.forward(r, kid); err != nil || v != succeeded {
				return v, err
			}
		}
		return succeeded, nil
	}
}

func (m *machine) forwardStep(r *record, n *node) (verdict, error) {
	st := r.at(n)
	switch st.Phase {
	case PhaseIdle:
		if st.Stuck {
			return pending, nil
		}
		return pending, m.send(r, n, DoDirection)
	case PhaseDoing:
		return pending, nil
	case PhaseDone, PhaseSkipped:
		return succeeded, nil
	default:
		return failed, nil
	}
}

// forwardEach creates and starts items, a page at a time, and tells when the fan-out is settled (R9).
func (m *machine) forwardEach(r *record, n *node) (verdict, error) {
	st := r.at(n)
	switch st.Phase {
	case PhaseDone, PhaseSkipped:
		return succeeded, nil
	case PhaseIdle, PhaseDoing:
	default:
		return failed, nil
	}
	if st.Stuck {
		return pending, nil
	}
	if st.Phase == PhaseIdle || st.Fan.Failed == 0 && st.Fan.Created < st.Fan.Total {
		if err := m.createItems(r, n); err != nil || st.Stuck {
			return pending, err
		}
	}
	if err := m.startItems(r, n); err != nil {
		return pending, err
	}
	fan := st.Fan
	st.Due = 0
	switch {
	case fan.Active == 0 && fan.Failed > 0:
		st.Phase = PhaseRefused
		return failed, nil
	case fan.Active == 0 && fan.Started == fan.Total:
		st.Phase = PhaseDone
		return succeeded, nil
	case fan.Failed == 0 && (fan.Created < fan.Total || mayStart(n, fan) > 0): // the next page is a transition of its own
		st.Due = m.now.UnixMilli()
	}
	return pending, nil
}

// mayStart returns how many items this transition may start.
func mayStart(n *node, fan *Fan) int {
	if fan.Failed > 0 {
		return 0
	}
	return inPage(n, fan.Created-fan.Started, fan.Active)
}

// inPage bounds what is left by the page and by how many more than active may be under way.
func inPage(n *node, left, active int) int {
	left = min(left, pageItems)
	if n.each.atMost > 0 {
		left = min(left, n.each.atMost-active)
	}
	return max(left, 0)
}

func (m *machine) createItems(r *record, n *node) error {
	data, err := m.data(r)
	if err != nil {
		return err
	}
	var items []any
	if err := guard("the ForEach function", func() { items = n.each.items(data) }); err != nil {
		m.stick(r, n, err.Error())
		return nil
	}
	st := r.at(n)
	if st.Phase == PhaseIdle {
		st.Phase, st.Fan = PhaseDoing, &Fan{Total: len(items)}
		m.changed = true
		m.log(LogFannedOut, r.path(n), DoDirection, 0, fmt.Sprintf("%d items", len(items)))
	}
	if len(items) != st.Fan.Total {
		m.stick(r, n, fmt.Sprintf("the items changed from %d to %d while they were started", st.Fan.Total, len(items)))
		return nil
	}
	inner := n.each.inner
	for page := 0; st.Fan.Created < st.Fan.Total && page < pageItems; page++ {
		encoded, err := inner.encode(items[st.Fan.Created])
		if err != nil {
			return err
		}
		key := itemKey(r.path(n), st.Fan.Created)
		m.keep(key, Record{Data: encoded, Nodes: make([]NodeState, len(inner.nodes))}, inner)
		st.Fan.Created++
	}
	return nil
}

func (m *machine) startItems(r *record, n *node) error {
	fan, path := r.at(n).Fan, r.path(n)
	count := mayStart(n, fan)
	if err := m.prefetch(path, fan.Started, fan.Started+count); err != nil {
		return err
	}
	for range count {
		item, err := m.record(itemKey(path, fan.Started))
		if err != nil {
			return err
		}
		m.changed = true
		fan.Started++
		item.own().Phase = PhaseDoing
		v, err := m.forward(item, item.scope.root)
		if err != nil {
			return err
		}
		switch v {
		case pending:
			fan.Active++
		case succeeded:
			item.own().Phase = PhaseDone
		case failed:
			item.own().Phase = PhaseRefused
			fan.Failed++
		}
	}
	return nil
}

// send issues the node's command in the given direction, for the first time or again. The id tells a resend (R1).
func (m *machine) send(r *record, n *node, d Direction) error {
	data, err := m.data(r)
	if err != nil {
		return err
	}
	st, s := r.at(n), n.step
	source, what, phase := s.do, "the Do function", PhaseDoing
	if d == UndoDirection {
		source, what, phase = s.undo, "the Undo function", PhaseUndoing
	}
	var cmd any
	if err := guard(what, func() { cmd = source.make(data) }); err != nil {
		m.stick(r, n, err.Error())
		return nil
	}
	m.changed = true
	st.Phase, st.Again = phase, false
	st.Attempt++
	st.Due = m.now.Add(s.timeout).UnixMilli()
	path := r.path(n)
	m.effects = append(m.effects, Send{
		Node: path, Direction: d, Epoch: st.Epoch, Attempt: st.Attempt,
		ID: MessageID(m.s.ID, path, d, st.Epoch), Command: cmd,
	})
	m.log(LogSent, path, d, st.Attempt, "")
	return nil
}

// again schedules the command to be issued anew after the backoff, or sticks when its attempts are used up.
// The new epoch makes it another message: the participant has answered the present one for good.
func (m *machine) again(r *record, n *node, reason string) {
	st, s := r.at(n), n.step
	st.Epoch++
	if st.Attempt >= s.attempts {
		m.stick(r, n, reason)
		return
	}
	st.Again, st.Reason = true, reason
	st.Due = m.now.Add(backoff(s, st.Attempt)).UnixMilli()
}

// backoff is the wait after the given attempt, counted from 1: the base, doubled each time, up to the limit.
func backoff(s *step, attempt int) time.Duration {
	wait := s.backoffBase
	for i := 1; i < attempt && wait < s.backoffMax; i++ {
		wait *= 2
	}
	return min(wait, s.backoffMax)
}
