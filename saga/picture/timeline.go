package picture

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alpespartners/alpespartners/saga"
)

// Line is a line of an instance's log with when it happened, as stores keep it.
type Line struct {
	At time.Time
	// Version is the instance's version that the line belongs to.
	Version int64
	saga.Log
}

// Timeline lists the lines in columns: the time since the first line, the version, the node, what happened, which attempt
// it was, and the detail. Lines are listed in the order given. Without lines it is empty.
func Timeline(lines []Line) string {
	if len(lines) == 0 {
		return ""
	}
	start := lines[0].At
	rows := [][]string{{"TIME", "VERSION", "NODE", "WHAT", "ATTEMPT", "DETAIL"}}
	for _, l := range lines {
		attempt := ""
		if l.Attempt > 0 {
			attempt = strconv.Itoa(l.Attempt)
		}
		rows = append(rows, []string{
			"+" + l.At.Sub(start).Round(time.Millisecond).String(), strconv.FormatInt(l.Version, 10), plain(l.Node), what(l.Log), attempt, plain(l.Detail),
		})
	}
	return "from " + start.UTC().Format(time.RFC3339Nano) + "\n" + columns(rows, []bool{0: true, 1: true, 4: true, 5: false})
}

// what names the line's event; that of an undo says so.
func what(l saga.Log) string {
	if l.Direction == saga.UndoDirection && l.Kind != saga.LogUndone && l.Kind != saga.LogUndoFailed {
		return "undo " + string(l.Kind)
	}
	return string(l.Kind)
}

// plain is the text in one line.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// columns aligns the cells, those of some columns to the right.
func columns(rows [][]string, right []bool) string {
	widths := make([]int, len(right))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line.WriteString(gap + cell)
			} else {
				line.WriteString(cell + gap)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
