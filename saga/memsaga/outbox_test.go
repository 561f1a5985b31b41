package memsaga_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

func TestStoreKeepsTheOutboxContract(t *testing.T) {
	t.Parallel()
	messagingtest.RunOutbox(t, messagingtest.OutboxHarness{
		OneWriter: true,
		New: func(*testing.T) (inbox.Store, outbox.Store) {
			s := memsaga.New()
			return &committer{store: s}, s
		},
	})
}

// committer fills the outbox as a coordinator does: each transaction is the commit of a new instance.
type committer struct {
	store *memsaga.Store
	mu    sync.Mutex
	n     int
}

func (c *committer) InTx(ctx context.Context, fn func(ctx context.Context, tx inbox.Tx) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx := &pending{}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	c.n++
	_, err := c.store.Commit(ctx, []coordinator.Change{{
		State:   saga.State{ID: saga.ID(strconv.Itoa(c.n)), Version: 1, Status: saga.Running},
		Records: []saga.Record{{Data: []byte("{}")}},
		Outbox:  tx.messages,
	}})
	return err
}

// pending is a transaction of messages alone.
type pending struct{ messages []messaging.Message }

func (p *pending) Entries(context.Context, string, []string) (map[string]inbox.Entry, error) {
	return map[string]inbox.Entry{}, nil
}

func (p *pending) Horizon(context.Context, string) (time.Time, error) { return time.Time{}, nil }

func (p *pending) Put(context.Context, []inbox.Entry) error { return nil }

func (p *pending) Append(_ context.Context, messages []messaging.Message) error {
	for _, m := range messages {
		if m.ID == "" {
			return outbox.ErrNoID
		}
	}
	p.messages = append(p.messages, messages...)
	return nil
}

func (p *pending) Savepoint(ctx context.Context, fn func(ctx context.Context) error) error {
	before := len(p.messages)
	err := fn(ctx)
	if err != nil {
		p.messages = p.messages[:before]
	}
	return err
}
