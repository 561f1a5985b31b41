package saga

// Input is what happens to an instance. The kinds are [Start], [Reply], [Signal], [Tick], [Act] and [Hold].
type Input interface{ input() }

// Start begins an instance. On one that exists it changes nothing.
type Start struct {
	ID  ID
	Key string // business key; may be empty; see [MaxKey]
	// Data is the root's data, a value of the definition's data type.
	Data any
}

// Outcome says what a reply means.
type Outcome string

// The outcomes; any other is an [ErrUnexpectedReply]. Unsaid leaves it to the event's type.
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
	// Epoch is the command's, or [AnyEpoch]. A refusal of an older epoch than the present one is ignored.
	Epoch   int
	Outcome Outcome
	// Event is the event, a struct value.
	Event any
}

// AnyEpoch is the epoch of a reply that echoes none: it answers the present command.
const AnyEpoch = -1

// Signal is what a [Wait] waits for. It is taken once, whenever it comes; to an instance that is at its end or undone it changes nothing.
type Signal struct {
	// Node is the path of the wait, with the item's number: "rooms[3]/approval".
	Node string
	// Event is a value of the type that the wait declares.
	Event any
}

// Hold is an input to an instance whose definition is paused: it is recorded, but what it would send is held back as a tick
// that is due, and goes out with the first one.
type Hold struct {
	Input Input
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
	// Skip declares a stuck node, a wait or a sleep done without effect, or a stuck compensation given up.
	Skip Action = "skip"
	// Force ends the instance as it is.
	Force Action = "force"
	// Cancel makes the abort decision. Not after the pivot, nor while it is in flight.
	Cancel Action = "cancel"
	// Edit replaces the data of the instance, or of the item that Node names, with [Act.Data].
	Edit Action = "edit"
)

// Act is an operator's action. It is audited, applied at most once for each ID, and only on the version it names.
type Act struct {
	// ID makes the action idempotent. Required.
	ID     string
	Action Action
	// Node is the path of the node to retry or skip. Empty means the only stuck one; in a fan-out it is to be named. Of an edit it is
	// the item's key, such as "rooms[3]", or empty for the instance's own data.
	Node string
	// Data is an edit's new data as JSON, whole. Fields that the type does not have are refused, as is what its Validate
	// method, if it has one, returns an error for.
	Data string
	// Version is the version that the operator saw. Zero means any.
	Version int64
	// By and Why say who acts and for what reason. Required.
	By, Why string
}

func (Start) input()  {}
func (Reply) input()  {}
func (Signal) input() {}
func (Tick) input()   {}
func (Act) input()    {}
func (Hold) input()   {}

// Effect is what a transition asks of the shell. The kinds are [Send], [Expect], [Log] and [Audit].
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
	// First says that the node was never sent a command before.
	First bool
	// ID is [MessageID] of node, direction and epoch: a resend has the same.
	ID string
	// Command is the command, a struct value.
	Command any
}

// Expect says that the instance waits for an event with the key, and to which node it belongs (R11). The same expectation may be told
// again, and is kept until the instance is at its end.
type Expect struct {
	// Node is the node's path, with the item's number.
	Node      string
	Direction Direction
	Epoch     int
	// Key is 64 hexadecimal digits: see [MatchKeys].
	Key string
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
	LogAwaited     LogKind = "awaited" // in a choreography: another service's turn
	LogHeld        LogKind = "held"    // the definition is paused
	LogWaiting     LogKind = "waiting"
	LogSignalled   LogKind = "signalled"
	LogChosen      LogKind = "chosen"
	LogTolerated   LogKind = "tolerated"
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
	// Act is the action, without the data of an edit.
	Act Act
	// Before and After are the instance's status, the node's phase, or the edited data in its stored form (as base64 where it is no text)
	// around the action.
	Before, After string
}

func (Send) effect()   {}
func (Expect) effect() {}
func (Log) effect()    {}
func (Audit) effect()  {}
