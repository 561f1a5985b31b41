package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/internal/pace"
	"github.com/alpespartners/alpespartners/messaging"
)

// lastWord is how long a closing outlet waits for the publishers' functions, which must not block.
const lastWord = time.Second

// publication is one message on its way to the broker. Its fields are guarded by its outlet's lock, but for the message, which is the client's meanwhile.
// Publications are used again when the client has nothing to do with them any more.
type publication struct {
	outlet     *outlet
	prev, next *publication // in the outlet's list; nil when it has left it
	session    *session     // that sends it; nil while it waits for one
	done       func(error)  // nil once the outcome is told
	watch      *watch       // of the publisher's context; nil if that never ends
	size       int
	since      time.Time

	message    pulsar.ProducerMessage
	properties map[string]string
	callback   func(pulsar.MessageID, *pulsar.ProducerMessage, error) // sent
}

// mostProperties bounds the maps that are kept.
const mostProperties = 8

// newPublication returns an empty publication.
func (b *Broker) newPublication() *publication {
	if p, ok := b.publications.Get().(*publication); ok {
		return p
	}
	p := &publication{properties: make(map[string]string, 2)}
	p.callback = p.sent
	return p
}

// release keeps a publication that nobody has any more.
func (b *Broker) release(p *publication) {
	if len(p.properties) > mostProperties {
		return
	}
	clear(p.properties)
	p.outlet, p.session, p.done, p.watch, p.message = nil, nil, nil, nil, pulsar.ProducerMessage{}
	b.publications.Put(p)
}

// outcome is what a publisher is told.
type outcome struct {
	done func(error)
	err  error
}

// watch waits for the end of a context that publications have in common.
type watch struct {
	ended <-chan struct{} // the context's Done
	count int
	stop  func() bool
}

// outletState says what an outlet does.
type outletState int

const (
	idle    outletState = iota // no producer; the next publication opens one
	opening                    // publications wait
	ready                      // publications are sent as they come
	closing                    // the producer is given up; publications wait
	closed
)

// outlet publishes to one topic. Its producer is opened by the first message, and opened anew after it was given up. Messages are sent in the order in
// which they come.
type outlet struct {
	broker *Broker
	topic  string
	keyed  bool

	finished chan struct{} // wakes tell; holds at most one signal
	told     chan struct{} // closed when tell has ended

	mu       sync.Mutex
	state    outletState
	session  *session
	open     publication // the list's anchor: the oldest is open.next
	count    int
	settled  int
	bytes    int
	waiting  []*publication // for a session
	room     chan struct{}  // closed when count falls; nil when nobody waits
	watches  map[<-chan struct{}]*watch
	outcomes []outcome
	alarm    *time.Timer // for publications whose outcome never comes
}

func newOutlet(b *Broker, key outletKey) *outlet {
	o := &outlet{
		broker: b, topic: key.topic, keyed: key.keyed, finished: make(chan struct{}, 1), told: make(chan struct{}),
		watches: make(map[<-chan struct{}]*watch),
	}
	o.open.prev, o.open.next = &o.open, &o.open
	o.alarm = time.AfterFunc(time.Hour, o.overdue)
	o.alarm.Stop()
	go o.tell()
	return o
}

// publish sends p, which has its message and its done, after it has waited for room if need be.
func (o *outlet) publish(ctx context.Context, p *publication) {
	o.mu.Lock()
	if err := o.await(ctx, p.size); err != nil {
		o.mu.Unlock()
		p.done(err)
		return
	}
	p.outlet, p.since = o, time.Now()
	o.link(p)
	o.follow(ctx, p)
	if o.state == ready {
		p.session = o.session
		o.mu.Unlock()
		p.session.send(p) //nolint:contextcheck // the client looks at a context only before it takes the message, and it takes it at once
		return
	}
	o.waiting = append(o.waiting, p)
	if o.state == idle {
		o.state = opening
		o.broker.spawn(o.openSession)
	}
	o.mu.Unlock()
}

// await waits for room and gives up the lock meanwhile.
func (o *outlet) await(ctx context.Context, size int) error {
	for {
		switch {
		case o.state == closed || o.broker.ctx.Err() != nil:
			return messaging.ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case o.count == 0 || o.count < o.broker.config.MaxPending && o.bytes+size <= maxTopicPending:
			return nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		case <-o.broker.ctx.Done():
		}
		o.mu.Lock()
	}
}

func (o *outlet) link(p *publication) {
	last := o.open.prev
	p.prev, p.next = last, &o.open
	last.next, o.open.prev = p, p
	o.count++
	o.bytes += p.size
	if o.count == 1 {
		o.alarm.Reset(o.patience())
	}
}

// unlink takes p off the list, and says whether it was on it.
func (o *outlet) unlink(p *publication) bool {
	if p.next == nil {
		return false
	}
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
	o.count--
	o.settled++
	o.bytes -= p.size
	if o.count == 0 {
		o.alarm.Stop()
	}
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return true
}

