package memsaga

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// Store keeps instances in memory. Make one with [New]; it is safe for concurrent use.
type Store struct {
	mu        sync.Mutex
	instances map[saga.ID]*instance
	order     []saga.ID // by creation
	created   int       // instances in all, removed ones too
	outbox    []messaging.Message
	expected  []coordinator.Expected
	pauses    []coordinator.Pause // by beginning
}

// instance is one saga with all that belongs to it.
type instance struct {
	seq   int        // its number by creation, from 1
	state saga.State // without items
	keys  []string   // of its items, by creation
	items map[string]saga.Record
	log   []coordinator.LogEntry
	audit []coordinator.AuditEntry
}

var (
	_ coordinator.Store   = (*Store)(nil)
	_ coordinator.Reader  = (*Store)(nil)
	_ coordinator.Remover = (*Store)(nil)
	_ outbox.Store        = (*Store)(nil)
)

// errNoData says that a record is to keep data that was never stored.
var errNoData = errors.New("memsaga: a record that is not stored has no data")

// New returns an empty store.
func New() *Store { return &Store{instances: map[saga.ID]*instance{}} }

// Load implements [coordinator.Store].
func (s *Store) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found := map[saga.ID]saga.State{}
	for _, want := range wants {
		i, ok := s.instances[want.ID]
		if !ok {
			continue
		}
		state := cloneState(i.state)
		if !slices.Contains(want.Keys, "") {
			state.Root.Data = nil
		}
		for _, key := range want.Keys {
			if r, ok := i.items[key]; ok {
				if state.Items == nil {
					state.Items = map[string]saga.Record{}
				}
				state.Items[key] = cloneRecord(r)
			}
		}
		found[want.ID] = state
	}
	return found, nil
}

// Commit implements [coordinator.Store].
func (s *Store) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Everything is checked before anything is written: a commit is whole.
	var conflicts []saga.ID
	var fresh []coordinator.Change
	seen := map[saga.ID]bool{}
	for _, c := range changes {
		stale := seen[c.State.ID] || s.version(c.State.ID) != c.Before
		seen[c.State.ID] = seen[c.State.ID] || !stale
		if stale || s.answersAgain(c, fresh) {
			conflicts = append(conflicts, c.State.ID)
			continue
		}
		if err := s.check(c); err != nil {
			return nil, err
		}
		fresh = append(fresh, c)
	}
	for _, c := range fresh {
		i, exists := s.instances[c.State.ID]
		if !exists {
			s.created++
			i = &instance{seq: s.created, items: map[string]saga.Record{}}
			s.instances[c.State.ID] = i
			s.order = append(s.order, c.State.ID)
		}
		i.apply(c)
		s.expect(c)
		for _, m := range c.Outbox {
			if !slices.ContainsFunc(s.outbox, func(kept messaging.Message) bool { return kept.ID == m.ID }) {
				s.outbox = append(s.outbox, cloneMessage(m))
			}
		}
	}
	return conflicts, nil
}

// answersAgain reports whether the change gives an answer that was given before, or by those changes.
func (s *Store) answersAgain(c coordinator.Change, fresh []coordinator.Change) bool {
	return slices.ContainsFunc(c.Answered, func(a coordinator.Expected) bool {
		same := func(x coordinator.Expected) bool { return x.Answer == a.Answer }
		own := slices.DeleteFunc(slices.Clone(c.Answered), func(x coordinator.Expected) bool { return !same(x) })
		return len(own) > 1 || slices.ContainsFunc(s.expected, same) ||
			slices.ContainsFunc(fresh, func(f coordinator.Change) bool { return slices.ContainsFunc(f.Answered, same) })
	})
}

// version is 0 for an instance that does not exist.
func (s *Store) version(id saga.ID) int64 {
	if i, ok := s.instances[id]; ok {
		return i.state.Version
	}
	return 0
}

// check finds what cannot be written: messages that nothing tells apart, and records that are to keep data which they
// never had.
func (s *Store) check(c coordinator.Change) error {
	for _, m := range c.Outbox {
		if m.ID == "" {
			return fmt.Errorf("memsaga: %w: topic %s", outbox.ErrNoID, m.Topic)
		}
	}
	i := s.instances[c.State.ID]
	for _, r := range c.Records {
		stored := i != nil && r.Key == ""
		if i != nil && r.Key != "" {
			_, stored = i.items[r.Key]
		}
		if r.Data == nil && !stored {
			return fmt.Errorf("%w: record %q of %s", errNoData, r.Key, c.State.ID)
		}
	}
	if i == nil && !slices.ContainsFunc(c.Records, func(r saga.Record) bool { return r.Key == "" }) {
		return fmt.Errorf("%w: the root of %s", errNoData, c.State.ID)
	}
	return nil
}

