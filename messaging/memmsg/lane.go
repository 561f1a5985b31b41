package memmsg

import "slices"

// lane is a queue of entries that are delivered in order. It is in the ready heap, in the delayed heap, or
// busy.
type lane struct {
	key      string // empty: made for one unordered entry
	entries  queue[entry]
	returned []entry // to be delivered again, while giveBack collects them
	busy     bool    // a receiver has entries of this lane
	place    int     // index in its heap; -1: in none
}

// laneHeap implements [heap.Interface]; every lane in it has an entry.
type laneHeap struct {
	lanes []*lane
	less  func(a, b *lane) bool
}

func (h *laneHeap) Len() int           { return len(h.lanes) }
func (h *laneHeap) Less(i, j int) bool { return h.less(h.lanes[i], h.lanes[j]) }

func (h *laneHeap) Swap(i, j int) {
	h.lanes[i], h.lanes[j] = h.lanes[j], h.lanes[i]
	h.lanes[i].place, h.lanes[j].place = i, j
}

func (h *laneHeap) Push(x any) {
	l := x.(*lane) //nolint:errcheck,forcetypeassert // the heap holds nothing else
	l.place = len(h.lanes)
	h.lanes = append(h.lanes, l)
}

func (h *laneHeap) Pop() any {
	last := len(h.lanes) - 1
	l := h.lanes[last]
	h.lanes[last] = nil
	h.lanes = h.lanes[:last]
	l.place = -1
	return l
}

// queue is a first-in first-out queue that also takes elements back at its front.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int  { return len(q.items) - q.head }
func (q *queue[T]) front() *T { return &q.items[q.head] }

func (q *queue[T]) push(item T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

func (q *queue[T]) pop() T {
	var zero T
	item := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item
}

// unshift puts items before the first.
func (q *queue[T]) unshift(items []T) {
	if len(items) > q.head {
		q.items, q.head = append(slices.Clone(items), q.items[q.head:]...), 0
		return
	}
	q.head -= len(items)
	copy(q.items[q.head:], items)
}

func (q *queue[T]) takeAll() []T {
	items := q.items[q.head:]
	q.items, q.head = nil, 0
	return items
}
