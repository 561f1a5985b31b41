package pulsarmsg

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/messaging"
)

const (
	// defaultBatch is what a zero Subscription.MaxBatch means.
	defaultBatch = 256
	// misbehaved is how long messages wait whose receiver ended its goroutine or returned too few dispositions, so that a faulty receiver does not spin.
	misbehaved = time.Second
)

// entry is a message that waits for its receiver, or that a receiver has.
type entry struct {
	message   messaging.Message
	id        pulsar.MessageID
	consumer  *consumer
	delivered int       // deliveries so far, as far as they are known
	version   []byte    // of the writer's schema, while that has to be asked for
	lane      *lane     // nil: unordered, and not waiting
	due       time.Time // not to be delivered before; zero: at any time
}

func (e *entry) ripe(now time.Time) bool { return e.due.IsZero() || !e.due.After(now) }

// dispatcher holds the messages of one subscription and hands them to its receiver. Messages wait in fresh, in the order of their arrival. A message that
// cannot go with the others moves to a lane: that of its key, when an earlier message of the key is being handled or has to wait, or one of its own,
// when it has to wait and is unordered. Nothing is negatively acknowledged: that would break the order, bring back the neighbours in its batch and know no
// time of its own.
type dispatcher struct {
	broker   *Broker
	receiver messaging.Receiver
	wanted   messaging.Subscription
	counts   *counts
	held     prometheus.Gauge
	ordered  bool
	batch    int // most messages in a call
	limit    int // most calls at once
	ahead    int // most fresh messages
	// ended says that the receivers' context has ended; deliver calls the receiver with it.
	ended   func() bool
	deliver func([]entry) []messaging.Disposition

	mu        sync.Mutex
	fresh     queue[entry]
	lanes     map[string]*lane // of keys
	ready     queue[*lane]     // lanes whose first entry can be delivered
	delayed   laneHeap         // lanes whose first entry has to wait
	timer     *time.Timer      // for the first of them
	parked    int              // entries in lanes
	turn      uint64           // takes so far
	workers   int
	searching bool          // a worker was started that has not looked yet
	ending    bool          // nothing more is handed out
	rested    chan struct{} // closed when an ending dispatcher's last worker rests
	room      chan struct{} // closed when there may be room again; nil when nobody waits
}

func newDispatcher(ctx context.Context, b *Broker, s messaging.Subscription, r messaging.Receiver, known *counts) *dispatcher {
	d := &dispatcher{
		broker: b, receiver: r, wanted: s, counts: known, ordered: s.Type != messaging.Shared,
		held:  b.metrics.held.WithLabelValues(s.Topic, s.Name),
		batch: s.MaxBatch, limit: b.config.Concurrency, ended: func() bool { return ctx.Err() != nil },
		lanes: make(map[string]*lane), rested: make(chan struct{}),
	}
	if d.batch == 0 {
		d.batch = defaultBatch
	}
	if s.Type == messaging.Failover || s.Type == messaging.Exclusive {
		d.limit = 1
	}
	d.deliver = func(batch []entry) []messaging.Disposition { return d.call(ctx, batch) }
	d.ahead = max(d.batch, min(d.batch*d.limit, defaultBatch))
	d.timer = time.AfterFunc(time.Hour, d.ripen)
	d.timer.Stop()
	return d
}

// await waits until there is room, and returns for how many messages. What can be handed out is not hoarded: other consumers may be free for it.
func (d *dispatcher) await(ctx context.Context, lost <-chan struct{}) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if n := min(d.ahead-d.fresh.len(), d.broker.config.MaxHeld-d.parked-d.fresh.len()); n > 0 {
			return n, nil
		}
		if d.room == nil {
			d.room = make(chan struct{})
		}
		room := d.room
		d.mu.Unlock()
		var err error
		select {
		case <-room:
		case <-lost:
			err = errConnection
		case <-ctx.Done():
			err = ctx.Err()
		}
		d.mu.Lock()
		if err != nil {
			return 0, err
		}
	}
}

// makeRoom wakes who waits for room.
func (d *dispatcher) makeRoom() {
	if d.room != nil {
		close(d.room)
		d.room = nil
	}
}

// add takes what has arrived.
func (d *dispatcher) add(all []entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range all {
		d.fresh.push(all[i])
	}
	d.held.Add(float64(len(all)))
	d.hire()
}