// apply writes the change's header and its records, which alone are written of the state.
func (i *instance) apply(c coordinator.Change) {
	root := i.state.Root
	i.state = cloneState(c.State)
	i.state.Items, i.state.Root = nil, root
	for _, r := range c.Records {
		old := root
		if r.Key != "" {
			stored, exists := i.items[r.Key]
			if !exists {
				i.keys = append(i.keys, r.Key)
			}
			old = stored
		}
		r = cloneRecord(r)
		if r.Data == nil {
			r.Data = old.Data
		}
		if r.Key == "" {
			i.state.Root = r
		} else {
			i.items[r.Key] = r
		}
	}
	if c.State.Status.Terminal() { // Due would pass over its items for ever
		for key, r := range i.items {
			r.Wake = time.Time{}
			i.items[key] = r
		}
	}
	i.log = append(i.log, c.Log...)
	i.audit = append(i.audit, c.Audit...)
}

// expect keeps what the instance waits for.
func (s *Store) expect(c coordinator.Change) {
	find := func(e coordinator.Expectation) int {
		return slices.IndexFunc(s.expected, func(x coordinator.Expected) bool {
			return x.ID == c.State.ID && x.Node == e.Node && x.Direction == e.Direction && x.Epoch == e.Epoch
		})
	}
	for _, e := range c.Expect {
		if find(e) < 0 {
			s.expected = append(s.expected, coordinator.Expected{ID: c.State.ID, Expectation: e})
		}
	}
	for _, a := range c.Answered {
		if i := find(a.Expectation); i >= 0 {
			s.expected[i].Answer = a.Answer
		}
	}
	if c.Forget {
		s.expected = slices.DeleteFunc(s.expected, func(e coordinator.Expected) bool { return e.ID == c.State.ID && e.Answer == "" })
	}
}

// Match implements [coordinator.Store].
func (s *Store) Match(ctx context.Context, keys, messages []string) ([]coordinator.Expected, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wanted, answers := setOf(keys), setOf(messages)
	var found []coordinator.Expected
	open := 0
	for _, e := range s.expected {
		switch {
		case !wanted[e.Key]:
		case e.Answer != "" && answers[e.Answer]:
			found = append(found, e)
		case e.Answer == "" && open < coordinator.MaxMatches:
			found = append(found, e)
			open++
		}
	}
	return found, nil
}

// Pauses implements [coordinator.Store].
func (s *Store) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(s.pauses), func(p coordinator.Pause) bool { return p.Done }), nil
}

// SetPause implements [coordinator.Store].
func (s *Store) SetPause(ctx context.Context, p coordinator.Pause) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.pauses = slices.DeleteFunc(s.pauses, func(old coordinator.Pause) bool { return old.Definition == p.Definition && old.At.Equal(p.At) })
	s.pauses = append(s.pauses, p)
	slices.SortFunc(s.pauses, func(a, b coordinator.Pause) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Definition, b.Definition))
	})
	return nil
}

// PauseHistory implements [coordinator.Reader].
func (s *Store) PauseHistory(ctx context.Context, offset, limit int) ([]coordinator.Pause, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := slices.SortedStableFunc(slices.Values(s.pauses), func(a, b coordinator.Pause) int { return b.At.Compare(a.At) })
	return slices.Clone(pageOf(newest, offset, limit)), ctx.Err()
}

// Due implements [coordinator.Store].
func (s *Store) Due(ctx context.Context, q coordinator.DueQuery) ([]coordinator.Wake, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, time.Time{}, err
	}
	type timed struct {
		coordinator.Wake
		at time.Time
	}
	var due []timed
	var next time.Time
	look := func(id saga.ID, r saga.Record) {
		switch {
		case r.Wake.IsZero():
		case !r.Wake.After(q.Now):
			due = append(due, timed{coordinator.Wake{ID: id, Record: r.Key}, r.Wake})
		case next.IsZero() || r.Wake.Before(next):
			next = r.Wake
		}
	}
	for _, id := range s.order {
		i := s.instances[id]
		name := i.state.Definition
		if i.state.Status.Terminal() || i.state.Orphaned || slices.Contains(q.Skip, name) || q.Only != "" && name != q.Only {
			continue
		}
		look(id, i.state.Root)
		for _, key := range i.keys {
			look(id, i.items[key])
		}
	}
	slices.SortStableFunc(due, func(a, b timed) int { return a.at.Compare(b.at) })
	wakes := make([]coordinator.Wake, 0, min(q.Limit, len(due)))
	for _, d := range due[:min(q.Limit, len(due))] {
		wakes = append(wakes, d.Wake)
	}
	return wakes, next, nil
}

