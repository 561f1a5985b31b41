package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/server/web"
)

// ports are the services' original ports.
func ports() map[string]int {
	return map[string]int{BFF: 8000, Campaign: 8001, Partner: 8002, Tracking: 8003}
}

// listen opens the port of every server, so that a port that is taken is told at once.
func (a *App) listen(ctx context.Context) error {
	if a.cfg.whole() {
		return a.serve(ctx, a.cfg.Listen, Services()...)
	}
	host, _, err := net.SplitHostPort(a.cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: listen: %w: give it as host:port", ErrConfig, err)
	}
	for _, service := range a.cfg.Services {
		if err := a.serve(ctx, net.JoinHostPort(host, strconv.Itoa(ports()[service])), service); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) serve(ctx context.Context, address string, services ...string) error {
	handler, err := a.handler(services)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w: listen: %w: choose an address as host:port that is free", ErrConfig, err)
	}
	s := &server{services: services, listener: listener, grace: a.cfg.Grace, logger: a.logger("http"), unused: map[net.Conn]struct{}{}}
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ConnState: s.note}
	a.servers = append(a.servers, s)
	return nil
}

// handler makes the routes of the services. What runs here is asked through a bus, what does not over HTTP.
func (a *App) handler(services []string) (http.Handler, error) {
	queries, err := a.queries()
	if err != nil {
		return nil, err
	}
	config := web.Config{
		Bus: a.bus, Campaigns: web.CampaignsOn(queries), Partners: web.PartnersOn(queries), Events: web.EventsOn(queries),
		Definitions: a.definitions(), Started: a.started, Ready: a.isReady, Version: Version, Logger: a.logger("http"),
		SagasAt: "http://" + a.host(Campaign),
	}
	if err := a.askRemotely(&config); err != nil {
		return nil, err
	}
	if a.cfg.Token != "" {
		config.Authorize = web.BearerToken(a.cfg.Token)
	}
	switch {
	case a.coordinator != nil:
		config.Sagas, config.Actor, config.Pauser = a.sagas, a.coordinator, pausers(a.coordinators())
	case len(a.parties) > 0 && !a.cfg.runs(BFF): // clients of a bff are told where all sagas are
		p := a.parties[len(a.parties)-1]
		config.Sagas, config.Actor, config.Pauser = p.store, p.coordinator, pausers(a.coordinators())
	}
	config.Parties = map[string]web.Party{}
	for _, p := range a.parties {
		config.Parties[p.service] = web.Party{Sagas: p.store, Actor: p.coordinator}
	}
	for _, s := range services {
		config.Services = append(config.Services, web.Service(s))
	}
	return web.New(config)
}

// queries answers for the services that run here.
func (a *App) queries() (*cqrs.Bus, error) {
	queries := cqrs.NewBus(cqrs.Config{})
	var errs []error
	if a.cfg.runs(Campaign) {
		errs = append(errs, campaign.HandleQueries(queries, sqlalpes.NewCampaigns(a.db.Reader())))
	}
	if a.cfg.runs(Partner) {
		errs = append(errs, partner.HandleQueries(queries, sqlalpes.NewPartners(a.db.Reader())))
	}
	if a.cfg.runs(Tracking) {
		errs = append(errs, tracking.HandleQueries(queries, sqlalpes.NewEvents(a.db.Reader())))
	}
	return queries, errors.Join(errs...)
}

// askRemotely replaces the answers of services that do not run here by those of their own hosts.
func (a *App) askRemotely(config *web.Config) error {
	client := &http.Client{Timeout: remoteTimeout, Transport: bearer{token: a.cfg.Token, next: http.DefaultTransport}}
	for service, ask := range map[string]func(host string) error{
		Campaign: func(host string) (err error) { config.Campaigns, err = web.RemoteCampaigns(host, client); return err },
		Partner:  func(host string) (err error) { config.Partners, err = web.RemotePartners(host, client); return err },
		Tracking: func(host string) (err error) { config.Events, err = web.RemoteEvents(host, client); return err },
	} {
		if a.cfg.runs(service) {
			continue
		}
		if err := ask(a.host(service)); err != nil {
			return fmt.Errorf("%w: %s-host: %w", ErrConfig, service, err)
		}
	}
	return nil
}

// remoteTimeout bounds the wait for a service in another process.
const remoteTimeout = 10 * time.Second

// bearer sends the token that all services of the system have in common.
type bearer struct {
	token string
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// host is where a service is that does not run here.
func (a *App) host(service string) string {
	if h := a.cfg.Hosts[service]; h != "" {
		return h
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports()[service]))
}

func (a *App) isReady(context.Context) error {
	select {
	case <-a.ready:
		return nil
	default:
		return errors.New("the services are still starting")
	}
}

// startPatience is how long a request waits for the start.
const startPatience = 10 * time.Second

// started waits for the start, as long as it can still come.
func (a *App) started(ctx context.Context) error {
	err := a.isReady(ctx)
	if err == nil {
		return nil
	}
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-a.ready:
		return nil
	case <-a.stopping:
	case <-patience.C:
	case <-ctx.Done():
	}
	return err
}

// server is one HTTP server of some services.
type server struct {
	services []string
	listener net.Listener
	http     *http.Server
	grace    time.Duration
	logger   *slog.Logger

	mu     sync.Mutex
	unused map[net.Conn]struct{} // connections on which no request has come yet
}

func (s *server) serves(service string) bool {
	return slices.Contains(s.services, service)
}

func (s *server) url() string { return "http://" + s.listener.Addr().String() }

// run serves until ctx ends, then lets the requests under way come to their end.
func (s *server) run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("app: serve %s: %w", s.url(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	s.closeUnused()
	if err := s.http.Shutdown(stopping); err != nil {
		s.logger.WarnContext(stopping, "requests were cut off", "error", err)
	}
	return nil
}

// note is the server's ConnState.
func (s *server) note(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateNew {
		s.unused[c] = struct{}{}
	} else {
		delete(s.unused, c)
	}
}

// closeUnused closes the connections that browsers and pools open beforehand: Shutdown would wait five seconds for their first request.
func (s *server) closeUnused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.unused {
		_ = c.Close() // it is the client's loss
	}
}

// close frees the port of a server that never ran; after run it changes nothing.
func (s *server) close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
