package sagatest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func concurrentCreations(s *stage) {
	const writers = 8
	var wg sync.WaitGroup
	won := make(chan string, writers)
	for i := range writers {
		wg.Go(func() {
			mine := s.state("a")
			mine.Reason = fmt.Sprint("writer ", i)
			c := create(mine)
			c.Outbox = []messaging.Message{{ID: s.tag + mine.Reason, Topic: s.tag}}
			conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{c})
			if err == nil && len(conflicts) == 0 {
				won <- mine.Reason
			}
		})
	}
	wg.Wait()
	close(won)
	var winners []string
	for w := range won {
		winners = append(winners, w)
	}
	if got := s.load(s.id("a")); len(winners) != 1 || got.Reason != winners[0] {
		s.Fatalf("winners %v; the instance was made by %q", winners, got.Reason)
	}
	if got := s.pending(); len(got) != 1 || got[s.tag+winners[0]].ID == "" {
		s.Errorf("the outbox has %d messages, want only that of %s", len(got), winners[0])
	}
}

// wholeCommits writes two instances always together and reads them meanwhile.
func wholeCommits(s *stage) {
	const commits = 30
	one, other := s.state("one"), s.state("other")
	s.commit(create(one), create(other))
	written := make(chan struct{})
	go func() {
		defer close(written)
		for range commits {
			a, b := next(one), next(other)
			conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{update(one, a), update(other, b)})
			if err != nil || len(conflicts) > 0 {
				s.Errorf("Commit: conflicts %v, %v", conflicts, err)
				return
			}
			one, other = a, b
		}
	}()
	wants := []coordinator.Want{{ID: s.id("one")}, {ID: s.id("other")}}
	for reading := true; reading; {
		select {
		case <-written:
			reading = false
		default:
		}
		found, err := s.store.Load(s.Context(), wants)
		if err != nil {
			s.Error(err)
			break
		}
		// The reading goes on until the writer has ended: a broken store may wait for a reader.
		if a, b := found[wants[0].ID].Version, found[wants[1].ID].Version; a != b && !s.Failed() {
			s.Errorf("a reader met half a commit: versions %d and %d", a, b)
		}
	}
	<-written
}

// failedCommit has a message that no outbox takes behind changes that are fine.
func failedCommit(s *stage) {
	old := s.state("old")
	s.commit(create(old))
	changed := next(old)
	changed.Reason = "changed"
	changed.Items = map[string]saga.Record{"rooms[0]": {Key: "rooms[0]", Data: []byte("0"), Nodes: []saga.NodeState{{}}}}
	fine := update(old, changed)
	fine.Log = []coordinator.LogEntry{{Version: 2, At: epoch(), Log: saga.Log{Kind: saga.LogSent}}}
	fine.Audit = []coordinator.AuditEntry{{Version: 2, At: epoch(), Audit: saga.Audit{Act: saga.Act{ID: "x"}}}}
	fine.Outbox = []messaging.Message{{ID: s.tag + "1", Topic: s.tag}}
	faulty := create(s.state("new"))
	faulty.Outbox = []messaging.Message{{Topic: s.tag}}
	if _, err := s.store.Commit(s.Context(), []coordinator.Change{fine, faulty}); !errors.Is(err, outbox.ErrNoID) {
		s.Errorf("Commit of a message without an ID returned %v, want outbox.ErrNoID", err)
	}
	if found, err := s.store.Load(s.Context(), []coordinator.Want{{ID: s.id("new")}}); err != nil || len(found) != 0 {
		s.Errorf("an instance of the failed commit exists: %v, %v", found, err)
	}
	if got := s.load(old.ID, "rooms[0]"); got.Version != 1 || got.Reason != "" || len(got.Items) != 0 {
		s.Errorf("the failed commit changed an instance: %+v", got)
	}
	if lines, err := s.reader.History(s.Context(), old.ID, 0, 10); err != nil || len(lines) != 1 {
		s.Errorf("the failed commit's log was written: %v, %v", lines, err)
	}
	if acts, err := s.reader.Audits(s.Context(), old.ID); err != nil || len(acts) != 0 {
		s.Errorf("the failed commit's audit was written: %v, %v", acts, err)
	}
	if n := len(s.pending()); n != 0 {
		s.Errorf("%d messages of the failed commit are in the outbox", n)
	}
}

func twiceInABatch(s *stage) {
	first, second := s.state("a"), s.state("a")
	first.Reason, second.Reason = "first", "second"
	conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{create(first), create(second)})
	if err != nil || len(conflicts) != 1 || conflicts[0] != first.ID {
		s.Fatalf("creating twice in one batch: conflicts %v, %v; want one", conflicts, err)
	}
	if got := s.load(first.ID); got.Reason != "first" {
		s.Errorf("the second creation of the batch was written over the first: %q", got.Reason)
	}
	a, b := next(first), next(first)
	a.Reason, b.Reason = "a", "b"
	conflicts, err = s.store.Commit(s.Context(), []coordinator.Change{update(first, a), update(first, b)})
	if err != nil || len(conflicts) != 1 {
		s.Fatalf("changing twice in one batch: conflicts %v, %v; want one", conflicts, err)
	}
	if got := s.load(first.ID); got.Reason != "a" || got.Version != 2 {
		s.Errorf("after two changes in one batch: version %d by %q, want the first", got.Version, got.Reason)
	}
}

func missingData(s *stage) {
	noData := create(s.state("no data"))
	noData.Records[0].Data = nil
	noRoot := create(s.state("no root"))
	noRoot.Records = nil
	first := s.state("a")
	s.commit(create(first))
	noItem := update(first, next(first))
	noItem.Records = []saga.Record{{Key: "rooms[0]", Nodes: []saga.NodeState{{}}}}
	for _, c := range []coordinator.Change{noData, noRoot, noItem} {
		if conflicts, err := s.store.Commit(s.Context(), []coordinator.Change{c}); err == nil {
			s.Errorf("%s: a record whose data was never stored was to keep it; conflicts %v and no error", c.State.ID, conflicts)
		}
	}
	if got := s.load(first.ID, "rooms[0]"); got.Version != 1 || len(got.Items) != 0 {
		s.Errorf("the change was written without its item: version %d, items %v", got.Version, got.Items)
	}
}

func cancelledAdopt(s *stage) {
	orphan := s.wake("orphan", 0)
	orphan.Status, orphan.Orphaned = saga.Parked, true
	s.commit(create(orphan))
	if err := s.store.Adopt(cancelled(s.Context()), []string{orphan.Hash}); err == nil {
		s.Error("Adopt with a cancelled context has no error")
	}
	if got := s.load(orphan.ID); !got.Orphaned {
		s.Error("Adopt with a cancelled context adopted")
	}
}
