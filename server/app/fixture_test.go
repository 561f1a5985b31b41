package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/server/app"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 60 * time.Second

// system is a running app with a client of its own.
type system struct {
	*app.App

	t       *testing.T
	client  *http.Client
	stop    context.CancelFunc
	stopped chan error
}

// run runs an app with the settings on a free port; it ends with the test, if it has not before.
func run(t *testing.T, config app.Config) *system {
	t.Helper()
	s := begin(t, config)
	select {
	case <-s.Ready():
	case err := <-s.stopped:
		t.Fatal("it ended at once:", err)
	}
	return s
}

// begin does not wait until it is ready.
func begin(t *testing.T, config app.Config) *system {
	t.Helper()
	config.Listen, config.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	if config.Data == "" {
		config.Ephemeral = true
	}
	a, err := app.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &system{App: a, t: t, client: &http.Client{Transport: &http.Transport{}, Timeout: patience}, stop: cancel, stopped: make(chan error, 1)}
	go func() { s.stopped <- a.Run(ctx) }()
	t.Cleanup(s.end)
	return s
}

// end stops the app and wants it to end well.
func (s *system) end() {
	s.t.Helper()
	if s.stop == nil {
		return
	}
	s.stop()
	s.stop = nil
	if err := <-s.stopped; err != nil {
		s.t.Error("it ended with", err)
	}
	s.client.CloseIdleConnections()
}

// do sends a request with body, a value to be marshaled or nil, and decodes a good answer into the target, if there is one.
func (s *system) do(method, path string, body, into any) (status int, header http.Header) {
	s.t.Helper()
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL(app.BFF)+path, content)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && into != nil && response.StatusCode < 300 {
		err = json.Unmarshal(answer, into)
	}
	if err != nil {
		s.t.Fatalf("%s %s: %s: %v: %s", method, path, response.Status, err, answer)
	}
	return response.StatusCode, response.Header
}

func (s *system) get(path string, into any) {
	s.t.Helper()
	if status, _ := s.do(http.MethodGet, path, nil, into); status != http.StatusOK {
		s.t.Fatalf("GET %s: %d", path, status)
	}
}

// register posts a campaign as the original's clients do and returns its id and its saga's.
func (s *system) register(participants ...string) (campaign string, id saga.ID) {
	s.t.Helper()
	list := make([]map[string]string, len(participants))
	for i, name := range participants {
		list[i] = map[string]string{"id": fmt.Sprint("p-", i), "tipo": "afiliado", "nombre": name, "informacion_perfil": "travel"}
	}
	status, header := s.do(http.MethodPost, "/registrar-campaign", map[string]any{
		"nombre": "Launch", "presupuesto": 2500.5, "divisa": "EUR", "marca_id": "brand-7", "participantes": list,
	}, nil)
	if status != http.StatusOK {
		s.t.Fatalf("POST /registrar-campaign: %d", status)
	}
	return header.Get("Location")[len("/v1/campaigns/"):], saga.ID(header.Get("Saga-Id"))
}

// await waits until the saga has come to rest.
func (s *system) await(id saga.ID) saga.State {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	state, err := s.Coordinator().Await(ctx, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// left is what there is in the whole system.
type left struct{ pending, active, partners, events int }

func (s *system) left() (l left) {
	s.t.Helper()
	var campaigns struct{ Items []struct{ Status string } }
	s.get("/v1/campaigns?limit=1000", &campaigns)
	for _, c := range campaigns.Items {
		switch c.Status {
		case "pending":
			l.pending++
		case "active":
			l.active++
		}
	}
	var partners, events []json.RawMessage
	s.get("/obtener-partners", &partners)
	s.get("/obtener-eventos", &events)
	l.partners, l.events = len(partners), len(events)
	return l
}

// sagas returns how many sagas there are.
func (s *system) sagas() int {
	s.t.Helper()
	var page struct{ Items []json.RawMessage }
	s.get("/v1/sagas?limit=500", &page)
	return len(page.Items)
}

func participants(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("participant ", i)
	}
	return names
}
