package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// transit is one instance on its way through a batch: all inputs for it are decided one after the other and
// committed together.
type transit struct {
	id       saga.ID
	requests []*decided
	next     int        // the first request not decided yet
	later    []*decided // requests for the next batch
	matched  bool
	known    bool // there is a state
	guessed  bool // the state is not from the store; see [hot]
	doubted  bool // the store is asked whether the guess was right
	pauses   []Pause
	before   saga.State
	state    saga.State
	records  []saga.Record
	log      []LogEntry
	audit    []AuditEntry
	outbox   []messaging.Message
	expect   []Expectation
	answered []Expected
}

// decided is a request with what became of it.
type decided struct {
	*request
	err   error
	moved bool // it led to a transition
}

// misdirected reports whether an event that was found by its payload does not fit the instance that it was given to, so that the
// next one is to be tried.
func (r *decided) misdirected() bool {
	if r.event == nil || r.event.row == nil || r.moved || r.err != nil && !unfit(r.err) {
		return false
	}
	r.event.tried = append(r.event.tried, r.event.row.place())
	return true
}

func (t *transit) changed() bool { return t.state.Version != t.before.Version }

func (t *transit) change() Change {
	t.records = saga.Changed(t.before, t.state)
	return Change{
		Before: t.before.Version, State: t.state, Records: t.records, Log: t.log, Audit: t.audit, Outbox: t.outbox,
		Expect: t.expect, Answered: t.answered, Forget: t.matched && t.state.Status.Terminal(),
	}
}

// decideAll decides the batch. It asks the store for the instances once, and again only for records that turn out to be needed.
func (c *Coordinator) decideAll(ctx context.Context, batch []*request, pauses []Pause) ([]*transit, error) {
	byID := map[saga.ID]*transit{}
	var transits []*transit
	wants := map[saga.ID][]string{}
	for _, r := range batch {
		t := byID[r.id]
		if t == nil {
			t = &transit{id: r.id, pauses: pauses}
			byID[r.id] = t
			transits = append(transits, t)
			wants[r.id] = nil
		}
		t.requests = append(t.requests, &decided{request: r})
		if key := recordOf(r.input); !slices.Contains(wants[r.id], key) {
			wants[r.id] = append(wants[r.id], key)
		}
	}
	for len(wants) > 0 {
		if err := c.load(ctx, byID, wants); err != nil {
			return nil, err
		}
		needs := map[saga.ID][]string{}
		for id := range wants {
			t := byID[id]
			switch keys := c.run(t); {
			case len(keys) > 0:
				needs[id] = keys
			case t.guessed && !t.moved():
				t.guessed, t.doubted = false, true
				needs[id] = []string{""}
			}
		}
		wants = needs
	}
	return transits, nil
}

// recordOf is the record that an input is about.
func recordOf(in saga.Input) string {
	path := ""
	switch in := in.(type) {
	case saga.Reply:
		path = in.Node
	case saga.Act:
		path = in.Node
	case saga.Signal:
		path = in.Node
	case saga.Tick:
		path = in.Record
	}
	if !legible.Is(path) { // it may come from outside, and is no node's
		return ""
	}
	return path[:strings.LastIndexByte(path, ']')+1]
}

// load reads the wanted records into the transits' states.
func (c *Coordinator) load(ctx context.Context, byID map[saga.ID]*transit, wants map[saga.ID][]string) error {
	list := make([]Want, 0, len(wants))
	for id, keys := range wants {
		if !c.guess(byID[id], keys) {
			list = append(list, Want{ID: id, Keys: keys})
		}
	}
	if len(list) == 0 {
		return nil
	}
	found, err := c.cfg.Store.Load(ctx, list)
	if err != nil {
		return err
	}
	for _, want := range list {
		id, keys := want.ID, want.Keys
		t, loaded := byID[id], found[id]
		first := !t.known
		t.known = true
		if first {
			t.before, t.state = loaded, loaded
			continue
		}
		if loaded.Version != t.before.Version { // it moved on meanwhile: begin anew
			t.restart(loaded)
			continue
		}
		if t.doubted { // it was right
			t.doubted = false
			continue
		}
		if err := t.merge(loaded, keys); err != nil {
			return err
		}
	}
	return nil
}

