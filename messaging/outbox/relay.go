package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrConfig says that a configuration lacks something or contradicts itself.
	ErrConfig = errors.New("outbox: bad configuration")
	// ErrNoID says that a message without an ID was to be added to an outbox.
	ErrNoID = errors.New("outbox: message without ID")
	// ErrRunning says that the relay runs already.
	ErrRunning = errors.New("outbox: relay is running")
)

// Config says what a relay works with.
type Config struct {
	// Store is the table. Required.
	Store Store
	// Publisher takes the messages. Required.
	Publisher messaging.Publisher
	// MaxInFlight bounds the messages in memory. Beyond it they wait in the table. Zero means 4096.
	MaxInFlight int
	// Backoff spaces the attempts at a failing key, and at a failing table. Zero means 100 ms to 30 s.
	Backoff messaging.Backoff
	// Sweep is the interval at which the table is read for rows that nobody enqueued here; such a row is
	// published when it is met twice. Zero means 30 s.
	Sweep time.Duration
	// Linger is how long the rows of published messages may gather before they are deleted with one
	// commit. A crash within that time publishes them again. Zero means 100 ms.
	Linger time.Duration
	// Grace is how long a stopping relay waits for outcomes and for its last deletion. Zero means 5 s.
	Grace time.Duration
	// Logger gets what fails. Zero means [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 4096
	}
	if c.Sweep == 0 {
		c.Sweep = 30 * time.Second
	}
	if c.Linger == 0 {
		c.Linger = 100 * time.Millisecond
	}
	if c.Grace == 0 {
		c.Grace = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
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
	fault(c.Store == nil, "no Store")
	fault(c.Publisher == nil, "no Publisher")
	fault(c.MaxInFlight < 0, "MaxInFlight is negative")
	fault(c.Sweep < 0, "Sweep is negative")
	fault(c.Linger < 0, "Linger is negative")
	fault(c.Grace < 0, "Grace is negative")
	return errors.Join(faults...)
}

// Relay publishes committed messages from memory and, after a crash, from the table. Make one
// with [NewRelay] and run it; all methods are safe for concurrent use.
type Relay struct {
	config Config
	// publishing and storing wake the two loops; both hold at most one signal.
	publishing chan struct{}
	storing    chan struct{}

	mu    sync.Mutex
	queue *queue
	// behind says that the table holds rows that are not in memory: nothing more is enqueued from outside until
	// it has been read to its end, or a key's later message would overtake an earlier one.
	behind bool
	// missed says that a message was enqueued, in vain, since the reading began.
	missed  bool
	running bool
	// published and deleting are the IDs of rows that are to be deleted, and those that are being deleted.
	published map[string]struct{}
	deleting  map[string]struct{}
	total     uint64
	failing   bool
}

// NewRelay returns a relay, or all faults of the configuration joined, each an [ErrConfig].
func NewRelay(config Config) (*Relay, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Relay{
		config:     config.withDefaults(),
		publishing: make(chan struct{}, 1),
		storing:    make(chan struct{}, 1),
		queue:      newQueue(),
		behind:     true, // what a former process left must go first
		published:  map[string]struct{}{},
	}, nil
}

// Enqueue gives the relay messages that were just committed to the table, in their order. It
// never blocks on the broker or the database. What finds no room is read from the table later.
func (r *Relay) Enqueue(messages ...messaging.Message) {
	if len(messages) == 0 {
		return
	}
	r.mu.Lock()
	for _, m := range messages {
		switch {
		case r.behind:
			r.missed = true
		case r.room() <= 0:
			r.behind, r.missed = true, true
		default:
			r.queue.add(m)
		}
	}
	behind := r.behind
	r.mu.Unlock()
	signal(r.publishing)
	if behind {
		signal(r.storing)
	}
}

// Wake asks the relay to read the table now, for a caller that knows of rows but has no messages at hand.
func (r *Relay) Wake() {
	r.mu.Lock()
	r.behind, r.missed = true, true
	r.mu.Unlock()
	signal(r.storing)
}

