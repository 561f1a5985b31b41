package sim

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// violation is a rule that a run breaks.
type violation struct {
	rule string
	what string
}

func (v *violation) Error() string { return v.rule + ": " + v.what }

func breaks(rule, format string, args ...any) error {
	return &violation{rule, fmt.Sprintf(format, args...)}
}

// fact is what is known of one step or wait of the instance, from outside.
type fact struct {
	site
	path                  string
	sent                  bool // the command
	succeeded             bool // the reply, or the signal, came
	refused               bool
	givenUp               bool // it was logged as unanswered
	undoSent, settled     bool // settled: the undo was acknowledged
	commands              map[string]any
	sendings              map[saga.Direction]int // since the last retry
	event                 any                    // of the reply with success
	dataBefore, dataAfter []byte                 // around it
	judged                bool                   // what its undo says was judged
}

// mayHaveEffect reports whether the step may have an effect that was not undone yet and is to be.
func (f *fact) mayHaveEffect() bool {
	return f.Undo != "" && f.sent && !f.refused && !f.settled
}

// audit judges a run by what it hears and sees from outside: what comes in, what goes out, and how the participants end. It
// knows the definition's nodes and their order, and nothing of how they are decided about.
type audit struct {
	tree      *tree
	now       time.Time
	facts     map[string]*fact
	order     []*fact
	fans      map[string]int       // how many items the fan-out at a path has
	chosen    map[string]string    // which sequence the If at a path has chosen
	tolerated map[string]bool      // the items that failed and were tolerated
	naps      map[string]time.Time // when the sleep at a path is over
	trouble   bool                 // something was refused or given up
	aborted   bool
	cancelled bool
	pivoted   bool
	ended     saga.Status
}

func newAudit(t *tree) *audit {
	return &audit{
		tree: t, facts: map[string]*fact{}, fans: map[string]int{}, chosen: map[string]string{}, tolerated: map[string]bool{},
		naps: map[string]time.Time{},
	}
}

// of returns what is known of the step or wait; nil if there is none at the path.
func (a *audit) of(path string) *fact {
	if f := a.facts[path]; f != nil {
		return f
	}
	s, ok := a.tree.site(path)
	if !ok || s.Kind != saga.KindStep && s.Kind != saga.KindWait || len(s.items) != fansAround(s.spot) {
		return nil
	}
	f := &fact{site: s, path: path, commands: map[string]any{}, sendings: map[saga.Direction]int{}}
	a.facts[path] = f
	a.order = append(a.order, f)
	return f
}

// hear notes what a reply or a signal says, and what an operator has done.
func (a *audit) hear(in saga.Input, changes bool) {
	switch in := in.(type) {
	case saga.Act:
		if !changes {
			return
		}
		a.cancelled = a.cancelled || in.Action == saga.Cancel
		if f := a.facts[in.Node]; f != nil && in.Action == saga.Retry {
			clear(f.sendings)
		}
	case saga.Signal:
		if f := a.of(in.Node); f != nil {
			f.succeeded = true
		}
	case saga.Reply:
		f := a.of(in.Node)
		switch {
		case f == nil:
		case in.Direction == saga.UndoDirection:
			byFailure := f.Acknowledged == saga.ByFailureEvent && reflect.TypeOf(in.Event) == f.failure
			f.settled = f.settled || in.Outcome != saga.Failure || byFailure
		case reflect.TypeOf(in.Event) == f.success:
			f.succeeded = true
			a.pivoted = a.pivoted || f.Class == saga.Pivot
		case f.Class != saga.Retriable:
			f.refused, a.trouble = true, true
		}
	}
}

