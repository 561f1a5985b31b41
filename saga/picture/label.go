package picture

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxLine bounds one line of a label, in characters: a reason may be long.
const maxLine = 100

// label is a node's text: lines without those that are empty, quoted for Mermaid.
func label(lines ...string) string {
	styling := slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "style") || strings.Contains(line, "classDef") })
	var b strings.Builder
	b.WriteByte('"')
	for _, line := range lines {
		if line == "" {
			continue
		}
		if b.Len() > 1 {
			b.WriteString("<br/>")
		}
		b.WriteString(escape(shorten(line), styling))
	}
	if b.Len() == 1 {
		b.WriteByte(' ') // Mermaid takes no empty label
	}
	b.WriteByte('"')
	return b.String()
}

func shorten(line string) string {
	if runes := []rune(line); len(runes) > maxLine {
		return string(runes[:maxLine-1]) + "…"
	}
	return line
}

// escape writes what Mermaid, or the Markdown and HTML within its labels, would read as more than text as its number. In a label that
// speaks of styles a colon is one of these.
func escape(text string, styling bool) string {
	var b strings.Builder
	runes := []rune(text)
	for i, r := range runes {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			b.WriteByte(' ')
		case means(runes, i), r == ':' && styling:
			fmt.Fprintf(&b, "#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// means reports whether the character at i means something where it stands.
func means(line []rune, i int) bool {
	inWord := func(i int) bool {
		return i >= 0 && i < len(line) && (unicode.IsLetter(line[i]) || unicode.IsDigit(line[i]))
	}
	switch r := line[i]; {
	case strings.ContainsRune("\"#$%&*;<>@\\^`{|}~", r):
		return true
	case r == '_':
		return !inWord(i-1) || !inWord(i+1)
	case r == ']': // a link
		return i+1 < len(line) && (line[i+1] == '(' || line[i+1] == ':')
	case strings.ContainsRune("+-.)", r): // a list begins so
		return i < maxListMark && (i+1 == len(line) || unicode.IsSpace(line[i+1]))
	default:
		return false
	}
}

// maxListMark is how far into a line the mark of a list ends, such as "12.".
const maxListMark = 10
