// Package sagatest is the test kit for sagas: [Explore] is the simulator that users run on their own definitions, and [RunStore]
// the suite that every store of a coordinator passes.
//
// # Exploring a definition
//
//	func TestBookTrip(t *testing.T) { sagatest.Explore(t, BookTrip, sagatest.Schedules(1000)) }
//
// Each schedule is one instance, from its start to its end, in virtual time: the coordinator crashes between deciding, committing,
// publishing and acknowledging; messages are lost, come twice, late or in another order; participants refuse, fail and fall silent;
// signals come early, late or never; operators cancel, retry and pause. A schedule draws which of this happens, and how
// often, from its seed, so that a seed is the same schedule each time. Thousands take about a second.
//
// Participants are made up: each stands behind the barrier of package inbox, does what it is told and answers with the events that
// the step declares. Their fields are those of the command with the same name and type, or else filled by reflection. [Handle] puts a function of yours in the place of one, [Start] and [Signal] make the
// data that the saga gets from outside. [Always] and [Finally] add rules of your own; [World] gives each schedule fresh participants.
//
// # What is judged
//
// An auditor looks at what goes in and out, and knows the definition only from its description. It holds every
// transition against the rules R1 to R9 of package saga, and the definition against the other [Rule] constants. These are the
// mistakes that it finds in definitions:
//
//   - [RulePurity]: functions that read clocks, random numbers, counters or maps in their order; each transition is decided twice.
//   - [RulePanic]: functions that panic, on empty lists, maps that nobody made or fields that are not set.
//   - [RuleUndo]: an undo that needs the reply and does not say so, and one whose data a later step overwrites.
//   - R1: a command that a branch beside it changes before it is sent again.
//   - [RuleData] and [RuleDefinition]: data that is lost or grows too large, items that change while they are made.
//   - [RuleReply] and [RuleEffect]: participants that answer what no step expects, or leave effects behind.
//
// What broke a rule is a [Finding]. It tells the schedule with all taken out that does not matter to it, and its seed: with [Seed] the
// test runs that schedule alone. [Check] returns the finding as an error, for use outside of tests.
//
// Not simulated: several instances at once, [saga.StartOn], an operator's skip, edit and force, and what a real store and broker do
// wrong; replies are matched by payload only where [Handle] gives them.
//
// # Testing a store
//
//	func TestStore(t *testing.T) {
//		sagatest.RunStore(t, sagatest.StoreHarness{New: func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
//			return rolesOf(newStore(t)) // usually one value thrice
//		}})
//	}
//
// Each case is a promise of [coordinator.Store], [coordinator.Reader] or of the outbox filled by a commit, named as a sentence. Cases run
// in parallel, each on a store of its own or on a shared one: they use ids of their own.
//
// # Concurrency
//
// A call of [Explore] or [Check] runs its schedules one after the other and calls your functions from one goroutine. Several
// calls may run at once, also for one definition.
//
// Both are shown to fail: the suite on stores that are broken on purpose, the simulator on mistakes planted in definitions, in
// participants and in saga.Decide.
package sagatest
