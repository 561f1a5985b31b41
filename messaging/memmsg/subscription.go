package memmsg

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// entry is one message on its way through one subscription.
type entry struct {
	publication *publication
	delivery    int       // deliveries so far
	rank        uint64    // place in the order of delivery
	due         time.Time // not to be delivered before; zero: at any time
}

func (e *entry) ripe(now time.Time) bool { return e.due.IsZero() || !e.due.After(now) }

// flight is an entry that a receiver has.
type flight struct {
	entry entry
	lane  *lane // nil if it came from the fresh queue
	back  bool  // to be delivered again
}

// consumer is one call of Subscribe.
type consumer struct {
	subscription *subscription
	ended        func() bool
	receive      func([]messaging.Message) []messaging.Disposition
	batch, limit int           // most messages in a call, most calls at once
	active       int           // workers
	ending       bool          // takes nothing more
	drained      chan struct{} // closed when the last worker of an ending consumer rests
}

// subscription holds what is to be delivered. Messages that need no order wait in fresh, all others in lanes:
// one for each key, and a lane of its own for an unordered message that has to wait. Guarded by the topic's
// lock.
type subscription struct {
	kind      messaging.SubscriptionType
	fresh     queue[entry]
	lanes     map[string]*lane
	ready     laneHeap // lanes whose first entry can be delivered, by rank
	delayed   laneHeap // lanes whose first entry has to wait, by due time
	timer     *time.Timer
	wake      func() // what the timer calls
	consumers []*consumer
	turn      int  // the consumer whose turn it is
	searching bool // a worker was started that has not yet looked
}

func newSubscription(kind messaging.SubscriptionType) *subscription {
	s := &subscription{}
	s.reset(kind)
	return s
}

func (s *subscription) reset(kind messaging.SubscriptionType) {
	s.kind = kind
	s.fresh = queue[entry]{}
	s.lanes = make(map[string]*lane)
	s.ready = laneHeap{less: func(a, b *lane) bool { return a.entries.front().rank < b.entries.front().rank }}
	s.delayed = laneHeap{less: func(a, b *lane) bool { return a.entries.front().due.Before(b.entries.front().due) }}
}

// add puts e where it belongs; among the entries of its key it is the last.
func (s *subscription) add(e entry) {
	key := e.publication.message.Key
	if s.kind == messaging.Shared {
		key = ""
	}
	switch l := s.lanes[key]; {
	case l != nil:
		l.entries.push(e)
	case key != "":
		l = &lane{key: key, place: -1}
		l.entries.push(e)
		s.lanes[key] = l
		s.enqueue(l)
	case e.due.IsZero() && e.rank == e.publication.rank:
		s.fresh.push(e)
	default:
		l = &lane{place: -1}
		l.entries.push(e)
		s.enqueue(l)
	}
}

// enqueue puts a lane that has entries and is in no heap into the right one.
func (s *subscription) enqueue(l *lane) {
	due := l.entries.front().due
	if due.IsZero() || !due.After(time.Now()) {
		heap.Push(&s.ready, l)
		return
	}
	heap.Push(&s.delayed, l)
	if l.place == 0 {
		s.arm()
	}
}

// arm sets the timer for the first of the delayed lanes.
func (s *subscription) arm() {
	after := time.Until(s.delayed.lanes[0].entries.front().due)
	if s.timer == nil {
		s.timer = time.AfterFunc(after, s.wake)
		return
	}
	s.timer.Reset(after)
}

// ripen moves the lanes whose time has come.
func (s *subscription) ripen() {
	now := time.Now()
	for len(s.delayed.lanes) > 0 && s.delayed.lanes[0].entries.front().ripe(now) {
		heap.Push(&s.ready, heap.Pop(&s.delayed))
	}
	if len(s.delayed.lanes) > 0 {
		s.arm()
	}
}

func (s *subscription) deliverable() bool { return s.fresh.len() > 0 || len(s.ready.lanes) > 0 }

// take returns up to limit entries that can be delivered, by rank. The lanes they come from stay out of the
// heaps until giveBack.
func (s *subscription) take(limit int) []flight {
	n := min(limit, s.fresh.len()+len(s.ready.lanes))
	if n == 0 {
		return nil
	}
	flights := make([]flight, 0, n)
	var now time.Time
	for len(flights) < limit && s.deliverable() {
		var l *lane
		if len(s.ready.lanes) > 0 {
			l = s.ready.lanes[0]
		}
		if l == nil || s.fresh.len() > 0 && s.fresh.front().rank < l.entries.front().rank {
			flights = append(flights, flight{entry: s.fresh.pop()})
			continue
		}
		flights = append(flights, flight{entry: l.entries.pop(), lane: l})
		l.busy = true
		if l.entries.len() > 0 && !l.entries.front().due.IsZero() && now.IsZero() {
			now = time.Now()
		}
		if l.entries.len() > 0 && l.entries.front().ripe(now) {
			heap.Fix(&s.ready, 0)
		} else {
			heap.Pop(&s.ready)
		}
	}
	for i := range flights {
		flights[i].entry.delivery++
		if l := flights[i].lane; l != nil && l.place >= 0 {
			heap.Remove(&s.ready, l.place)
		}
	}
	return flights
}

// giveBack returns the entries that are to be delivered again to the front of their lanes and opens the lanes.
func (s *subscription) giveBack(flights []flight) {
	for i := range flights {
		f := &flights[i]
		switch {
		case f.lane == nil && f.back:
			l := &lane{place: -1}
			l.entries.push(f.entry)
			s.enqueue(l)
		case f.lane != nil && f.back:
			f.lane.returned = append(f.lane.returned, f.entry)
		}
	}
	for i := range flights {
		l := flights[i].lane
		if l == nil || !l.busy {
			continue
		}
		l.busy = false
		l.entries.unshift(l.returned)
		l.returned = nil
		if l.entries.len() > 0 {
			s.enqueue(l)
		} else if l.key != "" {
			delete(s.lanes, l.key)
		}
	}
}

// next returns the consumer that gets the next batch, nil if none can take one.
func (s *subscription) next() *consumer {
	candidates := s.consumers
	if s.kind == messaging.Failover {
		candidates = candidates[:min(1, len(candidates))]
	}
	for i := range candidates {
		at := (s.turn + i) % len(candidates)
		if c := candidates[at]; !c.ending && c.active < c.limit {
			s.turn = at + 1
			return c
		}
	}
	return nil
}

func (s *subscription) remove(c *consumer) {
	s.consumers = slices.DeleteFunc(s.consumers, func(other *consumer) bool { return other == c })
}

// retype changes the type of a subscription that has no consumer.
func (s *subscription) retype(kind messaging.SubscriptionType) {
	entries := s.drain()
	s.reset(kind)
	for _, e := range entries {
		s.add(e)
	}
}

// drain empties the subscription and returns what was in it, in the order of publishing.
func (s *subscription) drain() []entry {
	if s.timer != nil {
		s.timer.Stop()
	}
	entries := s.fresh.takeAll()
	for _, lanes := range [][]*lane{s.ready.lanes, s.delayed.lanes} {
		for _, l := range lanes {
			entries = append(entries, l.entries.takeAll()...)
		}
	}
	for _, l := range s.lanes { // those that a receiver has
		entries = append(entries, l.entries.takeAll()...)
	}
	s.reset(s.kind)
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.publication.rank, b.publication.rank) })
	return entries
}
