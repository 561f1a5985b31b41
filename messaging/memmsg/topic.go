package memmsg

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// misbehaved is how long a message waits for which its receiver returned no disposition, so that a faulty
// receiver does not spin.
const misbehaved = time.Second

// topic owns its subscriptions and all that is in them. mu guards everything reachable from it and is never
// held while something is waited for or while a caller's function runs.
type topic struct {
	config Config

	mu            sync.Mutex
	subscriptions map[string]*subscription
	sequence      uint64
	pending       int           // publications that are not acknowledged by all
	room          chan struct{} // closed when pending falls; nil when nobody waits
	closed        bool
}

// publication is one published message and what is still open about it.
type publication struct {
	message messaging.Message
	rank    uint64
	waiting int         // acknowledgements to come
	done    func(error) // nil once the outcome is decided
	unwatch func() bool // stops watching the publisher's context; nil if that never ends
}

// outcome is a decided publication: call it without the lock.
type outcome struct {
	publication *publication
	done        func(error)
	err         error
}

type outcomes []outcome

func (all outcomes) tell() {
	for _, o := range all {
		if o.publication.unwatch != nil {
			o.publication.unwatch()
		}
		o.done(o.err)
	}
}

// decide appends p's outcome, unless it was decided before.
func (all outcomes) decide(p *publication, err error) outcomes {
	if p.done == nil {
		return all
	}
	all = append(all, outcome{publication: p, done: p.done, err: err})
	p.done = nil
	return all
}

func (t *topic) publish(ctx context.Context, m messaging.Message, fault Fault, done func(error)) {
	p := &publication{message: m, done: done}
	if ctx.Done() != nil {
		p.unwatch = context.AfterFunc(ctx, func() {
			t.mu.Lock()
			// Not by decide: unwatch is for those who come before the context's end, and may not be set yet.
			done := p.done
			p.done = nil
			t.mu.Unlock()
			if done != nil {
				done(ctx.Err())
			}
		})
	}
	t.mu.Lock()
	err := t.await(ctx)
	var all outcomes
	switch {
	case p.done == nil: // the context ended meanwhile, and done knows
	case err != nil:
		all = all.decide(p, err)
	default:
		all = t.admit(p, fault)
	}
	t.mu.Unlock()
	all.tell()
}

// await waits for room, giving up the lock meanwhile.
func (t *topic) await(ctx context.Context) error {
	for t.pending >= t.config.MaxPending && !t.closed {
		if t.room == nil {
			t.room = make(chan struct{})
		}
		room := t.room
		t.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if t.closed {
		return messaging.ErrClosed
	}
	return nil
}

// admit puts p into every subscription.
func (t *topic) admit(p *publication, fault Fault) (all outcomes) {
	t.sequence++
	now := time.Now()
	p.rank = t.sequence
	p.message.BrokerID = strconv.FormatUint(t.sequence, 10)
	p.message.Published = now
	p.message.Delivery = 0
	e := entry{publication: p, rank: p.rank}
	if fault.Delay > 0 {
		e.due = now.Add(fault.Delay)
	}
	for _, s := range t.subscriptions {
		if s.kind == messaging.Shared {
			e.rank = p.rank + uint64(max(fault.Behind, 0))
		}
		s.add(e)
		p.waiting++
		if fault.Duplicate {
			again := e
			again.delivery++
			s.add(again)
			p.waiting++
		}
		e.rank = p.rank
		t.dispatch(s)
	}
	if p.waiting > 0 {
		t.pending++
	} else {
		all = all.decide(p, nil)
	}
	if fault.Fail {
		all = all.decide(p, ErrFault)
	}
	return all
}

func (t *topic) declare(s messaging.Subscription) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.subscription(s)
	return err
}

// subscription returns the subscription, made or changed to the type if need be.
func (t *topic) subscription(s messaging.Subscription) (*subscription, error) {
	if t.closed {
		return nil, messaging.ErrClosed
	}
	sub := t.subscriptions[s.Name]
	switch {
	case sub == nil:
		sub = newSubscription(s.Type)
		sub.wake = func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			if !t.closed {
				sub.ripen()
				t.dispatch(sub)
			}
		}
		t.subscriptions[s.Name] = sub
	case sub.kind != s.Type && len(sub.consumers) > 0:
		return nil, messaging.ErrBusy
	case sub.kind != s.Type:
		sub.retype(s.Type)
	}
	return sub, nil
}

