package saga_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/alpespartners/alpespartners/saga"
)

// subject is what is explored: a definition and what its surroundings may do.
type subject struct {
	name  string
	plans []plan
	// Refusals is how often the participant of a retriable step, and of an undo, may refuse. The others may refuse once.
	refusals int
	// An operator always retries what is stuck. These say whether one may cancel at any time, and skip what is stuck.
	cancels, skips bool
	// Holds says whether the definition may be paused when an input comes.
	holds bool
	// Most is how many states are walked; 0 is all.
	most int
}

// explorer walks the products of a subject.
type explorer struct {
	subject
	layout
	def    saga.Any
	decide decider
	byPath map[string]*part
	at     []*spot // of the parts
	spots  []*spot // of all nodes but sequences
	known  map[string]bool
}

// spot is where the state of a node is.
type spot struct {
	path, record string
	index        int
}

func (p *spot) of(s *saga.State) saga.NodeState {
	if p == nil {
		return saga.NodeState{}
	}
	if nodes := recordOf(s, p.record).Nodes; p.index < len(nodes) {
		return nodes[p.index]
	}
	return saga.NodeState{}
}

func newExplorer(sub subject, decide decider) (*explorer, error) {
	def, err := saga.Define("explored", built(sub.plans)...)
	if err != nil {
		return nil, err
	}
	e := &explorer{subject: sub, def: def, decide: decide, byPath: map[string]*part{}, known: map[string]bool{}}
	e.sequence("", sub.plans, nil, false)
	e.at = make([]*spot, len(e.parts))
	for _, p := range e.parts {
		e.byPath[p.path] = p
	}
	return e, nil
}

// node is the state of the part in the product.
func (e *explorer) node(s *product, i int) saga.NodeState { return e.at[i].of(&s.state) }

// learn finds out where the nodes of records that were not seen yet are: it marks their states and looks at them as people do.
func (e *explorer) learn(s *saga.State) {
	for _, key := range recordKeys(s) {
		if e.known[key] || len(recordOf(s, key).Nodes) == 0 {
			continue
		}
		e.known[key] = true
		marked := saga.Record{Key: key, Nodes: make([]saga.NodeState, len(recordOf(s, key).Nodes))}
		for i := range marked.Nodes {
			marked.Nodes[i].Attempt = i
		}
		look := saga.State{Root: marked}
		if key != "" {
			look = saga.State{Items: map[string]saga.Record{key: marked}}
		}
		for _, v := range saga.View(e.def, look) {
			p := &spot{path: v.Path, record: key, index: v.State.Attempt}
			e.spots = append(e.spots, p)
			if part := e.byPath[v.Path]; part != nil {
				e.at[part.index] = p
			}
		}
	}
}

// moves lists what can happen next.
func (e *explorer) moves(s *product) []move {
	if !s.state.Exists() {
		return []move{{kind: moveStart}}
	}
	var all []move
	for i, p := range e.parts {
		all = e.messages(all, p, &s.actors[i])
	}
	for _, key := range recordKeys(&s.state) {
		all = append(all, move{kind: moveTick, node: key})
	}
	all = append(all, move{kind: moveStart})
	if s.state.Status.Terminal() {
		return all
	}
	for _, at := range e.spots {
		if !at.of(&s.state).Stuck {
			continue
		}
		all = append(all, move{kind: moveAct, action: saga.Retry, node: at.path})
		if e.skips {
			all = append(all, move{kind: moveAct, action: saga.Skip, node: at.path})
		}
	}
	if e.cancels && !s.state.Reversing {
		all = append(all, move{kind: moveAct, action: saga.Cancel})
	}
	if e.holds {
		for _, m := range all {
			if m.held = true; m.kind != moveCommand {
				all = append(all, m)
			}
		}
	}
	return append(all, move{kind: movePass})
}

