package web_test

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func TestV1Post(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	sagaOf := func(n int) string { return string(coordinator.IDOf(registration.Name, id(n))) }
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	for _, test := range []struct {
		path, body, location, sagaID, want string
		command                            any
	}{
		{
			"/v1/campaigns", `{"name":"Otoño","budget":"16777217.10","currency":"USD","brandId":"b","participants":[{"id":"p","type":"affiliate","name":"Alice","profile":"x"}]}`,
			"/v1/campaigns/" + id(101), sagaOf(101), `{"id":"` + id(101) + `","sagaId":"` + sagaOf(101) + `","status":"pending"}`,
			campaign.Register{
				ID: id(101), Name: "Otoño", Budget: "16777217.10", Currency: "USD", BrandID: "b",
				Participants: []campaign.Participant{{ID: "p", Type: "affiliate", Name: "Alice", Profile: "x"}},
			},
		},
		{
			"/v1/campaigns", `{"id":"` + id(7) + `","name":"n","budget":"1","currency":"USD","brandId":"b"}`,
			"/v1/campaigns/" + id(7), sagaOf(7), `{"id":"` + id(7) + `","sagaId":"` + sagaOf(7) + `","status":"pending"}`,
			campaign.Register{ID: id(7), Name: "n", Budget: "1", Currency: "USD", BrandID: "b"},
		},
		{
			"/v1/partners", `{"campaignId":"c","name":"Bob","type":"influencer"}`, "/v1/partners/" + id(102), "", `{"id":"` + id(102) + `","status":"pending"}`,
			partner.Register{ID: id(102), CampaignID: "c", Name: "Bob", Type: "influencer"},
		},
		{
			"/v1/events", `{"partnerId":"p","campaignId":"c","occurredAt":"2026-01-02T03:04:05.678Z"}`, "/v1/events/" + id(103), "", `{"id":"` + id(103) + `","status":"pending"}`,
			tracking.Register{ID: id(103), PartnerID: "p", CampaignID: "c", OccurredAt: at},
		},
		{
			"/v1/events", `{"partnerId":"p","campaignId":"c"}`, "/v1/events/" + id(104), "", `{"id":"` + id(104) + `","status":"pending"}`,
			tracking.Register{ID: id(104), PartnerID: "p", CampaignID: "c", OccurredAt: now},
		},
	} {
		got := s.do("POST", test.path, test.body)
		commands, messages := s.bus.take()
		if got.status != http.StatusAccepted || got.body != test.want || got.header.Get("Location") != test.location || got.header.Get("Saga-Id") != test.sagaID {
			t.Errorf("%s: %d %s %v", test.body, got.status, got.body, got.header)
		}
		if !reflect.DeepEqual(commands, []any{test.command}) {
			t.Errorf("%s: sent %+v, want %+v", test.body, commands, test.command)
		}
		if len(messages) == 1 && "/"+messages[0].ID != test.location[len(test.location)-len(id(1))-1:] {
			t.Errorf("%s: the message's id is %s", test.body, messages[0].ID)
		}
	}
}

func TestV1Get(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	c1 := `{"id":"` + id(1) + `","name":"Otoño <&>","budget":"16777217.1","currency":"EUR","brandId":"marca-7",` +
		`"participants":[{"id":"p1","type":"afiliado","name":"Alice Doe","profile":"moda"}],"status":"active"}`
	c2 := `{"id":"` + id(2) + `","name":"Spring","budget":"10000","currency":"USD","brandId":"b","participants":[],"status":"pending"}`
	for path, want := range map[string]string{
		"/v1/campaigns/" + id(1):            c1,
		"/v1/campaigns?limit=1":             `{"items":[` + c1 + `],"nextCursor":"at-1"}`,
		"/v1/campaigns?limit=1&cursor=at-1": `{"items":[` + c2 + `],"nextCursor":"at-2"}`,
		"/v1/campaigns?cursor=at-3":         `{"items":[]}`,
		"/v1/partners/" + id(12):            `{"id":"` + id(12) + `","campaignId":"123213312","name":"Bob","type":"influencer","profile":""}`,
		"/v1/events":                        `{"items":[{"id":"` + id(21) + `","partnerId":"` + id(11) + `","campaignId":"` + id(1) + `","occurredAt":"2026-11-24T04:52:21.532Z"}]}`,
	} {
		if got := s.get(path); got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %d %s\nwant %s", path, got.status, got.body, want)
		}
	}
	if link := s.get("/v1/campaigns?limit=2").header.Get("Link"); link != `</v1/campaigns?cursor=at-2&limit=2>; rel="next"` {
		t.Errorf("Link: %s", link)
	}
	if link := s.get("/v1/campaigns").header.Get("Link"); link != "" {
		t.Errorf("the last page has the Link %s", link)
	}
}

