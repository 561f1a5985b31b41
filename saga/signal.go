package saga

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// forwardWait begins a wait or a sleep and tells whether it is over.
func (m *machine) forwardWait(r *record, n *node, halt bool) (verdict, error) {
	st := r.at(n)
	switch st.Phase {
	case PhaseIdle:
		if st.Stuck || halt {
			return resting, nil
		}
		return m.beginWait(r, n)
	case PhaseWaiting:
		return resting, nil
	case PhaseDone, PhaseSkipped:
		return succeeded, nil
	default:
		return failed, nil
	}
}

func (m *machine) beginWait(r *record, n *node) (verdict, error) {
	st := r.at(n)
	m.changed = true
	if st.Signal != nil {
		err := m.takeKept(r, n)
		if err != nil || st.Phase != PhaseDone {
			return resting, err
		}
		return succeeded, nil
	}
	var limit time.Duration
	detail := ""
	if n.wait != nil {
		limit, detail = n.wait.deadline, "for a signal "
	} else {
		var ok bool
		var err error
		if limit, ok, err = m.nap(r, n); err != nil || !ok {
			return resting, err
		}
		if limit <= 0 {
			st.Phase = PhaseDone
			return succeeded, nil
		}
	}
	st.Phase = PhaseWaiting
	if limit > 0 {
		st.Due = m.now.Add(limit).UnixMilli()
		detail += "until " + m.now.Add(limit).UTC().Format(time.RFC3339)
	}
	m.log(LogWaiting, r.path(n), DoDirection, 0, detail)
	return resting, nil
}

// nap asks the definition how long to sleep.
func (m *machine) nap(r *record, n *node) (d time.Duration, ok bool, err error) {
	data, err := m.data(r)
	if err != nil {
		return 0, false, err
	}
	if err := guard("the Sleep function", func() { d = time.Duration(n.sleep(data)) * time.Millisecond }); err != nil {
		m.stick(r, n, err.Error())
		return 0, false, nil
	}
	return d, true, nil
}

// takeKept takes a signal that came before its wait.
func (m *machine) takeKept(r *record, n *node) error {
	st := r.at(n)
	event := reflect.New(n.wait.on.typ)
	if err := r.scope.read(st.Signal, event.Interface()); err != nil {
		return fmt.Errorf("%s: %w", r.path(n), err)
	}
	applied, err := m.apply(r, n, n.wait.on, event.Elem().Interface())
	if err == nil && applied {
		st.Phase, st.Signal, st.Reason = PhaseDone, nil, ""
	}
	return err
}

// signal takes a signal, or keeps it until its wait begins.
func (m *machine) signal(in Signal) error {
	if m.s.Status.Terminal() || m.s.Reversing {
		return nil // R3, R8
	}
	m.mayBeEarly = true
	key, local := splitPath(in.Node)
	r, err := m.record(key)
	if errors.Is(err, ErrEarly) {
		return m.keepForItem(in)
	}
	if err != nil {
		return err
	}
	n := r.scope.byLocal[local]
	if n == nil || n.wait == nil {
		return fmt.Errorf("%w: no wait %q", ErrNotFound, in.Node)
	}
	if t := reflect.TypeOf(in.Event); t != n.wait.on.typ {
		return fmt.Errorf("%w: %s waits for %s, not %v", ErrUnexpectedReply, in.Node, n.wait.on.typ, t)
	}
	unwinding, err := m.unwinding(r)
	if err != nil {
		return err
	}
	st := r.at(n)
	switch {
	case unwinding || m.reversing(r):
		return nil
	case st.Phase == PhaseIdle && st.Signal == nil:
		return m.keepSignal(r, n, in)
	case st.Phase != PhaseWaiting:
		return nil
	}
	applied, err := m.apply(r, n, n.wait.on, in.Event)
	if err != nil {
		return err
	}
	if !applied { // the function panicked: an operator's retry takes the signal again
		st.Phase = PhaseIdle
		return m.keepSignal(r, n, in)
	}
	if _, err := r.scope.encode(r.data); err != nil {
		return m.refuseSignal(in, err)
	}
	m.unstick(st)
	st.Phase, st.Due, st.Reason, m.changed = PhaseDone, 0, "", true
	m.log(LogSignalled, in.Node, SignalDirection, 0, "")
	return m.proceed(r)
}

func (m *machine) keepSignal(r *record, n *node, in Signal) error {
	kept, err := r.scope.encode(in.Event)
	if err != nil {
		return m.refuseSignal(in, err)
	}
	r.at(n).Signal, m.changed = kept, true
	m.log(LogSignalled, in.Node, SignalDirection, 0, "kept")
	return nil
}

