// Package sim is the engine of sagatest.Explore: it runs one instance of a definition under a schedule, judges what it sees, and makes the
// schedule small when a rule is broken.
//
// A [Explorer] plays schedules. Each is a run: the coordinator with its store and outbox, the network, the participants behind
// the barrier of package inbox, and operators, on one queue of events in virtual time. Whatever may go wrong does so at a point with a
// name, by a function of the seed and that name; so a schedule is made smaller by letting all go well at some points. The audit judges from
// outside, by the tree of the definition's description.
//
// Nothing here depends on the order of a map, a clock or a goroutine: the same seed is the same run.
package sim

// The classes of faults.
const (
	Crashes      = "crashes"
	Losses       = "losses"
	Duplicates   = "duplicates"
	Delays       = "delays"
	Outages      = "outages"
	Refusals     = "refusals"
	FailedUndos  = "failed undos"
	EmptyReplies = "empty replies"
	Operators    = "operators"
)

// Faults returns all classes of faults.
func Faults() []string {
	return []string{Crashes, Losses, Duplicates, Delays, Outages, Refusals, FailedUndos, EmptyReplies, Operators}
}

// The rules besides R1 to R9; see package sagatest.
const (
	Purity     = "purity"
	Panic      = "panic"
	Data       = "data"
	Definition = "definition"
	Undo       = "undo"
	Reply      = "reply"
	Effect     = "effect"
	End        = "end"
	Transition = "transition"
	User       = "yours"
)
