package sqlsaga_test

import (
	"path/filepath"
	"testing"

	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"file":   func(t *testing.T) string { t.Helper(); return "sqlite:" + filepath.Join(t.TempDir(), "sagas.db") },
		"memory": func(*testing.T) string { return "sqlite::memory:" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sagatest.RunStore(t, sagatest.StoreHarness{New: func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
				t.Helper()
				_, s := open(t, url(t))
				return s, s, s
			}})
		})
	}
}
