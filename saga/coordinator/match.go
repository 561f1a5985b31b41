package coordinator

import (
	"context"
	"errors"
	"slices"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// event is what arrived without a word about sagas: the instance that waits for it is found by its payload (R11), or it starts
// one (R10), or it is nobody's.
type event struct {
	value   any
	message string // identifies the message
	keys    map[string]saga.Any
	start   *saga.Start // with its ID
	def     saga.Any    // of the start
	row     *Expected   // what it is taken to answer
	tried   []place     // that it turned out not to answer
}

// place is where an expectation stands.
type place struct {
	id        saga.ID
	node      string
	direction saga.Direction
	epoch     int
}

func (e *Expected) place() place { return place{e.ID, e.Node, e.Direction, e.Epoch} }

// unfit reports whether a reply is none for the instance that it was given to.
func unfit(err error) bool {
	return errors.Is(err, saga.ErrUnexpectedReply) || errors.Is(err, saga.ErrNotFound) || errors.Is(err, saga.ErrEarly)
}

// maxAnswer is the longest identity of a message that an answered expectation names as it is, in bytes.
const maxAnswer = 255

// unmarked reads an event without a saga's headers; nil if no definition has any use for it.
func (c *Coordinator) unmarked(m messaging.Message) (*request, error) {
	if !c.listens {
		return nil, nil //nolint:nilnil // no request and no fault
	}
	value, err := c.cfg.Bus.Codec.Decode(m)
	if err != nil {
		return nil, err
	}
	e := &event{value: value, message: legible.Key(m.Identity(), maxAnswer), keys: map[string]saga.Any{}}
	// Who tells an outcome echoes a command's headers: that there are none means that it answers no saga's command.
	echoes := m.Header(messaging.HeaderOutcome) != ""
	for _, d := range c.cfg.Definitions {
		var keys []string
		if !echoes {
			if keys, err = saga.MatchKeys(d, value); err != nil {
				return nil, messaging.Permanent(err)
			}
		}
		for _, key := range keys {
			if e.keys[key] == nil {
				e.keys[key] = d
			}
		}
		if e.start != nil {
			continue
		}
		start, ok, err := saga.StartedBy(d, value)
		if err != nil {
			return nil, messaging.Permanent(err)
		}
		if ok {
			key := start.Key
			if key == "" {
				key = e.message
			}
			start.ID = IDOf(d.Name(), key)
			e.start, e.def = &start, d
		}
	}
	if len(e.keys) == 0 && e.start == nil {
		return nil, nil //nolint:nilnil // no request and no fault
	}
	return &request{event: e}, nil
}

// search is what became of a batch's events.
type search struct {
	inputs    []*request // what is to be decided
	unclaimed []*request // no instance waits for them
	repeated  []*request // the batch has them twice: the outcome of the first comes first
}

// find gives each event of the batch to the instance that it belongs to.
func (c *Coordinator) find(ctx context.Context, batch []*request) (search, error) {
	var events []*request
	for _, r := range batch {
		if r.event != nil {
			events = append(events, r)
		}
	}
	if len(events) == 0 {
		return search{inputs: batch}, nil
	}
	all, err := c.match(ctx, events)
	if err != nil {
		return search{}, err
	}
	cut := len(events) > 1 && openOnes(all) >= MaxMatches // somebody may be missing: ask for each event alone
	var s search
	claimed, seen := map[place]bool{}, map[string]bool{}
	for _, r := range batch {
		switch {
		case r.event == nil:
			s.inputs = append(s.inputs, r)
			continue
		case seen[r.event.message]:
			s.repeated = append(s.repeated, r)
			continue
		}
		seen[r.event.message] = true
		rows := all
		if cut {
			if rows, err = c.match(ctx, []*request{r}); err != nil {
				return search{}, err
			}
		}
		r.direct(rows, claimed)
		if r.input == nil {
			s.unclaimed = append(s.unclaimed, r)
		} else {
			s.inputs = append(s.inputs, r)
		}
	}
	return s, nil
}

// match asks the store who waits for the events or was answered by them.
func (c *Coordinator) match(ctx context.Context, events []*request) ([]Expected, error) {
	var keys, messages []string
	for _, r := range events {
		for key := range r.event.keys {
			keys = append(keys, key)
		}
		messages = append(messages, r.event.message)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	slices.Sort(keys)
	return c.cfg.Store.Match(ctx, slices.Compact(keys), messages)
}

func openOnes(rows []Expected) (n int) {
	for _, row := range rows {
		if row.Answer == "" {
			n++
		}
	}
	return n
}

// awaitedNow reports whether one of the instances began to wait for the event when it was decided: had the event come a batch
// later, that one would have got it.
func (e *event) awaitedNow(transits []*transit) bool {
	return slices.ContainsFunc(transits, func(t *transit) bool {
		return slices.ContainsFunc(t.expect, func(x Expectation) bool { return e.keys[x.Key] != nil })
	})
}

// direct makes the event an input for the instance that has waited longest for it, or a start.
func (r *request) direct(rows []Expected, claimed map[place]bool) {
	e := r.event
	r.id, r.input, r.def, e.row = "", nil, nil, nil
	mine := func(row Expected) bool { return e.keys[row.Key] != nil }
	if slices.ContainsFunc(rows, func(row Expected) bool { return mine(row) && row.Answer == e.message }) {
		return // it was taken before
	}
	fits := func(row Expected) bool {
		return mine(row) && row.Answer == "" && !claimed[row.place()] && !slices.Contains(e.tried, row.place()) &&
			saga.Accepts(e.keys[row.Key], row.Node, row.Direction, e.value)
	}
	i := slices.IndexFunc(rows, fits)
	if i < 0 {
		if e.start != nil {
			r.id, r.def, r.input = e.start.ID, e.def, *e.start
		}
		return
	}
	// An event that would answer a step and its undo answers the undo, which came later.
	for j, row := range rows {
		if row.ID == rows[i].ID && row.Node == rows[i].Node && row.Direction == saga.UndoDirection && fits(row) {
			i = j
		}
	}
	e.row = &rows[i]
	claimed[e.row.place()] = true
	r.id = e.row.ID
	if e.row.Direction == saga.SignalDirection {
		r.input = saga.Signal{Node: e.row.Node, Event: e.value}
		return
	}
	r.input = saga.Reply{Node: e.row.Node, Direction: e.row.Direction, Epoch: e.row.Epoch, Event: e.value}
}
