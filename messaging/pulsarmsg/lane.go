package pulsarmsg

import "slices"

// laneState says where a lane is.
type laneState int

const (
	busy     laneState = iota // a receiver has entries of it
	waiting                   // in the heap of those that are delayed
	runnable                  // in the queue of those that can be delivered
)

// lane is a queue of entries that are delivered in order.
type lane struct {
	key      string // empty: made for one unordered entry
	state    laneState
	turn     uint64 // the take that made it busy
	entries  queue[entry]
	returned []entry // to be delivered again, while giveBack collects them
}

// laneHeap implements [container/heap.Interface] by due time; every lane in it has an entry.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	return h[i].entries.front().due.Before(h[j].entries.front().due)
}
func (h laneHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements the interface.
func (h *laneHeap) Push(x any) {
	*h = append(*h, x.(*lane)) //nolint:errcheck,forcetypeassert // the heap holds nothing else
}

// Pop implements the interface.
func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
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
