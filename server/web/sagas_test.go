package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/server/web"
)

// sagas is a store and a coordinator with one instance.
type sagas struct {
	state saga.State
	lines []coordinator.LogEntry
	asked coordinator.ListQuery
	acts  []saga.Act
	err   error

	pauses []coordinator.Pause // newest first
}

// newSagas returns the registration of a campaign with two participants, the first of which is under way.
func newSagas(t *testing.T) *sagas {
	t.Helper()
	def := registration.Define()
	data := registration.Registration{
		Campaign: campaign.Register{ID: id(1), Name: "n", Budget: "1", Participants: []campaign.Participant{{Name: "Alice"}, {Name: "Bob"}}},
	}
	s := &sagas{}
	version := int64(0)
	for _, in := range []saga.Input{
		saga.Start{ID: "saga-1", Key: id(1), Data: data},
		saga.Reply{Node: "campaign", Direction: saga.DoDirection, Outcome: saga.Success, Event: campaign.Registered{ID: id(1)}},
	} {
		next, effects, err := saga.Decide(def, s.state, in, now)
		if err != nil {
			t.Fatal(err)
		}
		s.state = next
		version++
		for i, e := range effects {
			if l, ok := e.(saga.Log); ok {
				s.lines = append(s.lines, coordinator.LogEntry{Version: version, Line: i, At: now, Log: l})
			}
		}
	}
	return s
}

func (s *sagas) Get(_ context.Context, id saga.ID) (saga.State, error) {
	if s.err != nil || id != s.state.ID {
		return saga.State{}, errors.Join(s.err, saga.ErrNotFound)
	}
	root := s.state
	root.Items = nil
	return root, nil
}

func (s *sagas) Items(_ context.Context, _ saga.ID, offset, limit int) ([]saga.Record, error) {
	var all []saga.Record
	for i := range len(s.state.Items) {
		all = append(all, s.state.Items[fmt.Sprintf("participants[%d]", i)])
	}
	return slice(all, offset, limit), nil
}

func (s *sagas) List(_ context.Context, q coordinator.ListQuery) ([]saga.State, string, error) {
	s.asked = q
	if s.err != nil || q.Cursor == "bad" {
		return nil, "", errors.Join(s.err, errors.New("sagas: no such cursor"))
	}
	return []saga.State{s.state}, "next", nil
}

func (s *sagas) History(_ context.Context, _ saga.ID, offset, limit int) ([]coordinator.LogEntry, error) {
	return slice(s.lines, offset, limit), nil
}

func (s *sagas) Audits(context.Context, saga.ID) ([]coordinator.AuditEntry, error) {
	return []coordinator.AuditEntry{{Version: 9, At: now, Audit: saga.Audit{
		Act: saga.Act{ID: "a1", Action: saga.Retry, Node: "campaign", By: "ana", Why: "it was down"}, Before: "doing (stuck)", After: "doing",
	}}}, nil
}

func (s *sagas) PauseHistory(_ context.Context, offset, limit int) ([]coordinator.Pause, error) {
	return slice(s.pauses, offset, limit), s.err
}

func (s *sagas) Pause(_ context.Context, definition, by, why string) error {
	if definition != "" && definition != registration.Name {
		return fmt.Errorf("%w: %q", saga.ErrUnknownDefinition, definition)
	}
	s.pauses = append([]coordinator.Pause{{Definition: definition, At: now, By: by, Why: why}}, s.pauses...)
	return nil
}

func (s *sagas) Resume(_ context.Context, definition string, rate int, by, why string) error {
	for i := range s.pauses {
		if p := &s.pauses[i]; p.Definition == definition && !p.Done {
			p.Released, p.ReleasedBy, p.ReleasedWhy, p.Rate, p.Done = now, by, why, rate, rate == 0
		}
	}
	return nil
}

