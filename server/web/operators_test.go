package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/server/web"
)

func edit(node, data string) string {
	return `{"id":"a1","action":"edit","node":"` + node + `","data":` + data + `,"by":"ana","why":"a wrong name"}`
}

// TestEdit gives the data on as it was sent, to the byte.
func TestEdit(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	const data = `{"campaign": {"budget":"16777217.10"},  "occurredAt":"2026-01-02T03:04:05Z"}`
	if got := s.do("POST", "/v1/sagas/saga-1/actions", edit("participants[1]", data)); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	want := saga.Act{ID: "a1", Action: saga.Edit, Node: "participants[1]", Data: data, By: "ana", Why: "a wrong name"}
	if len(stored.acts) != 1 || stored.acts[0] != want {
		t.Errorf("%+v, want %+v", stored.acts, want)
	}
	for name, body := range map[string]string{
		"a list":  edit("", `[]`),
		"a text":  edit("", `"{}"`),
		"null":    edit("", `null`),
		"missing": `{"id":"a1","action":"edit","by":"ana","why":"w"}`,
		"a retry": with(action("retry"), `"by"`, `"data":{},"by"`),
	} {
		if p := checkProblem(t, s.do("POST", "/v1/sagas/saga-1/actions", body), 422); !p.names("body.data", "") {
			t.Errorf("%s: %+v does not name body.data", name, p)
		}
	}
	if len(stored.acts) != 1 {
		t.Errorf("what was refused went through: %+v", stored.acts)
	}
}

// TestEditNamesTheField of data that does not fit, and repeats nothing of it.
func TestEditNamesTheField(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	for data, field := range map[string]string{
		`{"campagne":{}}`:                                         "body.data.campagne",
		`{"campaign":{"name":7.125}}`:                             "body.data.campaign.name",
		`{"occurredAt":"yesterday"}`:                              "", // a type that reads itself
		`{"campaign":{"participants":[{"name":"s"},{"nome":1}]}}`: "body.data.nome",
		valid(t, func(r *registration.Registration) { r.Campaign.Currency = "secret" }):             "body.data.campaign.currency",
		valid(t, func(r *registration.Registration) { r.Campaign.Participants[1].Type = "secret" }): "body.data.campaign.participants[1].type",
		valid(t, func(r *registration.Registration) { r.OccurredAt = time.Time{} }):                 "body.data.occurredAt",
	} {
		_, _, stored.err = saga.Decide(registration.Define(), stored.state, saga.Act{ID: "a", Action: saga.Edit, Data: data, By: "b", Why: "w"}, now)
		if stored.err == nil {
			t.Fatalf("%s is taken", data)
		}
		status := 422
		if field == "" {
			status = 409
		}
		got := s.do("POST", "/v1/sagas/saga-1/actions", edit("", data))
		if p := checkProblem(t, got, status); field != "" && !p.names(field, "") {
			t.Errorf("%s: %s does not name %s", data, got.body, field)
		}
		if strings.Contains(got.body, "secret") || strings.Contains(got.body, "7.125") {
			t.Errorf("tells what was sent: %s", got.body)
		}
	}
	stored.err = fmt.Errorf("%w: %w: %w", saga.ErrNotAllowed, saga.ErrData, saga.ErrTooLarge)
	if p := checkProblem(t, s.do("POST", "/v1/sagas/saga-1/actions", edit("", `{}`)), 422); !p.names("body.data", "") {
		t.Errorf("%+v", p)
	}
	item := registration.Item{CampaignID: id(1), Participant: campaign.Participant{Name: " ", Type: "x"}, EventID: "e", OccurredAt: now}
	text, err := json.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	_, _, stored.err = saga.Decide(registration.Define(), stored.state,
		saga.Act{ID: "a", Action: saga.Edit, Node: "participants[0]", Data: string(text), By: "b", Why: "w"}, now)
	p := checkProblem(t, s.do("POST", "/v1/sagas/saga-1/actions", edit("participants[0]", string(text))), 422)
	for _, field := range []string{"participant.name", "participant.type", "partnerId"} {
		if !p.names("body.data."+field, "") {
			t.Errorf("%+v does not name %s", p, field)
		}
	}
}

