package saga

import "time"

type wait struct {
	on         *handler
	deadline   time.Duration
	onDeadline func(data any) // data is *D
}

// WaitNode waits for a signal from outside.
type WaitNode[D any] struct{ n *node }

func (w *WaitNode[D]) erase(D) *node {
	if w == nil {
		return nil
	}
	return w.n
}

// Wait waits until a [Signal] of type S arrives and takes it into the data. One that came before is kept and taken then; a
// second one changes nothing. Its only part is [Matching], for signals that are events with no word about sagas.
func Wait[D, S any](name string, on func(*D, S), parts ...Part[D]) *WaitNode[D] {
	n := &node{kind: KindWait, name: name, wait: &wait{}}
	if on == nil {
		n.flaws = append(n.flaws, "has no function for its signal: give it one")
	}
	n.wait.on = handlerOf(on)
	take(n, parts)
	return &WaitNode[D]{n: n}
}

// Deadline sets how long the signal is waited for. When it has passed the wait fails and the saga is aborted; after the
// pivot it is parked instead. Zero, the default, waits for ever.
func (w *WaitNode[D]) Deadline(d time.Duration) *WaitNode[D] {
	w.n.wait.deadline = d
	return w
}

// OnDeadline makes the saga go on when the deadline has passed, with what f makes of the data.
func (w *WaitNode[D]) OnDeadline(f func(*D)) *WaitNode[D] {
	if f == nil {
		w.n.flaws = append(w.n.flaws, "has an OnDeadline without a function: give it one")
		return w
	}
	w.n.wait.onDeadline = func(data any) { f(data.(*D)) } //nolint:errcheck,forcetypeassert // its scope's data
	return w
}

// SleepNode lets time go by.
type SleepNode[D any] struct{ n *node }

func (s *SleepNode[D]) erase(D) *node {
	if s == nil {
		return nil
	}
	return s.n
}

// Sleep waits for the duration that f tells from the data, to the millisecond. It outlives restarts and takes no resources but its row. Zero or less does not wait.
func Sleep[D any](name string, f func(D) time.Duration) *SleepNode[D] {
	n := &node{kind: KindSleep, name: name}
	if f == nil {
		n.flaws = append(n.flaws, "has no function for its duration: give it one")
	} else {
		n.sleep = func(data any) int64 { return f(*data.(*D)).Milliseconds() } //nolint:errcheck,forcetypeassert // its scope's data
	}
	return &SleepNode[D]{n: n}
}
