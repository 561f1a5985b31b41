package sqlsaga_test

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func drawExpectation(t *rapid.T) coordinator.Expectation {
	return coordinator.Expectation{
		Node:      rapid.SampledFrom([]string{"wait", "Wait", "rooms[0]/wait"}).Draw(t, "expecting node"),
		Direction: rapid.SampledFrom([]saga.Direction{saga.DoDirection, saga.UndoDirection, saga.SignalDirection}).Draw(t, "expecting direction"),
		Epoch:     rapid.IntRange(0, 1).Draw(t, "epoch"),
		Key:       drawKey(t),
	}
}

func drawKey(t *rapid.T) string {
	return rapid.SampledFrom([]string{"k1", "K1", "k'2", "k3"}).Draw(t, "match key")
}

func drawMessage(t *rapid.T) string {
	return rapid.SampledFrom([]string{"m1", "M1", "m'2"}).Draw(t, "message")
}

// expectations draws for what the changed instance waits from now on and what was answered, now and then what it never waited for.
func (m *twins) expectations(t *rapid.T, c *coordinator.Change) {
	for range rapid.IntRange(0, 3).Draw(t, "expectations") {
		c.Expect = append(c.Expect, drawExpectation(t))
	}
	for range rapid.IntRange(0, 2).Draw(t, "answers") {
		c.Answered = append(c.Answered, coordinator.Expected{ID: c.State.ID, Expectation: drawExpectation(t), Answer: drawMessage(t)})
	}
	for i := range c.Answered {
		if len(c.Expect) > 0 && rapid.Bool().Draw(t, "answers what is new") {
			c.Answered[i].Expectation = rapid.SampledFrom(c.Expect).Draw(t, "answered")
		}
	}
	c.Forget = rapid.IntRange(0, 3).Draw(t, "forget") == 0
}

func (m *twins) match(t *rapid.T) {
	keys := rapid.SliceOfN(rapid.Custom(drawKey), 0, 3).Draw(t, "keys")
	messages := rapid.SliceOfN(rapid.Custom(drawMessage), 0, 2).Draw(t, "messages")
	got, err := m.real.Match(t.Context(), keys, messages)
	want, wantErr := m.model.Match(t.Context(), keys, messages)
	same(t, fmt.Sprintf("Match(%q, %q)", keys, messages), got, want, err, wantErr)
}

func (m *twins) pause(t *rapid.T) {
	moment := func(what string) time.Time {
		return modelEpoch().Add(time.Duration(rapid.IntRange(0, 3).Draw(t, what)) * time.Microsecond)
	}
	p := coordinator.Pause{
		Definition: rapid.SampledFrom([]string{"", "trip", "Trip"}).Draw(t, "paused"), At: moment("paused at"),
		By: drawText(t, "paused by"), Why: drawText(t, "paused why"), Done: rapid.Bool().Draw(t, "done"),
	}
	if rapid.Bool().Draw(t, "released") {
		p.Released, p.ReleasedBy, p.ReleasedWhy = moment("released at"), drawText(t, "released by"), drawText(t, "released why")
		p.Rate = rapid.IntRange(0, 10).Draw(t, "rate")
	}
	same(t, "SetPause", 0, 0, m.real.SetPause(t.Context(), p), m.model.SetPause(t.Context(), p))
}

func (m *twins) pauses(t *rapid.T) {
	got, err := m.real.Pauses(t.Context())
	want, wantErr := m.model.Pauses(t.Context())
	same(t, "Pauses", got, want, err, wantErr)
	offset, limit := rapid.IntRange(0, 4).Draw(t, "offset"), rapid.IntRange(0, 4).Draw(t, "limit")
	got, err = m.real.PauseHistory(t.Context(), offset, limit)
	want, wantErr = m.model.PauseHistory(t.Context(), offset, limit)
	same(t, "PauseHistory", got, want, err, wantErr)
}
