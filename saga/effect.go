package saga

// Effect is what a transition asks of the shell. The kinds are [Send], [Log] and [Audit].
// All effects of a transition are committed together with the new state, before any is carried out.
type Effect interface{ effect() }

// Send sends a command to its participant.
type Send struct {
	// Node is the node's path.
	Node      string
	Direction Direction
	Epoch     int
	// Attempt counts from 1.
	Attempt int
	// ID is [MessageID] of the above: a resend has the same.
	ID string
	// Command is the command, a struct value.
	Command any
}

// Log is a line of the instance's story.
type Log struct {
	Kind LogKind
	// Node is the path of the node it is about; "" is the instance as a whole.
	Node      string
	Direction Direction
	Attempt   int
	// Detail is free text: a reason, a note. It never holds data of the saga.
	Detail string
}

// LogKind says what happened.
type LogKind string

// The kinds of log lines.
const (
	LogStarted     LogKind = "started"
	LogSent        LogKind = "sent"
	LogSucceeded   LogKind = "succeeded"
	LogRefused     LogKind = "refused"
	LogTimedOut    LogKind = "timed-out"
	LogUndone      LogKind = "undone"
	LogUndoFailed  LogKind = "undo-failed"
	LogFannedOut   LogKind = "fanned-out"
	LogLate        LogKind = "late-reply"
	LogAborted     LogKind = "aborted"
	LogParked      LogKind = "parked"
	LogOperator    LogKind = "operator"
	LogCompleted   LogKind = "completed"
	LogCompensated LogKind = "compensated"
	LogForced      LogKind = "forced"
)

// Audit is the record of an operator's action.
type Audit struct {
	Act Act
	// Before and After are the instance's status, or the node's phase, around the action.
	Before, After string
}

func (Send) effect()  {}
func (Log) effect()   {}
func (Audit) effect() {}
