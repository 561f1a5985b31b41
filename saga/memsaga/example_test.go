package memsaga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// A commit is based on a version: the second one that is based on the same version conflicts, and nothing of it is written.
func Example() {
	ctx := context.Background()
	store := memsaga.New()
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	state := saga.State{
		ID: "trip-1", Definition: "book-trip", Status: saga.Running, Version: 1, Started: began, Updated: began,
		Root: saga.Record{Data: []byte(`{"to":"Cusco"}`)},
	}
	change := coordinator.Change{
		State:   state,
		Records: saga.Changed(saga.State{}, state),
		Outbox:  []messaging.Message{{ID: "command-1", Topic: "flights", Type: "book-flight"}},
	}
	for range 2 {
		conflicts, err := store.Commit(ctx, []coordinator.Change{change})
		fmt.Println("conflicts:", conflicts, err)
	}
	stored, err := store.Get(ctx, "trip-1")
	fmt.Println(stored.Status, string(stored.Root.Data), err)
	pending, err := store.Pending(ctx, 0, 10)
	fmt.Println("to publish:", len(pending), pending[0].ID, err)
	// Output:
	// conflicts: [] <nil>
	// conflicts: [trip-1] <nil>
	// running {"to":"Cusco"} <nil>
	// to publish: 1 command-1 <nil>
}