// progress returns how many publications were settled so far.
func (o *outlet) progress() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.settled
}

// follow ends p's wait with its context. All publications with one context share what waits for it.
func (o *outlet) follow(ctx context.Context, p *publication) {
	ended := ctx.Done()
	if ended == nil {
		return
	}
	w := o.watches[ended]
	if w == nil {
		w = &watch{ended: ended}
		w.stop = context.AfterFunc(ctx, func() { o.giveUp(w, ctx.Err()) })
		o.watches[ended] = w
	}
	w.count++
	p.watch = w
}

// giveUp tells the publishers whose context ended. Their messages stay on the list: they may still be sent.
func (o *outlet) giveUp(w *watch, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p := o.open.next; p != &o.open; p = p.next {
		if p.watch == w {
			o.decide(p, err)
		}
	}
}

// decide tells p's publisher, unless that is done.
func (o *outlet) decide(p *publication, err error) {
	if p.done == nil {
		return
	}
	o.outcomes = append(o.outcomes, outcome{p.done, err})
	p.done = nil
	if w := p.watch; w != nil {
		p.watch = nil
		if w.count--; w.count == 0 {
			w.stop()
			delete(o.watches, w.ended)
		}
	}
	if len(o.outcomes) == 1 {
		select {
		case o.finished <- struct{}{}:
		default:
		}
	}
}

// tell calls the publishers' functions, on a goroutine of its own: the client's outcomes come on the one that reads the connection, for all
// producers and consumers of that broker. It ends when the outlet is closed and empty.
func (o *outlet) tell() {
	defer close(o.told)
	var batch []outcome
	for {
		o.mu.Lock()
		batch, o.outcomes = o.outcomes, batch[:0]
		over := o.state == closed && o.count == 0
		o.mu.Unlock()
		for i := range batch {
			batch[i].done(batch[i].err)
		}
		clear(batch)
		if len(batch) > 0 {
			continue
		}
		if over {
			return
		}
		<-o.finished
	}
}

// settle is called with what became of a publication, by any of the client's goroutines. It says whether the publication was still open.
func (o *outlet) settle(p *publication, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	session := p.session
	if !o.unlink(p) {
		return false // given up before
	}
	switch {
	case err == nil:
		o.decide(p, nil)
	case o.state == closed:
		o.decide(p, messaging.ErrClosed)
	default:
		o.decide(p, sendError(err))
		if isFatal(err) {
			o.retire(session, err)
		}
	}
	return true
}

// isFatal says that a producer is of no use any more. One that the broker has forgotten, because its topic was terminated for example, still
// takes messages, and all of them time out.
func isFatal(err error) bool {
	for _, fatal := range []error{
		pulsar.ErrProducerClosed, pulsar.ErrTopicTerminated, pulsar.ErrTopicNotfound, pulsar.ErrProducerFenced,
	} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return false
}

// sendError classifies an error of the client.
func sendError(err error) error {
	switch {
	case errors.Is(err, pulsar.ErrMessageTooLarge), errors.Is(err, pulsar.ErrMetaTooLarge), errors.Is(err, pulsar.ErrInvalidMessage):
		return messaging.Permanent(fmt.Errorf("%w: %w", ErrMessage, err))
	case errors.Is(err, pulsar.ErrProducerClosed): // by us, who gave it up
		return fmt.Errorf("%w: %w", ErrNoOutcome, err)
	default:
		return fmt.Errorf("pulsarmsg: publish: %w", err)
	}
}

// patience is how long a publication may be without an outcome.
func (o *outlet) patience() time.Duration { return o.broker.config.SendTimeout }

// overdue gives up a producer that owes an outcome for too long.
func (o *outlet) overdue() {
	o.mu.Lock()
	defer o.mu.Unlock()
	oldest := o.open.next
	if oldest == &o.open {
		return
	}
	if left := o.patience() - time.Since(oldest.since); left > 0 {
		o.alarm.Reset(left)
		return
	}
	o.alarm.Reset(o.patience())
	if oldest.session != nil {
		o.retire(oldest.session, ErrNoOutcome)
	}
}

// openSession makes the producer and sends what has waited for it. A broker that is not ready, as one that just loads the topic, is asked again while the
// messages have time.
func (o *outlet) openSession() {
	ctx, cancel := context.WithTimeout(o.broker.ctx, o.broker.config.SendTimeout)
	defer cancel()
	for attempt := 1; ; attempt++ {
		s, err := o.broker.newSession(o)
		if err == nil {
			if err = o.begin(s); err == nil {
				return
			}
			o.closeSession(s)
		}
		if isHopeless(err) || !pace.Rest(ctx, o.broker.config.Backoff.Delay(attempt, o.topic)) {
			o.failWaiting(err)
			return
		}
	}
}

