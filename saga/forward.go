package saga

import (
	"fmt"
	"time"
)

// verdict is how far a node has come going forward.
type verdict int

const (
	pending   verdict = iota // a command is in flight, or the next page is due
	resting                  // it is not at its end, but nothing is in flight: it may be left as it is
	doomed                   // it is going to fail, but something of it is in flight
	succeeded                // it is at its end
	failed                   // it is at its end, and the scope fails
)

// forward moves the node on as far as it can go (R1). With halt, nothing new is begun: something beside it has failed (R9).
func (m *machine) forward(r *record, n *node, halt bool) (verdict, error) {
	switch n.kind {
	case KindStep:
		return m.forwardStep(r, n, halt)
	case KindForEach:
		return m.forwardEach(r, n, halt)
	case KindParallel:
		return m.forwardParallel(r, n, halt)
	case KindIf:
		return m.forwardIf(r, n, halt)
	case KindWait, KindSleep:
		return m.forwardWait(r, n, halt)
	default:
		for _, kid := range n.kids {
			if v, err := m.forward(r, kid, halt); err != nil || v != succeeded {
				return v, err
			}
		}
		return succeeded, nil
	}
}

func (m *machine) forwardStep(r *record, n *node, halt bool) (verdict, error) {
	st := r.at(n)
	if st.Phase == PhaseIdle {
		if st.Stuck || st.Again || halt {
			return resting, nil
		}
		if err := m.send(r, n, DoDirection); err != nil || st.Phase == PhaseIdle {
			return resting, err
		}
	}
	if st.Phase == PhaseDoing && !st.Stuck && len(st.Early) > 0 {
		if err := m.takeEarly(r, n); err != nil {
			return pending, err
		}
	}
	switch st.Phase {
	case PhaseDoing:
		if st.Stuck && m.role == nil {
			return resting, nil
		}
		return pending, nil
	case PhaseDone, PhaseSkipped:
		return succeeded, nil
	default:
		return failed, nil
	}
}

// forwardParallel moves all branches on. Once one is known to fail, the others are halted, and when nothing of them is in flight any
// more the parallel has failed (R9).
func (m *machine) forwardParallel(r *record, n *node, halt bool) (verdict, error) {
	st := r.at(n)
	if halt && st.Phase == PhaseIdle {
		return resting, nil
	}
	failing := st.Phase == PhaseRefused
	if !halt && m.role == nil { // look for a failure first, so that nothing begins beside it
		counts, err := m.forwardBranches(r, n, true)
		if err != nil {
			return pending, err
		}
		failing = failing || counts[doomed]+counts[failed] > 0
	}
	counts, err := m.forwardBranches(r, n, halt || failing && m.role == nil)
	if err != nil {
		return pending, err
	}
	failing = failing || counts[doomed]+counts[failed] > 0
	v, phase := succeeded, PhaseDone
	switch {
	case counts[pending]+counts[doomed] > 0 && failing:
		v = doomed
	case counts[pending] > 0:
		v, phase = pending, PhaseDoing
	case failing && m.role == nil, failing && counts[resting] == 0:
		v = failed
	case counts[resting] > 0:
		v, phase = resting, PhaseDoing
	}
	if failing {
		phase = PhaseRefused
	}
	if st.Phase != phase {
		st.Phase, m.changed = phase, true
	}
	return v, nil
}

// forwardBranches moves the node's kids on, side by side, and counts how far they have come.
func (m *machine) forwardBranches(r *record, n *node, halt bool) (map[verdict]int, error) {
	counts := map[verdict]int{}
	for _, kid := range n.kids {
		v, err := m.forward(r, kid, halt)
		if err != nil {
			return nil, err
		}
		counts[v]++
	}
	return counts, nil
}

// forwardIf makes the choice, once, and moves on what was chosen.
func (m *machine) forwardIf(r *record, n *node, halt bool) (verdict, error) {
	st := r.at(n)
	if st.Taken == 0 {
		if st.Stuck || halt {
			return resting, nil
		}
		data, err := m.data(r)
		if err != nil {
			return pending, err
		}
		var yes bool
		if err := guard("the condition", func() { yes = n.cond(data) }); err != nil {
			m.stick(r, n, err.Error())
			return resting, nil
		}
		st.Phase, st.Taken, m.changed = PhaseDoing, 2, true
		if yes {
			st.Taken = 1
		}
		m.log(LogChosen, r.path(n), DoDirection, 0, n.kids[st.Taken-1].name)
	}
	v, err := m.forward(r, n.kids[st.Taken-1], halt)
	switch {
	case err != nil:
	case v == succeeded:
		st.Phase = PhaseDone
	case v == failed:
		st.Phase = PhaseRefused
	}
	return v, err
}

