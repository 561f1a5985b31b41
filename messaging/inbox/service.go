package inbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// Config says what a participant works with.
type Config struct {
	// Name is the participant's stable name: that of its subscriptions, and of its entries in the inbox. Required.
	Name string
	// Bus brings commands and encodes replies. Required.
	Bus messaging.Bus
	// Store holds the inbox and the outbox. Required.
	Store Store
	// Relay publishes what is committed; whoever made it runs it. Nil means one of its own, run by
	// [Service.Run], if the Store is an [outbox.Store], else that a relay elsewhere reads the outbox, which takes it a sweep to notice.
	Relay *outbox.Relay
	// DeadLetters keeps what cannot be handled. Nil means the Store if it is one, else a topic of the Bus;
	// see [messaging.DeadLetterTopic].
	DeadLetters messaging.DeadLetters
	// Subscriptions names the subscription of a topic where it is to be another than Name. Zero means Name everywhere.
	Subscriptions map[string]string
	// SubscriptionType is how instances of the service share each topic. Zero means Shared: the
	// barrier needs no order. Handlers that do need it take KeyShared.
	SubscriptionType messaging.SubscriptionType
	// MaxBatch bounds the messages of one transaction. Zero means 256.
	MaxBatch int
	// Backoff spaces the attempts at a message. Zero means 100 ms to 30 s.
	Backoff messaging.Backoff
	// MaxAttempts is how often a failing message is tried before it becomes a dead letter. Zero means no limit.
	MaxAttempts int
	// Keep is how long entries are remembered after they were handled last, if the Store can remove them: see [Forgetter]. It must be longer than
	// the broker keeps or replays messages, and should be longer than the longest saga lasts, the parked ones included: what is about an older
	// step without an entry becomes a dead letter; see [ErrForgotten]. Zero means [DefaultKeep], negative for ever; see [KeepForever]. Less than [MinKeep]: [ErrConfig].
	Keep time.Duration
	// Logger gets what fails, never payloads. Zero means [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxBatch == 0 {
		c.MaxBatch = 256
	}
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.DeadLetters == nil {
		c.DeadLetters, _ = c.Store.(messaging.DeadLetters)
	}
	if c.DeadLetters == nil && c.Bus.Broker != nil {
		c.DeadLetters = messaging.DeadLetterTopic(c.Bus.Broker)
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	fault := func(wrong bool, what string) {
		if wrong {
			faults = append(faults, fmt.Errorf("%w: %s", ErrConfig, what))
		}
	}
	fault(c.Name == "", "no Name")
	fault(c.Bus.Broker == nil, "no Bus.Broker")
	fault(c.Bus.Codec == nil, "no Bus.Codec")
	fault(c.Store == nil, "no Store")
	fault(c.MaxBatch < 0, "MaxBatch is negative")
	fault(c.Keep > 0 && c.Keep < MinKeep, fmt.Sprintf("Keep is %v, in which messages may still come again: set it to %v or more, or to KeepForever", c.Keep, MinKeep))
	_, forgets := c.Store.(Forgetter)
	fault(c.Keep > 0 && c.Store != nil && !forgets, fmt.Sprintf("Keep is set, and %T is no Forgetter", c.Store))
	return errors.Join(faults...)
}

// Service is a participant: handlers of commands and events, each run once, in one transaction with its
// inbox entry and its reply. Make one with [NewService], give it handlers with [Handle], and run it.
type Service struct {
	config   Config
	router   *messaging.Router
	ownRelay bool

	mu       sync.Mutex
	handlers map[reflect.Type]handler
	topics   map[string]struct{}
	diverted map[string]messaging.BatchHandler
	faults   []error
}

// handler is a registered function with its types erased.
type handler struct {
	run func(ctx context.Context, tx Tx, command any) (any, error)
	// zero is the reply that says nothing; nil where the handler gives none at all.
	zero any
}

