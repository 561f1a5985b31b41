package testenv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// startTime bounds how long a server may take to get ready, on a machine that has other things to do.
	startTime = 5 * time.Minute
	// cleanTime bounds the removal of what one test had.
	cleanTime = 30 * time.Second
)

// missing ends a test for which there is no server: it skips it, or fails it where integration tests are required.
func missing(tb testing.TB, k kind, reason error) {
	tb.Helper()
	message := fmt.Sprintf("INTEGRATION TEST NOT RUN: no %s: %v. Start Docker, or %s.", k.name, reason, k.otherwise)
	if os.Getenv("REQUIRE_INTEGRATION") == "1" {
		tb.Fatal(message)
	}
	tb.Skip(message)
}

// cleanup runs fn when the test ends, after what the test itself has registered later. An error is worth a line, not a
// failure: the test has had its server.
func cleanup(tb testing.TB, what string, fn func(context.Context) error) {
	tb.Helper()
	tb.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), cleanTime)
		defer cancel()
		if err := fn(ctx); err != nil {
			tb.Logf("testenv: %s: %v", what, err)
		}
	})
}

// unique returns a name for what belongs to one test: readable, and new each time. It has letters, digits and separators only.
func unique(tb testing.TB, separator string) string {
	const longest = 30
	title := strings.ToLower(strings.TrimPrefix(tb.Name(), "TestIntegration"))
	words := strings.FieldsFunc(title, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(append([]string{"t"}, words...), separator)
	return fmt.Sprintf("%.*s%s%08x", longest, name, separator, rand.Uint32())
}
