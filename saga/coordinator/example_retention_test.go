package coordinator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// Each saga is written to an archive before it is removed, a year after its end. The file's name is the saga's id, so that it does not matter if
// the hook is called twice.
func ExampleRetention() {
	archive := func(ctx context.Context, sagas coordinator.Reader, id saga.ID) error {
		s, err := sagas.Get(ctx, id)
		if err != nil {
			return err
		}
		story, err := sagas.History(ctx, id, 0, 1000)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(map[string]any{ // or a file of an object store
			"id": s.ID, "status": s.Status, "data": json.RawMessage(s.Root.Data), "lines": len(story),
		})
	}
	config := coordinator.Config{Retention: coordinator.Retention{Keep: 365 * 24 * time.Hour, Archive: archive}}

	// What a coordinator does once the time has come:
	store := memsaga.New()
	_, _ = store.Commit(context.Background(), []coordinator.Change{{
		State:   saga.State{ID: "trip-7", Definition: "trip", Status: saga.Completed, Version: 1},
		Records: []saga.Record{{Data: []byte(`{"seat":"12A"}`)}},
		Log:     []coordinator.LogEntry{{Version: 1, Log: saga.Log{Kind: saga.LogCompleted}}},
	}})
	if err := config.Retention.Archive(context.Background(), store, "trip-7"); err != nil {
		fmt.Println("the saga stays:", err)
	}
	// Output:
	// {"data":{"seat":"12A"},"id":"trip-7","lines":1,"status":"completed"}
}