// messages appends what can arrive at the step's participant and from it.
func (e *explorer) messages(all []move, p *part, a *actor) []move {
	if p.kind == saga.KindWait {
		return append(all, move{kind: moveSignal, node: p.path})
	}
	for d := range 2 {
		for epoch := range 8 {
			m := move{kind: moveCommand, node: p.path, direction: d, epoch: epoch}
			switch {
			case !a.commands[d].has(epoch):
			case a.runs(d, epoch):
				for _, m.said = range a.choices(p, d, e.refusals) {
					all = append(all, m)
				}
			default:
				all = append(all, m)
			}
			m.kind = moveReply
			for m.said = succeeds; m.said <= findsNothing; m.said++ {
				if a.replies[d][m.said].has(epoch) {
					all = append(all, m)
				}
			}
		}
	}
	return all
}

// make makes the move and checks what comes of it.
func (e *explorer) make(s *product, m move) (*product, []saga.Effect, error) {
	s.encode()
	next := &product{state: s.state, actors: slices.Clone(s.actors), failed: s.failed}
	switch m.kind {
	case moveCommand:
		p := e.byPath[m.node]
		next.actors[p.index].deliver(p, m)
		next.encoded = s.encoded
		return next, nil, e.net(next)
	case movePass:
		next.state, _, _ = later(s.state)
		return next, nil, nil
	default:
		return e.take(s, next, e.input(s, m), m.held)
	}
}

// input is what the move gives to the instance.
func (e *explorer) input(s *product, m move) saga.Input {
	switch m.kind {
	case moveReply:
		return e.byPath[m.node].reply(m)
	case moveSignal:
		return saga.Signal{Node: m.node, Event: nod{By: "ana"}}
	case moveTick:
		return saga.Tick{Record: m.node}
	case moveAct:
		return saga.Act{ID: "act", Action: m.action, Node: m.node, Version: s.state.Version, By: "ana", Why: operatorActs[m.action]}
	default:
		return saga.Start{ID: "s1", Key: "k1", Data: itemsOf(e.plans)}
	}
}

// take gives the input to the instance three times. The first time, the coordinator crashes between deciding and committing, so that it
// decides again; the second time between committing and publishing, so that the input comes again, and has to change nothing.
func (e *explorer) take(s, next *product, in saga.Input, held bool) (*product, []saga.Effect, error) {
	e.hear(next, in)
	t := &transition{explorer: e, before: s, after: next, in: in, held: held}
	if held {
		in = saga.Hold{Input: in}
	}
	state, effects, err := e.decide(e.def, s.state, in, epoch)
	next.state, t.effects = state, effects
	if err := e.twice(s, next.state, in, effects, err); err != nil {
		return next, nil, err
	}
	if err != nil {
		return s, nil, e.refusal(s, t.in, err)
	}
	if next.state.Version == s.state.Version && len(t.effects) == 0 {
		return next, nil, t.judgeNothing()
	}
	e.learn(&next.state)
	for _, effect := range t.effects {
		c, ok := effect.(saga.Send)
		p := e.byPath[c.Node]
		if !ok || p == nil {
			continue // the judge knows
		}
		a, d := &next.actors[p.index], doing
		if c.Direction == saga.UndoDirection {
			d = undoing
			a.settled = a.settled || p.ack == unacked
		}
		a.commands[d].add(c.Epoch)
	}
	if act, ok := t.in.(saga.Act); ok && act.Action == saga.Skip {
		p := e.byPath[act.Node]
		a, phase := &next.actors[p.index], e.node(next, p.index).Phase
		a.skipped = phase == saga.PhaseSkipped
		a.left = phase == saga.PhaseLeft
	}
	e.tally(next)
	if err := t.judge(); err != nil {
		return next, t.effects, err
	}
	if err := e.again(next.state, in); err != nil {
		return next, t.effects, err
	}
	if err := e.orphan(s.state, next.state, t.in, held); err != nil {
		return next, t.effects, err
	}
	next.state.Version, next.state.Actions, next.state.Updated = 1, nil, epoch
	return next, t.effects, e.net(next)
}

