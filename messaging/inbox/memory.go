package inbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// Memory is a [Store], an [outbox.Store] and [messaging.DeadLetters] in memory, for tests and examples. Its
// transactions run one after the other and cover the entries and the outbox; a service's own data that
// lives elsewhere in memory is not rolled back with them. Make one with [NewMemory]; it is safe for concurrent use.
type Memory struct {
	writing chan struct{} // holds one token: the transaction's

	mu      sync.Mutex
	entries map[entryKey]Entry
	handled map[entryKey]time.Time
	horizon map[string]time.Time // by consumer
	rows    []messaging.Message
	ids     map[string]struct{}
	letters []messaging.DeadLetter
}

type entryKey struct{ consumer, key string }

var (
	_ Store                 = (*Memory)(nil)
	_ Forgetter             = (*Memory)(nil)
	_ outbox.Store          = (*Memory)(nil)
	_ messaging.DeadLetters = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		writing: make(chan struct{}, 1), entries: map[entryKey]Entry{}, handled: map[entryKey]time.Time{},
		horizon: map[string]time.Time{}, ids: map[string]struct{}{},
	}
}

// InTx implements [Store]. A transaction inside of another one waits for itself.
func (m *Memory) InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	select {
	case m.writing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-m.writing }()
	tx := &memoryTx{store: m, entries: map[entryKey]Entry{}}
	defer func() { tx.ended = true }()
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.Copy(m.entries, tx.entries)
	now := time.Now()
	for key := range tx.entries {
		m.handled[key] = now
	}
	for _, row := range tx.appended {
		if _, there := m.ids[row.ID]; !there {
			m.ids[row.ID] = struct{}{}
			m.rows = append(m.rows, row)
		}
	}
	return nil
}

// Forget implements [Forgetter].
func (m *Memory) Forget(ctx context.Context, consumer string, before time.Time, limit int) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var old []entryKey
	for key, at := range m.handled {
		if key.consumer == consumer && at.Before(before) {
			old = append(old, key)
		}
	}
	slices.SortFunc(old, func(a, b entryKey) int {
		return cmp.Or(m.handled[a].Compare(m.handled[b]), strings.Compare(a.key, b.key)) // of one time, a do before its undo
	})
	old = old[:min(len(old), limit)]
	for _, key := range old {
		delete(m.entries, key)
		delete(m.handled, key)
	}
	if len(old) > 0 && before.After(m.horizon[consumer]) {
		m.horizon[consumer] = before
	}
	return len(old), nil
}

// Pending implements [outbox.Store].
func (m *Memory) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	offset = min(offset, len(m.rows))
	return slices.Clone(m.rows[offset:min(offset+limit, len(m.rows))]), nil
}

// Delete implements [outbox.Store].
func (m *Memory) Delete(ctx context.Context, ids []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.ids, id)
	}
	m.rows = slices.DeleteFunc(m.rows, func(row messaging.Message) bool {
		_, there := m.ids[row.ID]
		return !there
	})
	return nil
}

// DeadLetter implements [messaging.DeadLetters].
func (m *Memory) DeadLetter(_ context.Context, d messaging.DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = append(m.letters, d)
	return nil
}

// DeadLetters returns the dead letters, oldest first.
func (m *Memory) DeadLetters() []messaging.DeadLetter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.letters)
}

// memoryTx collects a transaction's changes; only its commit touches the store.
type memoryTx struct {
	store    *Memory
	entries  map[entryKey]Entry
	appended []messaging.Message
	ended    bool
}

func (tx *memoryTx) Entries(_ context.Context, consumer string, keys []string) (map[string]Entry, error) {
	if tx.ended {
		return nil, fmt.Errorf("%w: it has ended", ErrTx)
	}
	tx.store.mu.Lock()
	defer tx.store.mu.Unlock()
	found := make(map[string]Entry, len(keys))
	for _, key := range keys {
		e, ok := tx.entries[entryKey{consumer, key}]
		if !ok {
			e, ok = tx.store.entries[entryKey{consumer, key}]
		}
		if ok {
			found[key] = e
		}
	}
	return found, nil
}

func (tx *memoryTx) Horizon(_ context.Context, consumer string) (time.Time, error) {
	if tx.ended {
		return time.Time{}, fmt.Errorf("%w: it has ended", ErrTx)
	}
	tx.store.mu.Lock()
	defer tx.store.mu.Unlock()
	return tx.store.horizon[consumer], nil
}

func (tx *memoryTx) Put(_ context.Context, entries []Entry) error {
	if tx.ended {
		return fmt.Errorf("%w: it has ended", ErrTx)
	}
	for _, e := range entries {
		tx.entries[entryKey{e.Consumer, e.Key}] = e
	}
	return nil
}

func (tx *memoryTx) Append(_ context.Context, messages []messaging.Message) error {
	if tx.ended {
		return fmt.Errorf("%w: it has ended", ErrTx)
	}
	for _, m := range messages {
		if m.ID == "" {
			return fmt.Errorf("%w: topic %s", outbox.ErrNoID, m.Topic)
		}
	}
	tx.appended = append(tx.appended, messages...)
	return nil
}

func (tx *memoryTx) Savepoint(ctx context.Context, fn func(ctx context.Context) error) error {
	if tx.ended {
		return fmt.Errorf("%w: it has ended", ErrTx)
	}
	entries, appended := maps.Clone(tx.entries), len(tx.appended)
	err := fn(ctx)
	if err != nil {
		tx.entries, tx.appended = entries, tx.appended[:appended]
	}
	return err
}
