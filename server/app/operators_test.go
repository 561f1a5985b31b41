package app_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/server/app"
)

// TestPause has ten operators pause at once: that is one pause, for the coordinator and every party. Registrations are taken
// meanwhile, but nothing goes out until one of them releases it.
func TestPause(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		config := app.Config{TrackingLimit: -1, Coordination: coordination, Data: filepath.Join(t.TempDir(), "pause.db")}
		s := run(t, config)
		_, count := database(t, config.Data)
		post := func(path string) int {
			status, _ := s.do(http.MethodPost, path, map[string]string{"definition": registration.Name, "by": "ana", "why": "a test"}, nil)
			return status
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if status := post("/v1/pauses"); status != http.StatusOK && status != http.StatusConflict {
					t.Errorf("POST /v1/pauses: %d", status)
				}
			})
		}
		all.Wait()
		open := func() (n []int) {
			for _, prefix := range []string{"", "campaign_", "partner_", "tracking_"} {
				n = append(n, count("SELECT COUNT(*) FROM "+prefix+"saga_pauses WHERE done = 0"))
			}
			return n
		}
		if got := open(); !slices.Equal(got, []int{1, 1, 1, 1}) {
			t.Errorf("there are %v pauses", got)
		}
		id := s.place(uuid.NewString(), "n", "Ana")
		log := map[app.Coordination]string{app.Orchestrated: "saga_log", app.Choreographed: "campaign_saga_log"}[coordination]
		until(t, "that its first command is held", func() bool {
			return count("SELECT COUNT(*) FROM "+log+" WHERE saga_id = '"+string(id)+"' AND kind = 'held'") == 1
		})
		if n := count("SELECT COUNT(*) FROM inbox WHERE entry_key LIKE '" + string(id) + "%'"); n != 0 || s.left() != (left{}) {
			t.Errorf("something went out: %d commands, %+v", n, s.left())
		}
		if status := post("/v1/pauses/release"); status != http.StatusOK {
			t.Errorf("POST /v1/pauses/release: %d", status)
		}
		if got := open(); !slices.Equal(got, []int{0, 0, 0, 0}) {
			t.Errorf("there are still %v pauses", got)
		}
		if end := s.await(id); end.Status != saga.Completed {
			t.Errorf("%s: %s", end.Status, end.Reason)
		}
		if status := post("/v1/pauses/release"); status != http.StatusConflict {
			t.Errorf("released twice: %d", status)
		}
	})
}

// TestPartiesOfASaga are seen one by one.
func TestPartiesOfASaga(t *testing.T) {
	t.Parallel()
	s := run(t, app.Config{TrackingLimit: -1, Coordination: app.Choreographed})
	id := s.place(uuid.NewString(), "n", "Ana")
	s.await(id)
	for _, party := range append(registration.Services(), "") {
		path := "/v1/sagas/" + string(id)
		if party != "" {
			path += "?party=" + party
		}
		var d struct {
			Coordination, State string
			Items               []struct {
				Steps []struct{ Path, Service string }
			}
		}
		until(t, party+"'s part comes to its end", func() bool {
			if status, _ := s.do(http.MethodGet, path, nil, &d); status != http.StatusOK {
				t.Fatalf("%s: %d", path, status)
			}
			return d.State == string(saga.Completed)
		})
		if d.Coordination != "choreographed" || len(d.Items) != 1 || d.Items[0].Steps[0].Service != registration.PartnerService {
			t.Errorf("%q: %+v", party, d)
		}
	}
}
