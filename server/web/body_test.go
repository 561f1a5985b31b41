package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/server/web"
)

// problem is an answer of application/problem+json.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
		Value    any    `json:"value"`
	} `json:"errors"`
}

// checkProblem returns the problem in the answer, which must be a whole one.
func checkProblem(tb testing.TB, got answer, status int) problem {
	tb.Helper()
	var p problem
	if got.status != status || got.header.Get("Content-Type") != "application/problem+json" {
		tb.Errorf("%d %s %s; want a problem %d", got.status, got.header.Get("Content-Type"), got.body, status)
		return p
	}
	got.decode(tb, &p)
	if p.Status != status || p.Title == "" || p.Detail == "" {
		tb.Errorf("%s: not a whole problem", got.body)
	}
	for _, e := range p.Errors {
		if e.Value != nil {
			tb.Errorf("%s: repeats what was sent", got.body)
		}
	}
	return p
}

func (p problem) names(location, message string) bool {
	for _, e := range p.Errors {
		if e.Location == location && strings.Contains(e.Message, message) {
			return true
		}
	}
	return location == "" && strings.Contains(p.Detail, message)
}

func with(body, old, replacement string) string { return strings.Replace(body, old, replacement, 1) }

func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	deep := strings.Repeat("[", 100_000)
	const v1Campaign = `{"name":"n","budget":"1.50","currency":"USD","brandId":"b","participants":[{"type":"affiliate","name":"Alice"}]}`
	const v1Partner = `{"campaignId":"c","name":"n","type":"affiliate"}`
	const v1Event = `{"partnerId":"p","campaignId":"c"}`
	for _, test := range []struct {
		name, path, body string
		status           int
		location         string // "": the detail says it
		message          string
	}{
		{"nothing", "/registrar-campaign", ``, 400, "", "empty"},
		{"white space", "/registrar-campaign", " \n", 400, "", "empty"},
		{"no JSON", "/registrar-campaign", `nombre=Test`, 400, "", "not valid JSON at byte 2"},
		{"cut off", "/registrar-campaign", campaignBody[:40], 400, "", "not valid JSON"},
		{"cut off in an escape", "/registrar-campaign", `{"a":"\`, 400, "", "not valid JSON"},
		{"something behind it", "/registrar-campaign", campaignBody + `x`, 400, "", "not valid JSON"},
		{"a second object", "/registrar-campaign", campaignBody + campaignBody, 400, "", "not valid JSON"},
		{"a trailing comma", "/registrar-evento", `{"id_partner":"a","id_campana":"b",}`, 400, "", "not valid JSON"},
		{"not a number", "/registrar-campaign", with(campaignBody, "10000", "NaN"), 400, "", "not valid JSON"},
		{"a number of JavaScript", "/registrar-campaign", with(campaignBody, "10000", "0x10"), 400, "", "not valid JSON"},
		{"Latin-1", "/registrar-campaign", with(campaignBody, "Test", "Oto\xf1o"), 400, "", "not UTF-8"},
		{"UTF-16", "/registrar-campaign", "\xff\xfe{\x00}\x00", 400, "", "not UTF-8"},
		{"nested without end", "/registrar-campaign", deep, 400, "", "nested deeper than 64 levels at byte 64"},
		{"nested in a field", "/registrar-campaign", with(campaignBody, "10000", strings.Repeat(`{"a":`, 80)+"1"+strings.Repeat("}", 80)), 400, "", "nested"},
		{"too large", "/registrar-campaign", with(campaignBody, "Test", strings.Repeat("x", web.DefaultMaxBody)), 413, "", "at most 1048576 bytes"},

		{"null", "/registrar-campaign", `null`, 422, "body", "expected object"},
		{"an array", "/registrar-campaign", `[` + campaignBody + `]`, 422, "body", "expected object"},
		{"a text", "/registrar-partner", `"partner"`, 422, "body", "expected object"},
		{"an empty object", "/registrar-campaign", `{}`, 422, "body.presupuesto", "is missing"},
		{"no name", "/registrar-campaign", with(campaignBody, `"nombre":"Test",`, ``), 422, "body.nombre", "is missing"},
		{"a null name", "/registrar-campaign", with(campaignBody, `"Test"`, `null`), 422, "body.nombre", "expected string"},
		{"a number for a name", "/registrar-campaign", with(campaignBody, `"Test"`, `7`), 422, "body.nombre", "expected string"},
		{"an object for a name", "/registrar-campaign", with(campaignBody, `"Test"`, `{"a":[1]}`), 422, "body.nombre", "expected string"},
		{"a text for a number", "/registrar-campaign", with(campaignBody, `10000`, `"10000"`), 422, "body.presupuesto", "expected number"},
		{"a null number", "/registrar-campaign", with(campaignBody, `10000`, `null`), 422, "body.presupuesto", "expected number"},
		{"true for a number", "/registrar-campaign", with(campaignBody, `10000`, `true`), 422, "body.presupuesto", "expected number"},
		{"an object for a list", "/registrar-campaign", with(with(campaignBody, `[{`, `{`), `}]`, `}`), 422, "body.participantes", "expected array"},
		{"a null list", "/registrar-campaign", `{"nombre":"a","presupuesto":1,"divisa":"USD","marca_id":"b","participantes":null}`, 422, "body.participantes", "expected array"},
		{"a text in the list", "/registrar-campaign", with(campaignBody, `[{`, `["Bob",{`), 422, "body.participantes[0]", "expected object"},
		{"a participant without a type", "/registrar-campaign", with(campaignBody, `"tipo":"afiliado",`, ``), 422, "body.participantes[0].tipo", "is missing"},
		{"a participant's number", "/registrar-campaign", with(campaignBody, `"Alice Doe"`, `1`), 422, "body.participantes[0].nombre", "expected string"},
		{"the other route, too", "/campaña-commando", with(campaignBody, `"Test"`, `7`), 422, "body.nombre", "expected string"},
		{"a partner's type", "/registrar-partner", with(partnerBody, "afiliado", "celebrity"), 422, "body.tipo", "afiliado"},
		{"a partner's type in capitals", "/registrar-partner", with(partnerBody, "afiliado", "Influencer"), 422, "body.tipo", "influencer"},
		{"a partner's profile", "/registrar-partner", with(partnerBody, `"moda"`, `{}`), 422, "body.informacion_perfil", "expected string"},
		{"an event's partner", "/registrar-evento", with(eventBody, `"1huhaskjhasd"`, `[]`), 422, "body.id_partner", "expected string"},
		{"an event without a campaign", "/registrar-evento", `{"id_partner":"a"}`, 422, "body.id_campana", "is missing"},

		{"v1: no JSON", "/v1/campaigns", `{`, 400, "", "not valid JSON"},
		{"v1: an unknown field", "/v1/campaigns", with(v1Campaign, `{`, `{"colour":"red",`), 422, "body.colour", "unexpected property"},
		{"v1: a Spanish body", "/v1/campaigns", campaignBody, 422, "body.nombre", "unexpected property"},
		{"v1: a number for the budget", "/v1/campaigns", with(v1Campaign, `"1.50"`, `1.50`), 422, "body.budget", "expected string"},
		{"v1: a negative budget", "/v1/campaigns", with(v1Campaign, `1.50`, `-1.50`), 422, "body.budget", "a decimal number such as 10000.50"},
		{"v1: nothing to spend", "/v1/campaigns", with(v1Campaign, `1.50`, `0.00`), 422, "body.budget", "is not positive: give more than 0"},
		{"v1: too many decimals", "/v1/campaigns", with(v1Campaign, `1.50`, `1.505`), 422, "body.budget", "USD has 2"},
		{"v1: no such currency", "/v1/campaigns", with(v1Campaign, `USD`, `XYZ`), 422, "body.currency", "is not an ISO 4217 code"},
		{"v1: no id", "/v1/campaigns", with(v1Campaign, `{`, `{"id":"7",`), 422, "body.id", "uuid"},
		{"v1: an id in capitals", "/v1/campaigns", with(v1Campaign, `{`, `{"id":"0199A1B2-C3D4-7E5F-8A6B-7C8D9E0F1A2B",`), 422, "body.id", "lower case"},
		{"v1: a long name", "/v1/campaigns", with(v1Campaign, `"n"`, `"`+strings.Repeat("ñ", 101)+`"`), 422, "body.name", "length <= 100"},
		{"v1: a blank name", "/v1/campaigns", with(v1Campaign, `"n"`, `" "`), 422, "body.name", "is empty"},
		{"v1: a NUL", "/v1/campaigns", with(v1Campaign, `"n"`, `"a\u0000"`), 422, "body.name", "NUL"},
		{"v1: a participant's type", "/v1/campaigns", with(v1Campaign, `affiliate`, `friend`), 422, "body.participants[0].type", "influencer"},
		{"v1: the same participant twice", "/v1/campaigns", with(v1Campaign, `[{`, `[{"type":"influencer","name":"ALICE"},{`), 422, "body.participants[1].name", "same as that of participants[0]"},
		{"v1: a partner without a campaign", "/v1/partners", with(v1Partner, `"campaignId":"c",`, ``), 422, "body.campaignId", "is missing"},
		{"v1: a campaign's id with a space", "/v1/partners", with(v1Partner, `"c"`, `"c c"`), 422, "body.campaignId", "white space"},
		{"v1: a time that is none", "/v1/events", with(v1Event, `{`, `{"occurredAt":"yesterday",`), 422, "body.occurredAt", "date-time"},
		{"v1: a time long ago", "/v1/events", with(v1Event, `{`, `{"occurredAt":"1000-01-01T00:00:00Z",`), 422, "body.occurredAt", "1970"},
		{"v1: a number for a time", "/v1/events", with(v1Event, `{`, `{"occurredAt":1795495941532,`), 422, "body.occurredAt", "expected string"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := s.do("POST", test.path, test.body, "Content-Type", "application/json")
			if p := checkProblem(t, got, test.status); !p.names(test.location, test.message) {
				t.Errorf("%s\nwant %s: %s", got.body, test.location, test.message)
			}
		})
	}
	t.Cleanup(func() {
		if commands, _ := s.bus.take(); len(commands) > 0 {
			t.Errorf("bad bodies sent %v", commands)
		}
	})
}

// All that the domain finds wrong is told at once, and a list of faults has an end.
func TestAllFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	p := checkProblem(t, s.do("POST", "/v1/campaigns", `{"name":" ","budget":"0","currency":"ZZZ","brandId":" "}`), 422)
	for _, field := range []string{"body.name", "body.budget", "body.currency", "body.brandId"} {
		if !p.names(field, "") {
			t.Errorf("%+v: does not name %s", p, field)
		}
	}
	many := strings.TrimSuffix(strings.Repeat("1,", 5000), ",")
	p = checkProblem(t, s.do("POST", "/registrar-campaign", with(campaignBody, "[{", "["+many+",{")), 422)
	if len(p.Errors) != 101 || p.Errors[100].Message != "and 4900 more" {
		t.Errorf("%d errors, the last is %+v", len(p.Errors), p.Errors[len(p.Errors)-1])
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, test := range []struct {
		header, value string
		status        int
	}{
		{"Content-Type", "application/json", 200},
		{"Content-Type", "application/json; charset=UTF-8", 200},
		{"Content-Type", "", 200},
		{"Content-Type", "text/plain", 415},
		{"Content-Type", "application/x-www-form-urlencoded", 415},
		{"Content-Type", "application/json; charset=latin1", 415},
		{"Content-Type", "application/json; charset", 415},
		{"Content-Type", ";", 415},
		{"Content-Encoding", "gzip", 415},
		{"Content-Encoding", "identity", 200},
		{"Accept", "text/html", 200},
	} {
		got := s.do("POST", "/registrar-evento", eventBody, test.header, test.value)
		if got.status != test.status {
			t.Errorf("%s: %s: %d, want %d", test.header, test.value, got.status, test.status)
		}
		if test.status == 415 {
			if p := checkProblem(t, got, 415); !strings.Contains(p.Detail, "application/json") {
				t.Errorf("%s: does not say what to send", got.body)
			}
		}
	}
}

func TestMaxBody(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.MaxBody = int64(len(eventBody)) })
	if got := s.do("POST", "/registrar-evento", eventBody); got.status != http.StatusOK {
		t.Errorf("a body of the greatest size: %d", got.status)
	}
	checkProblem(t, s.do("POST", "/registrar-evento", eventBody+" "), 413)
}

// FuzzBody sends any bytes: nothing fails here, and what is taken was JSON.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{campaignBody, partnerBody, eventBody, `{}`, `null`, `[`, `{"presupuesto":1e999}`, "\xff", `{"nombre":"\ud800"}`, `{"a":"\`, ``, strings.Repeat("[", 70)} {
		f.Add([]byte(seed))
	}
	b := newBus(f)
	handler, err := web.New(config(f, b))
	if err != nil {
		f.Fatal(err)
	}
	paths := []string{"/registrar-campaign", "/registrar-partner", "/registrar-evento", "/v1/campaigns", "/v1/partners", "/v1/events"}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range paths {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(string(body)))
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			commands, _ := b.take()
			switch {
			case w.Code >= 500:
				t.Fatalf("%s: %d %s", path, w.Code, w.Body)
			case w.Code < 300 != (len(commands) == 1):
				t.Fatalf("%s: %d, but %d commands", path, w.Code, len(commands))
			case w.Code < 300 && !json.Valid(body):
				t.Fatalf("%s: took what is no JSON", path)
			}
			for _, cmd := range commands {
				if err, ok := cmd.(error); ok {
					t.Fatalf("%s: sent what cannot be read: %v", path, err)
				}
			}
		}
	})
}
