package registration_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

func TestExploreRegistration(t *testing.T) {
	t.Parallel()
	sagatest.Explore(t, registration.Define(), sagatest.Schedules(300))
}
