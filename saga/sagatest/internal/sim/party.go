package sim

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/saga"
)

// party is the participant of one step of the instance, behind the barrier of package inbox.
type party struct {
	*spot
	path            string
	sides           map[saga.Direction]*side
	applied, undone int
}

// side is what a participant remembers, and does wrong, of one direction.
type side struct {
	entry  *inbox.Entry
	event  any // the answer that was given
	outage int // see the constants
	no     int // so many commands are refused from now on
}

// The outages of a side.
const (
	works  = iota
	deaf   // commands do not get through
	silent // it does what it is told, and does not answer
)

// nothing and undone answer undos for which the step declares no event, and unable one that failed.
type (
	nothing struct{}
	undone  struct{}
	unable  struct{ Why string }
)

// FailureReason goes to the instance's log.
func (u unable) FailureReason() string { return u.Why }

// party returns the participant of the step, and draws how it behaves when it is first asked.
func (r *run) party(path string) *party {
	if p := r.parties[path]; p != nil {
		return p
	}
	f := r.audit.of(path)
	p := &party{spot: f.spot, path: path, sides: map[saga.Direction]*side{}}
	do, undo := &side{}, &side{}
	p.sides[saga.DoDirection], p.sides[saga.UndoDirection] = do, undo
	r.parties[path] = p

	classes := []string{Outages, Refusals}
	if f.failure == nil {
		classes = classes[:1]
	}
	switch fault, h := r.strike("party do "+path, classes...); fault {
	case Outages:
		do.outage = deaf + int(h%2)
	case Refusals:
		do.no = 1
		if f.Class == saga.Retriable {
			do.no += int(h % uint64(f.Attempts+1))
		}
	default:
	}
	if f.Undo == "" || f.Acknowledged == saga.ByNothing {
		return p
	}
	switch fault, h := r.strike("party undo "+path, Outages, FailedUndos); fault {
	case Outages:
		undo.outage = deaf + int(h%2)
	case FailedUndos:
		undo.no = 1 + int(h%uint64(f.Attempts+1))
	default:
	}
	return p
}

// mend ends the participant's outages.
func (p *party) mend() {
	for _, s := range p.sides {
		s.outage = works
	}
}

// deliver brings a command to its participant, which answers, or not.
func (r *run) deliver(c saga.Send, tries int) error {
	p := r.party(c.Node)
	mine := p.sides[c.Direction]
	if mine.outage == deaf {
		r.tell("the command to %s %s does not get through: the participant is out until an operator mends it", c.Direction, c.Node)
		return nil
	}
	verdict := inbox.Decide(correlation(c), p.sides[saga.DoDirection].entry, p.sides[saga.UndoDirection].entry)
	switch verdict {
	case inbox.Ignore, inbox.Outdated:
		r.tell("%s gets %s, which was undone before, and ignores it", c.Node, c.Direction)
		return nil
	case inbox.Run:
		if err := r.handle(p, c, tries); err != nil || mine.entry == nil {
			return err
		}
	case inbox.Bar:
		bar := inbox.Entry{Epoch: c.Epoch, Outcome: messaging.Nothing}
		p.sides[saga.DoDirection].entry = &bar
		mine.entry = &bar
		mine.event = r.ack(p.spot, nothing{}, c)
		r.tell("%s has nothing to undo, and will ignore do from now on", c.Node)
	case inbox.Renew:
		renewed := *mine.entry
		renewed.Epoch = c.Epoch
		mine.entry = &renewed
		r.tell("%s gets %s anew, and answers as before", c.Node, c.Direction)
	case inbox.Repeat:
		r.tell("%s gets %s again, and answers as before", c.Node, c.Direction)
	}
	return r.answer(p, c, mine)
}

// correlation is the command's.
func correlation(c saga.Send) messaging.Correlation {
	return messaging.Correlation{Saga: string(instance), Node: c.Node, Direction: messaging.Direction(c.Direction), Epoch: c.Epoch}
}

// answer sends the reply on its way.
func (r *run) answer(p *party, c saga.Send, mine *side) error {
	what := "the reply to " + string(c.Direction) + " " + c.Node
	switch {
	case c.Direction == saga.UndoDirection && p.Acknowledged == saga.ByNothing:
		return nil
	case mine.outage == silent:
		r.tell("%s is lost: the participant is out until an operator mends it", what)
		return nil
	}
	reply := saga.Reply{
		Node: c.Node, Direction: c.Direction, Epoch: mine.entry.Epoch, Outcome: saga.Outcome(mine.entry.Outcome), Event: mine.event,
	}
	if err := r.recognise(p, &reply); err != nil {
		return err
	}
	name := fmt.Sprintf("reply %s %s e%d", c.Direction, c.Node, reply.Epoch)
	r.travel(what, p.spot, false, func() error { return r.input(name, reply) })
	return nil
}

