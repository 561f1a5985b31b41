package messaging

import (
	"errors"
	"hash/fnv"
	"strconv"
	"sync"
	"time"
)

// Backoff is an exponential backoff: Base after the first failed attempt, twice that after the second, and so
// on up to Max, each shortened by up to a half.
type Backoff struct {
	// Base is the delay after the first failure. Zero means 100 ms.
	Base time.Duration
	// Max bounds the delay. Zero means 30 s.
	Max time.Duration
}

func (b Backoff) withDefaults() Backoff {
	if b.Base == 0 {
		b.Base = 100 * time.Millisecond
	}
	if b.Max == 0 {
		b.Max = max(30*time.Second, b.Base)
	}
	return b
}

func (b Backoff) validate() error {
	if b.Base < 0 || b.Max < b.Base {
		return errors.New("messaging: Backoff needs 0 <= Base <= Max")
	}
	return nil
}

// Delay returns how long to wait after the given number of failed attempts, 1 for the first. The jitter is a
// function of identity and attempt: the same arguments give the same delay, and two messages that fail together
// do not come back together.
func (b Backoff) Delay(attempt int, identity string) time.Duration {
	b = b.withDefaults()
	delay := b.Base
	for i := 1; i < attempt && delay < b.Max; i++ {
		delay *= 2
		if delay <= 0 { // overflow
			delay = b.Max
		}
	}
	delay = min(delay, b.Max)
	h := fnv.New64a()
	h.Write([]byte(identity))
	h.Write(strconv.AppendInt(nil, int64(attempt), 10))
	return delay - time.Duration(h.Sum64()%uint64(delay/2+1))
}

// attemptsKept bounds the failing messages that are remembered; beyond it the longest quiet are forgotten,
// which costs them additional attempts.
const attemptsKept = 16384

// tally counts the failures of one message; panics are among the failures.
type tally struct {
	failures, panics int
}

// attempts counts failed attempts by message. The broker's own count will not do: it also counts deliveries
// that were delayed on purpose, held behind another message or cut short by a shutdown. Its two generations
// bound it, as messages settled by another consumer are never forgotten one by one.
type attempts struct {
	mu            sync.Mutex
	recent, older map[string]tally
}

func (a *attempts) add(m Message, panicked bool) tally {
	id := m.Identity()
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.recent[id]
	if !ok {
		t = a.older[id]
		delete(a.older, id)
	}
	t.failures++
	if panicked {
		t.panics++
	}
	if a.recent == nil || !ok && len(a.recent) >= attemptsKept/2 {
		a.older, a.recent = a.recent, make(map[string]tally)
	}
	a.recent[id] = t
	return t
}

func (a *attempts) forget(m Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.recent)+len(a.older) == 0 { // spares the common case the identity
		return
	}
	id := m.Identity()
	delete(a.recent, id)
	delete(a.older, id)
}
