package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/server/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.UnixMilli(1795495941532).UTC()

// id returns the n-th id of the fixtures: those that are stored are below 100, new ones above.
func id(n int) string { return fmt.Sprintf("0199a1b2-c3d4-7e5f-8a6b-%012d", n) }

// bus is an in-process broker with a listener on every command topic.
type bus struct {
	messaging.Bus

	mu       sync.Mutex
	commands []any
	messages []messaging.Message
}

func newBus(tb testing.TB) *bus {
	tb.Helper()
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	broker := memmsg.New(memmsg.Config{})
	b := &bus{Bus: messaging.Bus{Broker: broker, Codec: codec}}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, topic := range wire.Topics() {
		ready := make(chan struct{})
		running.Go(func() {
			_ = broker.Subscribe(ctx, messaging.Subscription{Topic: topic.Name, Name: "test"}, func() { close(ready) }, b.receive)
		})
		<-ready
	}
	tb.Cleanup(func() {
		stop()
		running.Wait()
		_ = broker.Close()
	})
	return b
}

func (b *bus) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range batch {
		cmd, err := b.Codec.Decode(m)
		if err != nil {
			cmd = err
		}
		b.commands, b.messages = append(b.commands, cmd), append(b.messages, m)
	}
	return make([]messaging.Disposition, len(batch))
}

// take returns what was sent since the last call.
func (b *bus) take() ([]any, []messaging.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	commands, messages := b.commands, b.messages
	b.commands, b.messages = nil, nil
	return commands, messages
}

// list cuts a page out of all entities; cursors are "at-N".
func list[V any](all []V, after string, size int, bad error) ([]V, string, error) {
	at := 0
	if after != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(after, "at-"))
		if err != nil || n > len(all) {
			return nil, "", bad
		}
		at = n
	}
	rest := all[at:]
	if len(rest) <= size {
		return rest, "", nil
	}
	return rest[:size], fmt.Sprintf("at-%d", at+size), nil
}

func find[V any](all []V, match func(V) bool, none error) (V, error) {
	for _, v := range all {
		if match(v) {
			return v, nil
		}
	}
	var zero V
	return zero, none
}

type campaigns []campaign.View

func (c campaigns) Find(_ context.Context, q campaign.Find) (campaign.View, error) {
	return find(c, func(v campaign.View) bool { return v.ID == q.ID }, campaign.ErrNotFound)
}

func (c campaigns) List(_ context.Context, q campaign.List) (campaign.Page, error) {
	page, next, err := list(c, q.After, q.Size(), campaign.ErrCursor)
	return campaign.Page{Campaigns: page, Next: next}, err
}

type partners []partner.View

func (p partners) Find(_ context.Context, q partner.Find) (partner.View, error) {
	return find(p, func(v partner.View) bool { return v.ID == q.ID }, partner.ErrNotFound)
}

func (p partners) List(_ context.Context, q partner.List) (partner.Page, error) {
	page, next, err := list(p, q.After, q.Size(), partner.ErrCursor)
	return partner.Page{Partners: page, Next: next}, err
}

type events []tracking.View

func (e events) Find(_ context.Context, q tracking.Find) (tracking.View, error) {
	return find(e, func(v tracking.View) bool { return v.ID == q.ID }, tracking.ErrNotFound)
}

func (e events) List(_ context.Context, q tracking.List) (tracking.Page, error) {
	page, next, err := list(e, q.After, q.Size(), tracking.ErrCursor)
	return tracking.Page{Events: page, Next: next}, err
}

func storedCampaigns() campaigns {
	return campaigns{
		{
			ID: id(1), Name: "Otoño <&>", Budget: "16777217.1", Currency: "EUR", BrandID: "marca-7", Status: campaign.Active,
			Participants: []campaign.Participant{{ID: "p1", Type: "afiliado", Name: "Alice Doe", Profile: "moda"}},
		},
		{ID: id(2), Name: "Spring", Budget: "10000", Currency: "USD", BrandID: "b", Status: campaign.Pending},
		{ID: id(3), Name: "Last", Budget: "1", Currency: "USD", BrandID: "b", Status: campaign.Active},
	}
}

func storedPartners() partners {
	return partners{
		{ID: id(11), CampaignID: id(1), Name: "Alice Doe", Type: partner.Affiliate, Profile: "moda"},
		{ID: id(12), CampaignID: "123213312", Name: "Bob", Type: partner.Influencer},
	}
}

func storedEvents() events {
	return events{{ID: id(21), PartnerID: id(11), CampaignID: id(1), OccurredAt: now}}
}

// config is that of a server with everything but sagas.
func config(tb testing.TB, b *bus) web.Config {
	tb.Helper()
	queries := cqrs.NewBus(cqrs.Config{})
	for _, err := range []error{
		campaign.HandleQueries(queries, storedCampaigns()), partner.HandleQueries(queries, storedPartners()), tracking.HandleQueries(queries, storedEvents()),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	var mu sync.Mutex
	next := 100
	return web.Config{
		Bus: b.Bus, Campaigns: web.CampaignsOn(queries), Partners: web.PartnersOn(queries), Events: web.EventsOn(queries),
		Logger: slog.New(slog.DiscardHandler),
		Now:    func() time.Time { return now },
		NewID: func() (string, error) {
			mu.Lock()
			defer mu.Unlock()
			next++
			return id(next), nil
		},
	}
}

// site is a running server and its client.
type site struct {
	t   testing.TB
	srv *httptest.Server
	bus *bus
}

func newSite(tb testing.TB, change func(*web.Config)) *site {
	tb.Helper()
	b := newBus(tb)
	c := config(tb, b)
	if change != nil {
		change(&c)
	}
	handler, err := web.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	tb.Cleanup(srv.Close)
	srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &site{t: tb, srv: srv, bus: b}
}

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) decode(tb testing.TB, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		tb.Fatalf("%v in %q", err, a.body)
	}
}

func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.srv.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.srv.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(text)}
}

func (s *site) get(path string) answer { s.t.Helper(); return s.do(http.MethodGet, path, "") }

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
