package sagatest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest/internal/sim"
)

// ErrOption says that an option does not fit the definition or another option.
var ErrOption = errors.New("sagatest: bad option")

// Fault is a class of things that go wrong in a schedule. [Without] switches classes off.
type Fault string

// The classes of faults.
const (
	// Crashes of the coordinator: before it commits, before it publishes what it committed, and before it
	// acknowledges what it published.
	Crashes Fault = sim.Crashes
	// Losses of commands, replies and signals on their way.
	Losses Fault = sim.Losses
	// Duplicates of starts, commands, replies, signals and operators' actions.
	Duplicates Fault = sim.Duplicates
	// Delays of commands, replies, signals and timers: from a moment, so that they overtake each other, to long after the step's
	// time-outs.
	Delays Fault = sim.Delays
	// Outages of a participant that gets no command, or that does what it is told and does not answer, until an operator mends it.
	Outages Fault = sim.Outages
	// Refusals of commands, with the step's failure event.
	Refusals Fault = sim.Refusals
	// FailedUndos are undos that the participant refuses some times.
	FailedUndos Fault = sim.FailedUndos
	// EmptyReplies are replies and signals with no field set, as from a participant of another version.
	EmptyReplies Fault = sim.EmptyReplies
	// Operators who cancel, who retry what is under way, and who pause the definition.
	Operators Fault = sim.Operators
)

// Rule is a promise that a schedule can break. R1 to R11 are those of package saga; the others are listed here.
type Rule string

// The rules about definitions and about what participants do.
const (
	// RulePurity: the functions of a definition depend on their arguments only.
	RulePurity Rule = sim.Purity
	// RulePanic: no function panics, whatever the data and the events hold.
	RulePanic Rule = sim.Panic
	// RuleData: data that was written can be read, and is what it was.
	RuleData Rule = sim.Data
	// RuleDefinition: the instance waits for an operator because of its participants only, not because of the definition.
	RuleDefinition Rule = sim.Definition
	// RuleUndo: an undo says what its command made, as far as the definition would have it said, even if the reply never
	// came and whatever later steps did to the data.
	RuleUndo Rule = sim.Undo
	// RuleReply: participants answer with the events that the step declares, and their keys are found.
	RuleReply Rule = sim.Reply
	// RuleEffect: a completed saga has every step's effect once, a compensated one none that was to be undone.
	RuleEffect Rule = sim.Effect
	// RuleEnd: every instance comes to its end once its participants work and operators do what they are asked to.
	RuleEnd Rule = sim.End
	// RuleTransition: versions count the transitions, and a transition needs no record twice.
	RuleTransition Rule = sim.Transition
	// RuleUser: what [Always] and [Finally] say.
	RuleUser Rule = sim.User
)

// Option configures [Explore] and [Check].
type Option struct{ apply func(*config) error }

// config is what the options say.
type config struct {
	sim.Config
	world  sim.World
	anew   func() []Option // what World gave
	start  reflect.Type    // what Start makes
	ending []ending
}

// ending is what [Finally] asked for.
type ending struct {
	data  reflect.Type
	judge func(saga.Any, saga.State) error
}

// Schedules says how many schedules are run, those with the seeds 1 to n. The default is 500.
func Schedules(n int) Option {
	return Option{func(c *config) error {
		if n < 1 {
			return fmt.Errorf("%w: Schedules(%d): at least 1", ErrOption, n)
		}
		c.Schedules = n
		return nil
	}}
}

// Seed runs the schedule with this seed only: it does the same each time.
func Seed(seed uint64) Option {
	return Option{func(c *config) error {
		c.Seed = &seed
		return nil
	}}
}

// Without switches classes of faults off. Without any fault every schedule is the way of success.
func Without(classes ...Fault) Option {
	return Option{func(c *config) error {
		for _, class := range classes {
			if !slices.Contains(sim.Faults(), string(class)) {
				return fmt.Errorf("%w: Without(%q): no such class of faults", ErrOption, class)
			}
			c.Off = append(c.Off, string(class))
		}
		return nil
	}}
}

