package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// App is the wired system. Make one with [New] and run it once.
type App struct {
	cfg        Config
	db         *sqlmsg.DB // nil, as the stores and the relay, where nothing is kept
	settings   []any      // the database's that are safe, names and values
	messages   *sqlmsg.Store
	sagas      *sqlsaga.Store
	broker     broker
	bus        messaging.Bus
	relay      *outbox.Relay
	definition *saga.Definition[registration.Registration] // orchestrated
	watcher    *saga.Definition[registration.Registration] // of the choreography

	coordinator *coordinator.Coordinator // nil where campaign does not run here
	parties     []*party                 // those of the services that run here
	services    []*inbox.Service
	servers     []*server
	ready       chan struct{}
	stopping    chan struct{}
}

// New opens the database, brings its tables up to date, wires the services and listens on their ports. Wrong settings: [ErrConfig].
// Close what it returns, or run it.
func New(ctx context.Context, config Config) (*App, error) {
	cfg := config.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, ready: make(chan struct{}), stopping: make(chan struct{}), definition: registration.Define()}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"open the database", a.openDatabase},
		{"wire the broker", a.wireBroker},
		{"wire the coordinator", a.wireCoordinator},
		{"wire the choreography", a.wireParties},
		{"wire the services", a.wireServices},
		{"listen", a.listen},
	} {
		if err := step.do(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("app: %s: %w", step.what, err), a.Close())
		}
	}
	return a, nil
}

// URL returns the base URL of a service that runs here, or "".
func (a *App) URL(service string) string {
	for _, s := range a.servers {
		if s.serves(service) {
			return s.url()
		}
	}
	return ""
}

// Whole reports whether all services run here.
func (a *App) Whole() bool { return a.cfg.whole() }

// Ready is closed once requests can be served.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Coordinator is the saga coordinator; nil where the campaign service does not run here.
func (a *App) Coordinator() *coordinator.Coordinator { return a.coordinator }

// Sagas reads the instances; nil where nothing is kept.
func (a *App) Sagas() coordinator.Reader {
	if a.sagas == nil {
		return nil
	}
	return a.sagas
}

func (a *App) wireCoordinator(context.Context) error {
	watcher, err := registration.Choreograph("")
	if err != nil {
		return err
	}
	a.watcher = watcher
	if !a.cfg.runs(Campaign) {
		return nil
	}
	a.coordinator, err = coordinator.New(coordinator.Config{
		Store: a.sagas, Bus: a.bus, Definitions: []saga.Any{a.definition, a.watcher}, Relay: a.relay, DeadLetters: a.messages,
		Subscriptions: map[string]string{
			wire.TopicCampaignEvents: coordinatorSubscription,
			wire.TopicPartnerEvents:  wire.SubscriptionPartnerEvents,
			wire.TopicTrackingEvents: wire.SubscriptionTrackingEvents,
		},
		SubscriptionType: messaging.KeyShared,
		Retention:        coordinator.Retention{Keep: a.cfg.KeepSagas},
		Observe:          a.cfg.Observe, Logger: a.logger("coordinator"),
	})
	return err
}

func (a *App) logger(component string) *slog.Logger { return a.cfg.Logger.With("component", component) }

// Run serves until ctx ends, or until a part fails; then it stops everything in order, closes it and returns the failure, if any.
func (a *App) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if len(a.settings) > 0 {
		a.logger("database").InfoContext(ctx, "safe database settings", a.settings...)
	}
	background := context.WithoutCancel(ctx)
	work := newGroup(background, fail)
	relay := newGroup(background, fail)
	web := newGroup(background, fail)

	for _, s := range a.services {
		work.run(s.Run)
	}
	for _, c := range a.coordinators() {
		work.run(c.Run)
	}
	for _, s := range a.servers { // probes are answered from now on, all else once everything is ready
		web.run(s.run)
	}
	if a.declare(ctx, fail) && a.awaitReady(ctx) {
		if a.relay != nil {
			relay.run(a.relay.Run)
		}
		work.run(a.finishStarts)
		close(a.ready)
	}
	<-ctx.Done()
	a.cfg.Logger.InfoContext(ctx, "stopping")
	close(a.stopping)
	web.stop()
	relay.stop()
	work.stop()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return errors.Join(explain(err), a.Close())
	}
	return a.Close()
}

// awaitReady waits until every subscription has its consumer.
func (a *App) awaitReady(ctx context.Context) bool {
	var all []<-chan struct{}
	for _, s := range a.services {
		all = append(all, s.Ready())
	}
	for _, c := range a.coordinators() {
		all = append(all, c.Ready())
	}
	for _, ready := range all {
		select {
		case <-ready:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// Close closes the ports, the broker and the database; Run does it itself.
func (a *App) Close() error {
	var errs []error
	for _, s := range a.servers {
		errs = append(errs, s.close())
	}
	if a.broker != nil {
		errs = append(errs, a.closeBroker())
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	return errors.Join(errs...)
}

// group runs parts that stop together. A part that fails stops the whole system.
type group struct {
	ctx    context.Context //nolint:containedctx // it is the group's life
	cancel context.CancelFunc
	fail   context.CancelCauseFunc
	wg     sync.WaitGroup
}

func newGroup(parent context.Context, fail context.CancelCauseFunc) *group {
	ctx, cancel := context.WithCancel(parent)
	return &group{ctx: ctx, cancel: cancel, fail: fail}
}

func (g *group) run(part func(context.Context) error) {
	g.wg.Go(func() {
		if err := part(g.ctx); err != nil {
			g.fail(err)
		}
	})
}

func (g *group) stop() {
	g.cancel()
	g.wg.Wait()
}
