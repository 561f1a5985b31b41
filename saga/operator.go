package saga

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/alpespartners/alpespartners/internal/legible"
)

// act applies an operator's action (R6).
func (m *machine) act(in Act) error {
	if in.ID == "" || in.By == "" || in.Why == "" {
		return fmt.Errorf("%w: the fields id, by and why are required: say who acts and for what reason", ErrNotAllowed)
	}
	if err := in.legible(); err != nil {
		return err
	}
	for _, applied := range m.s.Actions {
		if id, what, _ := strings.Cut(applied, actionMark); id == in.ID {
			if what != in.what() {
				return fmt.Errorf("%w: the id %q was that of another action, %s: give each its own", ErrConflict, in.ID, what)
			}
			return nil
		}
	}
	if in.Version != 0 && in.Version != m.s.Version {
		return fmt.Errorf("%w: the instance is at version %d, not %d: look at it again", ErrConflict, m.s.Version, in.Version)
	}
	if m.s.Status.Terminal() {
		return fmt.Errorf("%w: the instance is %s, which never changes", ErrNotAllowed, m.s.Status)
	}
	if m.role != nil && (in.Action == Cancel || in.Action == Skip) {
		return fmt.Errorf("%w: the instance is choreographed, and one party alone does not decide for the others: mend the service and retry, or force", ErrNotAllowed)
	}
	if m.role != nil && m.role.service == "" && in.Action == Edit {
		return fmt.Errorf("%w: the watcher of a choreography only looks on, and its data decides nothing: edit that of the service's own part", ErrNotAllowed)
	}
	m.s.Actions = append(m.s.Actions, in.ID+actionMark+in.what())
	m.changed = true
	switch in.Action {
	case Retry, Skip:
		return m.actOnNode(in)
	case Force:
		m.audit(in, string(m.s.Status), string(Forced))
		m.s.Reason = in.Why
		m.finish(Forced, LogForced)
		return nil
	case Cancel:
		return m.cancel(in)
	case Edit:
		return m.edit(in)
	default:
		return fmt.Errorf("%w: no action %q: use retry, skip, edit, force or cancel", ErrNotAllowed, in.Action)
	}
}

// maxActionID bounds an action's id, in bytes.
const maxActionID = 255

// legible refuses what not every store can keep. Of the other fields only those get there that are the instance's own.
func (a Act) legible() error {
	switch {
	case !legible.Is(a.ID):
		return fmt.Errorf("%w: the field id is not UTF-8 without NUL: send text", ErrNotAllowed)
	case len(a.ID) > maxActionID:
		return fmt.Errorf("%w: the field id has %d bytes: send at most %d", ErrNotAllowed, len(a.ID), maxActionID)
	case !legible.Is(a.By):
		return fmt.Errorf("%w: the field by is not UTF-8 without NUL: send text", ErrNotAllowed)
	case !legible.Is(a.Why):
		return fmt.Errorf("%w: the field why is not UTF-8 without NUL: send text", ErrNotAllowed)
	default:
		return nil
	}
}

// actionMark stands between an applied action's id and what it was; no id holds it.
const actionMark = "\x00"

// what tells actions with one id apart.
func (a Act) what() string {
	what := strings.TrimSpace(string(a.Action) + " " + a.Node)
	if a.Data != "" {
		sum := sha256.Sum256([]byte(a.Data))
		what += " data " + hex.EncodeToString(sum[:8])
	}
	return what
}

func (m *machine) actOnNode(in Act) error {
	r, n, err := m.target(in.Node)
	if err != nil {
		return err
	}
	st := r.at(n)
	before := st.describe()
	in.Node = r.path(n)
	m.logAct(in)
	if in.Action == Skip {
		err = m.skip(r, n)
	} else {
		err = m.retry(r, n)
	}
	if err != nil {
		return err
	}
	m.effects = append(m.effects, Audit{Act: in, Before: before, After: st.describe()})
	return m.proceed(r)
}

// describe is the node's phase as the audit tells it.
func (st *NodeState) describe() string {
	phase := string(st.Phase)
	if st.Phase == PhaseIdle {
		phase = "idle"
	}
	if st.Stuck {
		phase += " (stuck)"
	}
	return phase
}

