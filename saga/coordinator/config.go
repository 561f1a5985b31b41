package coordinator

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrConfig says that a configuration lacks something or contradicts itself.
	ErrConfig = errors.New("coordinator: bad configuration")
	// ErrCursor says that a list's cursor is none that a page gave.
	ErrCursor = errors.New("coordinator: malformed cursor")
	// ErrUnwanted says that a pause or release lacks a name or a reason.
	ErrUnwanted = errors.New("coordinator: incomplete pause")
	// ErrClosed says that the coordinator does not run any more.
	ErrClosed = errors.New("coordinator: closed")
)

// Config says what a coordinator works with.
type Config struct {
	// Store keeps the instances. Required.
	Store Store
	// Bus carries commands and replies. Required.
	Bus messaging.Bus
	// Definitions are the sagas that it runs; several versions of one may be among them. New instances
	// start with the definition that they are started with, or with the first here that starts on the event. Required.
	Definitions []saga.Any

	// Replies are values of event types, beside those that the definitions declare, with which participants acknowledge an [saga.Undo] or refuse a
	// command: what is not declared with [saga.Undone] or [saga.OnFailure] is only seen on topics that are read for another event. These types'
	// topics are read, too. It is for definitions that are in use; a new one had better declare its events. Nil means none.
	Replies []any
	// Relay publishes what the store has committed; whoever made it runs it. Nil means one of its own, run
	// by [Coordinator.Run], over the store, which must then be an [outbox.Store] too.
	Relay *outbox.Relay
	// Name names its subscriptions. Zero means "saga-coordinator".
	Name string
	// Subscriptions overrides the subscription's name for single topics.
	Subscriptions map[string]string
	// SubscriptionType is how coordinators of one name share the replies. Zero means [messaging.Shared]; the version check makes
	// any type safe, and [messaging.KeyShared] saves conflicts.
	SubscriptionType messaging.SubscriptionType
	// DeadLetters keeps replies that cannot be understood. Nil means the Store if it is one, as that of package sqlsaga is, else a topic of the Bus:
	// see [messaging.DeadLetterTopic], which needs a subscription.
	DeadLetters messaging.DeadLetters
	// MaxBatch bounds the inputs of one commit. Zero means 256.
	MaxBatch int
	// Recheck is the longest time between two looks at the store's wake-up times, which finds those that another
	// process left behind. Zero means one minute.
	Recheck time.Duration
	// Retention says how long instances that ended are kept. Zero means that they are removed [DefaultKeep] after their end, with
	// a Store that can remove them; see [Remover].
	Retention Retention
	// Observe is called with every transition that this coordinator knows it committed, in order for each instance, from its own
	// goroutine: it must not block. Starts [Within] a transaction, and commits whose outcome the store could not tell, are not
	// among them. Nil means nobody watches.
	Observe func(Transition)
	// Logger gets what fails. Zero means [slog.Default].
	Logger *slog.Logger
	// Now is this host's clock. With a store that is a [Clock] it only measures the time between two readings of that. Zero means [time.Now].
	Now func() time.Time
}

// Transition is what one commit did to one instance.
type Transition struct {
	// State is the instance after it. Treat it as read-only.
	State saga.State
	// Log are the lines that it added.
	Log []LogEntry
}

func (c Config) withDefaults() Config {
	c.Name = cmp.Or(c.Name, "saga-coordinator")
	c.MaxBatch = cmp.Or(c.MaxBatch, 256)
	c.Recheck = cmp.Or(c.Recheck, time.Minute)
	if _, removes := c.Store.(Remover); !removes && c.Retention.Keep == 0 && c.Retention.Archive == nil {
		c.Retention.Keep = KeepForever
	}
	c.Retention.Keep = cmp.Or(c.Retention.Keep, DefaultKeep)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
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
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...)))
		}
	}
	need(c.Store != nil, "Store is missing")
	need(c.Bus.Broker != nil, "Bus.Broker is missing")
	need(c.Bus.Codec != nil, "Bus.Codec is missing")
	need(len(c.Definitions) > 0, "Definitions is empty")
	need(c.MaxBatch > 0, "MaxBatch is negative")
	need(c.Recheck > 0, "Recheck is negative")
	c.Retention.validate(c.Store, need)
	seen, families := map[string]bool{}, map[string]bool{}
	for i, d := range c.Definitions {
		if d == nil || reflect.ValueOf(d).IsNil() {
			need(false, "Definitions[%d] is nil: leave it out", i)
			continue
		}
		need(!seen[d.Hash()], "the definition %s with hash %s is given twice", d.Name(), d.Hash())
		seen[d.Hash()] = true
		if how := saga.CoordinationOf(d); how.Choreographed {
			need(!families[how.Family], "%s is there for two parties of its choreography: each needs a coordinator and a store of its own", d.Name())
			families[how.Family] = true
		}
		if c.Bus.Codec == nil {
			continue
		}
		for _, v := range append(d.Commands(), d.Events()...) {
			_, err := c.Bus.Codec.Topic(v)
			need(err == nil, "Bus.Codec cannot carry a message of the definition %s: %v: declare the type there, with its name and topic", d.Name(), err)
		}
	}
	for i, v := range c.Replies {
		if c.Bus.Codec != nil {
			_, err := c.Bus.Codec.Topic(v)
			need(err == nil, "Bus.Codec cannot carry Replies[%d]: %v: declare the type there, with its name and topic", i, err)
		}
	}
	if len(faults) == 0 {
		c.checkUndos(need)
	}
	if _, ok := c.Store.(outbox.Store); c.Relay == nil && c.Store != nil {
		need(ok, "Relay is missing, and %T is no outbox.Store to make one over", c.Store)
	}
	return errors.Join(faults...)
}
