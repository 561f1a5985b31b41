package sim

import (
	"math/rand/v2"
)

// schedule decides what goes otherwise than well. Each decision is taken at a point, which has a name, and is a function of the
// seed and the name only. So a schedule is made smaller by letting all go well at some points: what happens at the others stays.
type schedule struct {
	seed  uint64
	odds  map[string]uint64 // in a thousand
	only  map[string]bool   // nil: wherever the seed says
	taken []string          // the points at which something went otherwise than well
	calm  bool              // all goes well from now on
}

// newSchedule draws how likely each class of faults is in this schedule: to explore far, most schedules have a few classes only.
func newSchedule(seed uint64, off, only []string) *schedule {
	s := &schedule{seed: seed, odds: map[string]uint64{}}
	for _, class := range Faults() {
		levels := []uint64{0, 0, 30, 120, 300}
		switch class {
		case Outages, Refusals, FailedUndos:
			levels = []uint64{0, 50, 150, 300}
		case Operators:
			levels = []uint64{0, 0, 20, 100}
		case EmptyReplies:
			levels = []uint64{0, 0, 0, 200}
		case Crashes, Losses, Duplicates, Delays:
		}
		s.odds[class] = levels[s.draw("odds of "+class)%uint64(len(levels))]
	}
	for _, class := range off {
		s.odds[class] = 0
	}
	if only != nil {
		s.only = make(map[string]bool, len(only))
		for _, point := range only {
			s.only[point] = true
		}
	}
	return s
}

// draw is a number that depends on the seed and the point only.
func (s *schedule) draw(point string) uint64 {
	x := s.seed*0x9e3779b97f4a7c15 ^ 0xcbf29ce484222325
	for i := range len(point) {
		x = (x ^ uint64(point[i])) * 0x100000001b3
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// strike returns which of the classes of faults happens at the point, if any, and a number to choose its details by.
func (s *schedule) strike(point string, classes ...string) (string, uint64) {
	if s.calm || s.only != nil && !s.only[point] {
		return "", 0
	}
	x := s.draw(point)
	lot := x % 1000
	for _, class := range classes {
		if lot < s.odds[class] {
			s.taken = append(s.taken, point)
			return class, x / 1000
		}
		lot -= s.odds[class]
	}
	return "", 0
}

// even is [schedule.strike] for what is no fault: it happens every second time.
func (s *schedule) even(point string) bool {
	if s.only != nil && !s.only[point] || s.draw(point)%2 == 0 {
		return false
	}
	s.taken = append(s.taken, point)
	return true
}

// source is a source of random numbers for the point.
func (s *schedule) source(point string) *rand.Rand {
	return rand.New(rand.NewPCG(s.seed, s.draw(point)))
}