// hire starts a worker if there is something to do for one. A worker that finds something hires the next one.
func (d *dispatcher) hire() {
	if !d.over() && !d.searching && d.workers < d.limit && (d.fresh.len() > 0 || d.ready.len() > 0) {
		d.workers++
		d.searching = true
		go d.work()
	}
}

// over says that nothing more is handed out.
func (d *dispatcher) over() bool { return d.ending || d.ended() }

// work hands out batches until there is nothing to hand out.
func (d *dispatcher) work() {
	var batch []entry
	memory, ok := d.broker.batches.Get().(*[]entry)
	if !ok {
		memory = new([]entry)
	}
	d.mu.Lock()
	d.searching = false
	defer func() { // the lock is held, unless the receiver ended this goroutine
		if len(batch) > 0 {
			d.mu.Lock()
			d.giveBack(batch, nil)
		}
		if d.workers--; d.workers == 0 && d.ending {
			close(d.rested)
		}
		d.hire()
		d.mu.Unlock()
	}()
	for !d.over() {
		batch = d.take((*memory)[:0])
		if len(batch) == 0 {
			d.broker.batches.Put(memory)
			return
		}
		d.hire()
		d.mu.Unlock()
		dispositions := d.deliver(batch)
		for i := range batch {
			if i < len(dispositions) && !dispositions[i].Redeliver {
				batch[i].consumer.acknowledge(batch[i].id)
			}
		}
		d.mu.Lock()
		d.giveBack(batch, dispositions)
		clear(batch)
		*memory, batch = batch, nil
	}
}

// take appends the next batch: first what waited in lanes, then what is fresh. The lanes of its keys are busy until giveBack.
func (d *dispatcher) take(batch []entry) []entry {
	var now time.Time
	d.turn++
	for len(batch) < d.batch && d.ready.len() > 0 {
		if now.IsZero() {
			now = time.Now()
		}
		l := d.ready.pop()
		l.state, l.turn = busy, d.turn
		for len(batch) < d.batch && l.entries.len() > 0 && l.entries.front().ripe(now) {
			batch = append(batch, l.entries.pop())
			d.parked--
		}
	}
	for len(batch) < d.batch && d.fresh.len() > 0 {
		e := d.fresh.pop()
		if d.admit(&e) {
			batch = append(batch, e)
		}
	}
	d.makeRoom()
	d.counts.correct(batch)
	for i := range batch {
		e := &batch[i]
		e.delivered++
		e.message.Delivery = e.delivered
		e.due = time.Time{}
	}
	d.held.Sub(float64(len(batch)))
	return batch
}

// admit says whether a fresh entry may go with the batch that is being taken. If not, it has moved to the lane of its key.
func (d *dispatcher) admit(e *entry) bool {
	key := e.message.Key
	if !d.ordered || key == "" {
		return true
	}
	l := d.lanes[key]
	if l == nil {
		l = &lane{key: key, state: busy, turn: d.turn}
		d.lanes[key] = l
	}
	e.lane = l
	if l.state == busy && l.turn == d.turn && l.entries.len() == 0 {
		return true
	}
	l.entries.push(*e)
	d.parked++
	return false
}

// giveBack puts the entries that are to be delivered again before the others of their lanes, and opens the lanes. An entry without a disposition
// waits a moment: its receiver misbehaved.
func (d *dispatcher) giveBack(batch []entry, dispositions []messaging.Disposition) {
	var now time.Time
	for i := range batch {
		e := &batch[i]
		disposition := messaging.Disposition{Redeliver: true, After: misbehaved}
		if i < len(dispositions) {
			disposition = dispositions[i]
		}
		if e.consumer.isLost() {
			d.counts.put(e) // whatever was decided, the broker delivers it again
			continue
		}
		if !disposition.Redeliver {
			continue
		}
		if disposition.After > 0 {
			if now.IsZero() {
				now = time.Now()
			}
			e.due = now.Add(disposition.After)
		}
		d.parked++
		d.held.Inc()
		if e.lane == nil || e.lane.key == "" {
			l := &lane{}
			l.entries.push(*e)
			d.enqueue(l)
			continue
		}
		e.lane.returned = append(e.lane.returned, *e)
	}
	for i := range batch {
		l := batch[i].lane
		if l == nil || l.key == "" || l.state != busy {
			continue
		}
		l.entries.unshift(l.returned)
		l.returned = nil
		if l.entries.len() > 0 {
			d.enqueue(l)
		} else {
			delete(d.lanes, l.key)
			l.state = runnable // in no list, and not to be seen again
		}
	}
}

