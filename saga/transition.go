package saga

// Input is what happens to an instance. The kinds are [Start], [Reply], [Tick] and [Act].
type Input interface{ input() }

// Start begins an instance. On one that exists it changes nothing.
type Start struct {
	ID  ID
	Key string // business key; may be empty
	// Data is the root's data, a value of the definition's data type.
	Data any
}

// Outcome says what a reply means.
type Outcome string

// The outcomes. Unsaid leaves it to the event's type.
const (
	Unsaid  Outcome = ""
	Success Outcome = "success"
	Failure Outcome = "failure"
	// Nothing acknowledges an undo that found nothing to undo.
	Nothing Outcome = "nothing"
)

// Reply is a participant's answer to one command.
type Reply struct {
	// Node is the path of the command's node, with the item's number: "rooms[3]/room".
	Node string
	// Direction is the command's.
	Direction Direction
	// Epoch is the command's. A refusal of an older epoch than the present one is ignored.
	Epoch   int
	Outcome Outcome
	// Event is the event, a struct value.
	Event any
}

// Tick says that a record's wake-up time has come. A tick that comes early or twice changes nothing.
type Tick struct {
	// Record is the record's key; "" is the root.
	Record string
}

// Action is what an operator does.
type Action string

// The actions.
const (
	// Retry issues a stuck or waiting node's command again, now, with fresh attempts.
	Retry Action = "retry"
	// Skip declares a stuck node done without effect, or its compensation given up.
	Skip Action = "skip"
	// Force ends the instance as it is.
	Force Action = "force"
	// Cancel makes the abort decision. Not after the pivot, nor while it is in flight.
	Cancel Action = "cancel"
)

// Act is an operator's action. It is audited, applied at most once for each ID, and only on the version it names.
type Act struct {
	// ID makes the action idempotent. Required.
	ID     string
	Action Action
	// Node is the path of the node to retry or skip. Empty means the only stuck one; in a fan-out it is to be named.
	Node string
	// Version is the version that the operator saw. Zero means any.
	Version int64
	// By and Why say who acts and for what reason. Required.
	By, Why string
}

func (Start) input() {}
func (Reply) input() {}
func (Tick) input()  {}
func (Act) input()   {}

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
