package saga_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/alpespartners/alpespartners/saga"
)

// transition is what one input made of a product; what the coordinator was told by the input is in after already.
type transition struct {
	*explorer
	before, after *product
	in            saga.Input // without [saga.Hold]
	held          bool
	effects       []saga.Effect
}

// judge checks every rule that a transition can break. It knows the parts, their order and what their participants and
// replies said, and nothing of how Decide works.
func (t *transition) judge() error {
	for _, check := range []func() error{
		t.version, t.final, t.abort, t.sends, t.late, t.phases, t.choices, t.fans, t.parking, t.timers, t.status, t.ends,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// judgeNothing checks a transition that changed nothing. The state was judged when it came about.
func (t *transition) judgeNothing() error {
	t.after.encoded = appendState(make([]byte, 0, 512), &t.after.state)
	if !bytes.Equal(t.after.encoded, t.before.encoded) {
		return errors.New("version: a change without a new version")
	}
	return t.late()
}

func (t *transition) version() error {
	before, after := &t.before.state, &t.after.state
	switch {
	case after.Version == before.Version:
		return errors.New("version: effects without a new version")
	case after.Version != before.Version+1:
		return fmt.Errorf("version: %d follows %d", after.Version, before.Version)
	}
	if _, ok := t.in.(saga.Start); ok && before.Exists() {
		return errors.New("R10: the start of an instance that exists changed it")
	}
	return nil
}

func (t *transition) final() error {
	if was := t.before.state.Status; was.Terminal() {
		return fmt.Errorf("R8: the %s instance changed and is %s", was, t.after.state.Status)
	}
	return nil
}

// logged counts the log lines of the kind, of the node if one is named.
func (t *transition) logged(kind saga.LogKind, node string) int {
	n := 0
	for _, e := range t.effects {
		if l, ok := e.(saga.Log); ok && l.Kind == kind && (node == "" || l.Node == node && l.Detail != "") {
			n++
		}
	}
	return n
}

// abort checks that the decision is made once, when nothing is under way, and kept.
func (t *transition) abort() error {
	decided := t.logged(saga.LogAborted, "")
	before, after := &t.before.state, &t.after.state
	switch {
	case decided > 1 || decided > 0 && before.Reversing:
		return errors.New("R3: the abort decision was made twice")
	case after.Reversing != (before.Reversing || decided > 0):
		return fmt.Errorf("R3: the abort decision is not kept: decided %t, state %t", before.Reversing || decided > 0, after.Reversing)
	case decided == 0:
		return nil
	}
	for i, p := range t.parts {
		a := &t.after.actors[i]
		switch {
		case p.class == saga.Pivot && (a.sent(doing) && !a.refused[doing].has(0) || a.skipped):
			return fmt.Errorf("R7: aborted, though the pivot %s was sent and not refused", p.path)
		case p.class == saga.Retriable && a.sent(doing):
			return fmt.Errorf("R7: aborted, though %s is after the pivot", p.path)
		case t.node(t.before, i).Phase == saga.PhaseDoing && !t.settles(p) && !t.unwinds(p):
			return fmt.Errorf("R9: aborted while %s is under way", p.path)
		}
	}
	return nil
}

// unwinds reports whether the part lies in an item that failed before, and is compensated on its own.
func (t *transition) unwinds(p *part) bool {
	return slices.ContainsFunc(p.lies, func(l lies) bool { return l.in.tolerate > 0 && t.before.failed&l.bit != 0 })
}

// settles reports whether the input may settle the step, or is an operator's cancel, which waits for nothing.
func (t *transition) settles(p *part) bool {
	switch in := t.in.(type) {
	case saga.Reply:
		return in.Node == p.path
	case saga.Tick:
		return t.due(in, p) && t.node(t.before, p.index).Attempt >= p.attempts
	case saga.Act:
		return in.Action == saga.Cancel
	default:
		return false
	}
}

// due reports whether the tick is to look at the part.
func (t *transition) due(in saga.Tick, p *part) bool {
	due := t.node(t.before, p.index).Due
	return in.Record == p.record && due != 0 && due <= present()
}

// sends checks each command that goes out, in the order of the effects.
func (t *transition) sends() error {
	aborted := t.before.state.Reversing
	told := slices.Clone(t.after.actors)
	for i := range told {
		told[i].commands = t.before.actors[i].commands
	}
	seen := map[string]bool{}
	for _, e := range t.effects {
		if l, ok := e.(saga.Log); ok && l.Kind == saga.LogAborted {
			aborted = true
		}
		c, ok := e.(saga.Send)
		if !ok {
			continue
		}
		p := t.byPath[c.Node]
		switch {
		case t.held:
			return fmt.Errorf("hold: %q was sent, though the definition is paused", sendText(c))
		case p == nil || !p.step():
			return fmt.Errorf("R1: a command to %q, which is no step", c.Node)
		case c.ID != saga.MessageID(t.after.state.ID, c.Node, c.Direction, c.Epoch):
			return fmt.Errorf("R1: the id of %q is not the function of it", sendText(c))
		case seen[c.ID]:
			return fmt.Errorf("R1: %q was sent twice at once", sendText(c))
		case c.Attempt < 1 || c.Attempt > p.attempts:
			return fmt.Errorf("R6: %q is beyond the %d attempts", sendText(c), p.attempts)
		}
		seen[c.ID] = true
		direction, check := doing, t.sendDo
		if c.Direction == saga.UndoDirection {
			direction, check = undoing, t.sendUndo
		}
		if c.Epoch > 0 && !told[p.index].refused[direction].has(c.Epoch-1) {
			return fmt.Errorf("R11: %q is of a new epoch, though the one before was not refused", sendText(c))
		}
		if err := check(c, p, told, aborted); err != nil {
			return err
		}
		told[p.index].commands[direction].add(c.Epoch)
		told[p.index].settled = told[p.index].settled || direction == undoing && p.ack == unacked
	}
	return nil
}

func (t *transition) sendDo(c saga.Send, p *part, told []actor, aborted bool) error {
	a := &told[p.index]
	switch {
	case c.Command != any(doIt{Step: p.name}):
		return fmt.Errorf("R1: %q is %#v", sendText(c), c.Command)
	case p.idle:
		return fmt.Errorf("R1: %s was sent, though its If does not take it", p.path)
	case p.class != saga.Retriable && c.Epoch > 0:
		return fmt.Errorf("R2: %s is issued anew after its refusal", p.path)
	case a.succeeded:
		return fmt.Errorf("R1: %s is sent again after its success", p.path)
	case a.sent(doing):
		return nil
	case aborted:
		return fmt.Errorf("R3: %s was first sent after the abort", p.path)
	}
	for _, q := range p.before {
		if !t.passed(q, p, told) {
			return fmt.Errorf("R1: %s was sent before %s succeeded", p.path, q.path)
		}
	}
	return t.begins(p)
}

// passed reports whether the saga may go on from q to p.
func (t *transition) passed(q, p *part, told []actor) bool {
	a := &told[q.index]
	phase := t.node(t.after, q.index).Phase
	switch {
	case q.idle:
		return true
	case t.tolerated(t.after, q, p):
		return !open(q, a)
	case q.step():
		return a.succeeded || a.skipped
	default:
		return phase == saga.PhaseDone || phase == saga.PhaseSkipped
	}
}

// begins checks that nothing of a fan-out or parallel is begun after it failed.
func (t *transition) begins(p *part) error {
	for _, l := range p.lies {
		if t.fails(t.after, l.in) {
			return fmt.Errorf("R9: %s begins after %s failed", p.path, l.in.path)
		}
	}
	return nil
}

// tally notes which parts and branches have failed by now: a part that was refused, given up as unknown, or not signalled in
// time; a branch of which a part failed, other than in an item that is tolerated within it, once nothing of it is in flight.
func (e *explorer) tally(s *product) {
	for i, p := range e.parts {
		n, a := e.node(s, i), &s.actors[i]
		if p.step() {
			a.broken = a.broken || p.class == saga.Compensable && (a.refused[doing] != 0 || n.Unanswered)
		} else {
			a.broken = a.broken || n.Phase == saga.PhaseRefused
		}
	}
	for _, c := range slices.Backward(e.containers) { // inner ones first
		for _, b := range c.branches {
			flies := slices.ContainsFunc(b.parts, func(p *part) bool { return e.node(s, p.index).Phase == saga.PhaseDoing })
			if !flies && slices.ContainsFunc(b.parts, func(p *part) bool { return s.actors[p.index].broken && !e.excused(s, p, b) }) {
				s.failed |= b.bit
			}
		}
	}
}

// excused reports whether the part lies in an item that is tolerated within the branch.
func (e *explorer) excused(s *product, p *part, b lane) bool {
	deeper := p.lies[slices.Index(p.lies, b.lies)+1:]
	return slices.ContainsFunc(deeper, func(k lies) bool { return e.tolerates(s, k) })
}

// fails reports whether more branches of the container failed than it tolerates.
func (e *explorer) fails(s *product, c *container) bool {
	n := 0
	for _, b := range c.branches {
		if s.failed&b.bit != 0 {
			n++
		}
	}
	return n > c.tolerate
}

// tolerates reports whether the branch is an item that failed and is tolerated.
func (e *explorer) tolerates(s *product, l lies) bool {
	return l.in.tolerate > 0 && s.failed&l.bit != 0 && !e.fails(s, l.in)
}

// tolerated reports whether q lies in an item that failed and is tolerated, and p, which may be nil, does not.
func (e *explorer) tolerated(s *product, q, p *part) bool {
	return slices.ContainsFunc(q.lies, func(l lies) bool {
		return (p == nil || !p.within(l.in, l.branch)) && e.tolerates(s, l)
	})
}

func (t *transition) sendUndo(c saga.Send, p *part, told []actor, aborted bool) error {
	a := &told[p.index]
	ref := ""
	if a.succeeded {
		ref = "ref-" + p.path
	}
	switch {
	case a.settled && p.ack != unacked:
		return fmt.Errorf("R4: %s is undone again after its acknowledgement", p.path)
	case a.sent(undoing):
		return nil
	case !aborted && !t.unwinds(p) && !t.tolerated(t.after, p, nil):
		return fmt.Errorf("R3: %s is undone without an abort decision", p.path)
	case p.ack == noUndo || !a.sent(doing):
		return fmt.Errorf("R4: %s is undone, though it has no undo or was never sent", p.path)
	case a.refused[doing] != 0:
		return fmt.Errorf("R2: %s is undone after its refusal", p.path)
	case p.needsReply && !a.succeeded:
		return fmt.Errorf("R5: %s is undone without the reply that its undo needs", p.path)
	case c.Command != any(undoIt{Step: p.name, Ref: ref}):
		return fmt.Errorf("R5: the undo of %s is %#v, the reply said %q", p.path, c.Command, ref)
	}
	for _, q := range t.parts {
		if q.step() && q.class != saga.Compensable && told[q.index].succeeded {
			return fmt.Errorf("R7: %s is undone after the pivot, as %s succeeded", p.path, q.path)
		}
	}
	for _, later := range p.after {
		if open(later, &told[later.index]) {
			return fmt.Errorf("R4: %s is undone before %s was", p.path, later.path)
		}
	}
	return nil
}

// open reports whether, as far as the coordinator was told, the step may have an effect that is to be undone.
func open(p *part, a *actor) bool {
	return p.ack != noUndo && a.sent(doing) && a.refused[doing] == 0 && !a.settled && !a.left
}

// late checks that a reply to a step that was given up is logged once and starts nothing.
func (t *transition) late() error {
	in, ok := t.in.(saga.Reply)
	logged := t.logged(saga.LogLate, "") > 0
	if !ok || in.Direction != saga.DoDirection || t.before.state.Status.Terminal() {
		if logged {
			return fmt.Errorf("R5: %T was logged as a late reply", t.in)
		}
		return nil
	}
	n := t.node(t.before, t.byPath[in.Node].index)
	waited := n.Phase == saga.PhaseUnknown
	given := n.Phase == saga.PhaseUndoing || n.Phase == saga.PhaseUndone || n.Phase == saga.PhaseLeft
	if want := waited || given && n.Unanswered && !n.Late; logged != want {
		return fmt.Errorf("R5: a late reply of %s, logged %t, want %t", in.Node, logged, want)
	}
	return nil
}

// phases checks that each part got where it is by what concerns it.
func (t *transition) phases() error {
	sent := map[string]bool{}
	for _, e := range t.effects {
		if c, ok := e.(saga.Send); ok {
			sent[string(c.Direction)+c.Node] = true
		}
	}
	for i, p := range t.parts {
		was, is := t.node(t.before, i), t.node(t.after, i)
		entered := t.entered
		if !p.step() {
			entered = t.enteredWait
		}
		if is.Phase != was.Phase && !entered(p, was, is, sent) {
			return fmt.Errorf("%s: %s went from %q to %q by %#v", ruleOf(is.Phase), p.path, was.Phase, is.Phase, t.in)
		}
		backwards := was.Phase == saga.PhaseUndoing || is.Phase != saga.PhaseUndoing // the epoch begins anew with the undo
		if r, ok := t.in.(saga.Reply); backwards && is.Epoch > was.Epoch &&
			(!ok || r.Node != p.path || r.Epoch != was.Epoch || r.Outcome != saga.Failure || is.Epoch != was.Epoch+1) {
			return fmt.Errorf("R11: the epoch of %s went from %d to %d by %#v", p.path, was.Epoch, is.Epoch, t.in)
		}
		if p.class != "" && p.class != saga.Compensable && (is.Phase == saga.PhaseUnknown || is.Phase == saga.PhaseUndoing) {
			return fmt.Errorf("R7: the %s step %s is %s", p.class, p.path, is.Phase)
		}
	}
	return nil
}

// ruleOf is the rule about how a part gets into the phase.
func ruleOf(p saga.Phase) string {
	switch p {
	case saga.PhaseUndoing, saga.PhaseUndone:
		return "R4"
	case saga.PhaseUnknown:
		return "R2"
	case saga.PhaseSkipped, saga.PhaseLeft:
		return "R6"
	default:
		return "R11"
	}
}

func (t *transition) entered(p *part, was, is saga.NodeState, sent map[string]bool) bool {
	reply, _ := t.in.(saga.Reply)
	act, _ := t.in.(saga.Act)
	own := reply.Node == p.path
	switch is.Phase {
	case saga.PhaseDoing:
		return sent["do"+p.path] || act.Action == saga.Retry && t.held
	case saga.PhaseDone:
		return own && reply.Direction == saga.DoDirection && reply.Outcome == saga.Success
	case saga.PhaseRefused:
		return own && reply.Direction == saga.DoDirection && reply.Outcome == saga.Failure && reply.Epoch == was.Epoch
	case saga.PhaseUnknown:
		tick, ok := t.in.(saga.Tick)
		return was.Phase == saga.PhaseDoing && (ok && t.due(tick, p) || t.after.state.Reversing)
	case saga.PhaseUndoing:
		return sent["undo"+p.path]
	case saga.PhaseUndone:
		return own && reply.Direction == saga.UndoDirection && reply.Outcome != saga.Failure || p.ack == unacked && sent["undo"+p.path]
	case saga.PhaseSkipped, saga.PhaseLeft:
		return act.Action == saga.Skip && act.Node == p.path
	default:
		return false
	}
}

func (t *transition) enteredWait(p *part, was, is saga.NodeState, _ map[string]bool) bool {
	act, _ := t.in.(saga.Act)
	tick, ticked := t.in.(saga.Tick)
	over := ticked && t.due(tick, p) && was.Phase == saga.PhaseWaiting
	switch is.Phase {
	case saga.PhaseWaiting:
		return was.Phase == saga.PhaseIdle && !t.after.actors[p.index].succeeded && t.begins(p) == nil && !t.before.state.Reversing
	case saga.PhaseDone:
		return p.kind == saga.KindWait && t.after.actors[p.index].succeeded || over && (p.kind == saga.KindSleep || p.onDeadline)
	case saga.PhaseRefused:
		return over && !p.onDeadline && !t.after.state.Pivoted
	case saga.PhaseUndone:
		return was.Phase == saga.PhaseWaiting && (t.after.state.Reversing || t.unwinds(p) || t.tolerated(t.after, p, nil))
	case saga.PhaseSkipped:
		return act.Action == saga.Skip && act.Node == p.path
	default:
		return false
	}
}

// choices checks that what an If has chosen is kept.
func (t *transition) choices() error {
	for _, p := range t.spots {
		if was, is := p.of(&t.before.state).Taken, p.of(&t.after.state).Taken; was != 0 && is != was {
			return fmt.Errorf("R1: the choice of %s went from %d to %d", p.path, was, is)
		}
	}
	return nil
}

// fans checks the bound of the items that are under way.
func (t *transition) fans() error {
	for _, c := range t.containers {
		busy := 0
		for _, b := range c.branches {
			if slices.ContainsFunc(b.parts, func(p *part) bool {
				phase := t.node(t.after, p.index).Phase
				forward := !t.after.state.Reversing && (phase == saga.PhaseDoing || phase == saga.PhaseWaiting)
				return phase == saga.PhaseUndoing || forward
			}) {
				busy++
			}
		}
		if c.atMost > 0 && busy > c.atMost {
			return fmt.Errorf("R9: %d items of %s are under way, at most %d may be", busy, c.path, c.atMost)
		}
	}
	return nil
}

// parking checks that what waits for an operator is seen: counted, with a reason, and logged when it came to that.
func (t *transition) parking() error {
	s := &t.after.state
	stuck := 0
	for _, p := range t.spots {
		was, is := p.of(&t.before.state), p.of(s)
		if !is.Stuck {
			continue
		}
		stuck++
		if logged := t.logged(saga.LogParked, p.path) > 0; is.Reason == "" || !was.Stuck && !logged {
			return fmt.Errorf("R6: %s is stuck, reason %q, logged %t", p.path, is.Reason, logged)
		}
	}
	switch {
	case s.Status.Terminal():
		return nil
	case stuck != s.Stuck || (stuck > 0) != (s.Status == saga.Parked):
		return fmt.Errorf("R6: %d nodes are stuck, the %s instance counts %d", stuck, s.Status, s.Stuck)
	case stuck > 0 && s.Reason == "":
		return errors.New("R6: parked without a reason")
	}
	return nil
}

// timers checks that the instance is never left without a way on: whatever is lost, there is a time to wake, an
// operator to ask, or a signal to give; and that what is under way has a deadline.
func (t *transition) timers() error {
	s := &t.after.state
	wakes := false
	for _, key := range recordKeys(s) {
		r := recordOf(s, key)
		var first int64
		for _, n := range r.Nodes {
			if n.Due != 0 && (first == 0 || n.Due < first) {
				first = n.Due
			}
		}
		switch {
		case s.Status.Terminal() && first != 0 && (key == "" || !t.holds):
			return fmt.Errorf("R8: record %q of the %s instance wants to wake", key, s.Status)
		case r.Wake.IsZero() != (first == 0) || first != 0 && r.Wake.UnixMilli() != first:
			return fmt.Errorf("R6: record %q wakes at %s, its first node is due at %d", key, r.Wake, first)
		}
		wakes = wakes || first != 0
	}
	if s.Status.Terminal() {
		return nil
	}
	for i, p := range t.parts {
		n := t.node(t.after, i)
		forEver := p.kind == saga.KindWait && p.wait == 0
		flies := n.Phase == saga.PhaseDoing || n.Phase == saga.PhaseUndoing || n.Phase == saga.PhaseWaiting && !forEver
		if flies && !n.Stuck && n.Due == 0 {
			return fmt.Errorf("R6: %s is %s without a deadline", p.path, n.Phase)
		}
		wakes = wakes || n.Phase == saga.PhaseWaiting && forEver
	}
	if !wakes && s.Stuck == 0 {
		return fmt.Errorf("R6: the %s instance waits for nothing: it has no way on", s.Status)
	}
	return nil
}

// status checks that the status and the flags say what the instance does.
func (t *transition) status() error {
	s := &t.after.state
	want := saga.Running
	if s.Reversing {
		want = saga.Compensating
	}
	if !s.Status.Terminal() && s.Stuck == 0 && s.Status != want {
		return fmt.Errorf("R3: the instance is %s, want %s", s.Status, want)
	}
	for i, p := range t.parts {
		if p.class != saga.Pivot {
			continue
		}
		if passed := t.node(t.after, i).Phase == saga.PhaseDone || t.after.actors[i].skipped; s.Pivoted != passed {
			return fmt.Errorf("R7: the state says pivoted: %t, the pivot passed: %t", s.Pivoted, passed)
		}
	}
	return nil
}

// ends compares what a terminal instance says with what it was told.
func (t *transition) ends() error {
	status := t.after.state.Status
	for i, p := range t.parts {
		a := &t.after.actors[i]
		switch {
		case status == saga.Completed && !t.passed(p, nil, t.after.actors):
			return fmt.Errorf("R1: completed, but %s never succeeded", p.path)
		case status == saga.Compensated && open(p, a):
			return fmt.Errorf("R4: compensated, but %s may have an effect and unasked acknowledged its undo", p.path)
		}
	}
	if status != saga.Completed {
		return nil
	}
	for _, c := range t.containers {
		within := slices.ContainsFunc(c.lies, func(l lies) bool { return t.tolerates(t.after, l) })
		if t.fails(t.after, c) && !within {
			return fmt.Errorf("R9: completed, but %s failed", c.path)
		}
	}
	return nil
}

// net compares, in each state, what the instance says with what the participants did; the coordinator knows nothing of that.
func (e *explorer) net(s *product) error {
	for i, p := range e.parts {
		a := &s.actors[i]
		effect := int(a.applied) - int(a.undone)
		if !p.step() {
			continue
		}
		undoFlies := p.ack == unacked && a.sent(undoing) && a.last[undoing] == unasked
		reverted := s.state.Status == saga.Compensated || s.state.Status == saga.Completed && e.tolerated(s, p, nil)
		switch {
		case a.applied > 1 || a.undone > 1 || effect < 0 || p.idle && effect != 0:
			return fmt.Errorf("net effect: %s was applied %d times and undone %d times", p.path, a.applied, a.undone)
		case reverted && effect != 0 && (p.ack != noUndo || p.class != saga.Compensable) && !a.left && !a.skipped && !undoFlies:
			return fmt.Errorf("net effect: %s, but %s is applied %d times", s.state.Status, p.path, effect)
		case s.state.Status == saga.Completed && !reverted && !p.idle && effect != 1 && !a.skipped:
			return fmt.Errorf("net effect: completed, but %s is applied %d times", p.path, effect)
		}
	}
	return nil
}