// retry gives the node fresh attempts. A command that was never answered goes out as the same message; one
// that was refused as a new one, as its epoch grew with the refusal.
func (m *machine) retry(r *record, n *node) error {
	st := r.at(n)
	if underWay := n.step != nil && (st.Phase == PhaseDoing || st.Phase == PhaseUndoing); !st.Stuck && !underWay {
		return fmt.Errorf("%w: %s is %s: only what is stuck and steps under way are tried again", ErrNotAllowed, r.path(n), st.describe())
	}
	m.unstick(st)
	st.Attempt, st.Again = 0, false
	switch st.Phase {
	case PhaseIdle:
		if n.wait != nil { // its Matching function may have panicked
			return m.expectEvent(r, n, SignalDirection, 0)
		}
	case PhaseUnknown:
		if n.step.needsReply { // ask for the reply again; the command is the same message (R3)
			st.Phase = PhaseDoing
			return m.send(r, n, DoDirection)
		}
	case PhaseWaiting: // its deadline has passed: call the function that panicked, or wait as long again
		if n.wait.onDeadline != nil {
			return m.waited(r, n)
		}
		if n.wait.deadline > 0 {
			st.Due = m.now.Add(n.wait.deadline).UnixMilli()
		}
	case PhaseDoing:
		if n.step != nil { // not a fan-out whose function panicked
			return m.send(r, n, DoDirection)
		}
	case PhaseUndoing:
		if n.step != nil {
			return m.send(r, n, UndoDirection)
		}
	default:
	}
	return nil // a function of the definition had panicked: it is called again as the scope proceeds
}

// skip gives up on a stuck node: going forward it counts as done without effect, going back its effect stays.
func (m *machine) skip(r *record, n *node) error {
	st := r.at(n)
	if !st.Stuck && st.Phase != PhaseWaiting {
		return fmt.Errorf("%w: %s is %s: only what is stuck or waits can be skipped", ErrNotAllowed, r.path(n), st.describe())
	}
	if n.kind == KindIf {
		return fmt.Errorf("%w: %s is a choice, which cannot be skipped: edit the data and retry", ErrNotAllowed, r.path(n))
	}
	if !m.reversing(r) && st.Fan != nil && st.Fan.Active > 0 {
		return fmt.Errorf("%w: %d items of %s are under way: wait until they have settled", ErrNotAllowed, st.Fan.Active, r.path(n))
	}
	m.unstick(st)
	st.Due, st.Again = 0, false
	if m.reversing(r) {
		st.Phase = PhaseLeft
		return nil
	}
	st.Phase = PhaseSkipped
	if n.step != nil && n.step.class == Pivot {
		m.s.Pivoted = true
	}
	return nil
}

// target finds the node with the path or, where it is empty, the only stuck one.
func (m *machine) target(path string) (*record, *node, error) {
	if path != "" {
		key, local := splitPath(path)
		r, err := m.record(key)
		if err != nil {
			return nil, nil, err
		}
		n := r.scope.byLocal[local]
		if n == nil || n.kind == KindSequence {
			return nil, nil, fmt.Errorf("%w: no node %q", ErrNotFound, path)
		}
		return r, n, nil
	}
	r, err := m.record("")
	if err != nil {
		return nil, nil, err
	}
	var found *node
	for _, n := range r.scope.nodes {
		if r.at(n).Stuck {
			found = n
		}
	}
	if m.s.Stuck == 0 {
		return nil, nil, fmt.Errorf("%w: nothing is stuck: name the node", ErrNotAllowed)
	}
	if found == nil || m.s.Stuck != 1 {
		return nil, nil, fmt.Errorf("%w: %d nodes are stuck: name the node", ErrNotAllowed, m.s.Stuck)
	}
	return r, found, nil
}

// cancel makes the abort decision on an operator's word.
func (m *machine) cancel(in Act) error {
	if m.s.Reversing {
		return fmt.Errorf("%w: the instance is already compensating", ErrNotAllowed)
	}
	r, err := m.record("")
	if err != nil {
		return err
	}
	for _, n := range r.scope.nodes {
		if n.step == nil || n.step.class != Pivot {
			continue
		}
		if p := r.at(n).Phase; p != PhaseIdle {
			return fmt.Errorf("%w: the pivot %s is %s: the saga can only go forward", ErrNotAllowed, r.path(n), r.at(n).describe())
		}
	}
	m.audit(in, string(m.s.Status), string(Compensating))
	m.blame(r, "cancelled: "+in.Why)
	m.abort()
	return m.proceedRoot()
}

// edit replaces the data of a record.
func (m *machine) edit(in Act) error {
	r, err := m.record(in.Node)
	if err != nil {
		return err
	}
	if r.Data == nil {
		return m.need(r.Key)
	}
	edited, err := r.scope.edited([]byte(in.Data))
	if err != nil {
		return err
	}
	in.Data = "" // the audit has it in its stored form
	m.audit(in, legibleData(r.Data), legibleData(edited))
	r.Data, r.data = edited, nil
	return nil
}

// legibleData is stored data as text.
func legibleData(data []byte) string {
	if legible.Is(string(data)) {
		return string(data)
	}
	return base64.StdEncoding.EncodeToString(data)
}

func (m *machine) audit(in Act, before, after string) {
	m.effects = append(m.effects, Audit{Act: in, Before: before, After: after})
	m.logAct(in)
}

// logAct tells the action in the log, before what comes of it.
func (m *machine) logAct(in Act) {
	m.log(LogOperator, in.Node, "", 0, fmt.Sprintf("%s by %s: %s", in.Action, in.By, in.Why))
}
