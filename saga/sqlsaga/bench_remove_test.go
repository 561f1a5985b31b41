package sqlsaga_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// BenchmarkRemove removes what ended in pages, as a coordinator does without its rests; each instance has ten lines of log.
func BenchmarkRemove(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   func(b testing.TB) string { return "sqlite:" + filepath.Join(b.TempDir(), "sagas.db") },
		"postgres": func(b testing.TB) string { return testenv.Postgres(b).URL },
		"mysql":    func(b testing.TB) string { return testenv.MySQL(b).URL },
	} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			db, _, store, err := openPrefixed(ctx, url(b), fmt.Sprintf("r%d_", time.Now().UnixNano()))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			const page = 200
			for from := 0; from < b.N; from += page {
				changes := make([]coordinator.Change, min(page, b.N-from))
				for i := range changes {
					state := newState(saga.ID(fmt.Sprintf("%08d", (from+i)*7919%100_000_007)))
					state.Status, state.Version = saga.Completed, 8
					changes[i] = creation(state)
					changes[i].Outbox = nil
					for line := 1; line < 10; line++ {
						changes[i].Log = append(changes[i].Log, coordinator.LogEntry{Version: 1, Line: line, Log: saga.Log{Kind: saga.LogSent}})
					}
				}
				if _, err := store.Commit(ctx, changes); err != nil {
					b.Fatal(err)
				}
			}
			b.ResetTimer()
			removed, longest := 0, time.Duration(0)
			for cursor, more := "", true; more; more = cursor != "" {
				began := time.Now()
				var ids []saga.ID
				if ids, cursor, err = store.Ended(ctx, time.Now(), cursor, page); err != nil {
					b.Fatal(err)
				}
				n, err := store.Remove(ctx, time.Now(), ids)
				if err != nil {
					b.Fatal(err)
				}
				removed += n
				longest = max(longest, time.Since(began))
			}
			b.ReportMetric(float64(longest.Milliseconds()), "ms/longest-page")
			if removed != b.N {
				b.Errorf("%d of %d were removed", removed, b.N)
			}
		})
	}
}