func TestV1Problems(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, test := range []struct {
		method, path      string
		status            int
		location, message string
	}{
		{"GET", "/v1/campaigns/nobody", 404, "", "no campaign"},
		{"GET", "/v1/partners/nobody", 404, "", "no partner"},
		{"GET", "/v1/events/%00", 404, "", "no event"},
		{"DELETE", "/v1/campaigns/nobody", 404, "", "no campaign"},
		{"GET", "/v1/campaigns?cursor=x", 422, "query.cursor", "no cursor"},
		{"GET", "/v1/campaigns?limit=0", 422, "query.limit", ">= 1"},
		{"GET", "/v1/campaigns?limit=1001", 422, "query.limit", "<= 1000"},
		{"GET", "/v1/campaigns?limit=ten", 422, "query.limit", "integer"},
		{"GET", "/campaigns?cursor=x", 422, "query.cursor", "no cursor"},
		{"GET", "/campaigns?limit=-1", 422, "query.limit", ">= 0"},
		{"GET", "/eliminar-evento/%FF", 422, "path.id", "no id"},
		{"GET", "/eliminar-evento/a%20b", 422, "path.id", "no id"},
		{"GET", "/v1/sagas", 501, "", "campaign service"},
		{"GET", "/v1/sagas/x", 501, "", "campaign service"},
		{"GET", "/v2/campaigns", 404, "", "no such route"},
		{"GET", "/obtener-campaigns/a/b", 404, "", "no such route"},
		{"GET", "/campan%CC%83a-query", 404, "", "no such route"},
		{"PUT", "/v1/campaigns", 405, "", "GET, HEAD, POST"},
		{"DELETE", "/registrar-campaign", 405, "", "use POST"},
		{"POST", "/eliminar-campaign/x", 405, "", "use GET"},
		{"OPTIONS", "/v1/campaigns", 405, "", "POST"},
	} {
		if p := checkProblem(t, s.do(test.method, test.path, ""), test.status); !p.names(test.location, test.message) {
			t.Errorf("%s %s: %+v, want %s %s", test.method, test.path, p, test.location, test.message)
		}
	}
	if commands, _ := s.bus.take(); len(commands) > 0 {
		t.Errorf("sent %v", commands)
	}
}

func TestV1Delete(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	seen := map[string]bool{}
	for path, want := range map[string]any{
		"/v1/campaigns/" + id(1): campaign.Cancel{ID: id(1)},
		"/v1/partners/" + id(11): partner.Cancel{ID: id(11)},
		"/v1/events/" + id(21):   tracking.Cancel{ID: id(21)},
	} {
		for range 2 {
			got := s.do("DELETE", path, "")
			commands, messages := s.bus.take()
			if got.status != http.StatusAccepted || got.body != "" || !reflect.DeepEqual(commands, []any{want}) {
				t.Errorf("%s: %d %q, sent %+v", path, got.status, got.body, commands)
				continue
			}
			if seen[messages[0].ID] || messages[0].ID == "" {
				t.Errorf("%s: the message's id %q is not its own", path, messages[0].ID)
			}
			seen[messages[0].ID] = true
		}
	}
}
