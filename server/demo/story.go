package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// story writes a saga's timeline while it happens.
type story struct {
	mu    sync.Mutex
	out   io.Writer
	begun time.Time
	err   error
}

func newStory(out io.Writer) *story { return &story{out: out} }

func (s *story) line(format string, args ...any) {
	if _, err := fmt.Fprintf(s.out, format+"\n", args...); err != nil && s.err == nil {
		s.err = err
	}
}

func (s *story) registered(id saga.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line("             POST /registrar-campaign answered Saga-Id: %s", id)
}

// tell is the coordinator's observer.
func (s *story) tell(t coordinator.Transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun.IsZero() {
		s.begun = t.State.Started
	}
	for _, l := range t.Log {
		if text := describe(l); text != "" {
			s.line("   %6.1f ms  %s", float64(l.At.Sub(s.begun).Microseconds())/1000, text)
		}
	}
}

func (s *story) ended(end saga.State, left counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line("\n   %s after %d transitions: %s", strings.ToUpper(string(end.Status)), end.Version, left)
}

// describe tells one line of the log in plain words.
func describe(l coordinator.LogEntry) string {
	verb := func(mark, what string) string {
		text := fmt.Sprintf("%s %-28s %s", mark, l.Node, what)
		if l.Detail != "" {
			text += ": " + l.Detail
		}
		return text
	}
	undoing := l.Direction == saga.UndoDirection
	switch l.Kind {
	case saga.LogStarted:
		return "● the saga begins"
	case saga.LogSent:
		what := "asked"
		if undoing {
			what = "asked to undo"
		}
		if l.Attempt > 1 {
			what = fmt.Sprintf("%s again (%d)", what, l.Attempt)
		}
		mark := "→"
		if undoing {
			mark = "←"
		}
		return verb(mark, what)
	case saga.LogAwaited:
		return awaited(l, undoing)
	case saga.LogSucceeded:
		return verb("✓", "done")
	case saga.LogRefused:
		return verb("✗", "refused")
	case saga.LogUndone:
		return verb("↶", "undone")
	case saga.LogTimedOut:
		return verb("?", "timed out")
	case saga.LogFannedOut:
		return verb("⋔", "side by side")
	case saga.LogAborted:
		return "■ no way forward, so back: " + l.Detail
	case saga.LogCompleted:
		return "● the saga is completed"
	case saga.LogCompensated:
		return "● the saga is compensated"
	default:
		return verb("!", string(l.Kind))
	}
}

// awaited tells whose turn the watcher of a choreography takes it to be.
func awaited(l coordinator.LogEntry, undoing bool) string {
	what := "awaited of " + l.Detail
	if undoing {
		what = "its undo awaited of " + l.Detail
	}
	return fmt.Sprintf("… %-28s %s", l.Node, what)
}
