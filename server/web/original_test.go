package web_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/server/web"
)

const (
	okBody      = `{"status":"ok"}`
	missingBody = `{"Status":"No existe"}`

	campaignBody = `{"nombre":"Test","presupuesto":10000,"divisa":"USD","marca_id":"USD","participantes":
[{"id":"p-98765","tipo":"afiliado","nombre":"Alice Doe","informacion_perfil":"Influencer de moda con 200k seguidores"}]}`
	partnerBody = `{"id_campaign":"123213312","nombre":"Alice Doe","tipo":"afiliado","informacion_perfil":"moda"}`
	eventBody   = `{"id_partner":"1huhaskjhasd","id_campana":"123213312"}`
)

// The answers of the reads, to the byte.
var (
	campaign1 = `{"id":"` + id(1) + `","nombre":"Otoño <&>","presupuesto":16777217.1,"divisa":"EUR","marca_id":"marca-7",` +
		`"participantes":[{"id":"p1","tipo":"afiliado","nombre":"Alice Doe","informacion_perfil":"moda"}]}`
	campaign2 = `{"id":"` + id(2) + `","nombre":"Spring","presupuesto":10000,"divisa":"USD","marca_id":"b","participantes":[]}`
	campaign3 = `{"id":"` + id(3) + `","nombre":"Last","presupuesto":1,"divisa":"USD","marca_id":"b","participantes":[]}`
	partner1  = `{"id":"` + id(11) + `","id_campaign":"` + id(1) + `","nombre":"Alice Doe","tipo":"affiliate","informacion_perfil":"moda"}`
	partner2  = `{"id":"` + id(12) + `","id_campaign":"123213312","nombre":"Bob","tipo":"influencer","informacion_perfil":""}`
	event1    = `{"id":"` + id(21) + `","id_partner":"` + id(11) + `","id_campana":"` + id(1) + `","fecha":1795495941532}`
	all       = `[` + campaign1 + `,` + campaign2 + `,` + campaign3 + `]`
)

// The public collection's twelve calls, in its order.
func TestPostmanCollection(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, call := range []struct {
		method, path, body, want string
		command                  any
	}{
		{"POST", "/registrar-campaign", campaignBody, okBody, campaign.Register{
			ID: id(101), Name: "Test", Budget: "10000", Currency: "USD", BrandID: "USD",
			Participants: []campaign.Participant{{ID: "p-98765", Type: "afiliado", Name: "Alice Doe", Profile: "Influencer de moda con 200k seguidores"}},
		}},
		{"GET", "/obtener-campaigns", "", all, nil},
		{"GET", "/obtener-campaigns/" + id(1), "", campaign1, nil},
		{"GET", "/eliminar-campaign/" + id(1), "", okBody, campaign.Cancel{ID: id(1)}},
		{"POST", "/registrar-partner", partnerBody, okBody, partner.Register{ID: id(103), CampaignID: "123213312", Name: "Alice Doe", Type: "affiliate", Profile: "moda"}},
		{"GET", "/obtener-partners", "", `[` + partner1 + `,` + partner2 + `]`, nil},
		{"GET", "/obtener-partners/" + id(11), "", partner1, nil},
		{"GET", "/eliminar-partner/1huhaskjhasd", "", okBody, partner.Cancel{ID: "1huhaskjhasd"}},
		{"POST", "/registrar-evento", eventBody, okBody, tracking.Register{ID: id(105), PartnerID: "1huhaskjhasd", CampaignID: "123213312", OccurredAt: now}},
		{"GET", "/obtener-eventos", "", `[` + event1 + `]`, nil},
		{"GET", "/obtener-eventos/" + id(21), "", event1, nil},
		{"GET", "/eliminar-evento/" + id(21), "", okBody, tracking.Cancel{ID: id(21)}},
	} {
		got := s.do(call.method, call.path, call.body)
		if got.status != http.StatusOK || got.body != call.want || got.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s %q\nwant %q", call.method, call.path, got.status, got.header.Get("Content-Type"), got.body, call.want)
		}
		var want []any
		if call.command != nil {
			want = []any{call.command}
		}
		commands, messages := s.bus.take()
		if !reflect.DeepEqual(commands, want) {
			t.Errorf("%s %s: sent %+v, want %+v", call.method, call.path, commands, want)
		}
		for _, m := range messages {
			if m.ID == "" || m.Headers["saga-id"] != "" {
				t.Errorf("%s %s: message id %q, headers %v", call.method, call.path, m.ID, m.Headers)
			}
		}
	}
}

