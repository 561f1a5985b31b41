package sqlsaga_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// onServers runs a test on each of the databases that are servers, with stores of its own.
func onServers(t *testing.T, test func(t *testing.T, db *sqlmsg.DB, messages *sqlmsg.Store, sagas *sqlsaga.Store)) {
	t.Helper()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, messages, sagas, err := openPrefixed(t.Context(), database(t).URL, "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, db, messages, sagas)
		})
	}
}

func exec(t *testing.T, db *sqlmsg.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.Writer().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// everyOtherFails makes every other change of an instance, or of a pause, fail as the loser of a deadlock does.
func everyOtherFails(t *testing.T, db *sqlmsg.DB) {
	t.Helper()
	if db.Dialect().Name == "postgres" {
		exec(t, db, "CREATE SEQUENCE race", `CREATE FUNCTION race() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('race') % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END IF; RETURN COALESCE(NEW, OLD); END $$`)
	}
	for _, table := range []string{"sagas", "saga_pauses"} {
		for _, event := range []string{"INSERT", "UPDATE", "DELETE"} {
			trigger := "CREATE TRIGGER race_" + table + event + " BEFORE " + event + " ON " + table + " FOR EACH ROW "
			if db.Dialect().Name == "postgres" {
				exec(t, db, trigger+"EXECUTE FUNCTION race()")
				continue
			}
			exec(t, db, trigger+"BEGIN SET @race = COALESCE(@race, 0) + 1; "+
				"IF @race % 2 = 1 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END")
		}
	}
}

// TestIntegrationALostRaceIsTriedAgain: every call that writes.
func TestIntegrationALostRaceIsTriedAgain(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, db *sqlmsg.DB, _ *sqlmsg.Store, s *sqlsaga.Store) {
		everyOtherFails(t, db)
		state := newState("a")
		ended := state
		ended.Version, ended.Status = 2, saga.Forced
		acted := coordinator.Change{Before: 1, State: ended, Audit: []coordinator.AuditEntry{{Version: 2, Audit: saga.Audit{Act: saga.Act{ID: "1"}}}}}
		parked := newState("b")
		parked.Status, parked.Orphaned = saga.Parked, true
		for _, change := range []coordinator.Change{creation(state), creation(parked), acted} {
			if err := committed(s.Commit(t.Context(), []coordinator.Change{change})); err != nil {
				t.Errorf("Commit of %s: %v", change.State.ID, err)
			}
		}
		if err := s.Adopt(t.Context(), []string{"h1"}); err != nil {
			t.Errorf("Adopt: %v", err)
		}
		if err := s.SetPause(t.Context(), coordinator.Pause{Definition: "trip", At: time.Now()}); err != nil {
			t.Errorf("SetPause: %v", err)
		}
		if n, err := s.Remove(t.Context(), time.Now(), []saga.ID{"a"}); err != nil || n != 1 {
			t.Errorf("Remove: %d, %v", n, err)
		}
	})
}

// committed is the error of a commit that must have no conflict.
func committed(conflicts []saga.ID, err error) error {
	if err == nil && len(conflicts) > 0 {
		err = errors.New("a conflict")
	}
	return err
}

// TestIntegrationTwoViewsStartOneSaga: the later of two callers is told so, and its messages are not sent whatever it does then.
func TestIntegrationTwoViewsStartOneSaga(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, db *sqlmsg.DB, messages *sqlmsg.Store, s *sqlsaga.Store) {
		const rounds = 20
		for round := range rounds {
			var ready, done sync.WaitGroup
			var winners atomic.Int64
			ready.Add(2)
			for caller := range 2 {
				change := creation(newState(saga.ID(fmt.Sprint("saga ", round))))
				change.Outbox[0].ID += fmt.Sprint(" by ", caller)
				done.Go(func() {
					err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
						_, err := tx.ExecContext(ctx, "SELECT 1")
						ready.Done()
						if err != nil {
							return err
						}
						ready.Wait()
						switch conflicts, err := s.Within(tx).Commit(ctx, []coordinator.Change{change}); {
						case err == nil && len(conflicts) == 0:
							winners.Add(1)
						case err != nil && !errors.Is(err, saga.ErrConflict):
							t.Errorf("the loser got %v, want a conflict", err)
						}
						return nil // it goes on all the same
					})
					if err != nil && db.Dialect().Name != "postgres" { // which commits nothing after an error
						t.Error(err)
					}
				})
			}
			done.Wait()
			if n := winners.Load(); n != 1 {
				t.Errorf("%d callers have started the saga", n)
			}
		}
		rows, err := messages.Pending(t.Context(), 0, 10*rounds)
		if err != nil || len(rows) != rounds {
			t.Errorf("the outbox has %d messages, %v, want those of the winners", len(rows), err)
		}
	})
}

func TestIntegrationItemsOfAnEndedSagaWakeNoMore(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, _ *sqlmsg.DB, _ *sqlmsg.Store, s *sqlsaga.Store) { itemsOfAnEndedSaga(t, s) })
}

func TestIntegrationWithinJoinsTheCallersTransaction(t *testing.T) {
	t.Parallel()
	onServers(t, withinJoins)
}

// TestIntegrationALargeCommit is larger than what MySQL takes as one packet.
func TestIntegrationALargeCommit(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, _ *sqlmsg.DB, messages *sqlmsg.Store, s *sqlsaga.Store) {
		var changes []coordinator.Change
		for i := range 256 {
			state := newState(saga.ID(fmt.Sprint("saga ", i)))
			state.Root.Data = bytes.Repeat([]byte("x"), 100_000)
			change := creation(state)
			change.Outbox[0].Payload = state.Root.Data
			changes = append(changes, change)
		}
		if err := committed(s.Commit(t.Context(), changes)); err != nil {
			t.Fatal(err)
		}
		last, err := s.Get(t.Context(), "saga 255")
		if err != nil || !bytes.Equal(last.Root.Data, changes[255].State.Root.Data) {
			t.Errorf("the last one has %d bytes, %v", len(last.Root.Data), err)
		}
		if rows, err := messages.Pending(t.Context(), 0, 1000); err != nil || len(rows) != len(changes) {
			t.Errorf("%d messages, %v", len(rows), err)
		}
	})
}
