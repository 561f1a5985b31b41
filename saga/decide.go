package saga

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
)

// pageItems bounds how many items of a fan-out one transition creates, starts or compensates.
const pageItems = 100

// Decide is the whole of what a saga does: the instance's next state and what the shell is to do, from its
// definition, its state and what happened. It is a pure function; it reads no clock and does no I/O.
//
// An input that changes nothing (a duplicate, an early tick, a reply to a terminal instance) returns the state as it
// was and no effects. Otherwise the version is one higher. Errors leave the state as it was:
// [*NeedError] asks for more records, [ErrNotFound], [ErrEarly], [ErrKey], [ErrUnexpectedReply], [ErrConflict], [ErrNotAllowed] and [ErrUnknownDefinition]
// say what is wrong with the input, [ErrData] what is wrong with the data.
// A function of the definition that panics parks the instance at its node.
func Decide(def Any, s State, in Input, now time.Time) (State, []Effect, error) {
	hold, held := in.(Hold)
	if held {
		in = hold.Input
	}
	if s.Exists() && !independent(in) && (s.Definition != def.Name() || s.Hash != def.Hash()) {
		return s, nil, fmt.Errorf("%w: %s at %s is not %s at %s", ErrUnknownDefinition, s.Definition, s.Hash, def.Name(), def.Hash())
	}
	m := &machine{def: def, role: def.party(), held: held, mayBeEarly: def.party() != nil, s: s.clone(), now: now, open: map[string]*record{}}
	err := m.take(in)
	switch {
	case len(m.needs) > 0:
		return s, nil, &NeedError{Keys: m.needs}
	case err != nil:
		return s, nil, err
	case !m.changed:
		return s, nil, nil
	}
	if err := m.close(); err != nil {
		return s, nil, err
	}
	return m.s, m.effects, nil
}

// independent reports whether what the input does to an instance that exists is the same for any definition: a repeated
// start does nothing, and an end can be forced even where the definition is lost.
func independent(in Input) bool {
	switch in := in.(type) {
	case Start:
		return true
	case Act:
		return in.Action == Force
	default:
		return false
	}
}

// ParkOrphan parks an instance that cannot be decided: its definition is not registered (R8), or its data is
// unusable. It changes nothing on one that is terminal or parked for that already. The instance goes on
// with the first input that can be decided.
func ParkOrphan(s State, reason string, now time.Time) (State, []Effect) {
	if !s.Exists() || s.Status.Terminal() || s.Orphaned {
		return s, nil
	}
	reason = legible.Line(reason)
	next := s.clone()
	next.Orphaned, next.Status, next.Reason, next.Updated = true, Parked, reason, now
	next.Version++
	return next, []Effect{Log{Kind: LogParked, Detail: reason}}
}

// errNeeds stops a transition that lacks a record; the keys are in machine.needs.
var errNeeds = errors.New("saga: needs records")

// machine carries one transition.
type machine struct {
	def     Any
	role    *role // of a choreography
	held    bool  // what is to be sent is held back
	s       State
	now     time.Time
	effects []Effect
	open    map[string]*record
	needs   []string
	changed bool
	// mayBeEarly says that the input may be about an item that is still to be made.
	mayBeEarly bool
}

// record is a loaded record with its data decoded once it is used.
type record struct {
	Record
	scope *scope
	data  any // *D
	dirty bool
}

func (r *record) at(n *node) *NodeState { return &r.Nodes[n.index] }

// own is the state of the record's scope as a whole.
func (r *record) own() *NodeState { return &r.Nodes[0] }

func (m *machine) take(in Input) error {
	if start, ok := in.(Start); ok {
		return m.start(start)
	}
	if !m.s.Exists() {
		return fmt.Errorf("%w: no instance %q", ErrNotFound, m.s.ID)
	}
	switch in := in.(type) {
	case Reply:
		return m.reply(in)
	case Signal:
		return m.signal(in)
	case Tick:
		return m.tick(in)
	case Act:
		return m.act(in)
	default:
		return fmt.Errorf("%w: input %T", ErrNotAllowed, in)
	}
}

