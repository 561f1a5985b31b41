package legible_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alpespartners/alpespartners/internal/legible"
)

func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "ñ\n\x01": "ñ\n\x01", "a\x00b": "a\uFFFDb", "a\xffb": "a\uFFFDb", "\x00": "\uFFFD",
	} {
		if got := legible.Text(text); got != want || !legible.Is(got) {
			t.Errorf("Text(%q) is %q, want %q", text, got, want)
		}
		if legible.Is(text) != (text == want) {
			t.Errorf("Is(%q) is %t", text, legible.Is(text))
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	if got := legible.Line("a\x00"); got != "a\uFFFD" {
		t.Errorf("a short one is %q", got)
	}
	long := legible.Line(strings.Repeat("ñ", 1000))
	if len(long) > 1024 || len(long) < 1020 || !utf8.ValidString(long) || !strings.HasSuffix(long, "ñ…") {
		t.Errorf("a long one has %d bytes and ends with %q", len(long), long[len(long)-6:])
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	if got := legible.Key("key", 3); got != "key" {
		t.Errorf("a fit one is %q", got)
	}
	seen := map[string]bool{}
	for _, text := range []string{"keys", "a\x00", "a\xff", "\xff"} {
		got := legible.Key(text, 3)
		if seen[got] || !legible.Is(got) || len(got) != 71 || got != legible.Key(text, 3) {
			t.Errorf("Key(%q) is %q", text, got)
		}
		seen[got] = true
	}
}
