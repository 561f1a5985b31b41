package coordinator

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// orphanRetry is how long a reply waits for a coordinator that knows its instance's definition.
const orphanRetry = 5 * time.Second

// replies takes a batch of events: it is done when all of them are committed. Events that no saga waits for are none of
// the coordinator's business.
func (c *Coordinator) replies(ctx context.Context, batch []messaging.Message) []error {
	type outcome struct {
		i   int
		err error
	}
	errs := make([]error, len(batch))
	answered := make(chan outcome, 2*len(batch)) // a message asks for two things at most
	var requests []*request
	for i, m := range batch {
		asked, err := c.read(m)
		if err != nil {
			errs[i] = err
			continue
		}
		for _, r := range asked {
			r.reply = func(_ saga.State, err error) { answered <- outcome{i, err} }
			requests = append(requests, r)
		}
	}
	if len(requests) == 0 {
		return errs
	}
	if err := c.submit(context.WithoutCancel(ctx), requests...); err != nil {
		for _, r := range requests {
			r.answer(saga.State{}, err)
		}
	}
	for range requests {
		o := <-answered
		if o.err != nil {
			errs[o.i] = c.verdict(batch[o.i], o.err)
		}
	}
	return errs
}

// read tells what a message asks for, in this order: nothing if it is none of the coordinator's business.
func (c *Coordinator) read(m messaging.Message) ([]*request, error) {
	if m.Header(messaging.HeaderSaga) == "" {
		r, err := c.unmarked(m)
		if r == nil {
			return nil, err
		}
		return []*request{r}, err
	}
	if messaging.Direction(m.Header(messaging.HeaderDirection)) == messaging.Signal {
		if !legible.Is(m.Header(messaging.HeaderSaga)) || !legible.Is(m.Header(messaging.HeaderNode)) {
			return nil, errHeaders()
		}
		event, err := c.cfg.Bus.Codec.Decode(m)
		return []*request{{
			id: saga.ID(m.Header(messaging.HeaderSaga)), input: saga.Signal{Node: m.Header(messaging.HeaderNode), Event: event},
		}}, err
	}
	correlation, ok := messaging.CorrelationOf(m)
	outcome := messaging.Outcome(m.Header(messaging.HeaderOutcome))
	party := c.joinable[correlation.Definition]
	switch {
	case correlation.Definition != "" && party == nil || correlation.Definition == "" && !c.conducts:
		return nil, nil
	case !ok && outcome != "":
		return nil, errHeaders()
	}
	event, err := c.cfg.Bus.Codec.Decode(m)
	switch unsaid := outcome == ""; {
	case unsaid && (errors.Is(err, messaging.ErrUnknownType) || err == nil && !c.answers(correlation, event)):
		return nil, nil // a command, that shares the topic
	case err != nil:
		return nil, err
	case !ok:
		return nil, errHeaders()
	}
	requests := []*request{{id: saga.ID(correlation.Saga), input: saga.Reply{
		Node: correlation.Node, Direction: saga.Direction(correlation.Direction), Epoch: correlation.Epoch,
		Outcome: saga.Outcome(outcome), Event: event,
	}}}
	if party == nil {
		requests[0].started = correlation.Started
		return requests, nil
	}
	start, joins, err := saga.JoinedBy(party, event)
	if err != nil {
		return nil, messaging.Permanent(err)
	}
	if joins {
		start.ID = saga.ID(correlation.Saga)
		requests = append([]*request{{id: start.ID, def: party, input: start}}, requests...)
	}
	return requests, nil
}

// answers reports whether a message without an outcome, of a participant that tells none, is an answer all the same: it is no command of
// any definition here, and one of them expects it of that node.
func (c *Coordinator) answers(of messaging.Correlation, event any) bool {
	if c.commands[reflect.TypeOf(event)] {
		return false
	}
	return slices.ContainsFunc(c.cfg.Definitions, func(d saga.Any) bool {
		how := saga.CoordinationOf(d)
		mine := !how.Choreographed && of.Definition == "" || how.Choreographed && how.Family == of.Definition
		return mine && saga.Answers(d, of.Node, saga.Direction(of.Direction), event)
	})
}

// errHeaders says that a message is about a saga, but cannot tell which command of which.
func errHeaders() error {
	return messaging.Permanent(errors.New("coordinator: the headers of the saga are incomplete or malformed: a reply echoes those of its command"))
}

const (
	// earlyRetry is how long an input waits for the part of the instance, or in a choreography the instance, that it is about. It
	// doubles with each time, up to earlyRetryMax: the usual wait is for another topic's message that is on its way.
	earlyRetry    = 10 * time.Millisecond
	earlyRetryMax = 500 * time.Millisecond
	// maxEarly is how often it does.
	maxEarly = 120
)

// verdict classifies for the router what became of a message.
func (c *Coordinator) verdict(m messaging.Message, err error) error {
	early := errors.Is(err, saga.ErrEarly) || errors.Is(err, saga.ErrNotFound) && m.Header(messaging.HeaderDefinition) != ""
	switch {
	case early && m.Delivery < maxEarly:
		return messaging.RetryAfter(min(earlyRetry<<min(max(m.Delivery-1, 0), 6), earlyRetryMax), err)
	case errors.Is(err, saga.ErrUnexpectedReply), errors.Is(err, saga.ErrNotFound), errors.Is(err, saga.ErrEarly), errors.Is(err, saga.ErrKey):
		return messaging.Permanent(err)
	case errors.Is(err, saga.ErrUnknownDefinition), errors.Is(err, saga.ErrData):
		return messaging.RetryAfter(orphanRetry, err)
	default:
		return err
	}
}

// topics returns those that are read, without duplicates, in the order of the definitions.
func (c Config) topics() ([]string, error) {
	var topics []string
	var events []any
	for _, d := range c.Definitions {
		events = append(events, d.Events()...)
	}
	for _, event := range append(events, c.Replies...) {
		topic, err := c.Bus.Codec.Topic(event)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(topics, topic) {
			topics = append(topics, topic)
		}
	}
	return topics, nil
}

// checkUndos refuses undos that any reply is to acknowledge where none can come: if all types that travel on the topics that are read have
// another meaning, the reply's type has a topic of its own, of which the coordinator knows nothing.
func (c Config) checkUndos(need func(ok bool, format string, args ...any)) {
	catalog, ok := c.Bus.Codec.(messaging.Catalog)
	topics, err := c.topics()
	if !ok || err != nil || len(c.Replies) > 0 {
		return
	}
	other := map[string]bool{} // by the type's name: whether it means something else than that a step is undone
	type undo struct{ definition, path, command string }
	var undos []undo
	for _, d := range c.Definitions {
		for _, v := range append(d.Commands(), d.Events()...) {
			name := reflect.TypeOf(v).String()
			if _, known := other[name]; !known {
				other[name] = true
			}
		}
		d.Describe().Walk(func(n saga.NodeDescription) {
			if n.Undone != "" {
				name, _, _ := strings.Cut(n.Undone, "#")
				other[name] = false
			}
			if n.Acknowledged == saga.ByAnyReply {
				undos = append(undos, undo{d.Name(), n.Path, n.Undo})
			}
		})
	}
	for _, topic := range topics {
		for _, v := range catalog.Types(topic) {
			if !other[reflect.TypeOf(v).String()] {
				return
			}
		}
	}
	for _, u := range undos {
		need(false, "no reply to the undo %s of %s/%s can be seen: its type has a topic of its own, which is only read for an event that is declared: "+
			"declare it with saga.Undone, or name it in Replies", u.command, u.definition, u.path)
	}
}