func (m *machine) start(in Start) error {
	if m.s.Exists() {
		return nil
	}
	if err := in.usable(); err != nil {
		return err
	}
	root := m.def.root()
	if t := reflect.TypeOf(in.Data); t != root.typ {
		return fmt.Errorf("%w: %s takes %s, not %v", ErrData, m.def.Name(), root.typ, t)
	}
	data, err := root.encode(in.Data)
	if err != nil {
		return err
	}
	m.s = State{
		ID: in.ID, Definition: m.def.Name(), Hash: m.def.Hash(), Key: in.Key, Status: Running, Started: m.now,
		Root: Record{Data: data, Nodes: make([]NodeState, len(root.nodes))},
	}
	m.log(LogStarted, "", "", 0, "")
	if err := m.expectSignals(m.keep("", m.s.Root, root)); err != nil {
		return err
	}
	return m.proceedRoot()
}

// tick looks at every node of the record whose time has come.
func (m *machine) tick(in Tick) error {
	if m.s.Status.Terminal() {
		return nil
	}
	r, err := m.record(in.Record)
	if err != nil {
		return err
	}
	due := false
	for _, n := range r.scope.nodes {
		st := r.at(n)
		if st.Due == 0 || st.Due > m.now.UnixMilli() {
			continue
		}
		due, st.Due = true, 0
		var err error
		switch {
		case n.step != nil:
			err = m.overdue(r, n)
		case st.Phase == PhaseWaiting:
			err = m.waited(r, n)
		}
		if err != nil {
			return err
		}
	}
	if !due {
		return nil
	}
	m.changed = true
	return m.proceed(r)
}

// overdue handles a step whose deadline passed or whose time to be issued again has come.
func (m *machine) overdue(r *record, n *node) error {
	st, s := r.at(n), n.step
	reversing := m.reversing(r)
	switch {
	case st.Stuck:
		return nil
	case st.Again && st.Phase != PhaseDoing && st.Phase != PhaseUndoing:
		st.Again = false // it was held back: the scope sends it as it proceeds
		return nil
	case st.Phase == PhaseDoing && reversing && !st.Again && m.role == nil:
		// R5: the undo needs the reply and the deadline has passed.
		st.Phase, st.Unanswered = PhaseUnknown, true
		m.log(LogTimedOut, r.path(n), DoDirection, st.Attempt, "")
		return nil
	case m.role.watches(s) && !st.Again && (st.Phase == PhaseDoing || st.Phase == PhaseUndoing):
		m.stick(r, n, fmt.Sprintf("no reply seen within %s: look at the service %q", s.timeout, s.service))
		return nil
	case st.Phase == PhaseDoing && (st.Again || st.Attempt < s.attempts):
		return m.send(r, n, DoDirection)
	case st.Phase == PhaseUndoing && (st.Again || st.Attempt < s.attempts):
		return m.send(r, n, UndoDirection)
	case st.Phase == PhaseDoing && s.class == Compensable && m.role == nil:
		st.Phase, st.Unanswered, st.Reason = PhaseUnknown, true, fmt.Sprintf("no reply to %d sendings", st.Attempt)
		m.log(LogTimedOut, r.path(n), DoDirection, st.Attempt, st.Reason)
		m.blame(r, r.path(n)+": "+st.Reason)
		return nil
	case st.Phase == PhaseDoing, st.Phase == PhaseUndoing:
		reason := fmt.Sprintf("no reply to %d sendings", st.Attempt)
		if st.Phase == PhaseUndoing && s.undone == nil && !s.byFailure {
			reason += ": without Undone it is only seen on a topic of a declared event"
		}
		m.stick(r, n, reason)
		return nil
	default:
		return nil
	}
}

// reversing reports whether the record's scope is being compensated, or was.
func (m *machine) reversing(r *record) bool {
	if r.Key == "" {
		return m.s.Reversing
	}
	return r.own().Phase == PhaseUndoing || r.own().Phase == PhaseUndone
}

// unwinding reports whether the item lies in something that is being compensated, and is about to be told so.
func (m *machine) unwinding(item *record) (bool, error) {
	for r := item; r.Key != ""; {
		parent, _, err := m.container(r)
		if err != nil {
			return false, err
		}
		if m.reversing(parent) {
			return true, nil
		}
		r = parent
	}
	return false, nil
}

// container returns the record that the item's fan-out lies in, and the fan-out.
func (m *machine) container(item *record) (*record, *node, error) {
	fanPath, _, _ := splitItem(item.Key)
	parentKey, local := splitPath(fanPath)
	parent, err := m.record(parentKey)
	if err != nil {
		return nil, nil, err
	}
	return parent, parent.scope.byLocal[local], nil
}

