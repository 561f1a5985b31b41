package coordinator

import (
	"sync"

	"github.com/alpespartners/alpespartners/saga"
)

// waiters are those who wait for an instance to come to rest.
type waiters struct {
	mu  sync.Mutex
	all map[saga.ID]map[chan struct{}]struct{}
}

// add returns a channel that gets a value whenever the instance may have come to rest.
func (w *waiters) add(id saga.ID) (changed <-chan struct{}, forget func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[saga.ID]map[chan struct{}]struct{}{}
	}
	if w.all[id] == nil {
		w.all[id] = map[chan struct{}]struct{}{}
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

func (w *waiters) tell(id saga.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