// see judges what was committed.
func (a *audit) see(before, after saga.State, effects []saga.Effect) error {
	if a.ended != "" {
		return breaks("R8", "the %s instance changed: it is %s, with %d effects", a.ended, after.Status, len(effects))
	}
	for _, e := range effects {
		var err error
		switch e := e.(type) {
		case saga.Log:
			err = a.log(e)
		case saga.Send:
			err = a.send(e)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case a.aborted != after.Reversing:
		return breaks("R3", "the decision to abort is not kept: that it was made is %t, and the state says %t", a.aborted, after.Reversing)
	case before.Pivoted && !after.Pivoted:
		return breaks("R7", "the state forgets that the pivot has succeeded")
	case after.Status == saga.Parked && after.Reason == "":
		return breaks("R6", "the instance is parked without a reason")
	case after.Status.Terminal():
		a.ended = after.Status
		return a.end(after.Status)
	}
	return nil
}

// log notes and judges what the instance says of itself.
func (a *audit) log(l saga.Log) error {
	if strings.Contains(l.Detail, " panicked: ") {
		return breaks(Panic, "%s: %s", l.Node, l.Detail)
	}
	switch l.Kind {
	case saga.LogTimedOut:
		if f := a.of(l.Node); f != nil {
			f.givenUp, a.trouble = true, true
		}
	case saga.LogChosen:
		if before, twice := a.chosen[l.Node]; twice {
			return breaks("R1", "%s has chosen %s, and then %s", l.Node, before, l.Detail)
		}
		a.chosen[l.Node] = l.Detail
	case saga.LogWaiting:
		if _, until, ok := strings.Cut(l.Detail, "until "); ok && a.of(l.Node) == nil {
			if at, err := time.Parse(time.RFC3339, until); err == nil {
				a.naps[l.Node] = at
			}
		}
	case saga.LogTolerated:
		if fan, ok := a.tree.site(l.Node); !ok || !a.itemFailed(site{fan.spot, fan.items[:len(fan.items)-1]}, fan.items[len(fan.items)-1]) {
			return breaks("R9", "%s is given up, but it has not failed, or something of it is in flight", l.Node)
		}
		a.tolerated[l.Node] = true
	case saga.LogAborted:
		if a.aborted {
			return breaks("R3", "the decision to abort is made twice")
		}
		a.aborted = true
		if a.pivoted {
			return breaks("R7", "the saga is aborted after the pivot has succeeded")
		}
		return a.abort()
	case saga.LogParked:
		return a.park(l, a.of(l.Node))
	default:
	}
	return nil
}

// abort judges the moment of the decision: unless an operator made it, something has failed, and nothing is in flight (R9).
func (a *audit) abort() error {
	if !a.cancelled && !a.doomed(site{spot: a.tree.root}) {
		return breaks("R3", "the saga is aborted, although nothing has failed")
	}
	for _, f := range a.order {
		if a.inFlight(f) && !a.cancelled {
			return breaks("R9", "the saga is aborted while %s is under way", f.path)
		}
	}
	return nil
}

// park judges why a node waits for an operator: its attempts are used up, its undo needs a reply that never came, or no signal
// came after the pivot.
func (a *audit) park(l saga.Log, f *fact) error {
	switch {
	case f == nil:
	case f.Kind == saga.KindWait:
		if f.givenUp && a.pivoted && !f.GoesOn {
			return nil
		}
	case f.NeedsReply && f.sent && !f.succeeded && l.Direction == saga.UndoDirection, f.sendings[l.Direction] >= f.Attempts:
		return nil
	}
	return breaks(Definition, "%s waits for an operator, and neither its participant nor a signal is the cause: %s", l.Node, l.Detail)
}

// send judges a command.
func (a *audit) send(c saga.Send) error {
	f := a.of(c.Node)
	if f == nil || !f.isStep() {
		return breaks("R1", "a command is sent for %s, which is no step", c.Node)
	}
	if c.ID != saga.MessageID(instance, c.Node, c.Direction, c.Epoch) {
		return breaks("R1", "the id of the command to %s %s is not the function of saga, node, direction and epoch", c.Direction, c.Node)
	}
	if first, again := f.commands[c.ID]; !again {
		f.commands[c.ID] = c.Command
	} else if !reflect.DeepEqual(first, c.Command) {
		return breaks("R1", "the command to %s %s is sent again with the same id and another content: %s, then %s; "+
			"something beside it has changed the data that it is made from",
			c.Direction, c.Node, show(first), show(c.Command))
	}
	f.sendings[c.Direction]++
	if n := f.sendings[c.Direction]; n > f.Attempts {
		return breaks("R6", "the command to %s %s is sent %d times, at most %d", c.Direction, c.Node, n, f.Attempts)
	}
	if c.Direction == saga.UndoDirection {
		return a.sendUndo(f)
	}
	return a.sendDo(f)
}

func (a *audit) sendDo(f *fact) error {
	if f.sent {
		return nil
	}
	f.sent = true
	if a.aborted {
		return breaks("R3", "%s is first sent after the decision to abort", f.path)
	}
	if missing := a.missingBefore(f.site); missing != "" {
		return breaks("R1", "%s is sent before %s has succeeded", f.path, missing)
	}
	for s := f.site; s.parent != nil; s = s.up() {
		if s.parent.Kind == saga.KindIf && a.chosen[a.tree.path(s.up())] != s.Name {
			return breaks("R1", "%s is sent, but that is not what was chosen", f.path)
		}
		if a.doomed(s.up()) {
			return breaks("R9", "%s is first sent after something beside it has failed", f.path)
		}
	}
	return nil
}

func (a *audit) sendUndo(f *fact) error {
	if f.undoSent {
		return nil
	}
	f.undoSent = true
	switch {
	case f.Undo == "":
		return breaks("R4", "%s is undone, but has no undo", f.path)
	case !a.aborted && !a.isTolerated(f):
		return breaks("R3", "%s is undone without a decision to abort", f.path)
	case a.pivoted:
		return breaks("R7", "%s is undone after the pivot has succeeded", f.path)
	case !f.sent:
		return breaks("R4", "%s is undone, but was never sent", f.path)
	case f.refused:
		return breaks("R4", "%s is undone, but was refused", f.path)
	case f.NeedsReply && !f.succeeded:
		return breaks("R5", "%s is undone without the reply that its undo needs", f.path)
	}
	f.settled = f.settled || f.Acknowledged == saga.ByNothing
	for _, later := range a.order {
		if later != f && later.mayHaveEffect() && order(later.site, f.site) > 0 {
			return breaks("R4", "%s is undone before the undo of %s was acknowledged", f.path, later.path)
		}
	}
	return nil
}

// end judges the moment at which the instance ends.
func (a *audit) end(status saga.Status) error {
	if status == saga.Completed {
		if missing := a.missing(site{spot: a.tree.root}); missing != "" {
			return breaks("R1", "the instance is completed, but %s never succeeded", missing)
		}
		return nil
	}
	for _, f := range a.order {
		if f.mayHaveEffect() {
			return breaks("R4", "the instance is compensated, but %s may have an effect and its undo was not acknowledged", f.path)
		}
	}
	return nil
}

// effect judges what the participant of the step did, once nothing is under way any more.
func (a *audit) effect(f *fact, p *party) error {
	net := p.applied - p.undone
	left := f.Class == saga.Compensable && f.Undo == "" // it says that there is nothing to undo
	tolerated := a.isTolerated(f)
	switch {
	case p.applied > 1 || p.undone > 1:
		return breaks(Effect, "%s was done %d times and undone %d times", f.path, p.applied, p.undone)
	case a.ended == saga.Completed && !tolerated && net != 1:
		return breaks(Effect, "the instance is completed, but %s was done %d times and undone %d times", f.path, p.applied, p.undone)
	case (a.ended == saga.Compensated || tolerated) && net != 0 && !left:
		return breaks(Effect, "the effect of %s is still there, although it was to be undone", f.path)
	}
	return nil
}

// missingBefore returns a step or wait that comes before the node and is not at its end.
func (a *audit) missingBefore(s site) string {
	for ; s.parent != nil; s = s.up() {
		if s.parent.Kind == saga.KindParallel || s.parent.Kind == saga.KindIf {
			continue
		}
		for _, earlier := range s.parent.kids[:s.place] {
			if missing := a.missing(site{earlier, s.items[:fansAround(earlier)]}); missing != "" {
				return missing
			}
		}
	}
	return ""
}

// missing returns a part of the node that is not at its end; empty if it has succeeded.
func (a *audit) missing(s site) string {
	path := a.tree.path(s)
	switch s.Kind {
	case saga.KindStep:
		if f := a.facts[path]; f == nil || !f.succeeded {
			return path
		}
	case saga.KindWait:
		if f := a.facts[path]; f == nil || !f.succeeded && (!f.givenUp || !f.GoesOn) {
			return path
		}
	case saga.KindSleep:
		if a.now.Before(a.naps[path]) {
			return path
		}
	case saga.KindIf:
		for _, kid := range s.kids {
			if kid.Name == a.chosen[path] {
				return a.missing(site{kid, s.items})
			}
		}
		return path
	case saga.KindForEach:
		return a.missingItem(s, path)
	default:
		for _, kid := range s.kids {
			if missing := a.missing(site{kid, s.items}); missing != "" {
				return missing
			}
		}
	}
	return ""
}

// missingItem is [audit.missing] of a fan-out: all of its items have succeeded, besides those that were tolerated.
func (a *audit) missingItem(s site, path string) string {
	total, known := a.fans[path]
	if !known {
		return path
	}
	tolerated := 0
	for i := range total {
		if a.tolerated[itemKey(path, i)] {
			tolerated++
			continue
		}
		for _, kid := range s.kids {
			if missing := a.missing(s.item(i, kid)); missing != "" {
				return missing
			}
		}
	}
	if tolerated > s.Tolerate {
		return fmt.Sprintf("%s, of which %d items have failed,", path, tolerated)
	}
	return ""
}

// doomed reports whether the node has failed or will, as so much in it has (R9).
func (a *audit) doomed(s site) bool {
	switch {
	case !a.trouble:
		return false
	case s.Kind == saga.KindStep:
		f := a.facts[a.tree.path(s)]
		return f != nil && (f.refused || f.givenUp)
	case s.Kind == saga.KindWait:
		f := a.facts[a.tree.path(s)]
		return f != nil && f.givenUp && !f.GoesOn && !a.pivoted
	case s.Kind == saga.KindForEach:
		failed := 0
		for i := range a.fans[a.tree.path(s)] {
			if a.itemFailed(s, i) {
				failed++
			}
		}
		return failed > s.Tolerate
	default:
		return slices.ContainsFunc(s.kids, func(kid *spot) bool { return a.doomed(site{kid, s.items}) })
	}
}

// itemFailed reports whether item i of the fan-out has failed: it is doomed, and nothing of it is in flight any more.
func (a *audit) itemFailed(fan site, i int) bool {
	return slices.ContainsFunc(fan.kids, func(kid *spot) bool { return a.doomed(fan.item(i, kid)) }) &&
		!slices.ContainsFunc(a.order, func(f *fact) bool { return a.inFlight(f) && f.within(fan) && f.items[len(fan.items)] == i })
}

// inFlight reports whether an answer to the step's command matters and has not come.
func (a *audit) inFlight(f *fact) bool {
	return f.sent && !f.succeeded && !f.refused && !f.givenUp && !a.isTolerated(f)
}

// isTolerated reports whether the step is part of an item that failed and was tolerated.
func (a *audit) isTolerated(f *fact) bool {
	if len(a.tolerated) == 0 {
		return false
	}
	for s := f.site; s.parent != nil; s = s.up() {
		if up := s.up(); up.Kind == saga.KindForEach && a.tolerated[itemKey(a.tree.path(up), s.items[len(up.items)])] {
			return true
		}
	}
	return false
}