// hear notes what the input tells the coordinator.
func (e *explorer) hear(next *product, in saga.Input) {
	if next.state.Status.Terminal() {
		return
	}
	switch in := in.(type) {
	case saga.Signal:
		next.actors[e.byPath[in.Node].index].succeeded = true
	case saga.Reply:
		a := &next.actors[e.byPath[in.Node].index]
		switch {
		case in.Direction == saga.UndoDirection && in.Outcome == saga.Failure:
			a.refused[undoing].add(in.Epoch)
		case in.Direction == saga.UndoDirection:
			a.settled = true
		case in.Outcome == saga.Success:
			a.succeeded = true
		default:
			a.refused[doing].add(in.Epoch)
		}
	default:
	}
}

// refusal says whether it is right that the input was refused: a signal to an item that is not made yet is, and a cancel once the
// pivot was sent; nothing else.
func (e *explorer) refusal(s *product, in saga.Input, err error) error {
	if signal, ok := in.(saga.Signal); ok && errors.Is(err, saga.ErrEarly) && !e.made(s, e.byPath[signal.Node]) {
		return nil // its item is still to be made
	}
	if act, ok := in.(saga.Act); ok && act.Action == saga.Cancel && errors.Is(err, saga.ErrNotAllowed) {
		for i, p := range e.parts {
			if p.class == saga.Pivot && (s.actors[i].sent(doing) || e.holds) {
				return nil
			}
		}
	}
	return fmt.Errorf("%T was refused: %w", in, err)
}

// twice decides again, with no more records than Decide asks for; the answer must be the one that it gave with all at hand.
func (e *explorer) twice(p *product, next saga.State, in saga.Input, effects []saga.Effect, err error) error {
	if !bytes.Equal(appendState(make([]byte, 0, 512), &p.state), p.encoded) {
		return fmt.Errorf("determinism: Decide modified its argument on %T", in)
	}
	if err == nil && len(effects) == 0 && next.Version == p.state.Version {
		return nil // what changes nothing is compared with what it was
	}
	less := p.state
	less.Items, less.Root.Data = nil, nil
	again, effectsAgain, errAgain := e.decide(e.def, less, in, epoch)
	for need, ok := errors.AsType[*saga.NeedError](errAgain); ok; need, ok = errors.AsType[*saga.NeedError](errAgain) {
		if !e.lend(&less, p.state, need.Keys) {
			return fmt.Errorf("determinism: it asks for %q, which does not exist or was given", need.Keys)
		}
		again, effectsAgain, errAgain = e.decide(e.def, less, in, epoch)
	}
	if again.Root.Data == nil {
		again.Root.Data = p.state.Root.Data
	}
	if len(p.state.Items) > 0 {
		items := maps.Clone(p.state.Items)
		maps.Copy(items, again.Items)
		again.Items = items
	}
	switch {
	case fmt.Sprint(err) != fmt.Sprint(errAgain):
		return fmt.Errorf("determinism: %T gave %w and then %w", in, err, errAgain)
	case err == nil && (!reflect.DeepEqual(next, again) || !reflect.DeepEqual(effects, effectsAgain)):
		return fmt.Errorf("determinism: Decide gave two answers to one %T", in)
	}
	return nil
}

// lend puts the records with the keys into the state; "" is the root's data.
func (e *explorer) lend(s *saga.State, from saga.State, keys []string) bool {
	s.Items = maps.Clone(s.Items)
	if s.Items == nil && len(from.Items) > 0 {
		s.Items = map[string]saga.Record{}
	}
	for _, key := range keys {
		r, exists := from.Items[key]
		_, given := s.Items[key]
		switch {
		case key == "" && s.Root.Data == nil:
			s.Root.Data = from.Root.Data
		case key == "" || !exists || given:
			return false
		default:
			s.Items[key] = r
		}
	}
	return len(keys) > 0
}