// refuseSignal says that the signal cannot be stored. That is its sender's fault: the instance's data is as good as before.
func (m *machine) refuseSignal(in Signal, err error) error {
	return fmt.Errorf("%w: %s: %v", ErrUnexpectedReply, in.Node, err) //nolint:errorlint // it is not ErrData
}

// waited ends a sleep, or a wait whose deadline has passed.
func (m *machine) waited(r *record, n *node) error {
	st := r.at(n)
	if m.reversing(r) || st.Stuck {
		return nil
	}
	if n.wait == nil {
		st.Phase = PhaseDone
		return nil
	}
	m.log(LogTimedOut, r.path(n), SignalDirection, 0, "no signal within "+n.wait.deadline.String())
	switch {
	case n.wait.onDeadline != nil:
		data, err := m.data(r)
		if err != nil {
			return err
		}
		if err := guard("the OnDeadline function", func() { n.wait.onDeadline(data) }); err != nil {
			m.stick(r, n, err.Error())
			return nil
		}
		r.dirty = true
		st.Phase = PhaseDone
	case m.s.Pivoted: // R7
		m.stick(r, n, "no signal within "+n.wait.deadline.String())
	default:
		st.Phase, st.Reason = PhaseRefused, "no signal within "+n.wait.deadline.String()
		m.blame(r, r.path(n)+": "+st.Reason)
	}
	return nil
}

// giveUpWait ends a wait or a sleep of what is compensated.
func (m *machine) giveUpWait(r *record, n *node) {
	st := r.at(n)
	m.unstick(st)
	if st.Phase == PhaseWaiting {
		st.Phase, st.Due, m.changed = PhaseUndone, 0, true
	}
}

// maxKept bounds the signals that one fan-out keeps for items to come.
const maxKept = 1000

// keepForItem keeps a signal to an item that is not made yet with the innermost fan-out that is there.
func (m *machine) keepForItem(in Signal) error {
	key, local := splitPath(in.Node)
	inner := scopeOf(m.def.root(), key)
	if inner == nil || inner.byLocal[local] == nil || inner.byLocal[local].wait == nil {
		return fmt.Errorf("%w: no wait %q", ErrNotFound, in.Node)
	}
	if t, want := reflect.TypeOf(in.Event), inner.byLocal[local].wait.on.typ; t != want {
		return fmt.Errorf("%w: %s waits for %s, not %v", ErrUnexpectedReply, in.Node, want, t)
	}
	r, n, err := m.nearest(key)
	if err != nil {
		return err
	}
	st := r.at(n)
	unwinding, err := m.unwinding(r)
	switch {
	case err != nil || unwinding || m.reversing(r):
		return err
	case slices.ContainsFunc(st.Kept, func(k KeptSignal) bool { return k.Node == in.Node }):
		return nil
	case len(st.Kept) >= maxKept:
		return fmt.Errorf("%w: %s keeps %d signals for items to come already", ErrEarly, r.path(n), maxKept)
	}
	kept, err := inner.encode(in.Event)
	if err != nil {
		return fmt.Errorf("%w: %s: %v", ErrUnexpectedReply, in.Node, err) //nolint:errorlint // it says nothing about the instance's data
	}
	st.Kept, m.changed = append(slices.Clip(st.Kept), KeptSignal{Node: in.Node, Event: kept}), true
	m.log(LogSignalled, in.Node, SignalDirection, 0, "kept")
	return nil
}

// nearest returns the innermost fan-out that is there of those that contain the item.
func (m *machine) nearest(key string) (*record, *node, error) {
	for {
		fanPath, _, ok := splitItem(key)
		if !ok {
			return nil, nil, fmt.Errorf("%w: record %q", ErrNotFound, key)
		}
		parentKey, local := splitPath(fanPath)
		r, err := m.record(parentKey)
		switch {
		case errors.Is(err, ErrEarly):
			key = parentKey
		case err != nil:
			return nil, nil, err
		case r.scope.byLocal[local] == nil || r.scope.byLocal[local].each == nil:
			return nil, nil, fmt.Errorf("%w: no fan-out %q", ErrNotFound, fanPath)
		default:
			return r, r.scope.byLocal[local], nil
		}
	}
}

// handOver gives a new item of fan-out n in record r the signals that were kept for it, or for items within it.
func (m *machine) handOver(r *record, n *node, item *record) {
	st := r.at(n)
	if len(st.Kept) == 0 {
		return
	}
	var rest []KeptSignal
	for _, k := range st.Kept {
		below, mine := strings.CutPrefix(k.Node, item.Key+"/")
		if !mine {
			rest = append(rest, k)
			continue
		}
		fan, _, deeper := strings.Cut(below, "[")
		to := item.at(item.scope.byLocal[fan])
		if deeper {
			to.Kept = append(to.Kept, k)
		} else {
			to.Signal = k.Event
		}
	}
	st.Kept = rest
}
