package rule

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Check collects the faults of one command. The zero Check is ready for use; it is for one goroutine.
type Check struct {
	faults []Fault
}

// Add states a fault.
func (c *Check) Add(field, problem, fix string) {
	c.faults = append(c.faults, Fault{Field: field, Problem: problem, Fix: fix})
}

// Text states the rule for optional free text of at most max characters.
func (c *Check) Text(field, value string, max int) {
	switch n := utf8.RuneCountInString(value); {
	case !utf8.ValidString(value):
		c.Add(field, "is not valid UTF-8", "send text")
	case strings.ContainsRune(value, 0):
		c.Add(field, "contains a NUL character", "send text")
	case n > max:
		c.Add(field, fmt.Sprintf("has %d characters", n), fmt.Sprintf("give at most %d", max))
	}
}

// Name states the rule for required free text of at most max characters: it must not be blank.
func (c *Check) Name(field, value string, max int) {
	if strings.TrimSpace(value) == "" {
		c.Add(field, "is empty", fmt.Sprintf("give 1 to %d characters", max))
		return
	}
	c.Text(field, value, max)
}

// ID states the rule for an id of at most max characters that somebody else has made. It is
// opaque, but white space and control characters have no place in it: databases do not agree on whether they matter.
func (c *Check) ID(field, value string, max int) {
	if strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		c.Add(field, "contains white space or control characters", fmt.Sprintf("give 1 to %d characters without", max))
		return
	}
	c.Name(field, value, max)
}

// UUID states the rule for an id of our own. There is one spelling for each, since ids are compared as text.
func (c *Check) UUID(field, value string) {
	if id, err := uuid.Parse(value); err != nil || id.String() != value {
		c.Add(field, "is not a UUID", "write it in lower case with hyphens, as RFC 9562 does")
	}
}

// Err returns an [*Error] that wraps sentinel, or nil if no fault was stated.
func (c *Check) Err(sentinel error) error {
	if len(c.faults) == 0 {
		return nil
	}
	return &Error{Faults: c.faults, sentinel: sentinel}
}

// Legible returns s as an event may repeat it: what is not UTF-8 is replaced by U+FFFD.
func Legible(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
