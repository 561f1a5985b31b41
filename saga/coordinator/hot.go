package coordinator

import (
	"sync"

	"github.com/alpespartners/alpespartners/saga"
)

const (
	// maxHot and maxHotBytes bound what one of the two generations of hot instances holds.
	maxHot      = 4096
	maxHotBytes = 8 << 20
)

// hot are the instances as this coordinator committed them last, so that the next transition need not read them. Another process may
// have taken one on since: what was decided from here counts only once its commit has found the version unchanged, and what
// leads to no commit is decided again from the store. It may be used from several goroutines.
type hot struct {
	mu            sync.Mutex
	recent, older map[saga.ID]saga.State
	bytes         int
}

// get returns the instance with its root record, if it is here with its data.
func (h *hot) get(id saga.ID) (saga.State, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.recent[id]; ok {
		return s, true
	}
	s, ok := h.older[id]
	return s, ok
}

// put keeps an instance that was committed. One at rest is let go: only the store knows what an operator or another process does to it.
func (h *hot) put(s saga.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.older, s.ID)
	if s.Root.Data == nil || s.Status.Terminal() || s.Status == saga.Parked {
		delete(h.recent, s.ID)
		return
	}
	if h.recent == nil || len(h.recent) >= maxHot || h.bytes >= maxHotBytes {
		h.older, h.recent, h.bytes = h.recent, map[saga.ID]saga.State{}, 0
	}
	s.Items = nil
	h.recent[s.ID] = s
	h.bytes += len(s.Root.Data)
}

func (h *hot) drop(id saga.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.recent, id)
	delete(h.older, id)
}
