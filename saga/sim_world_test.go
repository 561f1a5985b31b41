package saga_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/alpespartners/alpespartners/saga"
)

// sim runs a scenario: one instance, its participants and the messages between them.
type sim struct {
	*world
	scenario
	parties  map[string]*party
	commands []saga.Send
	replies  []saga.Reply
	audit    *auditor
	cancels  int
	paused   bool            // the definition is
	waits    []string        // their paths
	signals  map[string]int  // how many were given, by wait
	seen     map[string]bool // what came about
}

// events bounds a run; the largest that ended took a tenth of it.
const events = 30_000

// run plays the scenario to its end and returns the status, or the first violation of an invariant.
func run(sc scenario, decide decider) (*sim, error) {
	def, err := saga.Define("random", nodes(sc.Root)...)
	if err != nil {
		return nil, err
	}
	s := &sim{world: newWorld(def), scenario: sc, parties: map[string]*party{}, signals: map[string]int{}, seen: map[string]bool{}}
	s.decide = decide
	root := placed(sc.Root)
	s.audit = newAuditor(root)
	for _, l := range root.leaves() {
		switch l.Kind {
		case saga.KindStep:
			s.parties[l.path] = &party{place: l, behaviour: sc.behaviour(l.path)}
		case saga.KindWait:
			s.waits = append(s.waits, l.path)
		}
	}
	if err := s.take(saga.Start{ID: "s1", Data: dataOf(sc.Root)}); err != nil {
		return s, err
	}
	random := rand.New(rand.NewPCG(sc.Seed, 0))
	for range sc.Events {
		if err := s.event(random.IntN(18), random.IntN(1<<20)); err != nil {
			return s, err
		}
	}
	return s, s.calm()
}

// take applies an input and sends what it gives.
func (s *sim) take(in saga.Input) error {
	if _, tick := in.(saga.Tick); s.paused && !tick {
		in = saga.Hold{Input: in}
	}
	effects, err := s.apply(in)
	if err != nil {
		return err
	}
	s.audit.hear(in)
	s.note(effects)
	for _, e := range effects {
		if send, ok := e.(saga.Send); ok {
			if s.paused {
				return fmt.Errorf("R1: %s was sent while the definition was paused", send.Node)
			}
			s.commands = append(s.commands, send)
		}
	}
	return s.audit.see(s.now, s.header, effects)
}

// event is one step of the wild part of a run: something arrives, in any order, is lost, or comes twice; time goes by; somebody acts.
func (s *sim) event(kind, which int) error {
	switch {
	case kind < 5 && len(s.commands) > 0:
		return s.deliverCommand(which % len(s.commands))
	case kind < 9 && len(s.replies) > 0:
		return s.deliverReply(which % len(s.replies))
	case kind == 9 && len(s.commands) > 0:
		i := which % len(s.commands)
		if s.lossIsHealed(s.commands[i]) {
			s.commands = slices.Delete(s.commands, i, i+1)
		}
	case kind == 10 && len(s.replies) > 0:
		i := which % len(s.replies)
		s.replies = slices.Delete(s.replies, i, i+1)
	case kind == 11 && len(s.commands) > 0:
		s.commands = append(s.commands, s.commands[which%len(s.commands)])
	case kind == 12 && len(s.replies) > 0:
		s.replies = append(s.replies, s.replies[which%len(s.replies)])
	case kind == 13 && which%3 > 0 && !s.paused: // nobody ticks what is paused
		return s.tick(which)
	case kind == 14 && which%16 == 0:
		s.cancels++
		return s.operate(saga.Act{ID: fmt.Sprintf("cancel-%d", s.cancels), Action: saga.Cancel, By: "ana", Why: "a test"})
	case kind == 14:
		return s.retry(which)
	case kind == 15 && len(s.waits) > 0:
		return s.signal(s.waits[which%len(s.waits)])
	case kind == 16 && which%4 == 0:
		s.paused = !s.paused
	case kind == 16 && which%4 == 1:
		return s.skipWait(which / 4)
	default:
		return s.take(saga.Start{ID: "s1", Data: data{}})
	}
	return nil
}

// lossIsHealed reports whether the command is sent again when it is lost: an undo that nobody acknowledges is not.
func (s *sim) lossIsHealed(c saga.Send) bool {
	return c.Direction == saga.DoDirection || s.parties[c.Node].Ack != unacked
}