// again checks that an input that was applied changes nothing the second time. Only a tick may have made something due at once: the next page.
func (e *explorer) again(s saga.State, in saga.Input) error {
	inner := in
	if hold, ok := in.(saga.Hold); ok {
		inner = hold.Input
	}
	if tick, ok := inner.(saga.Tick); ok {
		if wake := recordOf(&s, tick.Record).Wake; !wake.IsZero() && !wake.After(epoch) {
			return nil
		}
	}
	next, effects, err := e.decide(e.def, s, in, epoch)
	if err != nil || next.Version != s.Version || len(effects) > 0 {
		return fmt.Errorf("%s: a repeated %T changed something: version %d to %d, %d effects, error %s",
			ruleOfRepetition(&s, inner), inner, s.Version, next.Version, len(effects), fmt.Sprint(err))
	}
	return nil
}

func ruleOfRepetition(s *saga.State, in saga.Input) string {
	if s.Status.Terminal() {
		return "R8"
	}
	switch in.(type) {
	case saga.Start:
		return "R10"
	case saga.Act:
		return "R6"
	default:
		return "R11"
	}
}

// orphan checks that an instance whose definition was lost for a while goes on as if nothing had been (R8).
func (e *explorer) orphan(s, next saga.State, in saga.Input, held bool) error {
	parked, _ := saga.ParkOrphan(s, "its definition is lost", epoch)
	if act, ok := in.(saga.Act); ok {
		act.Version = 0
		in = act
	}
	if held {
		in = saga.Hold{Input: in}
	}
	if parked.Version == s.Version {
		return nil
	}
	resumed, _, err := e.decide(e.def, parked, in, epoch)
	if err != nil {
		return fmt.Errorf("R8: an orphan does not resume: %w", err)
	}
	if parked.Status != saga.Parked || !bytes.Equal(appendState(nil, &resumed), appendState(nil, &next)) {
		return fmt.Errorf("R8: an orphan is %s, and resumes otherwise than it would have gone on", parked.Status)
	}
	return nil
}

// stranger is an event that no step declares.
type stranger struct{}

// probe gives a product inputs that lead nowhere or to the end at once.
func (e *explorer) probe(p *product) error {
	if !p.state.Exists() {
		return nil
	}
	terminal := p.state.Status.Terminal()
	force := saga.Act{ID: "force", Action: saga.Force, By: "ana", Why: operatorActs[saga.Force]}
	forced, effects, err := e.decide(e.def, p.state, force, epoch)
	if (err != nil) != terminal || !terminal && (forced.Status != saga.Forced || len(sends(effects)) > 0) {
		return fmt.Errorf("R6: force on a %s instance: it is %s, sent %v, %w", p.state.Status, forced.Status, sends(effects), err)
	}
	for _, odd := range []struct {
		in   saga.Reply
		want error
	}{
		{saga.Reply{Node: "nobody", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{}}, saga.ErrNotFound},
		{saga.Reply{Node: e.step().path, Direction: saga.DoDirection, Outcome: saga.Success, Event: stranger{}}, saga.ErrUnexpectedReply},
	} {
		next, effects, err := e.decide(e.def, p.state, odd.in, epoch)
		if terminal {
			odd.want = nil
		}
		itemless := errors.Is(err, saga.ErrNotFound) && !e.made(p, e.step())
		if !errors.Is(err, odd.want) && !itemless || next.Version != p.state.Version || len(effects) > 0 {
			return fmt.Errorf("R11: %#v on a %s instance: error %w, want %w and no change", odd.in, p.state.Status, err, odd.want)
		}
	}
	return nil
}

// made reports whether the part's record exists.
func (e *explorer) made(s *product, p *part) bool {
	_, ok := s.state.Items[p.record]
	return ok || p.record == ""
}

// step is the first step.
func (e *explorer) step() *part {
	return e.parts[slices.IndexFunc(e.parts, func(p *part) bool { return p.step() })]
}