// join adds the consumer to its subscription.
func (t *topic) join(s messaging.Subscription, c *consumer) (*consumer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sub, err := t.subscription(s)
	if err != nil {
		return nil, err
	}
	if s.Type == messaging.Exclusive && len(sub.consumers) > 0 {
		return nil, messaging.ErrBusy
	}
	c.subscription = sub
	c.batch, c.limit = s.MaxBatch, t.config.Concurrency
	if c.batch <= 0 {
		c.batch = defaultBatch
	}
	if s.Type == messaging.Failover || s.Type == messaging.Exclusive {
		c.limit = 1
	}
	sub.consumers = append(sub.consumers, c)
	t.dispatch(sub)
	return c, nil
}

// leave removes the consumer once its receiver calls have returned and are settled.
func (t *topic) leave(c *consumer) {
	t.mu.Lock()
	c.ending = true
	active := c.active
	t.mu.Unlock()
	if active > 0 {
		<-c.drained
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c.subscription.remove(c)
	if !t.closed {
		t.dispatch(c.subscription)
	}
}

func (t *topic) close() {
	t.mu.Lock()
	t.closed = true
	var all outcomes
	for _, s := range t.subscriptions {
		for _, e := range s.drain() {
			all = all.decide(e.publication, messaging.ErrClosed)
		}
	}
	t.freed()
	t.mu.Unlock()
	all.tell()
}

// freed wakes the publishers that wait for room.
func (t *topic) freed() {
	if t.room != nil {
		close(t.room)
		t.room = nil
	}
}

// dispatch starts a worker if there is something to deliver and a consumer that can take it. One worker at a
// time is on its way to the queue; when it has taken its batch it starts the next, so that a burst does not
// start workers that find nothing.
func (t *topic) dispatch(s *subscription) {
	if s.searching || !s.deliverable() {
		return
	}
	if c := s.next(); c != nil {
		s.searching = true
		c.active++
		go t.work(c)
	}
}

// work delivers batches to the consumer until nothing is there.
func (t *topic) work(c *consumer) {
	s := c.subscription
	var flights []flight
	returned := true
	defer func() { // only when the receiver panics or ends its goroutine
		if !returned {
			t.mu.Lock()
			all := t.settle(s, flights, nil)
			t.rest(c)
			t.mu.Unlock()
			all.tell()
		}
	}()
	ended := c.ended()
	t.mu.Lock()
	s.searching = false
	var all outcomes
	for {
		c.ending = c.ending || ended || t.closed
		flights = nil
		if !c.ending {
			flights = s.take(c.batch)
		}
		if len(flights) == 0 {
			t.rest(c)
			t.mu.Unlock()
			all.tell()
			return
		}
		t.dispatch(s)
		t.mu.Unlock()
		all.tell()
		returned = false
		dispositions := c.receive(messages(flights))
		returned = true
		ended = c.ended()
		t.mu.Lock()
		all = t.settle(s, flights, dispositions)
	}
}

// rest ends a worker.
func (t *topic) rest(c *consumer) {
	c.active--
	if c.ending && c.active == 0 {
		close(c.drained)
	}
	if !t.closed {
		t.dispatch(c.subscription)
	}
}

// settle acknowledges or returns the messages of one receiver call.
func (t *topic) settle(s *subscription, flights []flight, dispositions []messaging.Disposition) (all outcomes) {
	var now time.Time
	for i := range flights {
		f := &flights[i]
		d := messaging.Disposition{Redeliver: true, After: misbehaved}
		if i < len(dispositions) {
			d = dispositions[i]
		}
		p := f.entry.publication
		switch {
		case !d.Redeliver:
			if p.waiting--; p.waiting == 0 {
				all = all.decide(p, nil)
				t.pending--
				t.freed()
			}
		case t.closed:
			all = all.decide(p, messaging.ErrClosed)
		default:
			f.entry.due = time.Time{}
			if d.After > 0 {
				if now.IsZero() {
					now = time.Now()
				}
				f.entry.due = now.Add(d.After)
			}
			f.back = true
		}
	}
	if !t.closed {
		s.giveBack(flights)
	}
	return all
}

func messages(flights []flight) []messaging.Message {
	batch := make([]messaging.Message, len(flights))
	for i, f := range flights {
		batch[i] = f.entry.publication.message
		batch[i].Delivery = f.entry.delivery
	}
	return batch
}
