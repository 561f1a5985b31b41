package memsaga_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	sagatest.RunStore(t, sagatest.StoreHarness{New: func(*testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
		s := memsaga.New()
		return s, s, s
	}})
}
