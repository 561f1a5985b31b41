package app_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/server/app"
)

// hold is a place where sagas are held up: those whose campaign has its name.
type hold struct{ name, table, on, log string }

func holds() []hold {
	return []hold{
		{"at the campaign", "campaigns", "INSERT ON campaigns WHEN NEW.nombre", "node = 'campaign'"},
		{"at the partners", "partners", "INSERT ON partners WHEN (SELECT nombre FROM campaigns WHERE id = NEW.id_campaign)", "node = 'participants[1]/partner'"},
		{"at the events", "eventos", "INSERT ON eventos WHEN (SELECT nombre FROM campaigns WHERE id = NEW.id_campana)", "node = 'participants[1]/conversion'"},
		{"at the approval", "campaigns", "UPDATE ON campaigns WHEN NEW.nombre", "node = 'approve'"},
		{"undoing the events", "eventos", "DELETE ON eventos WHEN (SELECT nombre FROM campaigns WHERE id = OLD.id_campana)", "kind = 'aborted'"},
		{"undoing the campaign", "campaigns", "DELETE ON campaigns WHEN OLD.nombre", "node = 'campaign' AND direction = 'undo'"},
	}
}

// undone reports whether a saga that is held there is compensated in the end.
func (h hold) undone() bool { return strings.HasPrefix(h.name, "undoing") }

// place registers a campaign through /v1 and returns its saga's id.
func (s *system) place(key, name string, participants ...string) saga.ID {
	s.t.Helper()
	list := make([]map[string]string, len(participants))
	for i, p := range participants {
		list[i] = map[string]string{"type": "affiliate", "name": p}
	}
	var answer struct {
		SagaID saga.ID `json:"sagaId"`
	}
	if status, _ := s.do(http.MethodPost, "/v1/campaigns", map[string]any{
		"id": key, "name": name, "budget": "10", "currency": "EUR", "brandId": "b", "participants": list,
	}, &answer); status != http.StatusAccepted && status != http.StatusCreated {
		s.t.Fatalf("POST /v1/campaigns: %d", status)
	}
	return answer.SagaID
}

