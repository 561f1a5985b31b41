package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// Config says what is explored, and how.
type Config struct {
	// Definition is explored; its data is of type Data.
	Definition saga.Any
	Data       reflect.Type
	// Schedules is how many schedules are run, those with the seeds 1 to Schedules; Seed, if there is one, is the only one.
	Schedules int
	Seed      *uint64
	// Off are the classes of faults that do not happen, and Allowed the rules that may be broken.
	Off, Allowed []string
	// Decide is saga.Decide, or one with a mistake.
	Decide func(saga.Any, saga.State, saga.Input, time.Time) (saga.State, []saga.Effect, error)
	// World makes what is new in each schedule.
	World func() (World, error)
}

// World is what is outside of the saga.
type World struct {
	// Start makes the data to begin with. Nil: it is made up.
	Start func(*rand.Rand) any
	// Handlers are the participants by the type of the command, and Signals make signals by their type. Those of types that are not in the maps are made up.
	Handlers map[reflect.Type]Handler
	Signals  map[reflect.Type]func(*rand.Rand) any
	// Always and Finally judge the instance after each commit, and in the end.
	Always, Finally []func(saga.State) error
}

// Handler is a participant of one type of command.
type Handler struct {
	// Event is the type of the event that it answers with.
	Event reflect.Type
	// Handle carries the command out.
	Handle func(command any) (event any, err error)
}

// Finding is a rule that a schedule breaks.
type Finding struct {
	Seed     uint64 // the schedule's; 0 if none is needed to see it
	Rule     string
	What     string
	Timeline string // empty if no schedule is needed, or if it does not always break the rule
}

// Explorer runs schedules of one definition. It is not safe for concurrent use.
type Explorer struct {
	Config
	tree  *tree
	ends  map[saga.Status]int
	notes map[string]int  // other things that happened, in so many schedules
	sent  map[string]bool // the paths of steps whose command was sent
}

// New returns an explorer. It fails if the world does not fit the definition.
func New(c Config) (*Explorer, error) {
	if c.Decide == nil {
		c.Decide = saga.Decide
	}
	x := &Explorer{Config: c, ends: map[saga.Status]int{}, notes: map[string]int{}, sent: map[string]bool{}}
	var err error
	if x.tree, err = newTree(c.Definition); err != nil {
		return nil, err
	}
	_, err = x.world()
	return x, err
}

// world makes a schedule's world.
func (x *Explorer) world() (World, error) {
	w, err := x.World()
	errs := []error{err}
	for signal := range w.Signals {
		if !slices.ContainsFunc(x.tree.waits, func(s *spot) bool { return s.signal == signal }) {
			errs = append(errs, fmt.Errorf("no wait takes a signal of type %s", signal))
		}
	}
	for command, h := range w.Handlers {
		errs = append(errs, x.tree.fits(command, h.Event))
	}
	return w, errors.Join(errs...)
}

// Explore runs the schedules up to the first finding.
func (x *Explorer) Explore() (*Finding, error) {
	if v := unkept(x.Data, x.Definition.Name()); v != nil && !slices.Contains(x.Allowed, Data) {
		return &Finding{Rule: v.rule, What: v.what}, nil
	}
	first, last := uint64(1), uint64(x.Schedules)
	if x.Seed != nil {
		first, last = *x.Seed, *x.Seed
	}
	for seed := first; ; seed++ {
		r, err := x.run(seed, nil, false)
		if err != nil {
			return nil, err
		}
		if r.found != nil {
			return x.simplest(r, last)
		}
		x.count(r)
		if seed == last {
			return nil, nil
		}
	}
}

// simplest looks for a schedule that shows what was found, and perhaps not as much else: among the next ones, too.
func (x *Explorer) simplest(failed *run, last uint64) (*Finding, error) {
	const schedules, enough = 100, 8
	budget := shrinkEvents
	seed, needed := failed.seed, x.shrink(failed, &budget)
	for next, found := seed, 1; next < last && next-failed.seed < schedules && found < enough && len(needed) > 1 && budget > 0; {
		next++
		r, err := x.run(next, nil, false)
		if err != nil {
			return nil, err
		}
		budget -= r.events
		if r.found == nil || r.found.rule != failed.found.rule {
			continue
		}
		found++
		if fewer := x.shrink(r, &budget); len(fewer) < len(needed) {
			seed, needed = next, fewer
		}
	}
	told, err := x.run(seed, needed, true)
	if err != nil {
		return nil, err
	}
	if told.found == nil || told.found.rule != failed.found.rule {
		return &Finding{Seed: failed.seed, Rule: Purity, What: fmt.Sprintf(
			"the schedule of sagatest.Seed(%d) broke the rule %q once (%s), and not when it was run again: "+
				"a function of the definition or of the test depends on more than what it is given", failed.seed, failed.found.rule, failed.found.what)}, nil
	}
	told.tell("✗ the rule %q is broken", told.found.rule)
	return &Finding{Seed: seed, Rule: told.found.rule, What: told.found.what, Timeline: told.story.String()}, nil
}

// shrinkEvents bounds how much may happen, in all runs together, until the schedule that is shown is small.
const shrinkEvents = 60_000

// shrink drops what went otherwise than well, in ever smaller portions, as long as the same rule is broken, and returns what is needed.
func (x *Explorer) shrink(failed *run, budget *int) []string {
	needed := failed.taken
	for size := len(needed); size > 0 && *budget > 0; {
		dropped := false
		for from := 0; from < len(needed) && *budget > 0; {
			rest := append(append([]string{}, needed[:from]...), needed[min(from+size, len(needed)):]...)
			r, err := x.run(failed.seed, rest, false)
			if err != nil {
				return needed
			}
			*budget -= r.events
			if r.found != nil && r.found.rule == failed.found.rule {
				needed, dropped = r.taken, true
			} else {
				from += size
			}
		}
		if size == 1 && !dropped {
			break
		}
		size = max(1, size/2)
	}
	return append([]string{}, needed...) // nil would be all that the seed says
}

// count notes what the schedule reached.
func (x *Explorer) count(r *run) {
	x.ends[r.header.Status]++
	for what := range r.reached {
		x.notes[what]++
	}
	for _, f := range r.audit.order {
		if f.sent {
			x.sent[f.Path] = true
		}
	}
}

// Summary says what the schedules reached.
func (x *Explorer) Summary() string {
	var parts []string
	for _, s := range []saga.Status{saga.Completed, saga.Compensated} {
		parts = append(parts, fmt.Sprintf("%d %s", x.ends[s], s))
	}
	for _, what := range []string{reachedParked, reachedUnknown, reachedCrash} {
		parts = append(parts, fmt.Sprintf("%d %s", x.notes[what], what))
	}
	var never []string
	for _, s := range x.tree.steps {
		if !x.sent[s.Path] {
			never = append(never, s.Path)
		}
	}
	if len(never) > 0 {
		parts = append(parts, "never came to "+strings.Join(never, " and "))
	}
	return "schedules: " + strings.Join(parts, ", ")
}
