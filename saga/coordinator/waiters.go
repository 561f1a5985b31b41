package coordinator

import (
	"sync"

	"github.com/alpespartners/alpespartners/saga"
)

// waiters are those who wait for an instance to come to rest.
type waiters struct {
	mu  sync.Mutex
	all map[saga.ID]map[chan saga.State]struct{}
}

// add returns a channel that gets the instance whenever it has come to rest.
func (w *waiters) add(id saga.ID) (rested <-chan saga.State, forget func()) {
	ch := make(chan saga.State, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[saga.ID]map[chan saga.State]struct{}{}
	}
	if w.all[id] == nil {
		w.all[id] = map[chan saga.State]struct{}{}
	}
	w.all[id][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all[id], ch)
		if len(w.all[id]) == 0 {
			delete(w.all, id)
		}
	}
}

// tell gives the instance to all that wait for it. A state that was not looked at yet gives way to the new one.
func (w *waiters) tell(s saga.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all[s.ID] {
		select {
		case <-ch:
		default:
		}
		ch <- s // only tell sends, and it holds the lock
	}
}