// recognise makes the reply one without headers, if the step knows its replies by their payload and a user's handler gave it.
func (r *run) recognise(p *party, reply *saga.Reply) error {
	h, given := r.world.Handlers[p.command]
	if !p.Matched || !given || reply.Direction != saga.DoDirection || reflect.TypeOf(reply.Event) != h.Event {
		return nil
	}
	keys, err := saga.MatchKeys(r.x.Definition, reply.Event)
	if err != nil || !slices.Contains(keys, r.expected[reply.Node]) {
		return breaks(Reply, "%s answers %s, but by that the reply is not recognised: its key is not the one that Matching finds in the data",
			p.path, show(reply.Event))
	}
	reply.Outcome, reply.Epoch = saga.Unsaid, saga.AnyEpoch
	return nil
}

// handle does what the command asks for, or refuses.
func (r *run) handle(p *party, c saga.Send, tries int) error {
	mine := p.sides[c.Direction]
	if mine.no > 0 {
		mine.no--
		mine.entry = &inbox.Entry{Epoch: c.Epoch, Outcome: messaging.Failure}
		mine.event = unable{Why: "not now"}
		if c.Direction == saga.DoDirection {
			mine.event = r.reply(p.failure, c)
		}
		r.tell("%s refuses %s: %s", c.Node, c.Direction, r.show(mine.event))
		return nil
	}
	event, outcome, err := r.carryOut(p, c)
	if _, broken := errors.AsType[*violation](err); broken {
		return err
	}
	if err != nil {
		r.undelivered(c, tries, err)
		return nil
	}
	mine.entry, mine.event = &inbox.Entry{Epoch: c.Epoch, Outcome: outcome}, event
	byFailure := c.Direction == saga.UndoDirection && p.Acknowledged == saga.ByFailureEvent && reflect.TypeOf(event) == p.failure
	switch {
	case outcome == messaging.Failure && !byFailure:
		r.tell("%s refuses %s: %s", c.Node, c.Direction, r.show(event))
	case c.Direction == saga.DoDirection:
		p.applied++
		r.tell("%s does it: %s", c.Node, r.show(event))
	default:
		p.undone++
		r.tell("%s undoes it", c.Node)
	}
	return nil
}

// carryOut calls the user's handler of the command, or makes up what the participant answers.
func (r *run) carryOut(p *party, c saga.Send) (event any, outcome messaging.Outcome, err error) {
	h, given := r.world.Handlers[reflect.TypeOf(c.Command)]
	if !given {
		if c.Direction == saga.DoDirection {
			return r.reply(p.success, c), messaging.Success, nil
		}
		event := r.ack(p.spot, undone{}, c)
		if p.Acknowledged == saga.ByFailureEvent {
			return event, messaging.Failure, nil
		}
		return event, messaging.Success, nil
	}
	if panicked := guard("the handler of "+reflect.TypeOf(c.Command).String(), func() { event, err = h.Handle(c.Command) }); panicked != nil {
		return nil, "", panicked
	}
	var refusal *messaging.Refusal
	switch {
	case errors.As(err, &refusal) && c.Direction == saga.DoDirection && reflect.TypeOf(refusal.Event) != p.failure:
		return nil, "", breaks(Reply, "%s is refused with %s, but the step knows as its failure %q", c.Node, show(refusal.Event), p.Failure)
	case errors.As(err, &refusal):
		return refusal.Event, messaging.Failure, nil
	case err != nil:
		return nil, "", err
	}
	return event, messaging.Success, nil
}

// undelivered has the broker deliver a command again that its handler could not handle.
func (r *run) undelivered(c saga.Send, tries int, err error) {
	const most = 5
	r.tell("%s cannot %s: %v", c.Node, c.Direction, err)
	if class, _ := messaging.Classify(err); class != messaging.Terminal && tries < most {
		r.after(time.Second, func() error { return r.deliver(c, tries+1) })
	}
}

// event makes up an event, or one with no field set.
func (r *run) event(t reflect.Type, point string) any {
	if fault, _ := r.strike(point, EmptyReplies); fault != "" {
		return reflect.Zero(t).Interface()
	}
	return r.value(t, point)
}

// reply makes up the event that answers the command. What the command says under the same name it says again, as participants do
// with ids.
func (r *run) reply(t reflect.Type, c saga.Send) any {
	event := reflect.New(t).Elem()
	event.Set(reflect.ValueOf(r.event(t, fmt.Sprintf("event %s %s e%d", c.Direction, c.Node, c.Epoch))))
	if event.IsZero() {
		return event.Interface()
	}
	command := reflect.ValueOf(c.Command)
	for field, v := range event.Fields() {
		same, ok := command.Type().FieldByName(field.Name)
		if !ok || !field.IsExported() || len(same.Index) > 1 || same.Type != field.Type {
			continue
		}
		if said := command.FieldByIndex(same.Index); !said.IsZero() {
			v.Set(said)
		}
	}
	return event.Interface()
}

// ack makes up the event that acknowledges an undo.
func (r *run) ack(s *spot, undeclared any, c saga.Send) any {
	switch s.Acknowledged {
	case saga.ByUndoneEvent:
		return r.reply(s.undone, c)
	case saga.ByFailureEvent:
		return r.reply(s.failure, c)
	default:
		return undeclared
	}
}
