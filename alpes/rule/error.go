package rule

import (
	"errors"
	"fmt"
	"strings"
)

// Fault is one thing that is wrong with a command.
type Fault struct {
	// Field is its path as the command spells it in JSON, such as "participants[2].name".
	Field string
	// Problem completes a sentence that begins with the field: "is empty".
	Problem string
	// Fix says what would be right: "give 1 to 100 characters".
	Fix string
}

// String returns the fault as one sentence.
func (f Fault) String() string { return f.Field + " " + f.Problem + ": " + f.Fix }

// Error is everything that is wrong with one command. It wraps the sentinel of the context that
// refused, such as campaign.ErrInvalid.
type Error struct {
	// Faults are in the order in which the rules were stated. There is at least one.
	Faults []Fault

	sentinel error
}

// reasonFaults bounds the text of an error, which travels in message headers.
const reasonFaults = 10

// Reason returns the faults as one line, the first ten of them in full.
func (e *Error) Reason() string {
	shown := e.Faults[:min(len(e.Faults), reasonFaults)]
	sentences := make([]string, len(shown), len(shown)+1)
	for i, fault := range shown {
		sentences[i] = fault.String()
	}
	if more := len(e.Faults) - len(shown); more > 0 {
		sentences = append(sentences, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(sentences, "; ")
}

// Error returns the sentinel's text and the reason.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s", e.sentinel, e.Reason()) }

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.sentinel }

// Reason returns what an event should say of err: the reason of an [*Error] in its chain, else err's text.
func Reason(err error) string {
	if invalid, ok := errors.AsType[*Error](err); ok {
		return invalid.Reason()
	}
	return err.Error()
}
