package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// Handler handles one message. What its error means is told in the package comment. It may be called from
// several goroutines at once, and with a message that it has seen before. When ctx ends it should return soon.
type Handler func(ctx context.Context, m Message) error

// Middleware wraps a handler.
type Middleware func(Handler) Handler

// BatchHandler handles messages together and returns one error for each, in the same order; nil means that all
// went well. On an ordered subscription it must not apply a message of a key after it failed an earlier one of
// that key: the router delivers both again. If it panics, the router calls it again with each message alone, so
// that one bad message does not make dead letters of its neighbours.
type BatchHandler func(ctx context.Context, batch []Message) []error

// RouterConfig says where a router's messages come from and what happens to those that fail.
type RouterConfig struct {
	// Subscriber delivers the messages. Required. The router does not close it.
	Subscriber Subscriber
	// DeadLetters keeps the messages that cannot be handled. Required: without it they would be lost, or would
	// block their key for ever.
	DeadLetters DeadLetters
	// Backoff spaces the attempts. Zero means 100 ms to 30 s.
	Backoff Backoff
	// MaxAttempts is how often a message is tried before it becomes a dead letter. Zero means no limit: a
	// failing message is tried for ever, except that one that panics is given up after five attempts.
	MaxAttempts int
	// Logger gets failures, dead letters and lost subscriptions; never payloads. Zero means [slog.Default].
	Logger *slog.Logger
	// Middleware wraps each handler given to [Router.Handle], the first outermost. It sees a panic as a
	// [PanicError]. Batch handlers are not wrapped. Zero means none.
	Middleware []Middleware
}

func (c RouterConfig) withDefaults() RouterConfig {
	c.Backoff = c.Backoff.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c RouterConfig) validate() error {
	var faults []error
	if c.Subscriber == nil {
		faults = append(faults, errors.New("messaging: RouterConfig.Subscriber is required"))
	}
	if c.DeadLetters == nil {
		faults = append(faults, errors.New("messaging: RouterConfig.DeadLetters is required"))
	}
	if c.MaxAttempts < 0 {
		faults = append(faults, errors.New("messaging: RouterConfig.MaxAttempts is negative"))
	}
	for i, m := range c.Middleware {
		if m == nil {
			faults = append(faults, fmt.Errorf("messaging: RouterConfig.Middleware[%d] is nil", i))
		}
	}
	faults = append(faults, c.Backoff.validate())
	return errors.Join(faults...)
}

// Router delivers the messages of its subscriptions to their handlers and settles them by the handlers' errors.
// Make one with [NewRouter]. Its methods are safe for concurrent use.
type Router struct {
	config RouterConfig
	ready  chan struct{}

	mu      sync.Mutex
	routes  []*route
	started bool
}

// NewRouter returns a router without subscriptions. The error joins all faults of the configuration.
func NewRouter(c RouterConfig) (*Router, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Router{config: c, ready: make(chan struct{})}, nil
}

// Handle gives the messages of s to h, one at a time for each call of the driver. Unlike elsewhere, a zero
// s.MaxBatch means 1 here, so that a driver that calls from several goroutines spreads the messages over them;
// the messages of a larger batch are handled one after the other. It is an error to call it after Run, to give
// no topic, name or handler, or to give one subscription twice.
func (r *Router) Handle(s Subscription, h Handler) error {
	if h == nil {
		return fmt.Errorf("messaging: subscription %q of %q has no handler", s.Name, s.Topic)
	}
	if s.MaxBatch == 0 {
		s.MaxBatch = 1
	}
	h = Recover(h)
	for _, v := range slices.Backward(r.config.Middleware) {
		h = v(h)
	}
	return r.add(&route{subscription: s, handle: h})
}

// HandleBatch gives the messages of s to h in the batches in which they arrive. The same errors as
// [Router.Handle].
func (r *Router) HandleBatch(s Subscription, h BatchHandler) error {
	if h == nil {
		return fmt.Errorf("messaging: subscription %q of %q has no handler", s.Name, s.Topic)
	}
	return r.add(&route{subscription: s, batch: h})
}

func (r *Router) add(added *route) error {
	s := added.subscription
	if s.Topic == "" || s.Name == "" {
		return fmt.Errorf("messaging: subscription %q of %q needs a topic and a name", s.Name, s.Topic)
	}
	if s.MaxBatch < 0 {
		return fmt.Errorf("messaging: subscription %q of %q has a negative MaxBatch", s.Name, s.Topic)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return fmt.Errorf("messaging: subscription %q of %q comes after Run", s.Name, s.Topic)
	}
	for _, other := range r.routes {
		if other.subscription.Topic == s.Topic && other.subscription.Name == s.Name {
			return fmt.Errorf("messaging: subscription %q of %q has a handler already", s.Name, s.Topic)
		}
	}
	added.config = r.config
	added.logger = r.config.Logger.With("topic", s.Topic, "subscription", s.Name)
	r.routes = append(r.routes, added)
	return nil
}

// Ready returns a channel that is closed once every subscription is ready: messages published after that reach
// their handlers.
func (r *Router) Ready() <-chan struct{} { return r.ready }

// Run delivers until ctx ends and the handlers under way have returned, and then returns nil. Their context
// ends with ctx; messages that they have not finished are left for the next consumer. A subscription that ends
// with an error is subscribed again, with backoff. Run gives up, ends the other subscriptions and returns an
// error that wraps [ErrClosed] or [ErrBusy] when a subscriber says so. It also is an error to call it twice or
// with nothing to handle.
func (r *Router) Run(ctx context.Context) error {
	routes, err := r.start()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var waiting atomic.Int64
	waiting.Store(int64(len(routes)))
	failures := make(chan error, len(routes))
	for _, rt := range routes {
		ready := sync.OnceFunc(func() {
			if waiting.Add(-1) == 0 {
				close(r.ready)
			}
		})
		go func() { failures <- rt.supervise(ctx, ready) }()
	}
	var failed []error
	for range routes {
		if err := <-failures; err != nil {
			failed = append(failed, err)
			cancel()
		}
	}
	return errors.Join(failed...)
}

func (r *Router) start() ([]*route, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return nil, errors.New("messaging: the router has run already")
	}
	if len(r.routes) == 0 {
		return nil, errors.New("messaging: the router has no handler")
	}
	r.started = true
	return r.routes, nil
}