// proceed moves the record's scope on after one of its nodes changed, and what contains it.
func (m *machine) proceed(r *record) error {
	if r.Key == "" {
		return m.proceedRoot()
	}
	switch r.own().Phase {
	case PhaseDoing:
		return m.proceedItem(r)
	case PhaseUndoing:
		clean, err := m.backward(r, r.scope.root)
		if err != nil || !clean {
			return err
		}
		parent, n, err := m.container(r)
		if err != nil {
			return err
		}
		m.itemUndone(r, parent.at(n).Fan)
		return m.proceed(parent)
	default:
		return nil
	}
}

// proceedItem moves an item forward, and its fan-out if that makes a difference to it.
func (m *machine) proceedItem(r *record) error {
	if unwinding, err := m.unwinding(r); err != nil || unwinding {
		return err // R3: its fan-out is about to tell it to compensate
	}
	halt, err := m.halted(r)
	if err != nil {
		return err
	}
	v, err := m.forward(r, r.scope.root, halt)
	if err != nil {
		return err
	}
	if (v == pending || v == doomed) && !r.own().Resting || v == resting && r.own().Resting {
		return nil
	}
	parent, n, err := m.container(r)
	if err != nil {
		return err
	}
	if err := m.account(r, parent, n, v); err != nil {
		return err
	}
	return m.proceed(parent)
}

func (m *machine) proceedRoot() error {
	m.changed = true
	r, err := m.record("")
	if err != nil {
		return err
	}
	if !m.s.Reversing {
		v, err := m.forward(r, r.scope.root, false)
		switch {
		case err != nil || v == pending || v == resting || v == doomed:
			return err
		case v == succeeded:
			m.finish(Completed, LogCompleted)
			return nil
		}
		m.abort()
	}
	clean, err := m.backward(r, r.scope.root)
	if err == nil && clean {
		m.finish(Compensated, LogCompensated)
	}
	return err
}

// abort makes the abort decision (R3).
func (m *machine) abort() {
	m.s.Reversing = true
	m.log(LogAborted, "", "", 0, m.s.Root.Nodes[0].Reason)
}

func (m *machine) finish(status Status, kind LogKind) {
	m.s.Status = status
	m.s.Stuck, m.s.Orphaned = 0, false
	if status != Forced { // what it was parked for in between is not why it ended
		m.s.Reason = m.s.Root.Nodes[0].Reason
	}
	root := m.open[""]
	if root == nil { // forced by an operator
		root = m.keep("", m.s.Root, m.def.root())
	}
	for i := range root.Nodes {
		root.Nodes[i].Due = 0
	}
	m.log(kind, "", "", 0, "")
}

// record opens the record with the key. The records that contain it are opened too, as they know whether it exists.
func (m *machine) record(key string) (*record, error) {
	if r, ok := m.open[key]; ok {
		return r, nil
	}
	if key == "" {
		return m.keep("", m.s.Root, m.def.root()), nil
	}
	fanPath, i, ok := splitItem(key)
	if !ok {
		return nil, fmt.Errorf("%w: record %q", ErrNotFound, key)
	}
	parentKey, local := splitPath(fanPath)
	parent, err := m.record(parentKey)
	if err != nil {
		return nil, err
	}
	n := parent.scope.byLocal[local]
	if n == nil || n.each == nil {
		return nil, fmt.Errorf("%w: no fan-out %q", ErrNotFound, fanPath)
	}
	fan := parent.at(n).Fan
	toCome := fan == nil && parent.at(n).Phase == PhaseIdle || fan != nil && i >= fan.Created && i < fan.Total
	switch {
	case toCome && m.mayBeEarly:
		return nil, fmt.Errorf("%w: the item %q is not made yet", ErrEarly, key)
	case fan == nil || i >= fan.Created:
		return nil, fmt.Errorf("%w: no item %q", ErrNotFound, key)
	}
	loaded, ok := m.s.Items[key]
	if !ok {
		return nil, m.need(key)
	}
	loaded.Nodes = cloneNodes(loaded.Nodes)
	return m.keep(key, loaded, n.each.inner), nil
}

