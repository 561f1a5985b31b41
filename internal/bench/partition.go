package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// partitioned is a store over several databases: an instance, its log and its messages are in the one that its id's hash names, so that a commit is
// still one transaction for each instance. Pauses are in the first database.
type partitioned []partition

// partition is one of the databases.
type partition interface {
	coordinator.Store
	outbox.Store
}

var (
	_ coordinator.Store = partitioned(nil)
	_ outbox.Store      = partitioned(nil)
)

func (p partitioned) of(id saga.ID) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return int(h.Sum32() % uint32(len(p)))
}

// each calls fn for all partitions at the same time.
func (p partitioned) each(fn func(i int, one partition) error) error {
	faults := make([]error, len(p))
	var running sync.WaitGroup
	for i, one := range p {
		running.Go(func() { faults[i] = fn(i, one) })
	}
	running.Wait()
	return errors.Join(faults...)
}

func (p partitioned) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	parts := make([][]coordinator.Want, len(p))
	for _, w := range wants {
		parts[p.of(w.ID)] = append(parts[p.of(w.ID)], w)
	}
	all := map[saga.ID]saga.State{}
	var mu sync.Mutex
	err := p.each(func(i int, one partition) error {
		if len(parts[i]) == 0 {
			return nil
		}
		found, err := one.Load(ctx, parts[i])
		mu.Lock()
		defer mu.Unlock()
		maps.Copy(all, found)
		return err
	})
	return all, err
}

func (p partitioned) Commit(ctx context.Context, changes []coordinator.Change) (conflicts []saga.ID, err error) {
	parts := make([][]coordinator.Change, len(p))
	for _, c := range changes {
		parts[p.of(c.State.ID)] = append(parts[p.of(c.State.ID)], c)
	}
	var mu sync.Mutex
	err = p.each(func(i int, one partition) error {
		if len(parts[i]) == 0 {
			return nil
		}
		stale, err := one.Commit(ctx, parts[i])
		mu.Lock()
		defer mu.Unlock()
		conflicts = append(conflicts, stale...)
		return err
	})
	return conflicts, err
}

func (p partitioned) Due(ctx context.Context, q coordinator.DueQuery) (due []coordinator.Wake, next time.Time, err error) {
	for _, one := range p {
		some, then, err := one.Due(ctx, q)
		if err != nil {
			return nil, next, err
		}
		due = append(due, some...)
		if next.IsZero() || !then.IsZero() && then.Before(next) {
			next = then
		}
	}
	return due[:min(len(due), q.Limit)], next, nil
}

func (p partitioned) Match(ctx context.Context, keys, messages []string) (all []coordinator.Expected, err error) {
	for _, one := range p {
		some, err := one.Match(ctx, keys, messages)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

func (p partitioned) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	return p[0].Pauses(ctx)
}

func (p partitioned) SetPause(ctx context.Context, pause coordinator.Pause) error {
	return p[0].SetPause(ctx, pause)
}

func (p partitioned) Adopt(ctx context.Context, hashes []string) error {
	return p.each(func(_ int, one partition) error { return one.Adopt(ctx, hashes) })
}

func (p partitioned) Pending(ctx context.Context, offset, limit int) (all []messaging.Message, err error) {
	for _, one := range p { // each from its beginning: the relay passes over what it knows
		some, err := one.Pending(ctx, 0, offset+limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	offset = min(offset, len(all))
	return slices.Clone(all[offset:min(offset+limit, len(all))]), nil
}

func (p partitioned) Delete(ctx context.Context, ids []string) error {
	return p.each(func(_ int, one partition) error { return one.Delete(ctx, ids) })
}

// remote is a database on another machine, with CPUs and a disk of its own: it takes one commit at a time, which lasts so long for each instance.
type remote struct {
	partition
	turn chan struct{}
	each time.Duration
}

func (r remote) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if err := sleep(ctx, r.each*time.Duration(len(changes))); err != nil {
		return nil, err
	}
	return r.partition.Commit(ctx, changes)
}

// partitions simulates sagas that are spread over several databases by their ids.
func (s settings) partitions(ctx context.Context) error {
	const each = time.Millisecond
	alone := 0.0
	for _, n := range []int{1, 2, 4, 8} {
		store := make(partitioned, n)
		for i := range store {
			store[i] = remote{memsaga.New(), make(chan struct{}, 1), each}
		}
		w := workload{name: fmt.Sprintf("partitions.%d", n), outstanding: 64 * n}
		sys := &system{definition: definition(w)}
		if err := sys.start(ctx, store, nil, w); err != nil {
			return err
		}
		all, err := s.loop(ctx, sys, w, nil)
		sys.stop()
		if err != nil {
			return err
		}
		rate := s.report(w.name, all)
		if n == 1 {
			alone = rate
		}
		s.figure(fmt.Sprintf("partitions_gain.%d", n), rate/alone, "times one")
	}
	return nil
}
