package outbox

import (
	"cmp"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// task is one message on its way.
type task struct {
	message messaging.Message
	seq     uint64 // the order of arrival
	lane    *lane  // set while it is in flight
	probe   bool   // the one that finds out whether its failed lane works again
}

// laneKey names an ordered stream: a key of a topic, or a single message that has no key.
type laneKey struct{ topic, key, id string }

// lane is a stream that has messages in flight or has failed. Messages in flight of a good lane are
// not waited for; once one fails, the others' outcomes are awaited, then the earliest is tried alone.
type lane struct {
	key      laneKey
	inFlight int
	failed   bool
	attempts int
	held     []*task // by seq
	timer    *time.Timer
}

// queue orders what the relay holds. It is not safe for concurrent use and knows no clock, broker or table.
type queue struct {
	tasks    map[string]*task // by message ID: all whose outcome is not known
	lanes    map[laneKey]*lane
	urgent   []*task // probes and messages let go again: before everything that arrived later
	ready    []*task
	seq      uint64
	inFlight int
	held     int
	failing  int // failed lanes
}

func newQueue() *queue {
	return &queue{tasks: map[string]*task{}, lanes: map[laneKey]*lane{}}
}

// add takes a message, unless it is here already.
func (q *queue) add(m messaging.Message) {
	if _, known := q.tasks[m.ID]; known {
		return
	}
	q.seq++
	t := &task{message: m, seq: q.seq}
	q.tasks[m.ID] = t
	q.ready = append(q.ready, t)
}

// next returns the message to publish now, or nil. Those of a failed lane are held back on the way.
func (q *queue) next() *task {
	for {
		t := pop(&q.urgent)
		if t == nil {
			t = pop(&q.ready)
		}
		if t == nil {
			return nil
		}
		l := q.laneOf(t)
		if l.failed && !t.probe {
			q.hold(l, t)
			continue
		}
		t.lane = l
		l.inFlight++
		q.inFlight++
		return t
	}
}

func (q *queue) laneOf(t *task) *lane {
	key := laneKey{topic: t.message.Topic, key: t.message.Key}
	if key.key == "" {
		key.id = t.message.ID
	}
	l := q.lanes[key]
	if l == nil {
		l = &lane{key: key}
		q.lanes[key] = l
	}
	return l
}

func (q *queue) hold(l *lane, t *task) {
	at, _ := slices.BinarySearchFunc(l.held, t, func(a, b *task) int { return cmp.Compare(a.seq, b.seq) })
	l.held = slices.Insert(l.held, at, t)
	q.held++
}

// succeeded forgets a message in flight, and lets its lane go again if it was the probe.
func (q *queue) succeeded(t *task) {
	l := t.lane
	q.landed(l)
	delete(q.tasks, t.message.ID)
	if t.probe {
		l.failed, l.attempts = false, 0
		q.failing--
		q.held -= len(l.held)
		q.urgent = append(q.urgent, l.held...)
		l.held = nil
	}
	if l.inFlight == 0 && !l.failed {
		delete(q.lanes, l.key)
	}
}

// failed holds a message in flight, and with it its lane.
func (q *queue) failed(t *task) {
	l := t.lane
	q.landed(l)
	t.probe = false
	if !l.failed {
		l.failed = true
		q.failing++
	}
	q.hold(l, t)
}

func (q *queue) landed(l *lane) {
	l.inFlight--
	q.inFlight--
}

// retryable returns the number of the attempt to schedule for a lane, or 0 if there is none to schedule.
func (q *queue) retryable(l *lane) int {
	if !l.failed || l.inFlight > 0 {
		return 0
	}
	l.attempts++
	return l.attempts
}

// retry tries the earliest message of a failed lane.
func (q *queue) retry(l *lane) {
	if q.lanes[l.key] != l || len(l.held) == 0 {
		return // the queue was stopped meanwhile
	}
	t := l.held[0]
	l.held = slices.Delete(l.held, 0, 1)
	q.held--
	t.probe = true
	q.urgent = append(q.urgent, t)
}

// idle says that nothing moves: all that is here waits for a retry.
func (q *queue) idle() bool { return len(q.tasks) == q.held }

func (q *queue) stop() {
	for _, l := range q.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}

func pop(tasks *[]*task) *task {
	if len(*tasks) == 0 {
		*tasks = nil
		return nil
	}
	t := (*tasks)[0]
	(*tasks)[0] = nil
	*tasks = (*tasks)[1:]
	return t
}
