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
	for name, at := range map[string]struct {
		url    func(*testing.T) string
		prefix string
	}{
		"file":                {func(t *testing.T) string { t.Helper(); return "sqlite:" + filepath.Join(t.TempDir(), "sagas.db") }, ""},
		"memory and a prefix": {func(*testing.T) string { return "sqlite::memory:" }, "trips_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sagatest.RunStore(t, sagatest.StoreHarness{New: func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
				t.Helper()
				_, s := openWith(t, at.url(t), at.prefix)
				return s, s, s
			}})
		})
	}
}