// Start makes the data that each instance begins with; the source is seeded by the schedule. By default all fields that can be set
// are filled with short distinct values, and slices and maps with 0 to 3 of them.
func Start[D any](data func(*rand.Rand) D) Option {
	return Option{func(c *config) error {
		if data == nil {
			return fmt.Errorf("%w: Start without a function", ErrOption)
		}
		c.world.Start, c.start = func(r *rand.Rand) any { return data(r) }, reflect.TypeFor[D]()
		return nil
	}}
}

// Handle is the participant for commands of type C, in place of the one that answers with events that
// are made up. It stands behind the barrier, as handlers of package inbox do: it is called once for a command, and never for
// an undo that has nothing to undo. The event is the answer; an error made by messaging.Refuse is the failure event;
// with any other error the command is delivered again some times. Faults happen to it all the same: some
// commands are refused without it being called, and some of its replies are lost.
//
// What the function remembers must begin anew in each schedule: see [World].
func Handle[C, E any](f func(C) (E, error)) Option {
	return Option{func(c *config) error {
		command := reflect.TypeFor[C]()
		switch _, twice := c.world.Handlers[command]; {
		case f == nil:
			return fmt.Errorf("%w: Handle for %s without a function", ErrOption, command)
		case twice:
			return fmt.Errorf("%w: two Handles for %s: keep one", ErrOption, command)
		}
		c.world.Handlers[command] = sim.Handler{Event: reflect.TypeFor[E](), Handle: func(command any) (any, error) {
			return f(command.(C)) //nolint:errcheck,forcetypeassert // found by its type
		}}
		return nil
	}}
}

// Signal makes the signals of type S that waits wait for, in place of ones that are made up. The source is seeded by the schedule.
func Signal[S any](event func(*rand.Rand) S) Option {
	return Option{func(c *config) error {
		if event == nil {
			return fmt.Errorf("%w: Signal without a function", ErrOption)
		}
		c.world.Signals[reflect.TypeFor[S]()] = func(r *rand.Rand) any { return event(r) }
		return nil
	}}
}

// Always is called with the whole instance after every commit. Its error is a finding.
func Always(judge func(saga.State) error) Option {
	return Option{func(c *config) error {
		if judge == nil {
			return fmt.Errorf("%w: Always without a function", ErrOption)
		}
		c.world.Always = append(c.world.Always, judge)
		return nil
	}}
}

// Finally is called with the instance and its data when it has ended and nothing is under way any more. Its error is a finding.
// The end is completed or compensated.
func Finally[D any](judge func(end saga.State, data D) error) Option {
	return Option{func(c *config) error {
		if judge == nil {
			return fmt.Errorf("%w: Finally without a function", ErrOption)
		}
		c.ending = append(c.ending, ending{data: reflect.TypeFor[D](), judge: func(def saga.Any, end saga.State) error {
			var data D
			text, err := saga.DataJSON(def, end.Root)
			if err == nil {
				err = json.Unmarshal(text, &data)
			}
			if err != nil {
				return fmt.Errorf("the data cannot be read: %w", err)
			}
			return judge(end, data)
		}})
		return nil
	}}
}

// World is called at the beginning of each schedule and returns options that hold in it alone: [Handle], [Finally], [Always] and
// [Start] with functions that share what the participants remember.
func World(options func() []Option) Option {
	return Option{func(c *config) error {
		if options == nil || c.anew != nil {
			return fmt.Errorf("%w: World takes one function", ErrOption)
		}
		c.anew = options
		return nil
	}}
}

// Allow says that breaking a rule is no finding. It is for [RuleUndo], where participants know from the saga's id and the node's
// path what to undo, and for [RuleData], where the data's codec keeps what JSON does not; of the others none can be spared.
func Allow(rules ...Rule) Option {
	return Option{func(c *config) error {
		for _, rule := range rules {
			if rule != RuleUndo && rule != RuleData {
				return fmt.Errorf("%w: Allow(%q): only %s and %s can be allowed", ErrOption, rule, RuleUndo, RuleData)
			}
			c.Allowed = append(c.Allowed, string(rule))
		}
		return nil
	}}
}

// Finding is the error of a schedule that went wrong.
type Finding struct { //nolint:errname // it is looked at more than handled
	// Definition is the definition's name.
	Definition string
	// Seed is the schedule's; see [Seed].
	Seed uint64
	// Rule says which promise is broken.
	Rule Rule
	// What is broken, in a sentence.
	What string
	// Timeline tells the schedule, a line for each event, without whatever is not needed to break the rule. It is empty where
	// no schedule is needed to see it, or where the same schedule does not always break it.
	Timeline string
}

