package inbox_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	messagingtest.RunInbox(t, func(*testing.T) inbox.Store { return inbox.NewMemory() })
	messagingtest.RunOutbox(t, messagingtest.OutboxHarness{
		OneWriter: true,
		New: func(*testing.T) (inbox.Store, outbox.Store) {
			m := inbox.NewMemory()
			return m, m
		},
	})
}