func (s *sagas) Act(_ context.Context, id saga.ID, act saga.Act) (saga.State, error) {
	if id != s.state.ID {
		return saga.State{}, saga.ErrNotFound
	}
	s.acts = append(s.acts, act)
	return s.state, s.err
}

func slice[T any](all []T, offset, limit int) []T {
	all = all[min(offset, len(all)):]
	return all[:min(limit, len(all))]
}

func newSagaSite(t *testing.T) (*site, *sagas) {
	t.Helper()
	stored := newSagas(t)
	return newSite(t, func(c *web.Config) {
		c.Sagas, c.Actor, c.Pauser, c.Definitions = stored, stored, stored, []saga.Any{registration.Define()}
	}), stored
}

func TestListSagas(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	got := s.get("/v1/sagas?state=running&definition=register-campaign&key=" + id(1) + "&limit=1&cursor=c")
	var list struct {
		Items []struct {
			ID, Definition, Key, State string
			Version                    int64
		}
		NextCursor string
	}
	got.decode(t, &list)
	if got.status != http.StatusOK || len(list.Items) != 1 || list.NextCursor != "next" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if one := list.Items[0]; one.ID != "saga-1" || one.State != "running" || one.Key != id(1) || one.Version != 2 {
		t.Errorf("%+v", one)
	}
	want := coordinator.ListQuery{Definition: "register-campaign", Status: saga.Running, Key: id(1), Limit: 1, Cursor: "c"}
	if stored.asked != want {
		t.Errorf("asked for %+v, want %+v", stored.asked, want)
	}
	if link := got.header.Get("Link"); !strings.Contains(link, "state=running") || !strings.Contains(link, "cursor=next") {
		t.Errorf("Link: %s", link)
	}
}

func TestGetSaga(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	type step struct {
		Path, Class, Phase string
		Fan                *struct{ Total, Started int }
	}
	var d struct {
		ID, State string
		Data      registration.Registration
		Steps     []step
		Items     []struct {
			Key   string
			Data  registration.Item
			Steps []step
		}
		ItemsTotal int
		History    []struct {
			Kind, Node string
			Version    int64
		}
		Actions []struct{ ID, By, Why string }
	}
	got := s.get("/v1/sagas/saga-1")
	got.decode(t, &d)
	if got.status != http.StatusOK || d.ID != "saga-1" || d.State != "running" || d.Data.Campaign.ID != id(1) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if len(d.Steps) != 3 || d.Steps[0].Path != "campaign" || d.Steps[0].Phase != "done" || d.Steps[0].Class != "compensable" {
		t.Errorf("steps %+v", d.Steps)
	}
	if fan := d.Steps[1]; fan.Path != "participants" || fan.Fan == nil || fan.Fan.Total != 2 || d.Steps[2].Phase != "idle" || d.Steps[2].Class != "pivot" {
		t.Errorf("steps %+v", d.Steps)
	}
	if d.ItemsTotal != 2 || len(d.Items) != 2 || d.Items[0].Key != "participants[0]" || d.Items[1].Data.Participant.Name != "Bob" ||
		d.Items[0].Steps[0].Path != "participants[0]" && d.Items[0].Steps[0].Path != "participants[0]/partner" {
		t.Errorf("items %+v", d.Items)
	}
	if len(d.History) == 0 || d.History[0].Kind != "started" || d.History[0].Version != 1 {
		t.Errorf("history %+v", d.History)
	}
	if len(d.Actions) != 1 || d.Actions[0].By != "ana" {
		t.Errorf("actions %+v", d.Actions)
	}
	d.Items, d.History = nil, nil
	s.get("/v1/sagas/saga-1?itemsOffset=1&itemsLimit=1&historyOffset=1&historyLimit=1").decode(t, &d)
	if len(d.Items) != 1 || d.Items[0].Key != "participants[1]" || len(d.History) != 1 || d.History[0].Kind == "started" {
		t.Errorf("second page: items %+v, history %+v", d.Items, d.History)
	}
}

