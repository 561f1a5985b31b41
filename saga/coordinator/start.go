package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/saga"
)

// StartOption adjusts one start; see [Key] and [Within].
type StartOption struct{ apply func(*startSettings) }

type startSettings struct {
	key   string
	store Store
}

// Key makes the start idempotent: a second start of the definition with the same key returns the first instance's id and changes nothing,
// until that instance is removed; see [Retention]. It has at most [saga.MaxKey] bytes, UTF-8 without NUL; else [saga.ErrKey].
func Key(key string) StartOption {
	return StartOption{apply: func(s *startSettings) { s.key = key }}
}

// Within makes the start a part of the caller's transaction: store is a view of the coordinator's store that writes
// there (see [sqlsaga.Store.Within]). Call [Coordinator.Wake] after the commit, so that the first command goes out
// at once; without it the relay finds it with its second sweep from then.
//
// [sqlsaga.Store.Within]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/sqlsaga#Store.Within
func Within(store Store) StartOption {
	return StartOption{apply: func(s *startSettings) { s.store = store }}
}

// namespace is the UUID namespace of the ids of keyed instances, itself a random version 4 UUID.
var namespace = uuid.UUID{0x52, 0x37, 0x1d, 0xe0, 0x9b, 0x41, 0x4c, 0x6a, 0xb3, 0x0f, 0x8d, 0x2a, 0x61, 0x5c, 0xe7, 0x04}

// IDOf returns the id of the instance of the named definition with the business key: a version 5 UUID of both, so that
// anyone can tell it beforehand.
func IDOf(definition, key string) saga.ID {
	return saga.ID(uuid.NewSHA1(namespace, []byte(definition+"\x00"+key)).String())
}

// Start begins an instance and returns its id once it is committed. Without a [Key] the id is a new version 7 UUID. If the
// error is not nil the instance may have been started all the same: start it again with the same key.
func Start[D any](ctx context.Context, c *Coordinator, def *saga.Definition[D], data D, options ...StartOption) (saga.ID, error) {
	if def == nil {
		return "", fmt.Errorf("%w: the definition to start is nil", ErrConfig)
	}
	var settings startSettings
	for _, o := range options {
		o.apply(&settings)
	}
	id, err := newID(def.Name(), settings.key)
	if err != nil {
		return "", err
	}
	known := c.byHash[def.Hash()] // it may have another codec
	if known == nil {
		return "", fmt.Errorf("%w: %s is not among the coordinator's Definitions", saga.ErrUnknownDefinition, def.Name())
	}
	in := saga.Start{ID: id, Key: settings.key, Data: data}
	if settings.store != nil {
		return id, c.startWithin(ctx, settings.store, known, in)
	}
	_, err = c.ask(ctx, &request{id: id, def: known, input: in, fresh: settings.key == ""})
	return id, err
}

func newID(definition, key string) (saga.ID, error) {
	if key != "" {
		return IDOf(definition, key), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("coordinator: make an id: %w", err)
	}
	return saga.ID(id.String()), nil
}

func (c *Coordinator) startWithin(ctx context.Context, store Store, def saga.Any, in saga.Start) error {
	if err := c.clock.refresh(ctx, store, c.cfg.Recheck); err != nil { // the loop may not run here
		return err
	}
	existing, err := store.Load(ctx, []Want{{ID: in.ID}})
	if err != nil {
		return fmt.Errorf("coordinator: start: %w", err)
	}
	if s := existing[in.ID]; s.Exists() {
		return nil
	}
	pauses, err := store.Pauses(ctx)
	if err != nil {
		return fmt.Errorf("coordinator: start: %w", err)
	}
	t := &transit{id: in.ID}
	if err := c.decide(t, def, in, held(pauses, def.Name())); err != nil {
		return err
	}
	conflicts, err := store.Commit(ctx, []Change{t.change()})
	switch {
	case err != nil:
		return fmt.Errorf("coordinator: start: %w", err)
	case len(conflicts) > 0:
		return fmt.Errorf("coordinator: start: %w: it was started at the same time", saga.ErrConflict)
	default:
		return nil
	}
}

