package sagatest

import (
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// DecideWith explores a version of saga.Decide, so that tests can plant mistakes in it.
func DecideWith(decide func(saga.Any, saga.State, saga.Input, time.Time) (saga.State, []saga.Effect, error)) Option {
	return Option{func(c *config) error {
		c.Decide = decide
		return nil
	}}
}
