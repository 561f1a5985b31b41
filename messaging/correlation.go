package messaging

import (
	"maps"
	"strconv"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
)

// The headers that tie a reply to its command. A participant, in whatever language, echoes all of those that the command has, but for
// HeaderSince, and adds HeaderOutcome.
const (
	HeaderSaga      = "saga-id"
	HeaderNode      = "saga-node"
	HeaderDirection = "saga-direction"
	HeaderEpoch     = "saga-epoch"
	// HeaderDefinition is on the messages of choreographed sagas only; see [Correlation].
	HeaderDefinition = "saga-definition"
	// HeaderStarted and HeaderSince are times, RFC 3339 in UTC; see [Correlation]. Replies need not have the latter.
	HeaderStarted = "saga-started"
	HeaderSince   = "saga-since"
	// HeaderOutcome is on replies only: "success", "failure" or "nothing"; see [Outcome]. Any other value makes the reply a dead letter. A reply
	// without it is taken by its event's type, by the coordinator; an inbox that handles such events takes it for a command. A reply
	// that has it and no saga answers a command of no saga.
	HeaderOutcome = "saga-outcome"
	// HeaderTraceparent is the W3C trace context.
	HeaderTraceparent = "traceparent"
)

// Direction says whether a command does a step or undoes it.
type Direction string

// The directions.
const (
	Do   Direction = "do"
	Undo Direction = "undo"
	// Signal is the direction of a message that tells a waiting saga something. It is no command and answers none:
	// [CorrelationOf] does not read it.
	Signal Direction = "signal"
)

// Outcome says what a reply means, independently of its event's type.
type Outcome string

// The outcomes. They are what [HeaderOutcome] holds, in lower case.
const (
	// Success: the command took effect.
	Success Outcome = "success"
	// Failure: the command was refused and had no effect.
	Failure Outcome = "failure"
	// Nothing: an undo found nothing to undo, and has barred the command that it undoes.
	Nothing Outcome = "nothing"
)

// Correlation says which command of which conversation a message is, or answers. Two messages whose
// Correlation is equal but for Since are the same command.
type Correlation struct {
	// Saga is the conversation's id. Empty: the message belongs to none.
	Saga string
	// Node is the path of the step in its definition, with the item's number in a fan-out.
	Node string
	// Direction is Do or Undo.
	Direction Direction
	// Epoch starts at 0 and grows when a refused command is deliberately issued anew.
	Epoch int
	// Definition tells the parties of a choreography which one the message belongs to. Empty where a coordinator sends the commands.
	Definition string
	// Started is when the instance was started that has the saga's id: an id may be used again once its instance was removed. Zero is unknown.
	Started time.Time
	// Since is the earliest time at which a command of the step may have been sent, which tells a participant whether its memory goes back far
	// enough. Zero: not before Started.
	Since time.Time
}

// CorrelationOf reads the correlation from m's headers. ok is false where m belongs to no
// conversation or a header is missing or malformed, as is one that is not UTF-8 without NUL: not every store can keep or look it up.
func CorrelationOf(m Message) (c Correlation, ok bool) {
	c = Correlation{
		Saga: m.Headers[HeaderSaga], Node: m.Headers[HeaderNode], Direction: Direction(m.Headers[HeaderDirection]),
		Definition: m.Headers[HeaderDefinition],
	}
	epoch, err := strconv.Atoi(m.Headers[HeaderEpoch])
	c.Epoch = epoch
	ok = err == nil && epoch >= 0 && c.Saga != "" && c.Node != "" && (c.Direction == Do || c.Direction == Undo)
	ok = ok && legible.Is(c.Saga) && legible.Is(c.Node) && legible.Is(c.Definition)
	var started, since bool
	c.Started, started = parseTime(m.Headers[HeaderStarted])
	c.Since, since = parseTime(m.Headers[HeaderSince])
	return c, ok && started && since
}

// parseTime reads a header that may be missing.
func parseTime(text string) (t time.Time, ok bool) {
	if text == "" {
		return t, true
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	return t.UTC(), err == nil
}

// Stamp returns m with c in its headers.
func (c Correlation) Stamp(m Message) Message {
	headers := make(map[string]string, len(m.Headers)+8)
	maps.Copy(headers, m.Headers)
	headers[HeaderSaga] = c.Saga
	headers[HeaderNode] = c.Node
	headers[HeaderDirection] = string(c.Direction)
	headers[HeaderEpoch] = strconv.Itoa(c.Epoch)
	if c.Definition != "" {
		headers[HeaderDefinition] = c.Definition
	}
	if !c.Started.IsZero() {
		headers[HeaderStarted] = c.Started.UTC().Format(time.RFC3339Nano)
	}
	delete(headers, HeaderSince)
	if !c.Since.IsZero() {
		headers[HeaderSince] = c.Since.UTC().Format(time.RFC3339Nano)
	}
	m.Headers = headers
	return m
}
