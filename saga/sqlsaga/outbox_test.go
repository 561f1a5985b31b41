package sqlsaga_test

import (
	"context"
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
	return openWith(t, url, "")
}

func openWith(t *testing.T, url, prefix string) (*sqlmsg.Store, *sqlsaga.Store) {
	t.Helper()
	db, messages, sagas, err := openPrefixed(t.Context(), url, prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return messages, sagas
}

// openPrefixed returns a database, which the caller closes, with both stores, whose tables' names begin with the prefix.
func openPrefixed(ctx context.Context, url, prefix string) (*sqlmsg.DB, *sqlmsg.Store, *sqlsaga.Store, error) {
	db, err := sqlmsg.Open(ctx, url)
	if err != nil {
		return nil, nil, nil, err
	}
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{TablePrefix: prefix})
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	sagas, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages, TablePrefix: prefix})
	if err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	if err := errors.Join(messages.Migrate(ctx), sagas.Migrate(ctx)); err != nil {
		return nil, nil, nil, errors.Join(err, db.Close())
	}
	return db, messages, sagas, nil
}