// forwardEach creates and starts items, a page at a time, and tells when the fan-out is settled (R9).
func (m *machine) forwardEach(r *record, n *node, halt bool) (verdict, error) {
	st := r.at(n)
	switch st.Phase {
	case PhaseDone, PhaseSkipped:
		return succeeded, nil
	case PhaseIdle, PhaseDoing:
	default:
		return failed, nil
	}
	if st.Stuck || halt && st.Phase == PhaseIdle {
		return resting, nil
	}
	if !halt {
		if err := m.nextItems(r, n); err != nil || st.Stuck {
			return resting, err
		}
	}
	fan := st.Fan
	st.Due = 0
	complete := fan.Active == 0 && fan.Started == fan.Total
	switch failing := n.each.failing(fan); {
	case failing && (complete || m.role == nil && fan.Active == fan.Resting):
		st.Phase = PhaseRefused
		return failed, nil
	case complete:
		st.Phase = PhaseDone
		return succeeded, nil
	case !halt && m.mayBegin(n, fan): // the next page is a transition of its own
		st.Due = m.now.UnixMilli()
		return pending, nil
	case fan.Active == fan.Resting:
		return resting, nil
	case failing:
		return doomed, nil
	default:
		return pending, nil
	}
}

// failing reports whether more items have failed than are tolerated.
func (e *each) failing(fan *Fan) bool { return fan.Failed > e.tolerate }

// nextItems creates and starts a page of items each.
func (m *machine) nextItems(r *record, n *node) error {
	st := r.at(n)
	// In a choreography every item is started: all parties must agree which ones were.
	more := func() bool { return m.role != nil || !n.each.failing(st.Fan) }
	// While the next page is due as a tick, a reply does not look at what the items are made of.
	if st.Phase == PhaseIdle || st.Fan.Created < st.Fan.Total && st.Due == 0 && more() {
		if err := m.createItems(r, n); err != nil || st.Stuck {
			return err
		}
	}
	return m.startItems(r, n)
}

// mayBegin reports whether there is another page to create or start.
func (m *machine) mayBegin(n *node, fan *Fan) bool {
	if n.each.failing(fan) && m.role == nil {
		return false
	}
	return fan.Created < fan.Total || m.mayStart(n, fan) > 0
}

// mayStart returns how many items this transition may start.
func (m *machine) mayStart(n *node, fan *Fan) int {
	switch {
	case m.role != nil:
		return min(fan.Created-fan.Started, pageItems)
	case n.each.failing(fan):
		return 0
	default:
		return inPage(n, fan.Created-fan.Started, fan.Active)
	}
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
		item := m.keep(key, Record{Data: encoded, Nodes: make([]NodeState, len(inner.nodes))}, inner)
		st.Fan.Created++
		m.handOver(r, n, item)
		if err := m.expectSignals(item); err != nil {
			return err
		}
	}
	return nil
}

func (m *machine) startItems(r *record, n *node) error {
	fan, path := r.at(n).Fan, r.path(n)
	count := m.mayStart(n, fan)
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
		fan.Active++
		item.own().Phase = PhaseDoing
		v, err := m.forward(item, item.scope.root, false)
		if err != nil {
			return err
		}
		if err := m.account(item, r, n, v); err != nil {
			return err
		}
	}
	return nil
}

// account counts in the fan-out n of record r what became of an active item of it.
func (m *machine) account(item, r *record, n *node, v verdict) error {
	fan, own := r.at(n).Fan, item.own()
	m.changed = true
	m.rest(item, fan, v == resting)
	switch v {
	case succeeded:
		own.Phase = PhaseDone
		fan.Active--
	case failed:
		fan.Failed++
		failing := n.each.failing(fan)
		if failing {
			m.blame(r, own.Reason)
		}
		// The parties of a choreography see failures in different orders: each item that fails is undone on its own, whichever
		// is one too many.
		if failing && (m.role == nil || n.each.tolerate == 0) {
			own.Phase = PhaseRefused
			fan.Active--
			return nil
		}
		return m.tolerate(item, fan)
	default:
	}
	return nil
}

