package saga_test

import (
	"fmt"

	"github.com/alpespartners/alpespartners/saga"
)

// place is a node of an instance: items are there as often as there are any, and of an If only what is taken.
type place struct {
	spec
	path string
	up   *place
	kids []*place // of a fan-out its items, which are sequences of kind [item]
	// Of a step, a wait or a sleep: which of them come before and after it.
	before, after []*place
}

// item is the kind of the places that are items of a fan-out.
const item saga.Kind = "item"

// placed lays the instance out.
func placed(specs []spec) *place {
	root := &place{spec: spec{Kind: saga.KindSequence}}
	root.lay("", specs)
	root.order()
	return root
}

func (p *place) lay(prefix string, specs []spec) {
	for _, s := range specs {
		kid := &place{spec: s, path: joined(prefix, s.Name), up: p}
		p.kids = append(p.kids, kid)
		switch s.Kind {
		case saga.KindForEach:
			for i := range s.Items {
				key := fmt.Sprintf("%s[%d]", kid.path, i)
				one := &place{spec: spec{Kind: item}, path: key, up: kid}
				one.lay(key, s.Kids)
				kid.kids = append(kid.kids, one)
			}
		case saga.KindIf:
			name, taken := s.taken()
			kid.lay(joined(kid.path, name), taken)
		default:
			kid.lay(kid.path, s.Kids)
		}
	}
}

func joined(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// order tells the leaves what comes before and after them, and returns the leaves.
func (p *place) order() []*place {
	if p.leaf() {
		return []*place{p}
	}
	var all []*place
	for _, kid := range p.kids {
		part := kid.order()
		if p.Kind != saga.KindParallel && p.Kind != saga.KindForEach {
			for _, earlier := range all {
				for _, later := range part {
					earlier.after = append(earlier.after, later)
					later.before = append(later.before, earlier)
				}
			}
		}
		all = append(all, part...)
	}
	return all
}

func (p *place) leaf() bool {
	return p.Kind == saga.KindStep || p.Kind == saga.KindWait || p.Kind == saga.KindSleep
}

// leaves are the steps, waits and sleeps at or below the place.
func (p *place) leaves() []*place {
	if p.leaf() {
		return []*place{p}
	}
	var all []*place
	for _, kid := range p.kids {
		all = append(all, kid.leaves()...)
	}
	return all
}
