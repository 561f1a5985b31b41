package app_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/server/app"
)

// TestScenarios plays the original's three, with few participants and with more than are registered at once. Both ways to coordinate come
// to the same end.
func TestScenarios(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		for _, n := range []int{1, 3, 60} {
			names := participants(n)
			for name, c := range map[string]struct {
				config app.Config
				want   saga.Status
				left   left
			}{
				"everything succeeds":          {app.Config{TrackingLimit: -1}, saga.Completed, left{active: 1, partners: n, events: n}},
				"the tracking service refuses": {app.Config{TrackingLimit: n - 1}, saga.Compensated, left{}},
				"the partner service refuses":  {app.Config{TrackingLimit: n, PartnerBlocked: names[n-1:]}, saga.Compensated, left{}},
			} {
				c.config.Coordination = coordination
				t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
					t.Parallel()
					s := run(t, c.config)
					_, id := s.register(names...)
					end := s.await(id)
					if got := s.left(); end.Status != c.want || got != c.left {
						t.Errorf("%s (%s), there are %+v, want %s and %+v", end.Status, end.Reason, got, c.want, c.left)
					}
					var detail struct {
						State      string
						ItemsTotal int
						History    []json.RawMessage
					}
					s.get("/v1/sagas/"+string(id)+"?historyLimit=1000", &detail)
					if detail.State != string(c.want) || detail.ItemsTotal != n || len(detail.History) < 2*n {
						t.Errorf("the saga is shown as %s with %d items and %d lines", detail.State, detail.ItemsTotal, len(detail.History))
					}
				})
			}
		}
	})
}

// inBothWays runs the test with either coordination.
func inBothWays(t *testing.T, test func(*testing.T, app.Coordination)) {
	t.Helper()
	for _, c := range []app.Coordination{app.Orchestrated, app.Choreographed} {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// TestEqualParticipants are refused by the campaign service itself, which the original's route does not wait for.
func TestEqualParticipants(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1})
		_, id := s.register("Ana", "Ana")
		if end := s.await(id); end.Status != saga.Compensated || !strings.Contains(end.Reason, "participants") {
			t.Errorf("%s: %s", end.Status, end.Reason)
		}
		if got := s.left(); got != (left{}) {
			t.Errorf("there are %+v", got)
		}
	})
}

// TestNoParticipants leaves nothing to do but the approval.
func TestNoParticipants(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1})
		_, id := s.register()
		if end := s.await(id); end.Status != saga.Completed || s.left() != (left{active: 1}) {
			t.Errorf("%s: %s, there are %+v", end.Status, end.Reason, s.left())
		}
	})
}

// TestByHand registers and cancels what no saga is about.
func TestByHand(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1})
		campaign, id := s.register("Ana")
		before := s.await(id)

		status, header := s.do(http.MethodPost, "/registrar-partner", map[string]string{
			"id_campaign": campaign, "nombre": "Benito", "tipo": "afiliado", "informacion_perfil": "",
		}, nil)
		if status != http.StatusOK {
			t.Fatalf("POST /registrar-partner: %d", status)
		}
		partner := strings.TrimPrefix(header.Get("Location"), "/v1/partners/")
		status, header = s.do(http.MethodPost, "/registrar-evento", map[string]string{"id_partner": partner, "id_campana": campaign}, nil)
		if status != http.StatusOK {
			t.Fatalf("POST /registrar-evento: %d", status)
		}
		event := strings.TrimPrefix(header.Get("Location"), "/v1/events/")
		if got := s.left(); got != (left{active: 1, partners: 2, events: 2}) {
			t.Errorf("there are %+v", got)
		}
		for range 2 { // what is gone can be cancelled again
			s.get("/eliminar-evento/"+event, nil)
			s.get("/eliminar-partner/"+partner, nil)
		}
		if got := s.left(); got != (left{active: 1, partners: 1, events: 1}) {
			t.Errorf("after cancelling there are %+v", got)
		}
		if after := s.await(id); after.Version != before.Version || s.sagas() != 1 {
			t.Errorf("version %d, was %d, of %d sagas", after.Version, before.Version, s.sagas())
		}
	})
}