// rest counts an active item as one with or without something in flight.
func (m *machine) rest(item *record, fan *Fan, rests bool) {
	own := item.own()
	switch {
	case rests && !own.Resting:
		fan.Resting++
	case !rests && own.Resting:
		fan.Resting--
	}
	own.Resting = rests
}

// tolerate compensates an item that failed, on its own. If its fan-out fails later it is taken over as it is.
func (m *machine) tolerate(item *record, fan *Fan) error {
	item.own().Phase = PhaseUndoing
	m.rest(item, fan, true)
	fan.Alone++
	m.log(LogTolerated, item.Key, "", 0, item.own().Reason)
	clean, err := m.backward(item, item.scope.root)
	if err == nil && clean {
		m.itemUndone(item, fan)
	}
	return err
}

// itemUndone counts an item whose compensation is complete.
func (m *machine) itemUndone(item *record, fan *Fan) {
	item.own().Phase = PhaseUndone
	if _, i, _ := splitItem(item.Key); i < fan.Reversing {
		fan.Undoing--
		return
	}
	m.rest(item, fan, false) // it was tolerated
	fan.Alone--
	fan.Active--
}

// halted reports whether something that contains the item has failed, so that it begins nothing new (R9).
func (m *machine) halted(item *record) (bool, error) {
	if m.role != nil {
		return false, nil // every party must begin what the others begin
	}
	for r := item; r.Key != ""; {
		parent, n, err := m.container(r)
		if err != nil {
			return false, err
		}
		if n.each.failing(parent.at(n).Fan) {
			return true, nil
		}
		for p := n.parent; p != nil; p = p.parent {
			if p.kind == KindParallel && parent.at(p).Phase == PhaseRefused {
				return true, nil
			}
		}
		r = parent
	}
	return false, nil
}

// send issues the node's command in the given direction, for the first time or again. The id tells a resend (R1).
func (m *machine) send(r *record, n *node, d Direction) error {
	st, s := r.at(n), n.step
	source, what, phase := s.do, "the Do function", PhaseDoing
	if d == UndoDirection {
		source, what, phase = s.undo, "the Undo function", PhaseUndoing
	}
	switch {
	case m.role.watches(s):
		return m.await(r, n, d, phase)
	case m.held:
		m.hold(r, n, d)
		return nil
	}
	data, err := m.data(r)
	if err != nil {
		return err
	}
	var cmd any
	if err := guard(what, func() { cmd = source.make(data) }); err != nil {
		m.stick(r, n, err.Error())
		return nil
	}
	m.changed = true
	first := d == DoDirection && st.Phase == PhaseIdle
	st.Phase, st.Again = phase, false
	st.Attempt++
	st.Due = m.now.Add(s.timeout).UnixMilli()
	path := r.path(n)
	m.effects = append(m.effects, Send{
		Node: path, Direction: d, Epoch: st.Epoch, Attempt: st.Attempt, First: first,
		ID: MessageID(m.s.ID, path, d, st.Epoch), Command: cmd,
	})
	m.log(LogSent, path, d, st.Attempt, "")
	m.expect(r, n, data, d, st.Epoch)
	return nil
}

// await is what a party of a choreography does in place of sending another service's command. Only the watcher minds the time.
func (m *machine) await(r *record, n *node, d Direction, phase Phase) error {
	st := r.at(n)
	m.changed = true
	st.Phase, st.Again, st.Due = phase, false, 0
	st.Attempt++
	if m.role.service == "" {
		st.Due = m.now.Add(n.step.timeout).UnixMilli()
	}
	m.log(LogAwaited, r.path(n), d, st.Attempt, n.step.service)
	return m.expectEvent(r, n, d, st.Epoch)
}

// hold makes the sending a tick that is due at once: it is given when the definition is not paused any more.
func (m *machine) hold(r *record, n *node, d Direction) {
	st := r.at(n)
	m.changed = true
	st.Again, st.Due = true, m.now.UnixMilli()
	m.log(LogHeld, r.path(n), d, st.Attempt, "")
}

// again schedules the command to be issued anew after the backoff, or sticks when its attempts are used up.
// The new epoch makes it another message: the participant has answered the present one for good.
func (m *machine) again(r *record, n *node, reason string) {
	st, s := r.at(n), n.step
	st.Epoch++
	if st.Attempt >= s.attempts && !m.role.watches(s) {
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
