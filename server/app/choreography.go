package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// party is a service's part in the choreography. It runs however new sagas are coordinated, for those that began as choreographed ones.
type party struct {
	service     string
	definition  *saga.Definition[registration.Registration]
	store       *sqlsaga.Store
	coordinator *coordinator.Coordinator
}

// partyName names a party's coordinator and its subscriptions.
func partyName(service string) string { return "saga-" + service }

// wireParties gives each service that runs here a coordinator of its own over tables of its own.
func (a *App) wireParties(ctx context.Context) error {
	for _, service := range registration.Services() {
		if !a.cfg.runs(service) {
			continue
		}
		definition, err := registration.Choreograph(service)
		if err != nil {
			return err
		}
		store, err := sqlsaga.New(a.db, sqlsaga.Config{Outbox: a.messages, TablePrefix: service + "_"})
		if err != nil {
			return err
		}
		if err := store.Migrate(ctx); err != nil {
			return fmt.Errorf("%s: %w", service, err)
		}
		c, err := coordinator.New(coordinator.Config{
			Store: store, Bus: a.bus, Definitions: []saga.Any{definition}, Relay: a.relay, DeadLetters: a.messages,
			Name: partyName(service), SubscriptionType: messaging.KeyShared, Logger: a.logger(partyName(service)),
			Retention: coordinator.Retention{Keep: a.cfg.KeepSagas},
		})
		if err != nil {
			return err
		}
		a.parties = append(a.parties, &party{service: service, definition: definition, store: store, coordinator: c})
	}
	return nil
}

// party returns the service's, nil where it does not run here.
func (a *App) party(service string) *party {
	for _, p := range a.parties {
		if p.service == service {
			return p
		}
	}
	return nil
}

// definitions returns all that instances here may be of, that of new ones first.
func (a *App) definitions() []saga.Any {
	all := []saga.Any{a.definition, a.watcher}
	if a.cfg.Coordination == Choreographed {
		slices.Reverse(all)
	}
	for _, p := range a.parties {
		all = append(all, p.definition)
	}
	return all
}

// coordinators returns all that run here, the one that conducts and watches last.
func (a *App) coordinators() []*coordinator.Coordinator {
	var all []*coordinator.Coordinator
	for _, p := range a.parties {
		all = append(all, p.coordinator)
	}
	if a.coordinator != nil {
		all = append(all, a.coordinator)
	}
	return all
}

// pausers pause and release together. The last one's history tells of it: so what is told holds for all.
type pausers []*coordinator.Coordinator

// Pause implements [web.Pauser].
func (p pausers) Pause(ctx context.Context, definition, by, why string) error {
	for _, c := range p {
		if err := c.Pause(ctx, definition, by, why); err != nil {
			return err
		}
	}
	return nil
}

// Resume implements [web.Pauser].
func (p pausers) Resume(ctx context.Context, definition string, rate int, by, why string) error {
	for _, c := range p {
		if err := c.Resume(ctx, definition, rate, by, why); err != nil {
			return err
		}
	}
	return nil
}

// begin starts the registration, or finds that it was started: then it goes on as it began, however new ones are coordinated.
func (a *App) begin(ctx context.Context, r registration.Registration) error {
	key := r.Campaign.ID
	definition := a.definition
	if a.cfg.Coordination == Choreographed {
		definition = a.watcher
	}
	id, err := coordinator.Start(ctx, a.coordinator, definition, r, coordinator.Key(key))
	if err != nil {
		return err
	}
	return a.beginParty(ctx, id)
}

// beginParty starts campaign's part of a choreographed saga, with what the watcher knows; what comes before it is the watcher's, which
// so misses no event. To one that began, and to an orchestrated saga, it does nothing.
func (a *App) beginParty(ctx context.Context, id saga.ID) error {
	watched, err := a.sagas.Get(ctx, id)
	if err != nil || watched.Hash != a.watcher.Hash() {
		return err
	}
	text, err := saga.DataJSON(a.watcher, watched.Root)
	if err != nil {
		return err
	}
	var r registration.Registration
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%w: %w", saga.ErrData, err)
	}
	campaign := a.party(Campaign)
	_, err = coordinator.Start(ctx, campaign.coordinator, campaign.definition, r, coordinator.Key(watched.Key))
	return err
}

// finishStarts begins campaign's part of those sagas whose watcher had begun when the process died.
func (a *App) finishStarts(ctx context.Context) error {
	campaign := a.party(Campaign)
	if campaign == nil {
		return nil
	}
	for _, status := range []saga.Status{saga.Running, saga.Parked} { // parked: the watcher has waited in vain
		query := coordinator.ListQuery{Definition: registration.Name, Status: status, Limit: 500}
		for {
			page, next, err := a.sagas.List(ctx, query)
			if err == nil {
				err = a.finishPage(ctx, campaign, page)
			}
			switch stopping := ctx.Err() != nil || errors.Is(err, coordinator.ErrClosed); {
			case stopping:
				return nil
			case err != nil:
				return fmt.Errorf("app: finish what was being started: %w", err)
			}
			if query.Cursor = next; next == "" {
				break
			}
		}
	}
	return nil
}

func (a *App) finishPage(ctx context.Context, campaign *party, page []saga.State) error {
	var wants []coordinator.Want
	for _, s := range page {
		if s.Hash == a.watcher.Hash() {
			wants = append(wants, coordinator.Want{ID: s.ID})
		}
	}
	begun, err := campaign.store.Load(ctx, wants)
	if err != nil {
		return err
	}
	for _, want := range wants {
		if _, ok := begun[want.ID]; ok {
			continue
		}
		switch err := a.beginParty(ctx, want.ID); {
		case errors.Is(err, saga.ErrData): // no restart mends it, and the watcher is parked
			a.cfg.Logger.ErrorContext(ctx, "a saga cannot be begun", "saga", want.ID, "error", err)
		case err != nil:
			return err
		}
	}
	return nil
}
