package coordinator

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
)

// Coordinator runs the instances of its definitions. Make one with [New] and run it; its methods are safe for
// concurrent use. Any number of coordinators may share a store.
type Coordinator struct {
	cfg      Config // its Now is the clock's
	clock    *clock
	byHash   map[string]saga.Any
	joinable map[string]saga.Any   // the choreographed definitions by family
	conducts bool                  // there is an orchestrated definition
	matched  map[string]bool       // the hashes of definitions with payload matching
	listens  bool                  // there is one that matches by payload or starts on an event
	commands map[reflect.Type]bool // of all definitions
	pauses   atomic.Int64          // counts what was paused and released here
	// pauseTurn has Pause and Resume look and write one after the other.
	pauseTurn sync.Mutex
	relay     *outbox.Relay
	ownRelay  bool
	router    *messaging.Router
	requests  chan []*request
	waiters   waiters
	hot       hot

	lifecycle sync.Mutex
	running   bool
	closed    chan struct{}
}

// matches reports whether a node is recognised by payload.
func matches(nodes []saga.NodeDescription) bool {
	return slices.ContainsFunc(nodes, func(n saga.NodeDescription) bool { return n.Matched || matches(n.Nodes) })
}

// request is one input on its way through the loop.
type request struct {
	id    saga.ID
	def   saga.Any // of a start
	input saga.Input
	// started is when the instance was started that a reply is for, where it tells.
	started time.Time
	event   *event                  // of an input that is to be found by its payload
	fresh   bool                    // the start of an instance that nobody else knows of
	reply   func(saga.State, error) // never blocks; nil for ticks
}

func (r *request) answer(s saga.State, err error) {
	if r.reply != nil {
		r.reply(s, err)
	}
}

// New returns a coordinator, or all faults of the configuration joined, each an [ErrConfig].
func New(config Config) (*Coordinator, error) {
	cfg := config.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	clock := &clock{host: cfg.Now}
	cfg.Now = clock.now
	c := &Coordinator{
		cfg: cfg, clock: clock, relay: cfg.Relay, byHash: map[string]saga.Any{}, joinable: map[string]saga.Any{}, matched: map[string]bool{},
		commands: map[reflect.Type]bool{},
		requests: make(chan []*request), closed: make(chan struct{}),
	}
	for _, d := range cfg.Definitions {
		c.byHash[d.Hash()] = d
		for _, command := range d.Commands() {
			c.commands[reflect.TypeOf(command)] = true
		}
		described := d.Describe()
		c.matched[d.Hash()] = matches(described.Nodes)
		c.listens = c.listens || c.matched[d.Hash()] || len(described.StartsOn) > 0
		how := saga.CoordinationOf(d)
		c.conducts = c.conducts || !how.Choreographed
		if how.Choreographed {
			c.joinable[how.Family] = d
		}
	}
	if err := c.makeRelay(); err != nil {
		return nil, err
	}
	if err := c.makeRouter(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Coordinator) makeRelay() error {
	if c.relay != nil {
		return nil
	}
	store, ok := c.cfg.Store.(outbox.Store)
	if !ok {
		return fmt.Errorf("%w: Relay is missing", ErrConfig)
	}
	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: c.cfg.Bus.Broker, Logger: c.cfg.Logger})
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	c.relay, c.ownRelay = relay, true
	return nil
}

// makeRouter subscribes to every topic on which an event of a definition travels, or one of the Replies.
func (c *Coordinator) makeRouter() error {
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber: c.cfg.Bus.Broker, DeadLetters: c.cfg.DeadLetters, Logger: c.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	c.router = router
	topics, err := c.cfg.topics()
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	for _, topic := range topics {
		name, ok := c.cfg.Subscriptions[topic]
		if !ok {
			name = c.cfg.Name
		}
		subscription := messaging.Subscription{Topic: topic, Name: name, Type: c.cfg.SubscriptionType, MaxBatch: c.cfg.MaxBatch}
		if err := router.HandleBatch(subscription, c.replies); err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
	}
	return nil
}

// Ready is closed once every subscription is there, so that no reply can be missed.
func (c *Coordinator) Ready() <-chan struct{} { return c.router.Ready() }

// Run takes up what an earlier run left and works until ctx ends; then it takes no more replies, finishes what it has
// taken, and returns. Starts and actions that come later get [ErrClosed], as does a second Run.
func (c *Coordinator) Run(ctx context.Context) error {
	c.lifecycle.Lock()
	if c.running {
		c.lifecycle.Unlock()
		return ErrClosed
	}
	c.running = true
	c.lifecycle.Unlock()

	if err := c.clock.refresh(ctx, c.cfg.Store, 0); err != nil {
		close(c.closed)
		return err
	}
	if err := c.cfg.Store.Adopt(ctx, c.hashes(nil)); err != nil {
		close(c.closed)
		return fmt.Errorf("coordinator: take up parked instances: %w", err)
	}
	pauses, err := c.cfg.Store.Pauses(ctx) // before anything is sent
	if err != nil {
		close(c.closed)
		return fmt.Errorf("coordinator: read the pauses: %w", err)
	}

	// What feeds stops before what it feeds: the router, then the loop, then the relay.
	loopCtx, stopLoop := context.WithCancel(context.WithoutCancel(ctx))
	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	defer stopLoop()
	loopDone := make(chan struct{})
	go func() {
		defer close(loopDone)
		c.loop(loopCtx, pauses)
	}()
	relayDone := goRun(func() error {
		if !c.ownRelay {
			return nil
		}
		// A command that is answered before the subscriptions are there would wait for its time-out.
		select {
		case <-c.router.Ready():
			return c.relay.Run(relayCtx)
		case <-relayCtx.Done():
			return nil
		}
	})
	removeCtx, stopRemoving := context.WithCancel(ctx)
	defer stopRemoving()
	var removing sync.WaitGroup
	removing.Go(func() { c.removeEnded(removeCtx) })
	err = c.router.Run(ctx)
	stopRemoving()
	removing.Wait()
	stopLoop()
	<-loopDone
	stopRelay()
	if relayErr := <-relayDone; err == nil {
		err = relayErr
	}
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	return nil
}

// hashes returns those of the definitions, without the ones that are left out.
func (c *Coordinator) hashes(without map[string]bool) []string {
	hashes := make([]string, 0, len(c.byHash))
	for hash := range c.byHash {
		if !without[hash] {
			hashes = append(hashes, hash)
		}
	}
	return hashes
}

func goRun(run func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	return done
}

// submit gives the loop requests that are to be committed together.
func (c *Coordinator) submit(ctx context.Context, requests ...*request) error {
	select {
	case c.requests <- requests:
		return nil
	case <-c.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do submits an input and waits until it is committed or refused.
func (c *Coordinator) do(ctx context.Context, id saga.ID, def saga.Any, in saga.Input) (saga.State, error) {
	return c.ask(ctx, &request{id: id, def: def, input: in})
}

// ask is do for a request that has no reply yet.
func (c *Coordinator) ask(ctx context.Context, r *request) (saga.State, error) {
	type outcome struct {
		state saga.State
		err   error
	}
	answered := make(chan outcome, 1)
	r.reply = func(s saga.State, err error) { answered <- outcome{s, err} }
	if err := c.submit(ctx, r); err != nil {
		return saga.State{}, err
	}
	select {
	case o := <-answered:
		return o.state, o.err
	case <-ctx.Done():
		return saga.State{}, ctx.Err()
	}
}