// NewService returns a participant without handlers, or all faults of the configuration joined, each an [ErrConfig].
func NewService(config Config) (*Service, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber: config.Bus.Broker, DeadLetters: config.DeadLetters,
		Backoff: config.Backoff, MaxAttempts: config.MaxAttempts, Logger: config.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	ownRelay := false
	if store, ok := config.Store.(outbox.Store); ok && config.Relay == nil {
		ownRelay = true
		config.Relay, err = outbox.NewRelay(outbox.Config{Store: store, Publisher: config.Bus.Broker, Logger: config.Logger})
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return &Service{
		config: config, router: router, ownRelay: ownRelay,
		handlers: map[reflect.Type]handler{}, topics: map[string]struct{}{}, diverted: map[string]messaging.BatchHandler{},
	}, nil
}

// Handle registers fn for the commands or events of type C; R is its success event, or struct{} if it
// answers nothing. Both are struct types that the codec knows. fn runs in a transaction with the command's inbox entry and
// the reply: what it does through tx is undone if it fails. An error of [messaging.Refuse] answers with
// another event and has no effect either; any other error has the command handled again, unless it is
// [messaging.Permanent], which makes it a dead letter. fn may be called several times for a command, but takes effect once.
//
// What is wrong with a registration (unknown types, a second handler of C) is told by [Service.Run], which must come after.
func Handle[C, R any](s *Service, fn func(ctx context.Context, tx Tx, command C) (R, error)) {
	var command C
	var reply R
	h := handler{
		run: func(ctx context.Context, tx Tx, command any) (any, error) {
			typed, ok := command.(C)
			if !ok {
				return nil, messaging.Permanent(fmt.Errorf("%w: %T came to the handler of %T", ErrConfig, command, typed))
			}
			return fn(ctx, tx, typed)
		},
		zero: reply,
	}
	if reflect.TypeFor[R]() == reflect.TypeFor[struct{}]() {
		h.zero = nil
	}
	s.register(reflect.TypeFor[C](), command, h)
}

func (s *Service) register(t reflect.Type, command any, h handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	topic, err := s.config.Bus.Codec.Topic(command)
	if err != nil {
		s.faults = append(s.faults, fmt.Errorf("%w: handler of %v: %w", ErrConfig, t, err))
	}
	if h.zero != nil {
		if _, err := s.config.Bus.Codec.Topic(h.zero); err != nil {
			s.faults = append(s.faults, fmt.Errorf("%w: reply of the handler of %v: %w", ErrConfig, t, err))
		}
	}
	if _, twice := s.handlers[t]; twice {
		s.faults = append(s.faults, fmt.Errorf("%w: two handlers of %v", ErrConfig, t))
	}
	s.handlers[t] = h
	s.topics[topic] = struct{}{}
}

// Ready returns a channel that is closed once commands published from then on will be handled.
func (s *Service) Ready() <-chan struct{} { return s.router.Ready() }

// Run handles messages until ctx ends and the transactions under way have, and then returns nil. The
// faults of the registrations are returned at once, joined, each an [ErrConfig]. A service runs once.
func (s *Service) Run(ctx context.Context) error {
	if err := s.subscribe(); err != nil {
		return err
	}
	forgetCtx, stopForgetting := context.WithCancel(ctx)
	var forgetting sync.WaitGroup
	defer forgetting.Wait()
	defer stopForgetting()
	forgetting.Go(func() { s.forget(forgetCtx) })
	if !s.ownRelay {
		return s.router.Run(ctx)
	}
	// The router feeds the relay, so it stops first.
	relayCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	relayed := make(chan error, 1)
	go func() { relayed <- s.config.Relay.Run(relayCtx) }()
	err := s.router.Run(ctx)
	stop()
	return errors.Join(err, <-relayed)
}

func (s *Service) subscribe() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) > 0 {
		return errors.Join(s.faults...)
	}
	for _, topic := range slices.Sorted(maps.Keys(s.topics)) {
		name, ok := s.config.Subscriptions[topic]
		if !ok {
			name = s.config.Name
		}
		subscription := messaging.Subscription{Topic: topic, Name: name, Type: s.config.SubscriptionType, MaxBatch: s.config.MaxBatch}
		handle := messaging.BatchHandler(s.handleBatch)
		if h := s.diverted[topic]; h != nil {
			handle = s.divide(h)
		}
		if err := s.router.HandleBatch(subscription, handle); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return nil
}
