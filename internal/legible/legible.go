package legible

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// Is reports whether every database can keep the text as it is.
func Is(text string) bool { return utf8.ValidString(text) && !strings.Contains(text, "\x00") }

// Text returns the text with U+FFFD in the place of what is not legible.
func Text(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// maxLine bounds a [Line], in bytes.
const maxLine = 1024

// Line is [Text] for people to read, cut where it is longer than a kilobyte.
func Line(text string) string {
	const more = "…"
	text = Text(text)
	if len(text) <= maxLine {
		return text
	}
	return strings.ToValidUTF8(text[:maxLine-len(more)], "") + more
}

// Key returns a text by which something is known again: a digest where it is not legible or is longer than so many bytes.
func Key(text string, limit int) string {
	if len(text) <= limit && Is(text) {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}