// TestEliminarCampaign of a finished saga takes the campaign away, and leaves the saga and the partners as they are.
func TestEliminarCampaign(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1})
		campaign, id := s.register("Ana", "Benito")
		before := s.await(id)
		s.get("/eliminar-campaign/"+campaign, nil)
		if got := s.left(); got != (left{partners: 2, events: 2}) {
			t.Errorf("there are %+v", got)
		}
		if after := s.await(id); after.Status != saga.Completed || after.Version != before.Version {
			t.Errorf("%s at version %d, was %d", after.Status, after.Version, before.Version)
		}
	})
}

// TestRepeatedRegistration with an id of its own is one registration.
func TestRepeatedRegistration(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1})
		ids := make([]string, 5)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() {
				var answer struct {
					SagaID string `json:"sagaId"`
				}
				s.do(http.MethodPost, "/v1/campaigns", map[string]any{
					"id": "0199a1b2-c3d4-7e5f-8a6b-000000000001", "name": "Launch", "budget": "10", "currency": "EUR", "brandId": "b",
					"participants": []map[string]string{{"type": "affiliate", "name": "Ana"}},
				}, &answer)
				ids[i] = answer.SagaID
			})
		}
		all.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("the sagas are %q", ids)
			}
		}
		s.await(saga.ID(ids[0]))
		if got := s.left(); got != (left{active: 1, partners: 1, events: 1}) || s.sagas() != 1 {
			t.Errorf("there are %+v and %d sagas", got, s.sagas())
		}
	})
}

// TestManyAtOnce has many clients, every third of whom names someone who is blocked.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		const clients = 30 // with more, the watcher parks sagas for slowness where the race detector runs
		s := run(t, app.Config{Coordination: coordination, TrackingLimit: -1, PartnerBlocked: []string{"Carla"}})
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				names, want := []string{"Ana", "Benito", "Dora"}, saga.Completed
				if i%3 == 0 {
					names[i%len(names)], want = "Carla", saga.Compensated
				}
				_, id := s.register(names...)
				if end := s.await(id); end.Status != want {
					t.Errorf("%s (%s), want %s", end.Status, end.Reason, want)
				}
			})
		}
		all.Wait()
		const good = clients - (clients+2)/3
		if got := s.left(); got != (left{active: good, partners: 3 * good, events: 3 * good}) || s.sagas() != clients {
			t.Errorf("there are %+v and %d sagas", got, s.sagas())
		}
	})
}

// TestStop loses nothing of what was acknowledged, and the next run completes it.
func TestStop(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, coordination app.Coordination) {
		config := app.Config{Coordination: coordination, TrackingLimit: -1, Data: filepath.Join(t.TempDir(), "stop.db")}
		s := run(t, config)
		var ids []saga.ID
		for range 20 {
			_, id := s.register(participants(5)...)
			ids = append(ids, id)
		}
		asked := time.Now()
		s.end()
		t.Logf("it stopped within %v", time.Since(asked).Round(time.Millisecond))
		if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL(app.BFF), "http://")); err == nil {
			t.Error("its port is still open")
		}

		next := run(t, config)
		for _, id := range ids {
			if end := next.await(id); end.Status != saga.Completed {
				t.Errorf("%s: %s", end.Status, end.Reason)
			}
		}
		if got := next.left(); got != (left{active: 20, partners: 100, events: 100}) {
			t.Errorf("there are %+v", got)
		}
	})
}