func (s *sim) deliverCommand(i int) error {
	c := s.commands[i]
	s.commands = slices.Delete(s.commands, i, i+1)
	p := s.parties[c.Node]
	if p == nil {
		return fmt.Errorf("a command to nobody: %q", c.Node)
	}
	if reply, answers := p.take(c); answers {
		s.replies = append(s.replies, reply)
	}
	return nil
}

func (s *sim) deliverReply(i int) error {
	r := s.replies[i]
	s.replies = slices.Delete(s.replies, i, i+1)
	return s.take(r)
}

// tick ticks a record that is due, or the time goes by until one is.
func (s *sim) tick(which int) error {
	keys, next := s.due()
	if len(keys) > 0 {
		return s.take(saga.Tick{Record: keys[which%len(keys)]})
	}
	if !next.IsZero() {
		s.now = next
	}
	return nil
}

func (s *sim) operate(act saga.Act) error {
	if err := s.take(act); err != nil && !errors.Is(err, saga.ErrNotAllowed) {
		return err
	}
	return nil
}

// signal gives the wait a signal, whenever that is.
func (s *sim) signal(path string) error {
	before := s.node(path).Phase
	err := s.take(saga.Signal{Node: path, Event: nod{By: "ana"}})
	switch s.signals[path]++; {
	case s.signals[path] > 1:
		s.seen["signal twice"] = true
	case before == saga.PhaseIdle && s.node(path).Signal != nil:
		s.seen["signal kept"] = true
	case before == saga.PhaseWaiting && s.node(path).Phase == saga.PhaseDone:
		s.seen["signal taken"] = true
	}
	return err
}

// note keeps in mind what has come about.
func (s *sim) note(effects []saga.Effect) {
	if s.header.Status == saga.Parked {
		s.seen["parked"] = true
	}
	if s.cancels > 0 && s.header.Reversing {
		s.seen["cancelled"] = true
	}
	for _, e := range effects {
		l, ok := e.(saga.Log)
		if !ok {
			continue
		}
		switch l.Kind {
		case saga.LogTolerated, saga.LogHeld:
			s.seen[string(l.Kind)] = true
		case saga.LogChosen:
			s.seen["chosen "+l.Detail] = true
		case saga.LogTimedOut:
			s.seen["timed out "+string(l.Direction)] = true
		case saga.LogAborted:
			s.noteAbort()
		}
	}
}

// noteAbort looks at what lay beside the failure.
func (s *sim) noteAbort() {
	for path, f := range s.audit.facts {
		l := s.audit.leaves[path]
		for p := l.up; p != nil; p = p.up {
			if p.Kind == saga.KindParallel && s.audit.doomed(p) && f.succeeded {
				s.seen["beside a failure"] = true
			}
		}
	}
	for path, r := range s.records {
		if path != "" && r.Nodes[0].Phase == saga.PhaseUndoing && s.audit.tolerated[path] {
			s.seen["taken over"] = true
		}
	}
}

