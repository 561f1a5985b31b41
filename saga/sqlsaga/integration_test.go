package sqlsaga_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sagatest"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

func openServer(t *testing.T, url string) *sqlmsg.DB {
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
	return db
}

func TestIntegrationStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openServer(t, database(t).URL)
			var cases atomic.Int64
			sagatest.RunStore(t, sagatest.StoreHarness{New: func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
				t.Helper()
				prefix := fmt.Sprintf("c%d_", cases.Add(1))
				messages, err := sqlmsg.NewStore(db, sqlmsg.Config{TablePrefix: prefix})
				if err == nil {
					err = messages.Migrate(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				s, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages, TablePrefix: prefix})
				if err == nil {
					err = s.Migrate(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				return s, s, s
			}})
		})
	}
}
