package saga_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// planner makes small definitions of every shape, nested in each other, that nobody would think of.
type planner struct {
	*rand.Rand
	names int
	left  int // parts that may still be planned
}

// randomSubject is the subject of the seed, of which at most so many states are walked.
func randomSubject(seed, most int) subject {
	r := &planner{Rand: rand.New(rand.NewPCG(uint64(seed), 7)), left: 4}
	sub := subject{
		name: fmt.Sprintf("seed %d", seed), refusals: r.IntN(2), most: most,
		cancels: r.one(3), skips: r.one(3), holds: r.one(6),
	}
	sub.plans = append(r.sequence(saga.Compensable, 3, 0), r.step(saga.Compensable))
	if r.one(2) {
		sub.plans = append(sub.plans, r.step(saga.Pivot))
		if r.one(2) {
			sub.plans = append(sub.plans, r.sequence(saga.Retriable, 2, 0)...)
		}
	}
	return sub
}

// one is true once in n times.
func (r *planner) one(n int) bool { return r.IntN(n) == 0 }

func (r *planner) name() string {
	r.names++
	return fmt.Sprintf("n%d", r.names)
}

func (r *planner) sequence(class saga.Class, most, depth int) []plan {
	var all []plan
	for range 1 + r.IntN(most) {
		if len(all) == 0 || r.left > 0 {
			all = append(all, r.node(class, depth))
		}
	}
	return all
}

func (r *planner) node(class saga.Class, depth int) plan {
	kind := r.IntN(14)
	if depth >= 2 {
		kind = 7 + kind/2
	}
	switch {
	case kind < 2:
		return r.fan(class, depth)
	case kind < 5:
		return parallelOf(r.name(), r.node(class, depth+1), r.node(class, depth+1))
	case kind < 6:
		return sequenceOf(r.name(), r.sequence(class, 2, depth+1)...)
	case kind < 7:
		then := append([]plan{r.step(class)}, r.sequence(class, 1, depth+1)...)
		return ifOf(r.name(), r.one(2), then, []plan{r.step(class)})
	case kind < 9:
		r.left--
		p := waitOf(r.name()).waits(r.time())
		p.onDeadline = r.one(3)
		return p
	case kind < 10:
		r.left--
		return sleepOf(r.name()).waits(r.time())
	default:
		return r.step(class)
	}
}

func (r *planner) fan(class saga.Class, depth int) plan {
	p := fanOf(r.name(), r.sequence(class, 2, depth+1)...)
	if class == saga.Compensable {
		p.tolerate = r.IntN(2)
	}
	if r.one(2) {
		p.atMost = 1
	}
	return p
}

func (r *planner) step(class saga.Class) plan {
	r.left--
	p := ofClass(r.name(), class)
	if class == saga.Compensable {
		p = stepOf(p.name, []ack{noUndo, anyReply, ownEvent, byFailure, unacked, unacked}[r.IntN(6)])
		p.needsReply = p.ack != noUndo && r.one(5)
	}
	if r.one(4) {
		p.attempts = 2
	}
	return p.waits(r.time())
}

func (r *planner) time() time.Duration { return time.Duration(1+r.IntN(2)) * time.Second }

// TestExploreRandomShapes does for the first states of random definitions what [TestExplore] does for all of some.
func TestExploreRandomShapes(t *testing.T) {
	t.Parallel()
	seeds, most := 30, 250
	if *deep {
		seeds, most = 1000, 3000
	}
	var all []subject
	for seed := range seeds {
		all = append(all, randomSubject(seed, most))
	}
	exploreEach(t, all)
}