func TestReads(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	withStatus := strings.TrimSuffix(campaign2, "}") + `,"status":"pending"}`
	for path, want := range map[string]string{
		"/campa%C3%B1a-query":                         all,
		"/campaña-query/" + id(1):                     campaign1,
		"/campa%C3%B1a-query/nobody":                  missingBody,
		"/campaigns":                                  all,
		"/campaigns/" + id(2):                         campaign2,
		"/campaigns/" + id(2) + "?include=status":     withStatus,
		"/campaigns?limit=1&cursor=at-1":              `[` + campaign2 + `]`,
		"/campaigns?limit=3":                          all,
		"/partners":                                   `[` + partner1 + `,` + partner2 + `]`,
		"/partners/" + id(12):                         partner2,
		"/eventos":                                    `[` + event1 + `]`,
		"/eventos/" + id(21):                          event1,
		"/health":                                     okBody,
		"/obtener-campaigns/nobody":                   missingBody,
		"/obtener-partners/nobody":                    missingBody,
		"/obtener-eventos/nobody":                     missingBody,
		"/eventos/%FF":                                missingBody,
		"/eventos/" + strings.Repeat("x", 101):        missingBody,
		"/eventos/" + strings.Repeat("%C3%B1", 100):   missingBody,
		"/campaigns?utm_source=unknown-are-ignored":   all,
		"/obtener-partners/a%2Fb":                     missingBody,
		"/obtener-campaigns?limit=2&include=&cursor=": `[` + campaign1 + `,` + campaign2 + `]`,
	} {
		if got := s.get(path); got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %d %q\nwant %q", path, got.status, got.body, want)
		}
	}
	if next := s.get("/campaigns?limit=1").header.Get("Next-Cursor"); next != "at-1" {
		t.Errorf("Next-Cursor %q, want at-1", next)
	}
	if next := s.get("/campaigns").header.Get("Next-Cursor"); next != "" {
		t.Errorf("a whole list has the Next-Cursor %q", next)
	}
	if commands, _ := s.bus.take(); len(commands) > 0 {
		t.Errorf("reads sent %v", commands)
	}
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.Campaigns = campaigns{} })
	if got := s.get("/obtener-campaigns"); got.body != "[]" {
		t.Errorf("%q", got.body)
	}
}

// A list longer than what is read at once.
func TestLongList(t *testing.T) {
	t.Parallel()
	many := make(campaigns, 2500)
	for i := range many {
		many[i] = campaign.View{ID: id(i), Budget: "1"}
	}
	s := newSite(t, func(c *web.Config) { c.Campaigns = many })
	var got []struct{ ID string }
	s.get("/campaigns").decode(t, &got)
	if len(got) != len(many) || got[2499].ID != id(2499) {
		t.Errorf("%d campaigns, want %d", len(got), len(many))
	}
}

func TestRegisterCampaignNamesItsSaga(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for path, status := range map[string]int{"/registrar-campaign": http.StatusOK, "/campaña-commando": http.StatusAccepted, "/campa%c3%b1a-commando": http.StatusAccepted} {
		got := s.do("POST", path, campaignBody)
		_, messages := s.bus.take()
		if got.status != status || got.body != okBody || len(messages) != 1 {
			t.Errorf("%s: %d %q, %d messages", path, got.status, got.body, len(messages))
			continue
		}
		campaignID := messages[0].ID
		if want := string(coordinator.IDOf(registration.Name, campaignID)); got.header.Get("Saga-Id") != want {
			t.Errorf("%s: Saga-Id %q, want %q", path, got.header.Get("Saga-Id"), want)
		}
		if want := "/v1/campaigns/" + campaignID; got.header.Get("Location") != want {
			t.Errorf("%s: Location %q, want %q", path, got.header.Get("Location"), want)
		}
	}
}