func TestSagaOfAnotherDefinitionHasNoSteps(t *testing.T) {
	t.Parallel()
	stored := newSagas(t)
	s := newSite(t, func(c *web.Config) { c.Sagas = stored })
	if got := s.get("/v1/sagas/saga-1"); got.status != http.StatusOK || !strings.Contains(got.body, `"steps":[]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	p := checkProblem(t, s.do("POST", "/v1/sagas/saga-1/actions", action("retry")), http.StatusNotImplemented)
	if !strings.Contains(p.Detail, "campaign service") {
		t.Errorf("%+v", p)
	}
}

func action(name string) string {
	return `{"id":"a1","action":"` + name + `","node":"campaign","version":2,"by":"ana","why":"it was down"}`
}

func TestActOnSaga(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	got := s.do("POST", "/v1/sagas/saga-1/actions", action("retry"))
	if got.status != http.StatusOK || !strings.Contains(got.body, `"id":"saga-1"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	want := saga.Act{ID: "a1", Action: saga.Retry, Node: "campaign", Version: 2, By: "ana", Why: "it was down"}
	if len(stored.acts) != 1 || stored.acts[0] != want {
		t.Errorf("%+v, want %+v", stored.acts, want)
	}
	for err, status := range map[error]int{
		saga.ErrConflict: 409, saga.ErrNotAllowed: 409, saga.ErrUnknownDefinition: 409, saga.ErrNotFound: 404,
		coordinator.ErrClosed: 503, errors.New("disk full"): 500, context.DeadlineExceeded: 503,
	} {
		stored.err = fmt.Errorf("wrapped: %w", err)
		got := s.do("POST", "/v1/sagas/saga-1/actions", action("force"))
		checkProblem(t, got, status)
		if strings.Contains(got.body, "disk") {
			t.Errorf("tells too much: %s", got.body)
		}
	}
	stored.err = nil
	for name, body := range map[string]string{
		"body.action": action("restart"), "body.by": with(action("skip"), "ana", ""), "body.why": `{"id":"a","action":"skip","by":"b"}`,
		"body.version": with(action("skip"), ":2", ":-1"),
	} {
		if p := checkProblem(t, s.do("POST", "/v1/sagas/saga-1/actions", body), 422); !p.names(name, "") {
			t.Errorf("%+v does not name %s", p, name)
		}
	}
	checkProblem(t, s.do("POST", "/v1/sagas/nobody/actions", action("retry")), 404)
}

func TestSagaProblems(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	checkProblem(t, s.get("/v1/sagas/nobody"), 404)
	checkProblem(t, s.get("/v1/sagas/%FF"), 404)
	for path, field := range map[string]string{
		"/v1/sagas?state=happy": "query.state", "/v1/sagas?limit=501": "query.limit", "/v1/sagas?cursor=bad": "query.cursor",
		"/v1/sagas/saga-1?itemsLimit=-1": "query.itemsLimit", "/v1/sagas/" + strings.Repeat("x", 65): "path.id",
	} {
		if p := checkProblem(t, s.get(path), 422); !p.names(field, "") {
			t.Errorf("%s: %+v does not name %s", path, p, field)
		}
	}
	stored.err = errors.New("the database is down")
	checkProblem(t, s.get("/v1/sagas?cursor=bad"), 500)
	checkProblem(t, s.get("/v1/sagas"), 500)
}

func TestSagasElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.SagasAt = "http://campaign:8001/v1/sagas" })
	for _, got := range []answer{s.get("/v1/sagas"), s.get("/v1/sagas/x"), s.do("POST", "/v1/sagas/x/actions", action("retry"))} {
		if p := checkProblem(t, got, http.StatusNotImplemented); !strings.Contains(p.Detail, "http://campaign:8001/v1/sagas") {
			t.Errorf("%+v does not say where", p)
		}
	}
}