// skipWait makes the operator skip a wait or a sleep.
func (s *sim) skipWait(which int) error {
	var waiting []string
	for _, v := range saga.View(s.def, s.whole()) {
		if v.State.Phase == saga.PhaseWaiting {
			waiting = append(waiting, v.Path)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	return s.operate(saga.Act{
		ID: fmt.Sprintf("skip-%d", s.header.Version), Action: saga.Skip, Node: waiting[which%len(waiting)], By: "ana", Why: "no need",
	})
}

// retry makes the operator mend the participant of a stuck node and try again.
func (s *sim) retry(which int) error {
	var stuck []string
	for _, v := range saga.View(s.def, s.whole()) {
		if v.State.Stuck {
			stuck = append(stuck, v.Path)
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	path := stuck[which%len(stuck)]
	if slices.Contains(s.waits, path) && s.signals[path] == 0 {
		return s.signal(path)
	}
	if p := s.parties[path]; p != nil {
		p.Deaf, p.Silent, p.UndoDeaf = false, false, false
	}
	return s.operate(saga.Act{
		ID: fmt.Sprintf("retry-%d", s.header.Version), Action: saga.Retry, Node: path, Version: s.header.Version, By: "ana", Why: "mended",
	})
}

// calm is the end of a run: nothing is lost any more, and everything goes to its end (I1).
func (s *sim) calm() error {
	s.paused = false
	for range events {
		keys, next := s.due()
		var err error
		switch {
		case len(s.commands) > 0:
			err = s.deliverCommand(0)
		case len(s.replies) > 0:
			err = s.deliverReply(0)
		case s.header.Status.Terminal():
			return s.end()
		case len(keys) > 0 || !next.IsZero():
			err = s.tick(0)
		case s.header.Stuck > 0:
			err = s.retry(0)
		default:
			i := slices.IndexFunc(s.waits, func(w string) bool { return s.signals[w] == 0 })
			if i < 0 {
				return errors.New("I1: the instance waits for nothing and is not at its end")
			}
			err = s.signal(s.waits[i])
			s.waits = append(s.waits[i+1:], s.waits[:i+1]...) // it may be too early: another one next time
		}
		if err != nil {
			return err
		}
	}
	return errors.New("I1: the instance does not come to its end")
}

// end compares what the instance says with what its participants did (I20).
func (s *sim) end() error {
	for path, p := range s.parties {
		net, want := p.applied-p.undone, 1
		if s.audit.spared(p.place) {
			want = 0
		}
		exempt := p.Ack == noUndo && p.Class == saga.Compensable // of what is undone
		switch {
		case p.applied > 1 || p.undone > 1:
			return fmt.Errorf("I10: %s was applied %d times and undone %d times", path, p.applied, p.undone)
		case s.header.Status == saga.Completed && net != want && (want == 1 || !exempt):
			return fmt.Errorf("I20: completed, but %s is applied %d times", path, net)
		case s.header.Status == saga.Compensated && net != 0 && !exempt:
			return fmt.Errorf("I20: compensated, but %s is applied %d times", path, net)
		}
	}
	for key, r := range s.records {
		if !r.Wake.IsZero() {
			return fmt.Errorf("I3: record %q of a %s instance still wants to wake", key, s.header.Status)
		}
	}
	return s.audit.end(s.now, s.header.Status)
}

// party is the participant of one step, behind the barrier that package inbox puts before every participant.
type party struct {
	*place
	behaviour
	do, undo        *answered
	applied, undone int
}

// answered is what the barrier remembers of a direction.
type answered struct {
	epoch   int
	outcome saga.Outcome
}

func (p *party) take(c saga.Send) (saga.Reply, bool) {
	reply := saga.Reply{Node: c.Node, Direction: c.Direction, Epoch: c.Epoch}
	if c.Direction == saga.DoDirection {
		if p.undo != nil || p.Deaf {
			return reply, false // barred, or lost
		}
		p.do = p.run(p.do, c.Epoch, p.apply)
		reply.Outcome, reply.Event = p.do.outcome, done{Ref: "ref-" + p.path}
		if p.do.outcome == saga.Failure {
			reply.Event = refused{Why: "full"}
		}
		return reply, !p.Silent
	}
	if p.UndoDeaf && p.Ack != unacked {
		return reply, false
	}
	p.undo = p.run(p.undo, c.Epoch, p.revert)
	reply.Outcome = p.undo.outcome
	switch {
	case p.undo.outcome == saga.Failure:
		reply.Event = rejected{Why: "closed"}
	case p.Ack == byFailure:
		reply.Event = refused{Why: "cancelled"}
	default:
		reply.Event = undone{}
	}
	return reply, p.Ack != unacked
}

// run gives the answer that was given, or lets the handler run.
func (p *party) run(before *answered, epoch int, handle func() saga.Outcome) *answered {
	if before != nil && (epoch <= before.epoch || before.outcome != saga.Failure) {
		return before
	}
	return &answered{epoch: epoch, outcome: handle()}
}

func (p *party) apply() saga.Outcome {
	if p.Refuses > 0 {
		if p.Class == saga.Retriable {
			p.Refuses--
		}
		return saga.Failure
	}
	p.applied++
	return saga.Success
}

func (p *party) revert() saga.Outcome {
	switch {
	case p.do == nil || p.do.outcome != saga.Success:
		return saga.Nothing
	case p.UndoFails > 0 && p.Ack != unacked:
		p.UndoFails--
		return saga.Failure
	}
	p.undone++
	return saga.Success
}