// Error returns all of it, in several lines.
func (f *Finding) Error() string {
	if f.Timeline == "" {
		return fmt.Sprintf("%s breaks the rule %q: %s", f.Definition, f.Rule, f.What)
	}
	return fmt.Sprintf("%s breaks the rule %q in the schedule of sagatest.Seed(%d):\n%s\n\n%s", f.Definition, f.Rule, f.Seed, f.What, f.Timeline)
}

// Explore runs the definition under many schedules and fails the test with the first finding.
func Explore[D any](t testing.TB, def *saga.Definition[D], options ...Option) {
	t.Helper()
	x, err := explorer(def, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := explore(x); err != nil {
		t.Fatal(err)
	}
	t.Log(x.Summary())
}

// Check is [Explore] for use outside of tests: it returns the first finding, a [*Finding], or an error that wraps [ErrOption].
func Check[D any](def *saga.Definition[D], options ...Option) error {
	x, err := explorer(def, options)
	if err != nil {
		return err
	}
	return explore(x)
}

func explore(x *sim.Explorer) error {
	found, err := x.Explore()
	if err != nil || found == nil {
		return err
	}
	return &Finding{Definition: x.Definition.Name(), Seed: found.Seed, Rule: Rule(found.Rule), What: found.What, Timeline: found.Timeline}
}

func explorer[D any](def *saga.Definition[D], options []Option) (*sim.Explorer, error) {
	if def == nil {
		return nil, fmt.Errorf("%w: no definition", ErrOption)
	}
	if saga.CoordinationOf(def).Choreographed {
		return nil, fmt.Errorf("%w: %s is one party's part in a choreography: explore the definition that it was made of", ErrOption, def.Name())
	}
	c := config{
		Config: sim.Config{Definition: def, Data: reflect.TypeFor[D](), Schedules: 500},
		world:  sim.World{Handlers: map[reflect.Type]sim.Handler{}, Signals: map[reflect.Type]func(*rand.Rand) any{}},
	}
	if err := c.apply(options); err != nil {
		return nil, err
	}
	c.World = c.makeWorld
	x, err := sim.New(c.Config)
	if err != nil && !errors.Is(err, ErrOption) {
		err = fmt.Errorf("%w: %w", ErrOption, err)
	}
	return x, err
}

// apply takes the options and checks that they fit the data.
func (c *config) apply(options []Option) error {
	var errs []error
	for _, o := range options {
		if o.apply == nil {
			errs = append(errs, fmt.Errorf("%w: a zero Option", ErrOption))
			continue
		}
		errs = append(errs, o.apply(c))
	}
	if c.start != nil && c.start != c.Data {
		errs = append(errs, fmt.Errorf("%w: Start makes %s, but the data of %s is %s", ErrOption, c.start, c.Definition.Name(), c.Data))
	}
	for _, e := range c.ending {
		if e.data != c.Data {
			errs = append(errs, fmt.Errorf("%w: Finally takes %s, but the data of %s is %s", ErrOption, e.data, c.Definition.Name(), c.Data))
		}
	}
	return errors.Join(errs...)
}

// makeWorld makes a schedule's world: what all share, and what is new in each.
func (c *config) makeWorld() (sim.World, error) {
	one := *c
	one.world.Handlers, one.world.Signals = maps.Clone(c.world.Handlers), maps.Clone(c.world.Signals)
	one.world.Always, one.ending = slices.Clip(c.world.Always), slices.Clip(c.ending)
	if c.anew != nil {
		one.anew = nil
		if err := one.apply(c.anew()); err != nil {
			return sim.World{}, err
		}
		if one.anew != nil || one.Schedules != c.Schedules || one.Seed != c.Seed || len(one.Off) != len(c.Off) || len(one.Allowed) != len(c.Allowed) {
			return sim.World{}, fmt.Errorf("%w: World, Schedules, Seed, Without and Allow do not belong into a World", ErrOption)
		}
	}
	for _, e := range one.ending {
		one.world.Finally = append(one.world.Finally, func(end saga.State) error { return e.judge(c.Definition, end) })
	}
	return one.world, nil
}
