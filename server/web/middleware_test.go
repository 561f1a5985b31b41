package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/server/web"
)

// broken are views that fail, or panic, from the second page on.
type broken struct {
	err   error
	panic any
	after string
}

func (b broken) Find(context.Context, campaign.Find) (campaign.View, error) {
	if b.panic != nil {
		panic(b.panic)
	}
	return campaign.View{}, b.err
}

func (b broken) List(_ context.Context, q campaign.List) (campaign.Page, error) {
	if q.After == b.after {
		return campaign.Page{}, b.err
	}
	return campaign.Page{Campaigns: []campaign.View{{ID: "first", Budget: "1"}}, Next: b.after}, nil
}

func TestInternalErrorsAreNotTold(t *testing.T) {
	t.Parallel()
	var log buffer
	for name, views := range map[string]broken{
		"error": {err: errors.New("secret DSN")},
		"panic": {panic: "secret value"},
	} {
		s := newSite(t, func(c *web.Config) { c.Campaigns, c.Logger = views, slog.New(slog.NewTextHandler(&log, nil)) })
		for _, path := range []string{"/v1/campaigns/x", "/obtener-campaigns/x"} {
			got := s.get(path)
			checkProblem(t, got, http.StatusInternalServerError)
			if strings.Contains(got.body, "secret") {
				t.Errorf("%s: %s", name, got.body)
			}
		}
	}
	if text := log.String(); !strings.Contains(text, "secret DSN") || !strings.Contains(text, "handler panicked") || strings.Contains(text, "secret value") {
		t.Errorf("log: %s", text)
	}
}

// Half a list must not look like a whole one.
func TestListThatBreaksOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.Campaigns = broken{err: errors.New("gone"), after: "2"} })
	response, err := s.srv.Client().Get(s.srv.URL + "/obtener-campaigns")
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("the client was not told")
	}
	checkProblem(t, newSite(t, func(c *web.Config) { c.Campaigns = broken{err: errors.New("gone")} }).get("/obtener-campaigns"), 500)
}

func TestBrokerDoesNotConfirm(t *testing.T) {
	t.Parallel()
	closed := memmsg.New(memmsg.Config{})
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *web.Config) { c.Bus.Broker = closed })
	for _, got := range []answer{
		s.do("POST", "/registrar-campaign", campaignBody), s.do("POST", "/v1/partners", `{"campaignId":"c","name":"n","type":"affiliate"}`),
		s.get("/eliminar-evento/x"), s.do("DELETE", "/v1/events/"+id(21), ""),
	} {
		if p := checkProblem(t, got, http.StatusServiceUnavailable); !strings.Contains(p.Detail, "not confirmed") || got.header.Get("Retry-After") == "" {
			t.Errorf("%+v %v", p, got.header)
		}
	}
}

// stuck is a broker that never answers.
type stuck struct{ messaging.Broker }

func (stuck) Publish(ctx context.Context, _ messaging.Message, done func(error)) {
	context.AfterFunc(ctx, func() { done(ctx.Err()) })
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	b := newBus(t)
	c := config(t, b)
	c.Bus.Broker, c.Timeout = stuck{}, time.Minute
	handler, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/registrar-campaign", strings.NewReader(campaignBody)))
		if w.Code != http.StatusServiceUnavailable || time.Since(began) != time.Minute {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}
	})
}

