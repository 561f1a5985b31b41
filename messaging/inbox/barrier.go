package inbox

import (
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// Verdict is what the barrier says about a command of a saga.
type Verdict int

// The verdicts.
const (
	// Run the handler, remember how it ended, and answer.
	Run Verdict = iota
	// Repeat the stored answer as it was given: this very command, or a later one, was handled.
	Repeat
	// Renew gives the stored answer again, to a command that was issued anew although the first had succeeded.
	Renew
	// Bar the command that this one undoes: it never took effect, and must not any more. The answer is Nothing.
	Bar
	// Ignore the command and answer nothing: what it asks for has been undone or barred.
	Ignore
	// Outdated is a command of an earlier instance than the one that is remembered under the saga's id: it must not take effect any more.
	Outdated
)

// Decide is the barrier. It settles, from what a participant remembers of a step, the three anomalies of
// commands that travel on their own: repeated commands, an undo whose do never came, and a do that comes after its
// undo. do and undo are the entries of the command's saga and node in either direction, nil where there is none. Those of an earlier instance
// with the saga's id count as none.
func Decide(c messaging.Correlation, do, undo *Entry) Verdict {
	if order(c, do) < 0 || order(c, undo) < 0 {
		return Outdated
	}
	if order(c, do) > 0 {
		do = nil
	}
	if order(c, undo) > 0 {
		undo = nil
	}
	switch {
	case c.Direction == messaging.Undo && undo != nil:
		return again(c, undo)
	case c.Direction == messaging.Undo && do != nil && do.Outcome == messaging.Success:
		return Run
	case c.Direction == messaging.Undo:
		return Bar
	case undo != nil || do != nil && do.Outcome == messaging.Nothing:
		return Ignore
	case do != nil:
		return again(c, do)
	default:
		return Run
	}
}

// again decides about a command whose direction was handled before.
func again(c messaging.Correlation, e *Entry) Verdict {
	switch {
	case c.Epoch <= e.Epoch:
		return Repeat
	case e.Outcome == messaging.Failure:
		return Run
	default:
		return Renew
	}
}

// order tells whether the command's instance was started before (-1), or after (1), that of the entry; if either is unknown they are one.
func order(c messaging.Correlation, e *Entry) int {
	if e == nil || e.Started.IsZero() || c.Started.IsZero() {
		return 0
	}
	return c.Started.Truncate(time.Microsecond).Compare(e.Started.Truncate(time.Microsecond))
}
