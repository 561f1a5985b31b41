package app_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/server/app"
)

// database opens the file of a running app beside it.
func database(t *testing.T, file string) (exec func(statement string), count func(query string) int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec = func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	count = func(query string) (n int) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	return exec, count
}

// until polls the condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	poll, late := time.NewTicker(5*time.Millisecond), time.NewTimer(patience)
	defer poll.Stop()
	defer late.Stop()
	for !met() {
		select {
		case <-poll.C:
		case <-late.C:
			t.Fatal("in vain:", what)
		}
	}
}

// TestByHandWhileASagaWaits registers and cancels, by hand, a partner with the campaign and the name that a saga waits for: its service
// tells that it answers no saga, so that the payload is not asked.
func TestByHandWhileASagaWaits(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		config := app.Config{TrackingLimit: -1, Coordination: coordination, Data: filepath.Join(t.TempDir(), "hand.db")}
		s := run(t, config)
		exec, count := database(t, config.Data)
		campaign := uuid.NewString()
		partner := uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "alpespartners/%s/partner/0", campaign)).String()
		exec("CREATE TRIGGER hold BEFORE INSERT ON partners WHEN NEW.id = '" + partner + "' BEGIN SELECT RAISE(ABORT, 'not now'); END")
		var answer struct {
			SagaID saga.ID `json:"sagaId"`
		}
		s.do(http.MethodPost, "/v1/campaigns", map[string]any{
			"id": campaign, "name": "Launch", "budget": "10", "currency": "EUR", "brandId": "b",
			"participants": []map[string]string{{"type": "affiliate", "name": "Ana"}},
		}, &answer)
		waits := "SELECT COUNT(*) FROM saga_log WHERE node = 'participants[0]/partner'"
		until(t, "that the saga waits for its partner", func() bool { return count(waits) > 0 })

		_, header := s.do(http.MethodPost, "/registrar-partner", map[string]string{
			"id_campaign": campaign, "nombre": "Ana", "tipo": "afiliado", "informacion_perfil": "by hand",
		}, nil)
		heard := func() bool { return count("SELECT COUNT(*) FROM outbox WHERE headers ->> 'saga-id' IS NULL") == 0 }
		until(t, "that the registration was heard", heard)
		s.get("/eliminar-partner/"+header.Get("Location")[len("/v1/partners/"):], nil)
		until(t, "that the cancellation was heard", heard)
		if n := count(waits + " AND kind IN ('succeeded', 'refused', 'undone')"); n != 0 {
			t.Error("the saga took what was done by hand for its own")
		}

		exec("DROP TRIGGER hold")
		if end := s.await(answer.SagaID); end.Status != saga.Completed {
			t.Errorf("%s: %s", end.Status, end.Reason)
		}
		if got := s.left(); got != (left{active: 1, partners: 1, events: 1}) {
			t.Errorf("there are %+v", got)
		}
		var detail struct {
			Items []struct{ Data registration.Item }
		}
		s.get("/v1/sagas/"+string(answer.SagaID), &detail)
		if len(detail.Items) != 1 || detail.Items[0].Data.PartnerID != partner {
			t.Errorf("its partner is %+v, must be %s", detail.Items, partner)
		}
	})
}