// enqueue puts a lane that has entries where its first one belongs.
func (d *dispatcher) enqueue(l *lane) {
	if due := l.entries.front().due; due.IsZero() || !due.After(time.Now()) {
		l.state = runnable
		d.ready.push(l)
		return
	}
	l.state = waiting
	heap.Push(&d.delayed, l)
	if d.delayed[0] == l {
		d.arm()
	}
}

// arm sets the timer for the first of the delayed lanes.
func (d *dispatcher) arm() { d.timer.Reset(time.Until(d.delayed[0].entries.front().due)) }

// ripen moves the lanes whose time has come.
func (d *dispatcher) ripen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for len(d.delayed) > 0 && d.delayed[0].entries.front().ripe(now) {
		l, _ := heap.Pop(&d.delayed).(*lane)
		l.state = runnable
		d.ready.push(l)
	}
	if len(d.delayed) > 0 {
		d.arm()
	}
	d.hire()
}

// reset forgets what no receiver has: its consumer is lost, and the broker delivers it again. Lanes of messages that a receiver has stay busy, so that what
// comes of their keys from the next consumer waits for it.
func (d *dispatcher) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timer.Stop()
	d.forget(&d.fresh)
	for d.ready.len() > 0 {
		d.discard(d.ready.pop())
	}
	for _, l := range d.delayed {
		d.discard(l)
	}
	d.delayed = nil
	for _, l := range d.lanes {
		d.discard(l)
	}
	d.parked = 0
}

// discard empties a lane, and removes it unless a receiver has entries of it.
func (d *dispatcher) discard(l *lane) {
	d.forget(&l.entries)
	if l.state != busy {
		delete(d.lanes, l.key)
	}
}

// forget empties a queue, but for how often its messages were delivered.
func (d *dispatcher) forget(q *queue[entry]) {
	all := q.takeAll()
	d.held.Sub(float64(len(all)))
	for i := range all {
		d.counts.put(&all[i])
	}
}

// drain waits until the receivers have returned and are settled. Nothing is handed out any more. A second call does nothing.
func (d *dispatcher) drain() {
	d.mu.Lock()
	first, resting := !d.ending, d.workers == 0
	d.ending = true
	d.mu.Unlock()
	if first && resting {
		close(d.rested)
	}
	<-d.rested
	d.reset()
}

// call calls the receiver and returns its dispositions, too few if it misbehaved. It first asks for the schemas that are not known yet; messages
// whose schema cannot be had now, and the later ones of their keys, wait.
func (d *dispatcher) call(ctx context.Context, batch []entry) []messaging.Disposition {
	held, dispositions := d.resolve(ctx, batch)
	messages := make([]messaging.Message, 0, len(batch))
	for i := range batch {
		if len(held) == 0 || !held[i] {
			messages = append(messages, batch[i].message)
		}
	}
	if held == nil {
		return d.receiver(ctx, messages)
	}
	var returned []messaging.Disposition
	if len(messages) > 0 {
		returned = d.receiver(ctx, messages)
	}
	for i := range batch {
		switch {
		case held[i]:
		case len(returned) > 0:
			dispositions[i], returned = returned[0], returned[1:]
		default:
			dispositions[i] = messaging.Disposition{Redeliver: true, After: misbehaved}
		}
	}
	return dispositions
}

// resolve stamps the messages whose writer's schema is not known. It returns which messages have to wait for that, with their dispositions, and nil if none
// has.
func (d *dispatcher) resolve(ctx context.Context, batch []entry) (held []bool, dispositions []messaging.Disposition) {
	var lanes map[*lane]bool
	for i := range batch {
		e := &batch[i]
		var after time.Duration // the later ones of a key wait behind the first
		if e.lane == nil || !lanes[e.lane] {
			if e.version == nil {
				continue
			}
			var ok bool
			if after, ok = d.broker.writers.resolve(ctx, &e.message, e.version); ok {
				e.version = nil
				continue
			}
		}
		if held == nil {
			held, dispositions, lanes = make([]bool, len(batch)), make([]messaging.Disposition, len(batch)), make(map[*lane]bool)
		}
		held[i] = true
		if e.lane != nil {
			lanes[e.lane] = true
		}
		e.delivered-- // nobody saw it
		dispositions[i] = messaging.Disposition{Redeliver: true, After: after}
	}
	return held, dispositions
}