// prefetch opens items from..to-1 of the fan-out, so that all that lack are asked for at once.
func (m *machine) prefetch(fanPath string, from, to int) error {
	for i := from; i < to; i++ {
		if _, err := m.record(itemKey(fanPath, i)); err != nil && !errors.Is(err, errNeeds) {
			return err
		}
	}
	if len(m.needs) > 0 {
		return errNeeds
	}
	return nil
}

func (m *machine) keep(key string, loaded Record, s *scope) *record {
	r := &record{Record: loaded, scope: s}
	r.Key = key
	m.open[key] = r
	return r
}

func (m *machine) need(key string) error {
	if !slices.Contains(m.needs, key) {
		m.needs = append(m.needs, key)
	}
	return errNeeds
}

// data returns the record's data as *D.
func (m *machine) data(r *record) (any, error) {
	if r.data == nil {
		if r.Data == nil {
			return nil, m.need(r.Key)
		}
		d, err := r.scope.decode(r.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Key, err)
		}
		r.data = d
	}
	return r.data, nil
}

// close puts the opened records back into the state.
func (m *machine) close() error {
	for _, key := range slices.Sorted(maps.Keys(m.open)) {
		r := m.open[key]
		if r.dirty {
			data, err := r.scope.encode(r.data)
			if err != nil {
				return err
			}
			r.Data = data
		}
		r.Wake = wakeOf(r.Nodes)
		if key == "" {
			m.s.Root = r.Record
			continue
		}
		if m.s.Items == nil {
			m.s.Items = map[string]Record{}
		}
		m.s.Items[key] = r.Record
	}
	m.s.Version++
	m.s.Updated = m.now
	if m.s.Orphaned {
		m.s.Orphaned = false
		m.restoreReason()
	}
	switch {
	case m.s.Status.Terminal():
	case m.s.Stuck > 0:
		m.s.Status = Parked
	case m.s.Reversing:
		m.s.Status = Compensating
	default:
		m.s.Status = Running
	}
	return nil
}

// wakeOf returns when the earliest node is due.
func wakeOf(nodes []NodeState) time.Time {
	var first int64
	for _, st := range nodes {
		if st.Due != 0 && (first == 0 || st.Due < first) {
			first = st.Due
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.UnixMilli(first).UTC()
}

func (m *machine) log(kind LogKind, path string, d Direction, attempt int, detail string) {
	m.effects = append(m.effects, Log{Kind: kind, Node: path, Direction: d, Attempt: attempt, Detail: detail})
}

// blame notes the first reason for which the record's scope fails. It is kept with the scope's own node, as the
// instance's reason is another one while it is parked.
func (m *machine) blame(r *record, reason string) {
	own := r.own()
	if own.Reason != "" {
		return
	}
	own.Reason = reason
	if r.Key == "" {
		m.s.Reason = reason
	}
}

// stick makes the node wait for an operator (R6).
func (m *machine) stick(r *record, n *node, reason string) {
	st := r.at(n)
	if st.Stuck {
		return
	}
	st.Stuck, st.Due, st.Again, st.Reason = true, 0, false, reason
	m.s.Stuck++
	m.s.Reason = r.path(n) + ": " + reason
	m.changed = true
	d := DoDirection
	if st.Phase == PhaseUndoing || m.reversing(r) && st.Phase != PhaseDoing {
		d = UndoDirection
	}
	m.log(LogParked, r.path(n), d, st.Attempt, reason)
}

func (m *machine) unstick(st *NodeState) {
	if st.Stuck {
		st.Stuck = false
		m.s.Stuck--
		m.restoreReason()
	}
}

// restoreReason forgets a reason for which the instance was parked and does not wait any more.
func (m *machine) restoreReason() {
	m.s.Reason = m.s.Root.Nodes[0].Reason
	if m.s.Stuck > 0 {
		m.s.Reason = fmt.Sprintf("nodes that wait for an operator: %d", m.s.Stuck)
	}
}

// path is the node's full path in this record.
func (r *record) path(n *node) string { return joinPath(r.Key, n.local) }

// guard calls a function of the definition and turns its panic into an error: the text that parks the instance.
func guard(what string, call func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s panicked: %s", what, legible.Line(panicText(p)))
		}
	}()
	call()
	return nil
}

// panicText is a panic's value if it is an error or a string, else only its type: it might be data.
func panicText(p any) string {
	switch p := p.(type) {
	case error:
		return p.Error()
	case string:
		return p
	default:
		return fmt.Sprintf("a value of type %T", p)
	}
}
