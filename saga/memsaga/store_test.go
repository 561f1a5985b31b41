package memsaga_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/saga/memsaga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	sagatest.RunStore(t, func(*testing.T) sagatest.Store { return memsaga.New() })
}
