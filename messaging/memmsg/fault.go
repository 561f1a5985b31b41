package memmsg

import (
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// ErrFault is what a publisher gets for a message that a [Fault] dropped or failed.
var ErrFault = errors.New("memmsg: injected fault")

// Fault is what goes wrong with one publish. The zero value lets it pass.
type Fault struct {
	// Drop loses the message: nobody gets it, and the publisher gets [ErrFault].
	Drop bool
	// Fail gives the publisher [ErrFault] although the message is delivered.
	Fail bool
	// Duplicate delivers the message twice to each subscription, the second time as after a lost
	// acknowledgement: with a Delivery of 2.
	Duplicate bool
	// Delay is how long the first delivery is held up. On ordered subscriptions the later messages of its key
	// wait for it.
	Delay time.Duration
	// Behind lets up to that many later messages overtake it, as far as they are there, on Shared
	// subscriptions.
	Behind int
}

// Odds are the probabilities of the faults, each from 0 to 1. The zero value is a perfect broker.
type Odds struct {
	// Drop, Fail, Duplicate, Delay and Behind are the odds of the fields of [Fault].
	Drop, Fail, Duplicate, Delay, Behind float64
	// MaxDelay bounds a delay. Zero means 10 ms.
	MaxDelay time.Duration
	// MaxBehind bounds how many messages overtake one. Zero means 4.
	MaxBehind int
}

// Script returns a function for [Config.Fault] that draws faults by the seed. What happens to a message depends
// on the seed, the message's identity (where it has no ID: its topic, key and payload) and how often that was
// published before, but not on what else goes on: two runs with one seed see the same faults.
func Script(seed uint64, odds Odds) func(messaging.Message) Fault {
	if odds.MaxDelay <= 0 {
		odds.MaxDelay = 10 * time.Millisecond
	}
	if odds.MaxBehind <= 0 {
		odds.MaxBehind = 4
	}
	var mu sync.Mutex
	published := make(map[uint64]uint64)
	return func(m messaging.Message) Fault {
		h := fnv.New64a()
		for _, part := range []string{m.Topic, m.ID, m.Key} {
			h.Write([]byte(part))
			h.Write([]byte{0})
		}
		if m.ID == "" {
			h.Write(m.Payload)
		}
		identity := h.Sum64()
		mu.Lock()
		nth := published[identity]
		published[identity]++
		mu.Unlock()
		r := rand.New(rand.NewPCG(seed, identity+nth))
		return Fault{
			Drop:      r.Float64() < odds.Drop,
			Fail:      r.Float64() < odds.Fail,
			Duplicate: r.Float64() < odds.Duplicate,
			Delay:     time.Duration(chance(r, odds.Delay, int64(odds.MaxDelay))),
			Behind:    int(chance(r, odds.Behind, int64(odds.MaxBehind))),
		}
	}
}

// chance returns 1 to limit with the given odds, else 0. It always draws twice, so that the odds of one fault
// do not move the others.
func chance(r *rand.Rand, odds float64, limit int64) int64 {
	hit, n := r.Float64() < odds, 1+r.Int64N(limit)
	if !hit {
		return 0
	}
	return n
}
