package messaging

import (
	"strconv"
	"testing"
)

func TestAttemptsAreBounded(t *testing.T) {
	t.Parallel()
	var a attempts
	message := func(i int) Message { return Message{ID: strconv.Itoa(i)} }
	for i := range 10 * attemptsKept {
		a.add(message(i), false)
		if kept := len(a.recent) + len(a.older); kept > attemptsKept {
			t.Fatalf("%d messages are kept after %d", kept, i)
		}
		// One that keeps failing is never forgotten.
		if got := a.add(message(-1), i%2 == 0); got.failures != i+1 || got.panics != i/2+1 {
			t.Fatalf("%+v after %d failures", got, i+1)
		}
	}
	a.forget(message(-1))
	if got := a.add(message(-1), false); got != (tally{failures: 1}) {
		t.Errorf("%+v after the message was forgotten", got)
	}
}