// What the domain refuses is its own business: the saga tells.
func TestBusinessRulesAreTheServices(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, body := range []string{
		strings.Replace(campaignBody, "10000", "-5", 1),
		strings.Replace(campaignBody, `"divisa":"USD"`, `"divisa":"moon"`, 1),
		strings.Replace(campaignBody, "afiliado", "celebrity", 1),
		strings.Replace(campaignBody, `"Test"`, `""`, 1),
		strings.Replace(campaignBody, `{"id"`, `{"id":"x","tipo":"afiliado","nombre":"Alice Doe","informacion_perfil":""},{"id"`, 1),
		strings.Replace(campaignBody, `"divisa"`, `"since":"v2","divisa"`, 1),
	} {
		if got := s.do("POST", "/registrar-campaign", body); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if commands, _ := s.bus.take(); len(commands) != 6 {
		t.Errorf("%d commands, want 6", len(commands))
	}
}

func TestBudgetKeepsItsDigits(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for sent, want := range map[string]string{
		"16777217":                      "16777217",
		"10000.50":                      "10000.50",
		"0.1":                           "0.1",
		"1e4":                           "10000",
		"1.25E+2":                       "125",
		"1.2500e1":                      "12.5",
		"12345e-3":                      "12.345",
		"-1e-2":                         "-0.01",
		"0e99999999999999":              "0",
		"123456789012345678901234567.8": "123456789012345678901234567.8",
		"1e29":                          "1" + strings.Repeat("0", 29),
		"1e30":                          "",
		"1e400":                         "",
		"1e-400":                        "",
		"1e99999999999999999999":        "",
		strings.Repeat("9", 31):         "",
		strings.Repeat("9", 100_000):    "",
	} {
		got := s.do("POST", "/registrar-campaign", strings.Replace(campaignBody, "10000", sent, 1))
		commands, _ := s.bus.take()
		switch {
		case want == "":
			if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "body.presupuesto") || len(commands) > 0 {
				t.Errorf("%.40s: %d %s, %d commands; want a 422 that names it", sent, got.status, got.body, len(commands))
			}
		case len(commands) != 1 || commands[0].(campaign.Register).Budget != want:
			t.Errorf("%s: %d %s, sent %+v; want %s", sent, got.status, got.body, commands, want)
		}
	}
}

// HEAD is safe by its definition, GET is not here.
func TestHeadDeletesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	got := s.do("HEAD", "/eliminar-campaign/"+id(1), "")
	if commands, _ := s.bus.take(); got.status != http.StatusMethodNotAllowed || len(commands) > 0 {
		t.Errorf("%d, sent %v", got.status, commands)
	}
}

func TestServicesAlone(t *testing.T) {
	t.Parallel()
	paths := map[web.Service]string{web.BFF: "/obtener-campaigns", web.Campaign: "/campaigns", web.Partner: "/partners", web.Tracking: "/eventos"}
	for _, service := range web.Services() {
		s := newSite(t, func(c *web.Config) {
			only := web.Config{Services: []web.Service{service}, Logger: c.Logger}
			switch service {
			case web.Campaign:
				only.Campaigns = c.Campaigns
			case web.Partner:
				only.Partners = c.Partners
			case web.Tracking:
				only.Events = c.Events
			default:
				c.Services = only.Services
				return
			}
			*c = only
		})
		for other, path := range paths {
			want := http.StatusNotFound
			if other == service {
				want = http.StatusOK
			}
			if got := s.get(path); got.status != want {
				t.Errorf("%s alone: %s: %d, want %d", service, path, got.status, want)
			}
		}
		if got, want := s.get("/health").status == http.StatusOK, service != web.BFF; got != want {
			t.Errorf("%s alone: /health is %v", service, got)
		}
		if got := s.get("/healthz"); got.status != http.StatusOK {
			t.Errorf("%s alone: /healthz: %d", service, got.status)
		}
	}
}