// command sends the command to register a campaign as a broker gives it once more.
func (s *system) command(id, name string, participants ...string) {
	s.t.Helper()
	cmd := campaign.Register{ID: id, Name: name, Budget: "10", Currency: "EUR", BrandID: "b"}
	for _, p := range participants {
		cmd.Participants = append(cmd.Participants, campaign.Participant{Type: "affiliate", Name: p})
	}
	m, err := s.Bus().Codec.Encode(cmd)
	if err == nil {
		err = messaging.Publish(s.t.Context(), s.Bus().Broker, m)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestSwitch changes the coordination between runs on one data file, while sagas are under way at every stage: each goes on as it
// began, new ones begin as the setting says, and nothing is left stuck.
func TestSwitch(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, first app.Coordination) {
		second := map[app.Coordination]app.Coordination{app.Orchestrated: app.Choreographed, app.Choreographed: app.Orchestrated}[first]
		config := app.Config{
			TrackingLimit: -1, PartnerBlocked: []string{"Mallory"}, Grace: 50 * time.Millisecond, Data: filepath.Join(t.TempDir(), "switch.db"),
		}
		exec, count := database(t, config.Data)
		began := map[app.Coordination]int{}
		ended := map[saga.Status]int{}
		under := map[saga.ID]saga.Status{}
		again := map[saga.ID]func(*system){}
		for _, config.Coordination = range []app.Coordination{first, second, first} {
			s := run(t, config)
			for id, want := range under {
				if end := s.await(id); end.Status != want {
					t.Errorf("after the switch to %s: %s (%s), want %s", config.Coordination, end.Status, end.Reason, want)
				}
				ended[want]++
				// What was registered before is not registered anew the other way.
				again[id](s)
			}
			clear(under)
			for i, h := range holds() {
				exec(fmt.Sprintf("CREATE TRIGGER hold%d BEFORE %s = '%s' BEGIN SELECT RAISE(ABORT, 'held up'); END", i, h.on, h.name))
				participants, want := []string{"Ana", "Benito", "Dora"}, saga.Completed
				if h.undone() {
					participants, want = append(participants, "Mallory"), saga.Compensated
				}
				key := uuid.NewString()
				id := s.place(key, h.name, participants...)
				again[id], under[id] = func(s *system) { s.command(key, h.name, participants...) }, want
				until(t, "that it is held up "+h.name, func() bool {
					return count("SELECT COUNT(*) FROM saga_log WHERE saga_id = '"+string(id)+"' AND "+h.log) > 0
				})
				began[config.Coordination]++
			}
			s.end()
			for i := range holds() {
				exec(fmt.Sprintf("DROP TRIGGER hold%d", i))
			}
		}
		config.Coordination = second
		s := run(t, config)
		for id, want := range under {
			if end := s.await(id); end.Status != want {
				t.Errorf("in the end: %s (%s), want %s", end.Status, end.Reason, want)
			}
			ended[want]++
		}
		done := ended[saga.Completed]
		if got := s.left(); got != (left{active: done, partners: 3 * done, events: 3 * done}) {
			t.Errorf("there are %+v, of %d completed sagas", got, done)
		}
		watcher, err := registration.Choreograph("")
		if err != nil {
			t.Fatal(err)
		}
		for hash, want := range map[string]int{registration.Define().Hash(): began[app.Orchestrated], watcher.Hash(): began[app.Choreographed]} {
			if n := count("SELECT COUNT(*) FROM sagas WHERE hash = '" + hash + "'"); n != want {
				t.Errorf("%d sagas are coordinated by %s, want %d", n, hash, want)
			}
		}
		for _, service := range registration.Services() {
			if n := count("SELECT COUNT(*) FROM " + service + "_sagas"); n != began[app.Choreographed] {
				t.Errorf("%s takes part in %d sagas, want %d", service, n, began[app.Choreographed])
			}
			until(t, service+"'s part comes to its end, too", func() bool {
				return count("SELECT COUNT(*) FROM "+service+"_sagas WHERE status NOT IN ('completed', 'compensated')") == 0
			})
		}
		until(t, "that nothing is left in the outbox", func() bool { return count("SELECT COUNT(*) FROM outbox") == 0 })
		if n := count("SELECT COUNT(*) FROM dead_letters"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// TestHalfAStart stops the system between the two commits that begin a choreographed saga; the next run finishes it, however new sagas
// are coordinated then.
func TestHalfAStart(t *testing.T) {
	t.Parallel()
	inBothWays(t, func(t *testing.T, next app.Coordination) {
		config := app.Config{
			TrackingLimit: -1, Coordination: app.Choreographed, Grace: 50 * time.Millisecond, Data: filepath.Join(t.TempDir(), "half.db"),
		}
		s := run(t, config)
		exec, count := database(t, config.Data)
		exec("CREATE TRIGGER hold BEFORE INSERT ON campaign_sagas BEGIN SELECT RAISE(ABORT, 'not now'); END")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		const key = "0199a1b2-c3d4-7e5f-8a6b-000000000001"
		posted := make(chan error, 1)
		go func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(app.BFF)+"/v1/campaigns", strings.NewReader(
				`{"id":"`+key+`","name":"n","budget":"1","currency":"EUR","brandId":"b","participants":[{"type":"affiliate","name":"Ana"}]}`))
			if err != nil {
				posted <- err
				return
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := s.client.Do(request)
			if err == nil {
				err = response.Body.Close()
			}
			posted <- err
		}()
		until(t, "that the watcher began", func() bool { return count("SELECT COUNT(*) FROM sagas") == 1 })
		s.end()
		<-posted // whatever it was answered
		if n := count("SELECT COUNT(*) FROM campaign_sagas"); n != 0 {
			t.Fatalf("%d sagas began in full", n)
		}
		exec("DROP TRIGGER hold")
		config.Coordination = next
		again := run(t, config)
		if end := again.await(coordinator.IDOf(registration.Name, key)); end.Status != saga.Completed {
			t.Errorf("%s: %s", end.Status, end.Reason)
		}
		if got := again.left(); got != (left{active: 1, partners: 1, events: 1}) {
			t.Errorf("there are %+v", got)
		}
	})
}