// Adopt implements [coordinator.Store].
func (s *Store) Adopt(ctx context.Context, hashes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, i := range s.instances {
		if slices.Contains(hashes, i.state.Hash) {
			i.state.Orphaned = false
		}
	}
	return nil
}

// Pending implements [outbox.Store].
func (s *Store) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(offset, len(s.outbox))
	to := min(from+limit, len(s.outbox))
	pending := make([]messaging.Message, 0, to-from)
	for _, m := range s.outbox[from:to] {
		pending = append(pending, cloneMessage(m))
	}
	return pending, ctx.Err()
}

// Delete implements [outbox.Store].
func (s *Store) Delete(ctx context.Context, ids []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.outbox = slices.DeleteFunc(s.outbox, func(m messaging.Message) bool { return slices.Contains(ids, m.ID) })
	return nil
}

// Get implements [coordinator.Reader].
func (s *Store) Get(ctx context.Context, id saga.ID) (saga.State, error) {
	found, err := s.Load(ctx, []coordinator.Want{{ID: id, Keys: []string{""}}})
	if err != nil {
		return saga.State{}, err
	}
	state, ok := found[id]
	if !ok {
		return saga.State{}, fmt.Errorf("%w: no instance %q", saga.ErrNotFound, id)
	}
	return state, nil
}

// Items implements [coordinator.Reader].
func (s *Store) Items(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.instances[id]
	if !ok {
		return nil, ctx.Err()
	}
	var page []saga.Record
	for _, key := range pageOf(i.keys, offset, limit) {
		page = append(page, cloneRecord(i.items[key]))
	}
	return page, ctx.Err()
}

// List implements [coordinator.Reader].
func (s *Store) List(ctx context.Context, q coordinator.ListQuery) (page []saga.State, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit, last := min(cmp.Or(max(q.Limit, 0), 50), 500), 0
	before := s.created + 1
	if q.Cursor != "" {
		if before, err = s.parseCursor(q.Cursor); err != nil {
			return nil, "", err
		}
	}
	for _, id := range slices.Backward(s.order) {
		i := s.instances[id]
		state := i.state
		if i.seq >= before {
			continue
		}
		if q.Definition != "" && q.Definition != state.Definition || q.Status != "" && q.Status != state.Status ||
			q.Key != "" && q.Key != state.Key {
			continue
		}
		if len(page) == limit {
			return page, strconv.Itoa(last), ctx.Err()
		}
		state = cloneState(state)
		state.Root = saga.Record{}
		page, last = append(page, state), i.seq
	}
	return page, "", ctx.Err()
}

// parseCursor reads the number of the last instance of a page.
func (s *Store) parseCursor(cursor string) (int, error) {
	seq, err := strconv.Atoi(cursor)
	if err != nil || seq < 0 || seq > s.created {
		return 0, fmt.Errorf("%w: cursor: take it from the page before", coordinator.ErrCursor)
	}
	return seq, nil
}

// History implements [coordinator.Reader].
func (s *Store) History(ctx context.Context, id saga.ID, offset, limit int) ([]coordinator.LogEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.instances[id]
	if !ok {
		return nil, ctx.Err()
	}
	return slices.Clone(pageOf(i.log, offset, limit)), ctx.Err()
}

// Audits implements [coordinator.Reader].
func (s *Store) Audits(ctx context.Context, id saga.ID) ([]coordinator.AuditEntry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.instances[id]
	if !ok {
		return nil, ctx.Err()
	}
	return slices.Clone(i.audit), ctx.Err()
}

func setOf(all []string) map[string]bool {
	set := make(map[string]bool, len(all))
	for _, s := range all {
		set[s] = true
	}
	return set
}

func pageOf[T any](all []T, offset, limit int) []T {
	from := min(max(offset, 0), len(all))
	return all[from:min(from+max(limit, 0), len(all))]
}

func cloneState(s saga.State) saga.State {
	s.Root = cloneRecord(s.Root)
	s.Actions = slices.Clone(s.Actions)
	s.Items = maps.Clone(s.Items)
	return s
}

func cloneRecord(r saga.Record) saga.Record {
	r.Data = bytes.Clone(r.Data)
	r.Nodes = slices.Clone(r.Nodes)
	for i := range r.Nodes {
		if r.Nodes[i].Fan != nil {
			fan := *r.Nodes[i].Fan
			r.Nodes[i].Fan = &fan
		}
	}
	return r
}

func cloneMessage(m messaging.Message) messaging.Message {
	m.Headers = maps.Clone(m.Headers)
	m.Payload = bytes.Clone(m.Payload)
	return m
}