// TestUnknownDefinition parks a saga that another version of the program began, and goes on with it once that version is back.
func TestUnknownDefinition(t *testing.T) {
	t.Parallel()
	config := app.Config{TrackingLimit: -1, Data: filepath.Join(t.TempDir(), "unknown.db")}
	s := run(t, config)
	db, err := sql.Open("sqlite", "file:"+config.Data+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE TRIGGER hold BEFORE INSERT ON campaigns BEGIN SELECT RAISE(ABORT, 'not now'); END")
	_, id := s.register("Ana")
	// Nobody has known it for an hour. As whatever another process does, that is another version.
	exec("UPDATE sagas SET hash = 'x' || hash, wake_at = wake_at - 3600000, version = version + 1")
	exec("DROP TRIGGER hold")
	if err := s.Coordinator().Wake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if end := s.await(id); end.Status != saga.Parked || !end.Orphaned {
		t.Errorf("%s: %s", end.Status, end.Reason)
	}
	var detail struct {
		State    string
		Orphaned bool
		Reason   string
	}
	s.get("/v1/sagas/"+string(id), &detail)
	if detail.State != "parked" || !detail.Orphaned || !strings.Contains(detail.Reason, "deploy a version that has it") {
		t.Errorf("it is shown as %+v", detail)
	}
	s.end()

	exec("UPDATE sagas SET hash = substr(hash, 2)")
	next := run(t, config)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for end := next.await(id); end.Status != saga.Completed; end = next.await(id) {
		select {
		case <-poll.C: // it is parked until the reply comes
		case <-ctx.Done():
			t.Fatalf("%s: %s", end.Status, end.Reason)
		}
	}
	if got := next.left(); got != (left{active: 1, partners: 1, events: 1}) {
		t.Errorf("there are %+v", got)
	}
}

// TestProbesBeforeTheStart: while Pulsar is out of reach, probes are answered; what needs it waits for a moment, and is not lost in silence.
func TestProbesBeforeTheStart(t *testing.T) {
	t.Parallel()
	s := begin(t, app.Config{Broker: "pulsar://127.0.0.1:1"})
	status := func(path string) int {
		got, _ := s.do(http.MethodGet, path, nil, nil)
		return got
	}
	if healthy, ready := status("/healthz"), status("/readyz"); healthy != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("/healthz is %d, /readyz %d", healthy, ready)
	}
	waiting := make(chan int, 1)
	go func() { waiting <- status("/campaigns") }()
	select {
	case got := <-waiting:
		t.Errorf("a request did not wait for the start: %d", got)
	case <-time.After(300 * time.Millisecond):
	}
	s.end()
	if got := <-waiting; got != http.StatusServiceUnavailable {
		t.Errorf("a request that waited for a start that did not come is answered %d", got)
	}
}

// TestConfig wants every fault of the settings to be told, and nothing to be left open.
func TestConfig(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		config app.Config
		want   []string
	}{
		"services":     {app.Config{Services: []string{"bff", "bff", "x"}}, []string{`"bff" is named twice`, `no service "x"`}},
		"data":         {app.Config{Data: filepath.Join(t.TempDir(), "none", "x.db")}, []string{"data", "none/x.db"}},
		"port taken":   {app.Config{Ephemeral: true, Listen: taken.Addr().String()}, []string{"listen", "in use"}},
		"coordination": {app.Config{Ephemeral: true, Coordination: "anarchy"}, []string{"coordination", "orchestrated or choreographed"}},
		"no host":      {app.Config{Ephemeral: true, Listen: "x", Services: []string{"bff"}}, []string{"listen", "host:port"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.config.Logger = slog.New(slog.DiscardHandler)
			_, err := app.New(t.Context(), c.config)
			if !errors.Is(err, app.ErrConfig) {
				t.Fatal(err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("does not say %s: %v", part, err)
				}
			}
		})
	}
}

// TestClose of an app that never ran frees its port.
func TestClose(t *testing.T) {
	t.Parallel()
	config := app.Config{Ephemeral: true, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)}
	a, err := app.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	config.Listen = strings.TrimPrefix(a.URL(app.Campaign), "http://")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := app.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