func TestLogHoldsNoPayloads(t *testing.T) {
	t.Parallel()
	var log buffer
	s := newSite(t, func(c *web.Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	s.do("POST", "/registrar-campaign", campaignBody)
	s.do("POST", "/v1/campaigns", campaignBody)
	s.do("POST", "/registrar-campaign", `{"nombre":"Alice Doe"`)
	s.get("/obtener-campaigns/Alice?token=Alice")
	s.get("/no/such/Alice")
	s.do("ALICE", "/campaigns", "")
	s.srv.Close() // all of them have been logged then
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines: %s", len(lines), log.String())
	}
	var first struct {
		Method   string `json:"method"`
		Route    string `json:"route"`
		Status   int    `json:"status"`
		Duration *int64 `json:"duration"`
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Method != http.MethodPost || first.Route != "POST /registrar-campaign" || first.Status != 200 || first.Duration == nil {
		t.Errorf("%s", lines[0])
	}
	if text := strings.ToLower(log.String()); strings.Contains(text, "alice") || strings.Contains(text, "token") {
		t.Errorf("the log holds what was sent: %s", text)
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) { c.Authorize = web.BearerToken("s3cret") })
	for path, status := range map[string]int{"/campaigns": 401, "/openapi.json": 401, "/healthz": 200, "/readyz": 200} {
		if got := s.get(path); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
	for header, status := range map[string]int{"Bearer s3cret": 200, "Bearer wrong": 401, "s3cret": 401, "Bearer ": 401, "Basic s3cret": 401} {
		if got := s.do("GET", "/campaigns", "", "Authorization", header); got.status != status {
			t.Errorf("%s: %d, want %d", header, got.status, status)
		}
	}
	if got := s.get("/campaigns"); got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Error("no WWW-Authenticate")
	}
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "Bearer ")
	if web.BearerToken("")(r) {
		t.Error("an empty token lets everyone in")
	}
}

// A foreign page must not act through its visitor's browser, be it with the original's deletes.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, got := range []answer{
		s.do("GET", "/eliminar-campaign/x", "", "Sec-Fetch-Site", "cross-site"),
		s.do("POST", "/registrar-evento", eventBody, "Sec-Fetch-Site", "cross-site"),
		s.do("POST", "/registrar-evento", eventBody, "Origin", "https://elsewhere.example"),
		s.do("DELETE", "/v1/events/"+id(21), "", "Origin", "https://elsewhere.example"),
	} {
		checkProblem(t, got, http.StatusForbidden)
	}
	if commands, _ := s.bus.take(); len(commands) > 0 {
		t.Errorf("sent %v", commands)
	}
	if got := s.do("GET", "/campaigns", "", "Sec-Fetch-Site", "cross-site"); got.status != http.StatusOK {
		t.Errorf("a link: %d", got.status)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, path := range []string{"/campaigns", "/docs", "/nowhere"} {
		h := s.get(path).header
		for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy", "Cache-Control"} {
			if h.Get(name) == "" {
				t.Errorf("%s: no %s", path, name)
			}
		}
	}
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for sent, want := range map[string]string{trace: trace, "": "", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "", trace + "-x": "", "00-1-2-3": ""} {
		s.do("POST", "/registrar-evento", eventBody, "Traceparent", sent)
		if _, messages := s.bus.take(); len(messages) != 1 || messages[0].Header(messaging.HeaderTraceparent) != want {
			t.Errorf("%q: %v", sent, messages)
		}
	}
}

func TestReady(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) {
		c.Ready = func(context.Context) error { return errors.New("secret host is down") }
	})
	if p := checkProblem(t, s.get("/readyz"), http.StatusServiceUnavailable); strings.Contains(p.Detail, "secret") {
		t.Errorf("%+v", p)
	}
	if got := s.get("/healthz"); got.status != http.StatusOK || got.body != okBody {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestStarted(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) {
		c.Started = func(context.Context) error { return errors.New("secret host is down") }
	})
	got := s.get("/campaigns")
	if p := checkProblem(t, got, http.StatusServiceUnavailable); strings.Contains(p.Detail, "secret") || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v, %v", p, got.header)
	}
	for _, probe := range []string{"/healthz", "/readyz"} {
		if got := s.get(probe); got.status != http.StatusOK {
			t.Errorf("%s: %d", probe, got.status)
		}
	}
}

func TestConfigNamesAllFaults(t *testing.T) {
	t.Parallel()
	_, err := web.New(web.Config{Services: []web.Service{web.BFF, "mail"}, Actor: &sagas{}, MaxBody: -1, Timeout: -1})
	for _, part := range []string{`no service "mail"`, "Bus is missing", "Campaigns is missing", "Partners is missing", "Events is missing", "Sagas is missing", "MaxBody", "Timeout"} {
		if !errors.Is(err, web.ErrConfig) || !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if _, err := web.New(web.Config{Services: []web.Service{web.Partner}, Partners: partners{}}); err != nil {
		t.Error(err)
	}
}
