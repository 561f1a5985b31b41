package sqlsaga_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// BenchmarkCommit is the price of one transition with two lines of log and a message, in batches as a coordinator has them,
// on a SQLite file with synchronous=FULL: of new instances, and of instances that are there.
func BenchmarkCommit(b *testing.B) {
	const batch = 64
	for _, kind := range []string{"create", "update"} {
		for _, size := range []int{1, batch} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				store := benchCommitStore(b)
				states := make([]saga.State, size)
				n := 0
				b.ReportAllocs()
				for b.Loop() {
					changes := make([]coordinator.Change, size)
					for i := range changes {
						n++
						changes[i] = benchChange(&states[i], n, kind == "create")
					}
					if conflicts, err := store.Commit(b.Context(), changes); err != nil || len(conflicts) > 0 {
						b.Fatal(conflicts, err)
					}
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "sagas/s")
			})
		}
	}
}

// benchChange takes the state one transition on; the first one, or every one if fresh, makes a new instance.
func benchChange(s *saga.State, n int, fresh bool) coordinator.Change {
	before := *s
	if fresh || !before.Exists() {
		before = saga.State{}
		*s = newState(saga.ID(fmt.Sprintf("0198f4e2-0000-7000-8000-%012d", n)))
		s.Root.Data = make([]byte, 300)
		s.Root.Nodes = make([]saga.NodeState, 4)
	} else {
		s.Version++
		s.Root.Data = make([]byte, 300)
		s.Root.Data[0] = byte(n)
		s.Root.Nodes = make([]saga.NodeState, 4)
	}
	s.Root.Nodes[1] = saga.NodeState{Phase: saga.PhaseDoing, Attempt: n % 100, Due: time.Now().UnixMilli()}
	s.Root.Wake = time.Now().Add(time.Hour)
	line := coordinator.LogEntry{Version: s.Version, At: time.Now(), Log: saga.Log{Kind: saga.LogSent, Node: "flight", Attempt: 1}}
	second := line
	second.Line = 1
	return coordinator.Change{
		Before: before.Version, State: *s, Records: saga.Changed(before, *s), Log: []coordinator.LogEntry{line, second},
		Outbox: []messaging.Message{{ID: fmt.Sprint(n), Topic: "commands", Key: string(s.ID), Type: "book", Payload: make([]byte, 300)}},
	}
}

func benchCommitStore(b *testing.B) *sqlsaga.Store {
	b.Helper()
	db, err := sqlmsg.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "sagas.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		b.Fatal(err)
	}
	store, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(messages.Migrate(b.Context()), store.Migrate(b.Context())); err != nil {
		b.Fatal(err)
	}
	return store
}