// valid is a registration as JSON, but for the change.
func valid(t *testing.T, change func(*registration.Registration)) string {
	t.Helper()
	r := registration.Registration{OccurredAt: now, Campaign: campaign.Register{
		ID: id(1), Name: "n", Budget: "1", Currency: "EUR", BrandID: "b",
		Participants: []campaign.Participant{{Name: "Ana", Type: "affiliate"}, {Name: "Benito", Type: "influencer"}},
	}}
	change(&r)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPauses(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	type pause struct {
		Definition, State, By, Why, ReleasedBy string
		Rate                                   int
	}
	list := func() []pause {
		t.Helper()
		var l struct{ Items []pause }
		got := s.get("/v1/pauses?limit=10")
		got.decode(t, &l)
		if got.status != http.StatusOK || l.Items == nil {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return l.Items
	}
	if all := list(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	const one, everything = `{"definition":"register-campaign","by":"ana","why":"the bank is down"}`, `{"by":"eva","why":"maintenance"}`
	for _, body := range []string{one, everything} {
		var p pause
		got := s.do("POST", "/v1/pauses", body)
		got.decode(t, &p)
		if got.status != http.StatusOK || p.State != "paused" || !strings.Contains(body, p.Why) {
			t.Errorf("%d %s", got.status, got.body)
		}
		if p := checkProblem(t, s.do("POST", "/v1/pauses", body), http.StatusConflict); !strings.Contains(p.Detail, "paused since 2026-") {
			t.Errorf("%+v", p)
		}
	}
	var p pause
	got := s.do("POST", "/v1/pauses/release", `{"definition":"register-campaign","rate":5,"by":"eva","why":"it is back"}`)
	got.decode(t, &p)
	if want := (pause{"register-campaign", "releasing", "ana", "the bank is down", "eva", 5}); got.status != http.StatusOK || p != want {
		t.Errorf("%d %+v", got.status, p)
	}
	for range 2 { // while it is being released the rate can be changed
		if got := s.do("POST", "/v1/pauses/release", `{"definition":"register-campaign","by":"eva","why":"faster"}`); got.status != http.StatusOK {
			if p := checkProblem(t, got, http.StatusConflict); !strings.Contains(p.Detail, "register-campaign is not paused") {
				t.Errorf("%+v", p)
			}
		}
	}
	if all := list(); len(all) != 2 || all[0].Definition != "" || all[0].State != "paused" || all[1].State != "released" {
		t.Errorf("%+v", all)
	}
	for path, bodies := range map[string][]string{
		"/v1/pauses":         {`{"definition":"register-campagne","by":"a","why":"w"}`},
		"/v1/pauses/release": {`{"definition":"register-campagne","by":"a","why":"w"}`},
	} {
		for _, body := range bodies {
			if p := checkProblem(t, s.do("POST", path, body), http.StatusNotFound); !strings.Contains(p.Detail, "register-campagne") {
				t.Errorf("%s: %+v", path, p)
			}
		}
	}
	for body, field := range map[string]string{
		`{"why":"w"}`: "body.by", `{"by":"a"}`: "body.why", `{"by":"a","why":"w","rate":-1}`: "body.rate", `{"by":"a","why":"w","until":"x"}`: "body.until",
	} {
		if p := checkProblem(t, s.do("POST", "/v1/pauses/release", body), 422); !p.names(field, "") {
			t.Errorf("%+v does not name %s", p, field)
		}
	}
	stored.err = errors.New("disk full")
	checkProblem(t, s.get("/v1/pauses"), 500)
	checkProblem(t, s.do("POST", "/v1/pauses", one), 500)
}

// TestPausesAreFoundBehindOthers looks further back than one page.
func TestPausesAreFoundBehindOthers(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	for range 1200 {
		stored.pauses = append(stored.pauses, coordinator.Pause{Definition: registration.Name, At: now, Released: now, Done: true})
	}
	stored.pauses = append(stored.pauses, coordinator.Pause{At: now, By: "ana", Why: "w"})
	checkProblem(t, s.do("POST", "/v1/pauses", `{"by":"a","why":"w"}`), http.StatusConflict)
	if got := s.do("POST", "/v1/pauses", `{"definition":"register-campaign","by":"a","why":"w"}`); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestDiagramsAndTimelines(t *testing.T) {
	t.Parallel()
	s, stored := newSagaSite(t)
	for path, want := range map[string][]string{
		"/v1/definitions/register-campaign/diagram":                                      {"flowchart", "campaign", "conversion"},
		"/v1/definitions/register-campaign/diagram?hash=" + registration.Define().Hash(): {"flowchart"},
		"/v1/sagas/saga-1/diagram":                                                       {"flowchart", "✓ done", "participants"},
		"/v1/sagas/saga-1/timeline":                                                      {"started", "succeeded", "participants[1]/partner"},
		"/v1/sagas/saga-1/timeline?historyOffset=1&historyLimit=1":                       {"sent"},
	} {
		got := s.get(path)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d, %s", path, got.status, got.header.Get("Content-Type"))
		}
		for _, part := range want {
			if !strings.Contains(got.body, part) {
				t.Errorf("%s lacks %q:\n%s", path, part, got.body)
			}
		}
	}
	for _, path := range []string{
		"/v1/definitions/x/diagram", "/v1/definitions/register-campaign/diagram?hash=x", "/v1/sagas/nobody/diagram", "/v1/sagas/nobody/timeline",
	} {
		checkProblem(t, s.get(path), http.StatusNotFound)
	}
	stored.state.Hash = "of another version"
	if got := s.get("/v1/sagas/saga-1/diagram"); got.status != http.StatusOK || strings.Contains(got.body, "✓ done") {
		t.Errorf("%d %s", got.status, got.body)
	}
	stored.state.Definition = "another"
	checkProblem(t, s.get("/v1/sagas/saga-1/diagram"), http.StatusConflict)
}

// TestParties have their own sagas, and their own actions.
func TestParties(t *testing.T) {
	t.Parallel()
	main, partner := newSagas(t), newSagas(t)
	partner.state.ID = "saga-2"
	s := newSite(t, func(c *web.Config) {
		c.Sagas, c.Actor = main, main
		c.Parties = map[string]web.Party{"partner": {Sagas: partner, Actor: partner}, "tracking": {Sagas: partner}}
	})
	for path, status := range map[string]int{
		"/v1/sagas/saga-1": 200, "/v1/sagas/saga-2": 404, "/v1/sagas/saga-1?party=partner": 404, "/v1/sagas/saga-2?party=partner": 200,
		"/v1/sagas/saga-2/timeline?party=partner": 200, "/v1/sagas/saga-1/timeline?party=partner": 404,
	} {
		if got := s.get(path); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	if got := s.get("/v1/sagas?party=partner"); !strings.Contains(got.body, "saga-2") || !strings.Contains(got.header.Get("Link"), "party=partner") {
		t.Errorf("%s %s", got.body, got.header.Get("Link"))
	}
	if got := s.do("POST", "/v1/sagas/saga-2/actions?party=partner", action("retry")); got.status != http.StatusOK || len(partner.acts) != 1 || len(main.acts) != 0 {
		t.Errorf("%d %s", got.status, got.body)
	}
	checkProblem(t, s.do("POST", "/v1/sagas/saga-2/actions?party=tracking", action("retry")), http.StatusNotImplemented)
	for _, got := range []answer{
		s.get("/v1/sagas?party=bff"), s.get("/v1/sagas/saga-1?party=bff"), s.do("POST", "/v1/sagas/saga-1/actions?party=bff", action("retry")),
	} {
		if p := checkProblem(t, got, 422); !p.names("query.party", "[partner tracking]") {
			t.Errorf("%+v", p)
		}
	}
}

// TestAPartyAlone is a process of one service without the coordinator.
func TestAPartyAlone(t *testing.T) {
	t.Parallel()
	partner := newSagas(t)
	s := newSite(t, func(c *web.Config) {
		c.Services = []web.Service{web.Partner}
		c.Parties = map[string]web.Party{"partner": {Sagas: partner, Actor: partner}}
	})
	if got := s.get("/v1/sagas/saga-1?party=partner"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, got := range []answer{s.get("/v1/sagas"), s.get("/v1/pauses"), s.do("POST", "/v1/pauses", `{"by":"a","why":"w"}`)} {
		checkProblem(t, got, http.StatusNotImplemented)
	}
}

// errand is data for every shape.
type errand struct {
	Rush  bool
	Stops []stop
}

type (
	stop    struct{ Where string }
	goThere struct{ Where string }
	arrived struct{}
	lost    struct{}
	signed  struct{ By string }
)

// TestShapes shows nodes of every kind, an If's way, a kept signal and tolerated items, and data that is stored as no JSON.
func TestShapes(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("errand",
		saga.ForEach("stops", func(e errand) []stop { return e.Stops },
			saga.Step("go",
				saga.Do(func(s stop) goThere { return goThere(s) }),
				saga.On(func(*stop, arrived) {}),
				saga.OnFailure(func(*stop, lost) {}),
			).NothingToUndo().Service("driver"),
		).Tolerate(1),
		saga.If("rush", func(e errand) bool { return e.Rush },
			saga.Sleep("nap", func(errand) time.Duration { return time.Hour }),
		).Else(saga.Wait("signature", func(*errand, signed) {}).Deadline(time.Hour)),
		saga.Wait("receipt", func(*errand, signed) {}),
	).WithCodec(backwards{})
	stored := &sagas{}
	reply := func(i int, event any) saga.Reply {
		return saga.Reply{Node: fmt.Sprintf("stops[%d]/go", i), Direction: saga.DoDirection, Event: event}
	}
	for _, in := range []saga.Input{
		saga.Start{ID: "saga-1", Data: errand{Stops: []stop{{"bank"}, {"shop"}}}},
		saga.Signal{Node: "receipt", Event: signed{By: "eva"}},
		reply(0, lost{}), reply(1, arrived{}),
	} {
		next, _, err := saga.Decide(def, stored.state, in, now)
		if err != nil {
			t.Fatal(err)
		}
		stored.state = next
	}
	s := newSite(t, func(c *web.Config) { c.Sagas, c.Definitions = stored, []saga.Any{def} })
	type step struct {
		Path, Kind, Service, Phase, Taken string
		Kept                              bool
		Due                               time.Time
		Fan                               *struct{ Total, Failed, Tolerates int }
	}
	var d struct {
		Coordination string
		Data         errand
		Steps        []step
	}
	// The items of this fixture are keyed by another fan-out.
	got := s.get("/v1/sagas/saga-1?itemsLimit=0")
	got.decode(t, &d)
	if got.status != http.StatusOK || d.Coordination != "orchestrated" || len(d.Data.Stops) != 2 || d.Data.Stops[0].Where != "bank" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	byPath := map[string]step{}
	for _, step := range d.Steps {
		byPath[step.Path] = step
	}
	due := now.Add(time.Hour)
	for path, want := range map[string]step{
		"rush":                {Kind: "if", Phase: "doing", Taken: "else"},
		"rush/then/nap":       {Kind: "sleep", Phase: "idle"},
		"rush/else/signature": {Kind: "wait", Phase: "waiting", Due: due},
		"receipt":             {Kind: "wait", Phase: "idle", Kept: true},
	} {
		want.Path = path
		if got := byPath[path]; got != want {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	if fan := byPath["stops"]; fan.Kind != "for-each" || fan.Fan == nil || fan.Fan.Failed != 1 || fan.Fan.Tolerates != 1 || fan.Phase != "done" {
		t.Errorf("%+v", fan)
	}
	unread := newSite(t, func(c *web.Config) { c.Sagas = stored })
	if got := unread.get("/v1/sagas/saga-1"); got.status != http.StatusOK || strings.Contains(got.body, `"data"`) || strings.Contains(got.body, `"coordination"`) {
		t.Errorf("without the definition: %d %s", got.status, got.body)
	}
}

// backwards is a codec whose stored form is no JSON.
type backwards struct{}

func (backwards) Encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return reversed(text), err
}

func (backwards) Decode(data []byte, v any) error { return json.Unmarshal(reversed(data), v) }

func reversed(text []byte) []byte {
	out := make([]byte, len(text))
	for i, b := range text {
		out[len(text)-1-i] = b
	}
	return out
}

// TestOperatorsSendText: what no database can keep or look up is refused with the field's name.
func TestOperatorsSendText(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	act := `{"id":"a","action":"retry","node":"n","by":"ana","why":"w"}`
	pause := `{"definition":"d","by":"ana","why":"w"}`
	for _, test := range []struct{ method, path, body, at string }{
		{"GET", "/v1/sagas?key=a%00b", "", "query.key"}, {"GET", "/v1/sagas?key=a%ffb", "", "query.key"},
		{"GET", "/v1/sagas?definition=%00", "", "query.definition"}, {"GET", "/v1/sagas?cursor=%00", "", "query.cursor"},
		{"POST", "/v1/pauses", with(pause, "ana", `a\u0000`), "body.by"}, {"POST", "/v1/pauses", with(pause, `"w"`, `"\u0000"`), "body.why"},
		{"POST", "/v1/pauses", with(pause, `"d"`, `"\u0000"`), "body.definition"},
		{"POST", "/v1/pauses/release", with(pause, "ana", `a\u0000`), "body.by"},
		{"POST", "/v1/sagas/saga-1/actions", with(act, `"a"`, `"\u0000"`), "body.id"}, {"POST", "/v1/sagas/saga-1/actions", with(act, `"n"`, `"\u0000"`), "body.node"},
		{"POST", "/v1/sagas/saga-1/actions", with(act, "ana", `\u0000`), "body.by"}, {"POST", "/v1/sagas/saga-1/actions", with(act, `"w"`, `"\u0000"`), "body.why"},
	} {
		p := checkProblem(t, s.do(test.method, test.path, test.body, "Content-Type", "application/json"), http.StatusUnprocessableEntity)
		if !p.names(test.at, "NUL") {
			t.Errorf("%s %s %s: %+v does not name %s", test.method, test.path, test.body, p, test.at)
		}
	}
}