// guess gives the transit a state without asking the store, if that is likely to be the right one.
func (c *Coordinator) guess(t *transit, keys []string) bool {
	if t.known || len(keys) != 1 || keys[0] != "" {
		return false
	}
	s, ok := c.hot.get(t.id)
	if !ok && !t.requests[0].fresh {
		return false
	}
	t.known, t.guessed = true, ok
	t.before, t.state = s, s
	return true
}

// moved reports whether all of the transit's requests led to transitions, so that its commit tells whether they were decided from the right state.
func (t *transit) moved() bool {
	return !slices.ContainsFunc(t.requests, func(r *decided) bool { return !r.moved })
}

// restart forgets what was decided and begins with the state that another process left.
func (t *transit) restart(loaded saga.State) {
	*t = transit{id: t.id, requests: slices.Concat(t.requests, t.later), pauses: t.pauses, before: loaded, state: loaded, known: true}
	for _, r := range t.requests {
		r.err, r.moved, r.fresh = nil, false, false
	}
}

// merge adds records that were asked for. One that was wanted and is not there would be asked for again and again.
func (t *transit) merge(loaded saga.State, keys []string) error {
	for _, key := range keys {
		if key == "" {
			if loaded.Root.Data == nil {
				return fmt.Errorf("coordinator: saga %s: the store gives no data", t.id)
			}
			t.before.Root.Data, t.state.Root.Data = loaded.Root.Data, loaded.Root.Data
			continue
		}
		r, ok := loaded.Items[key]
		if !ok {
			return fmt.Errorf("coordinator: saga %s: item record %s is missing in the store", t.id, key)
		}
		for _, s := range []*saga.State{&t.before, &t.state} { // both maps are this transit's own
			if s.Items == nil {
				s.Items = map[string]saga.Record{}
			}
			s.Items[key] = r
		}
	}
	return nil
}

// maxExtraRecords bounds the item records that one transit holds beside those that its requests name: each transition of a fan-out may bring a
// page of them, each costs every further one a copy, and a commit is to stay small.
const maxExtraRecords = 2000

// run decides the transit's requests in order, as far as its records allow; it returns the keys of those that it lacks.
func (c *Coordinator) run(t *transit) []string {
	for ; t.next < len(t.requests); t.next++ {
		if t.next > 0 && len(t.state.Items) > maxExtraRecords+len(t.requests) {
			t.requests, t.later = t.requests[:t.next], t.requests[t.next:]
			break
		}
		r := t.requests[t.next]
		version := t.state.Version
		err := c.decideOne(t, r)
		if need, ok := errors.AsType[*saga.NeedError](err); ok {
			return need.Keys
		}
		r.err, r.moved = err, t.state.Version != version
		if r.moved && err == nil && r.event != nil && r.event.row != nil {
			t.answered = append(t.answered, Expected{ID: t.id, Expectation: r.event.row.Expectation, Answer: r.event.message})
		}
	}
	return nil
}

func (c *Coordinator) decideOne(t *transit, r *decided) error {
	if start, ok := r.input.(saga.Start); ok {
		if t.state.Exists() {
			return nil
		}
		return c.decide(t, r.def, start, held(t.pauses, r.def.Name()))
	}
	if !t.state.Exists() {
		return fmt.Errorf("%w: no instance %q", saga.ErrNotFound, t.id)
	}
	if !r.started.IsZero() && !r.started.Equal(t.state.Started) {
		return fmt.Errorf("%w: it answers an instance %q that was started %v and is removed", saga.ErrNotFound, t.id, r.started)
	}
	if _, act := r.input.(saga.Act); !act && t.state.Status.Terminal() {
		return nil // it never changes, whether its definition is known or not
	}
	def, known := c.byHash[t.state.Hash]
	if act, ok := r.input.(saga.Act); ok && act.Action == saga.Force {
		def, known = c.cfg.Definitions[0], true // an end by force needs no definition of its own
	}
	if !known {
		reason := fmt.Sprintf("no definition %s with hash %s is registered: deploy a version that has it", t.state.Definition, t.state.Hash)
		if c.abandoned(t, r.input) {
			c.park(t, reason)
		}
		return fmt.Errorf("%w: %s", saga.ErrUnknownDefinition, reason)
	}
	hold := held(t.pauses, t.state.Definition)
	if _, tick := r.input.(saga.Tick); tick && hold {
		return nil // it comes again when the pause ends
	}
	return c.decide(t, def, r.input, hold)
}