// begin sends what has waited, and from then on what comes. An error says that the session is of no use.
func (o *outlet) begin(s *session) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == closed {
		o.broker.spawn(func() { o.closeSession(s) })
		return nil
	}
	if s.lost {
		return errDisconnected
	}
	o.session = s
	for len(o.waiting) > 0 && o.session == s {
		batch := o.waiting
		o.waiting = nil
		for _, p := range batch {
			p.session = s
		}
		o.mu.Unlock()
		for _, p := range batch {
			s.send(p)
		}
		o.mu.Lock()
	}
	if o.state == opening && o.session == s {
		o.state = ready
	}
	return nil
}

// failWaiting tells those who waited for a producer that there is none.
func (o *outlet) failWaiting(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.state == closed {
		return
	}
	for _, p := range o.waiting {
		o.unlink(p)
		o.decide(p, err)
	}
	o.waiting = nil
	o.state = idle
}

// lose gives up a session whose producer is about to connect again, and has the next one send all that it owes, in the same order. The client would do so too,
// but data that it has queued for the connection goes out after its new registration and before what was sent earlier and got lost: the order of the keys would
// be gone, and where the broker deduplicates, the earlier messages too, as their sequence numbers are lower.
func (o *outlet) lose(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s.lost = true
	if o.session != s || o.state == closed {
		return
	}
	var again []*publication
	for p := o.open.next; p != &o.open; {
		next := p.next
		switch {
		case p.session != s:
		case p.done == nil:
			o.unlink(p)
		case time.Since(p.since) >= o.patience():
			o.unlink(p)
			o.decide(p, ErrNoOutcome)
		default:
			again = append(again, o.renew(p))
		}
		p = next
	}
	o.waiting = append(again, o.waiting...)
	o.retire(s, errDisconnected)
}

// renew puts another publication of the same message in p's place: what the client still says of p, or does with it, concerns nobody any more.
func (o *outlet) renew(p *publication) *publication {
	q := &publication{outlet: o, prev: p.prev, next: p.next, done: p.done, watch: p.watch, size: p.size, since: p.since, message: p.message}
	q.properties = maps.Clone(p.properties)
	q.message.Properties = q.properties
	q.callback = q.sent
	q.prev.next, q.next.prev = q, q
	p.prev, p.next, p.done, p.watch = nil, nil, nil, nil
	return q
}

// retire gives up the session; what it still owes fails, and what comes waits for the next one.
func (o *outlet) retire(s *session, reason error) {
	if o.session != s || o.state == closed {
		return
	}
	o.session = nil
	o.state = closing
	o.broker.metrics.retired.WithLabelValues(o.topic).Inc()
	o.broker.config.Logger.Warn("producer given up; another one is opened", "topic", o.topic, "error", reason)
	o.broker.spawn(func() {
		o.closeSession(s)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.abandon(s, fmt.Errorf("%w: %w", ErrNoOutcome, reason))
		if o.state == closed {
			return
		}
		o.state = idle
		if len(o.waiting) > 0 {
			o.state = opening
			o.broker.spawn(o.openSession)
		}
	})
}

// closeSession closes a session that nobody waits for.
func (o *outlet) closeSession(s *session) {
	ctx, cancel := context.WithTimeout(context.Background(), o.broker.config.OperationTimeout)
	defer cancel()
	s.close(ctx)
}

// abandon decides the publications that the session, or any session if s is nil, has not settled.
func (o *outlet) abandon(s *session, err error) {
	for p := o.open.next; p != &o.open; {
		next := p.next
		if s == nil || p.session == s {
			o.unlink(p)
			o.decide(p, err)
		}
		p = next
	}
}

// drain waits for the outcomes that are open, closes the producer and fails the rest. Nothing may be published meanwhile.
func (o *outlet) drain(ctx context.Context) error {
	err := o.empty(ctx)
	o.mu.Lock()
	s := o.session
	o.state = closed
	o.session = nil
	o.waiting = nil
	o.mu.Unlock()
	if s != nil {
		s.close(ctx)
	}
	o.mu.Lock()
	o.abandon(nil, messaging.ErrClosed)
	o.alarm.Stop()
	o.mu.Unlock()
	select {
	case o.finished <- struct{}{}:
	default:
	}
	timer := time.NewTimer(lastWord)
	defer timer.Stop()
	select {
	case <-o.told:
	case <-timer.C:
		err = errors.Join(err, fmt.Errorf("%w: topic %s: a publisher's function has not returned", ErrNotDrained, o.topic))
	}
	return err
}

// empty waits until no publication is open.
func (o *outlet) empty(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.count > 0 {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		o.mu.Lock()
		if ctx.Err() != nil && o.count > 0 {
			return fmt.Errorf("%w: topic %s: %d messages without an outcome", ErrNotDrained, o.topic, o.count)
		}
	}
	return nil
}
