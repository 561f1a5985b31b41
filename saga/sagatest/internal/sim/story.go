package sim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// story is a run as people read it.
type story struct{ lines []line }

type line struct {
	at   time.Duration
	text string
}

func (s *story) String() string {
	const most, end = 300, 100
	lines := fold(s.lines)
	if len(lines) > most {
		left := len(lines) - most
		lines = slices.Insert(slices.Delete(lines, most-end, most-end+left), most-end, line{-1, fmt.Sprintf("… %d lines are left out …", left)})
	}
	var b strings.Builder
	last := time.Duration(-1)
	for _, l := range lines {
		at := ""
		if l.at != last {
			at, last = l.at.Round(time.Millisecond).String(), l.at
		}
		fmt.Fprintf(&b, "%10s  %s\n", at, l.text)
	}
	return b.String()
}

// fold tells once what happens again and again, whatever the attempt, or to many items, whatever they are.
func fold(lines []line) []line {
	const longest, again, many = 8, 3, 10
	var told []line
	for i := 0; i < len(lines); {
		block, times := 0, 0
		for block < longest && times < again {
			block++
			times = repetitions(lines[i:], block, withoutAttempt)
		}
		if items := repetitions(lines[i:], 1, withoutItem); times < again && items >= many {
			block, times = 1, items
		}
		if times < again {
			told = append(told, lines[i])
			i++
			continue
		}
		told = append(told, lines[i:i+block]...)
		i += block * times
		told = append(told, line{lines[i-1].at, fmt.Sprintf("… and so on, %d times in all", times)})
	}
	return told
}

// repetitions counts how often the first lines come one after the other.
func repetitions(lines []line, size int, alike func(string) string) int {
	same := func(a, b line) bool { return alike(a.text) == alike(b.text) }
	times := 1
	for end := 2 * size; end <= len(lines) && slices.EqualFunc(lines[:size], lines[end-size:end], same); end += size {
		times++
	}
	return times
}

func withoutAttempt(text string) string {
	text, _, _ = strings.Cut(text, attemptMark)
	return text
}

func withoutItem(text string) string {
	text, _, _ = strings.Cut(text, ": ")
	before, rest, numbered := strings.Cut(text, "[")
	if _, after, ok := strings.Cut(rest, "]"); numbered && ok {
		return before + "[]" + after
	}
	return text
}

const attemptMark = ", attempt "

// tell adds a line to the run's story, if it is told.
func (r *run) tell(format string, args ...any) {
	if r.story != nil {
		r.story.lines = append(r.story.lines, line{r.now, fmt.Sprintf(format, args...)})
	}
}

// show is [show] where the story is told.
func (r *run) show(v any) string {
	if r.story == nil {
		return ""
	}
	return show(v)
}

// show writes a command or event: its type's name and its fields.
func show(v any) string {
	const most = 120
	b, err := json.Marshal(v)
	text := string(b)
	if err != nil {
		text = fmt.Sprintf("%+v", v)
	}
	if letters := []rune(text); len(letters) > most {
		text = string(letters[:most]) + "…"
	}
	name := ""
	if t := reflect.TypeOf(v); t != nil {
		name = t.Name()
	}
	return strings.TrimSpace(name + " " + text)
}

// tellInput tells what comes to the coordinator. What a reply says was told when it was given.
func (r *run) tellInput(in saga.Input, changes bool) {
	if r.story == nil {
		return
	}
	text := inputText(in)
	if reply, ok := in.(saga.Reply); ok {
		text = fmt.Sprintf("the reply to %s %s arrives", reply.Direction, reply.Node)
	}
	if !changes {
		text += ", which changes nothing"
	}
	r.tell("%s", text)
}

// inputText names an input.
func inputText(in saga.Input) string {
	switch in := in.(type) {
	case saga.Start:
		return "start with " + show(in.Data)
	case saga.Reply:
		return fmt.Sprintf("the reply to %s %s, %s,", in.Direction, in.Node, show(in.Event))
	case saga.Tick:
		if in.Record == "" {
			return "the timer fires"
		}
		return "the timer of " + in.Record + " fires"
	case saga.Signal:
		return fmt.Sprintf("the signal for %s arrives: %s", in.Node, show(in.Event))
	case saga.Act:
		return strings.TrimSpace(fmt.Sprintf("an operator acts: %s %s", in.Action, in.Node))
	default:
		return fmt.Sprintf("%T", in)
	}
}
