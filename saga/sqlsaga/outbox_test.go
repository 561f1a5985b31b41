package sqlsaga_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

func TestStoreKeepsTheOutboxContract(t *testing.T) {
	t.Parallel()
	messagingtest.RunOutbox(t, messagingtest.OutboxHarness{
		OneWriter: true,
		New: func(t *testing.T) (inbox.Store, outbox.Store) {
			t.Helper()
			return open(t, "sqlite:"+filepath.Join(t.TempDir(), "sagas.db"))
		},
	})
}

// open returns both stores on a database of their own.
func open(t *testing.T, url string) (*sqlmsg.Store, *sqlsaga.Store) {
	t.Helper()
	db, err := sqlmsg.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sagas, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(messages.Migrate(t.Context()), sagas.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	return messages, sagas
}