// abandoned reports whether the input shows that no coordinator at all knows the instance's definition: its tick is overdue by a
// whole recheck. Until then another one may know it, as when a new version is rolled out.
func (c *Coordinator) abandoned(t *transit, in saga.Input) bool {
	tick, ok := in.(saga.Tick)
	if !ok {
		return false
	}
	wake := t.state.Root.Wake
	if tick.Record != "" {
		wake = t.state.Items[tick.Record].Wake
	}
	return !wake.IsZero() && c.cfg.Now().Sub(wake) >= c.cfg.Recheck
}

// decide adds one transition to the transit. A fault that only a new version of the program or of the data can mend parks the instance.
func (c *Coordinator) decide(t *transit, def saga.Any, in saga.Input, hold bool) error {
	now := c.now()
	if hold {
		in = saga.Hold{Input: in}
	}
	t.matched = t.matched || c.matched[t.state.Hash] || c.matched[def.Hash()] || t.state.Exists() && c.byHash[t.state.Hash] == nil
	next, effects, err := saga.Decide(def, t.state, in, now)
	if errors.Is(err, saga.ErrData) {
		c.park(t, err.Error())
	}
	if err != nil || next.Version == t.state.Version {
		return err
	}
	var messages []messaging.Message
	for _, e := range effects {
		switch e := e.(type) {
		case saga.Send:
			m, err := c.message(next, def, e, now)
			if err != nil {
				err = fmt.Errorf("%w: command of %s: %w", saga.ErrData, e.Node, err)
				c.park(t, err.Error())
				return err
			}
			messages = append(messages, m)
		case saga.Expect:
			t.expect = append(t.expect, Expectation{Node: e.Node, Direction: e.Direction, Epoch: e.Epoch, Key: e.Key})
		}
	}
	t.outbox = append(t.outbox, messages...)
	t.record(next, effects, now)
	return nil
}

func (c *Coordinator) park(t *transit, reason string) {
	now := c.cfg.Now()
	next, effects := saga.ParkOrphan(t.state, reason, now)
	if next.Version != t.state.Version {
		t.record(next, effects, now)
	}
}

// record makes next the transit's state and keeps the story of how it came about.
func (t *transit) record(next saga.State, effects []saga.Effect, now time.Time) {
	line := 0
	for _, e := range effects {
		switch e := e.(type) {
		case saga.Log:
			t.log = append(t.log, LogEntry{Version: next.Version, Line: line, At: now, Log: e})
			line++
		case saga.Audit:
			t.audit = append(t.audit, AuditEntry{Version: next.Version, At: now, Audit: e})
		}
	}
	t.state = next
}

const (
	// maxHot and maxHotBytes bound what one of the two generations of hot instances holds.
	maxHot      = 4096
	maxHotBytes = 8 << 20
)

// hot are the instances as this coordinator committed them last, so that the next transition need not read them. Another process may
// have taken one on since: what was decided from here counts only once its commit has found the version unchanged, and what
// leads to no commit is decided again from the store. It may be used from several goroutines.
type hot struct {
	mu            sync.Mutex
	recent, older map[saga.ID]saga.State
	bytes         int
}

// get returns the instance with its root record, if it is here with its data.
func (h *hot) get(id saga.ID) (saga.State, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.recent[id]; ok {
		return s, true
	}
	s, ok := h.older[id]
	return s, ok
}

// put keeps an instance that was committed. One at rest is let go: only the store knows what an operator or another process does to it.
func (h *hot) put(s saga.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.older, s.ID)
	if s.Root.Data == nil || s.Status.Terminal() || s.Status == saga.Parked {
		delete(h.recent, s.ID)
		return
	}
	if h.recent == nil || len(h.recent) >= maxHot || h.bytes >= maxHotBytes {
		h.older, h.recent, h.bytes = h.recent, map[saga.ID]saga.State{}, 0
	}
	s.Items = nil
	h.recent[s.ID] = s
	h.bytes += len(s.Root.Data)
}

// age lets go of what was not committed here since it was called last: its instance may have ended elsewhere, and once that is removed another
// one may have its id and come to its version.
func (h *hot) age() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.older, h.recent, h.bytes = h.recent, map[saga.ID]saga.State{}, 0
}

func (h *hot) drop(id saga.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.recent, id)
	delete(h.older, id)
}