// Stats is a moment's count of what a relay holds.
type Stats struct {
	// Waiting are messages in memory whose outcome is not known, failed ones included.
	Waiting int
	// Held are those of them that wait for a retry of their key.
	Held int
	// Undeleted are published messages whose rows are still there.
	Undeleted int
	// Behind says that the table holds rows that are not in memory.
	Behind bool
	// Published counts the messages that the broker has taken since the relay was made.
	Published uint64
}

// Stats returns what the relay holds now.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{
		Waiting:   len(r.queue.tasks),
		Held:      r.queue.held,
		Undeleted: len(r.published) + len(r.deleting),
		Behind:    r.behind,
		Published: r.total,
	}
}

// Run publishes until ctx ends; then it starts nothing new, waits for the outcomes under way for at
// most the grace, deletes the rows of what was published, and returns nil. What it had not published stays in
// the table for the next run. A second Run at the same time: [ErrRunning].
func (r *Relay) Run(ctx context.Context) error {
	if !r.start() {
		return ErrRunning
	}
	defer r.stop()
	out, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.config.Grace, abandon) })()

	var loops sync.WaitGroup
	loops.Go(func() { r.publishLoop(ctx, out) })
	loops.Go(func() { r.storeLoop(ctx) })
	loops.Wait()
	r.settle(out)
	return nil
}

func (r *Relay) start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return false
	}
	r.running = true
	signal(r.storing)
	return true
}

// stop forgets what was not published: the table has it.
func (r *Relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.stop()
	r.queue = newQueue()
	r.published, r.deleting = map[string]struct{}{}, nil
	r.behind, r.running = true, false
}

// publishLoop hands messages to the publisher, in order and from one goroutine, because the publisher orders by call.
func (r *Relay) publishLoop(ctx, out context.Context) {
	for {
		for ctx.Err() == nil {
			r.mu.Lock()
			t := r.queue.next()
			r.mu.Unlock()
			if t == nil {
				break
			}
			r.config.Publisher.Publish(out, t.message, func(err error) { r.outcome(t, err) })
		}
		select {
		case <-ctx.Done():
			return
		case <-r.publishing:
		}
	}
}

// outcome is called by the publisher, from any goroutine.
func (r *Relay) outcome(t *task, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.queue.tasks[t.message.ID] != t {
		return // of a run that gave up waiting for it
	}
	if err == nil {
		r.queue.succeeded(t)
		r.published[t.message.ID] = struct{}{}
		r.total++
	} else {
		r.queue.failed(t)
	}
	if attempt := r.queue.retryable(t.lane); attempt > 0 {
		lane := t.lane
		lane.timer = time.AfterFunc(r.config.Backoff.Delay(attempt, t.message.ID), func() { r.retry(lane) })
	}
	r.report(t, err)
	signal(r.publishing)
	signal(r.storing)
}

func (r *Relay) retry(l *lane) {
	r.mu.Lock()
	r.queue.retry(l)
	r.mu.Unlock()
	signal(r.publishing)
}

// report logs that publishing began to fail and that it works again, not every message in between.
func (r *Relay) report(t *task, err error) {
	switch {
	case err != nil && !r.failing:
		r.failing = true
		r.config.Logger.Warn("outbox: publishing fails, trying again", "topic", t.message.Topic, "id", t.message.ID, "error", err)
	case r.failing && r.queue.failing == 0:
		r.failing = false
		r.config.Logger.Info("outbox: publishing works again", "topic", t.message.Topic)
	}
}

// settle waits for what is under way, until it is abandoned, and deletes what was published.
func (r *Relay) settle(out context.Context) {
	for r.underWay() && out.Err() == nil {
		select {
		case <-r.publishing:
		case <-out.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(out), r.config.Grace)
	defer cancel()
	if err := r.deletePublished(ctx); err != nil {
		r.config.Logger.WarnContext(ctx, "outbox: rows of published messages remain and will be published again", "error", err)
	}
}

func (r *Relay) underWay() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queue.inFlight > 0
}

// room is called with the lock held.
func (r *Relay) room() int {
	return r.config.MaxInFlight - len(r.queue.tasks) - len(r.published) - len(r.deleting)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
