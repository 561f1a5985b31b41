package sqlmsg_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

func TestIntegrationStore(t *testing.T) {
	t.Parallel()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, database(t).URL)
			var cases atomic.Int64
			fresh := func(t *testing.T) *sqlmsg.Store { return newStore(t, db, fmt.Sprintf("c%d_", cases.Add(1))) }
			messagingtest.RunInbox(t, func(t *testing.T) inbox.Store { return fresh(t) })
			messagingtest.RunOutbox(t, messagingtest.OutboxHarness{New: func(t *testing.T) (inbox.Store, outbox.Store) {
				s := fresh(t)
				return s, s
			}})
		})
	}
}
