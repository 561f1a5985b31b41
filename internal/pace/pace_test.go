package pace_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/internal/pace"
)

func TestRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if !pace.Rest(ctx, time.Second) || time.Since(began) != time.Second {
			t.Errorf("it rested for %s", time.Since(began))
		}
		if pace.Rest(ctx, time.Hour) || time.Since(began) != time.Minute {
			t.Errorf("it went on after the context's end, at %s", time.Since(began))
		}
	})
}

// TestChore is done soon, then seldom, and soon again after a failure.
func TestChore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		began := time.Now()
		var done []time.Duration
		pace.Chore(ctx, func(context.Context) error {
			if done = append(done, time.Since(began)); len(done) == 2 {
				return errors.New("not now")
			}
			return nil
		})
		want := []time.Duration{time.Minute, 61 * time.Minute, 62 * time.Minute, 122 * time.Minute}
		if !slices.Equal(done, want) {
			t.Errorf("done at %v, want %v", done, want)
		}
	})
}
