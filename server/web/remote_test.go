package web_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/server/web"
)

// remotes returns views of a server at the URL.
func remotes(t *testing.T, srv *httptest.Server) (campaign.Views, partner.Views, tracking.Views) {
	t.Helper()
	c, err1 := web.RemoteCampaigns(srv.URL, srv.Client())
	p, err2 := web.RemotePartners(strings.TrimPrefix(srv.URL, "http://"), srv.Client())
	e, err3 := web.RemoteEvents(srv.URL+"/", srv.Client())
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return c, p, e
}

func TestRemoteOfOurs(t *testing.T) {
	t.Parallel()
	c, p, e := remotes(t, newSite(t, nil).srv)
	ctx := t.Context()

	var all []campaign.View
	after := ""
	for range 3 {
		page, err := c.List(ctx, campaign.List{After: after, Limit: 1})
		if err != nil || len(page.Campaigns) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		all, after = append(all, page.Campaigns...), page.Next
	}
	stored := []campaign.View(storedCampaigns())
	stored[1].Participants, stored[2].Participants = []campaign.Participant{}, []campaign.Participant{}
	if after != "" || !reflect.DeepEqual(all, stored) {
		t.Errorf("%+v, then %q", all, after)
	}
	if one, err := c.Find(ctx, campaign.Find{ID: id(2)}); err != nil || one.Status != campaign.Pending {
		t.Errorf("%+v, %v", one, err)
	}
	if page, err := p.List(ctx, partner.List{}); err != nil || !reflect.DeepEqual(page.Partners, []partner.View(storedPartners())) {
		t.Errorf("%+v, %v", page, err)
	}
	if one, err := e.Find(ctx, tracking.Find{ID: id(21)}); err != nil || one != storedEvents()[0] {
		t.Errorf("%+v, %v", one, err)
	}
	for _, check := range []struct {
		got  func() error
		want error
	}{
		{func() error { _, err := c.Find(ctx, campaign.Find{ID: "a/b?c"}); return err }, campaign.ErrNotFound},
		{func() error { _, err := p.Find(ctx, partner.Find{ID: "nobody"}); return err }, partner.ErrNotFound},
		{func() error { _, err := e.Find(ctx, tracking.Find{ID: "nobody"}); return err }, tracking.ErrNotFound},
		{func() error { _, err := c.List(ctx, campaign.List{After: "x"}); return err }, campaign.ErrCursor},
		{func() error { _, err := p.List(ctx, partner.List{After: "whole-x"}); return err }, partner.ErrCursor},
		{func() error { _, err := e.List(ctx, tracking.List{After: "x"}); return err }, tracking.ErrCursor},
	} {
		if err := check.got(); !errors.Is(err, check.want) {
			t.Errorf("%v, want %v", err, check.want)
		}
	}
}

// The original's services know no pages and no status, and write budgets as Python does.
func TestRemoteOfTheOriginal(t *testing.T) {
	t.Parallel()
	one := `{"id": "1", "nombre": "n", "presupuesto": 1e+16, "divisa": "USD", "marca_id": "b", "participantes": [{"id": "p", "tipo": "afiliado", "nombre": "A", "informacion_perfil": "x"}]}`
	mux := http.NewServeMux()
	answerWith := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	mux.HandleFunc("/campaigns", answerWith(`[`+one+`,`+with(one, `"1"`, `"2"`)+`,`+with(one, `"1"`, `"3"`)+`]`))
	mux.HandleFunc("/campaigns/1", answerWith(one))
	mux.HandleFunc("/campaigns/4", answerWith(missingBody))
	mux.HandleFunc("/eventos/1", answerWith(`{"id":"1","id_partner":"p","id_campana":"c","fecha":null}`))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	c, _, e := remotes(t, srv)
	ctx := t.Context()

	var ids []string
	after := ""
	for {
		page, err := c.List(ctx, campaign.List{After: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Campaigns {
			ids = append(ids, v.ID)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if strings.Join(ids, "") != "123" {
		t.Errorf("%v", ids)
	}
	v, err := c.Find(ctx, campaign.Find{ID: "1"})
	if err != nil || v.Status != campaign.Active || v.Budget != "10000000000000000" || v.Participants[0].Type != "afiliado" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := c.Find(ctx, campaign.Find{ID: "4"}); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if _, err := e.Find(ctx, tracking.Find{ID: "1"}); err != nil {
		t.Error(err)
	}
}

func TestRemoteFails(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"status": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) },
		"HTML":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>secret</html>") },
		"shape":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"secret"`) },
		"closed": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, answer := range answers {
		srv := httptest.NewServer(answer)
		t.Cleanup(srv.Close)
		views, _, _ := remotes(t, srv)
		s := newSite(t, func(c *web.Config) { c.Campaigns = views })
		for _, path := range []string{"/v1/campaigns", "/v1/campaigns/secret-id", "/obtener-campaigns", "/obtener-campaigns/secret-id"} {
			got := s.get(path)
			checkProblem(t, got, http.StatusBadGateway)
			if strings.Contains(got.body, "secret") {
				t.Errorf("%s: %s: %s", name, path, got.body)
			}
		}
	}
	for _, host := range []string{"", "http://", "ftp://host", "a b:1", ":"} {
		if _, err := web.RemoteCampaigns(host, nil); !errors.Is(err, web.ErrConfig) {
			t.Errorf("%q: %v, want ErrConfig", host, err)
		}
	}
}