// Signal tells an instance's wait something: node is the wait's path, with the item's number in a fan-out, and event a value of the type that it
// declares. One that comes before its wait is kept. A second signal for a wait, one to an instance that has ended or is being compensated, and one to a
// branch that was not taken change nothing, and that is no error: look at the instance to see what became of it. Errors: [saga.ErrNotFound], [saga.ErrEarly] for an item that is not made yet,
// [saga.ErrUnexpectedReply] for an event of another type, [saga.ErrUnknownDefinition].
func (c *Coordinator) Signal(ctx context.Context, id saga.ID, node string, event any) error {
	_, err := c.do(ctx, id, nil, saga.Signal{Node: node, Event: event})
	return err
}

// Wake makes the coordinator look at the store now: call it after a start [Within] a transaction was committed.
func (c *Coordinator) Wake(ctx context.Context) error {
	c.relay.Wake()
	return c.submit(ctx)
}

// Act applies an operator's action and returns the instance after it. Errors: [saga.ErrNotFound], [saga.ErrConflict],
// [saga.ErrNotAllowed], [saga.ErrUnknownDefinition].
func (c *Coordinator) Act(ctx context.Context, id saga.ID, act saga.Act) (saga.State, error) {
	return c.do(ctx, id, nil, act)
}

const (
	// awaitPoll is how often [Coordinator.Await] looks for what another process did.
	awaitPoll = time.Second
	// awaitGlance is when it does so first, if it has not looked at all.
	awaitGlance = 50 * time.Millisecond
)

// Await waits until the instance is terminal or parked and returns it, with its data, without items. Treat it as read-only.
// Unknown: [saga.ErrNotFound]. When ctx ends, it returns the instance as it was seen last. Once the coordinator does not run any more, for one that is under way: [ErrClosed].
func (c *Coordinator) Await(ctx context.Context, id saga.ID) (saga.State, error) {
	rested, forget := c.waiters.add(id)
	defer forget()
	s, known := c.hot.get(id)
	pause := awaitPoll
	if known { // unless another process has taken it on
		pause = awaitGlance
	}
	select {
	case <-c.closed:
		known = false // others go on
	default:
	}
	for {
		if !known {
			found, err := c.cfg.Store.Load(ctx, []Want{{ID: id, Keys: []string{""}}})
			if err != nil {
				return s, fmt.Errorf("coordinator: await: %w", err)
			}
			s = found[id]
		}
		known = false
		switch {
		case !s.Exists():
			return s, fmt.Errorf("%w: no instance %q", saga.ErrNotFound, id)
		case s.Status.Terminal() || s.Status == saga.Parked:
			return s, nil
		}
		poll := time.NewTimer(pause)
		pause = awaitPoll
		select {
		case s = <-rested:
			if s.Root.Data != nil { // else the transition did without it
				poll.Stop()
				s.Items = nil
				return s, nil
			}
		case <-poll.C:
		case <-c.closed:
			poll.Stop()
			return s, errors.Join(ErrClosed, ctx.Err())
		case <-ctx.Done():
			poll.Stop()
			return s, ctx.Err()
		}
		poll.Stop()
	}
}

// waiters are those who wait for an instance to come to rest.
type waiters struct {
	mu  sync.Mutex
	all map[saga.ID]map[chan saga.State]struct{}
}

// add returns a channel that gets the instance whenever it has come to rest.
func (w *waiters) add(id saga.ID) (rested <-chan saga.State, forget func()) {
	ch := make(chan saga.State, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[saga.ID]map[chan saga.State]struct{}{}
	}
	if w.all[id] == nil {
		w.all[id] = map[chan saga.State]struct{}{}
	}
	w.all[id][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[id], ch)
		if len(w.all[id]) == 0 {
			delete(w.all, id)
		}
	}
}

// tell gives the instance to all that wait for it. A state that was not looked at yet gives way to the new one.
func (w *waiters) tell(s saga.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all[s.ID] {
		select {
		case <-ch:
		default:
		}
		ch <- s // only tell sends, and it holds the lock
	}
}
