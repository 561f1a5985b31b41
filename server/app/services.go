package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/saga"
)

func (a *App) wireServices(context.Context) error {
	for _, s := range []struct {
		name string
		wire func(*inbox.Service, *cqrs.Bus) error
	}{{Campaign, a.wireCampaign}, {Partner, a.wirePartner}, {Tracking, a.wireTracking}} {
		if !a.cfg.runs(s.name) {
			continue
		}
		service, err := inbox.NewService(inbox.Config{
			Name: s.name, Bus: a.bus, Store: a.messages, Relay: a.relay, DeadLetters: a.messages,
			Subscriptions: subscriptions(), Keep: a.cfg.KeepInbox, Logger: a.logger(s.name),
		})
		if err != nil {
			return err
		}
		commands := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{logging(a.logger(s.name))}})
		if err := s.wire(service, commands); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		a.services = append(a.services, service)
	}
	return nil
}

// subscriptions are the original's subscription names by topic.
func subscriptions() map[string]string {
	names := map[string]string{}
	for _, t := range wire.Topics() {
		if t.Subscription != "" {
			names[t.Name] = t.Subscription
		}
	}
	return names
}

// logging logs commands. A refusal is an answer and no fault: it is told to the log as such, and nothing as a failure.
func logging(logger *slog.Logger) cqrs.Middleware {
	return func(next cqrs.Handler) cqrs.Handler {
		return func(ctx context.Context, call *cqrs.Call) error {
			err := next(ctx, call)
			level, text := slog.LevelDebug, "handled"
			var refusal *messaging.Refusal
			switch {
			case errors.As(err, &refusal):
				level, text = slog.LevelInfo, "refused"
			case err != nil:
				level, text = slog.LevelWarn, "not handled"
			}
			logger.Log(ctx, level, text, "command", call.Name(), "error", err)
			return err
		}
	}
}

func (a *App) wireCampaign(service *inbox.Service, bus *cqrs.Bus) error {
	campaigns, err := campaign.NewService(sqlalpes.NewCampaigns(nil), campaign.Config{})
	if err != nil {
		return err
	}
	sqlalpes.Dispatch[campaign.Register, campaign.Registered](service, bus)
	sqlalpes.Dispatch[campaign.Approve, campaign.Approved](service, bus)
	sqlalpes.Dispatch[campaign.Cancel, campaign.RegistrationFailed](service, bus)
	service.Divert(wire.TopicRegisterCampaign, a.startRegistrations)
	return campaign.HandleCommands(bus, campaigns)
}

func (a *App) wirePartner(service *inbox.Service, bus *cqrs.Bus) error {
	partners, err := partner.NewService(sqlalpes.NewPartners(nil), partner.Config{Blocked: a.cfg.PartnerBlocked})
	if err != nil {
		return err
	}
	sqlalpes.Dispatch[partner.Register, partner.Registered](service, bus)
	sqlalpes.Dispatch[partner.Cancel, partner.RegistrationFailed](service, bus)
	return partner.HandleCommands(bus, partners)
}

func (a *App) wireTracking(service *inbox.Service, bus *cqrs.Bus) error {
	limit := a.cfg.TrackingLimit
	switch {
	case limit == 0:
		limit = tracking.RefuseAll
	case limit < 0:
		limit = tracking.Unlimited
	}
	events, err := tracking.NewService(sqlalpes.NewEvents(nil), tracking.Config{Limit: limit})
	if err != nil {
		return err
	}
	sqlalpes.Dispatch[tracking.Register, tracking.Registered](service, bus)
	sqlalpes.Dispatch[tracking.Cancel, tracking.RegistrationFailed](service, bus)
	return tracking.HandleCommands(bus, events)
}

// startRegistrations takes commands to register a campaign that come from outside of any saga: each starts the
// saga, whose first step is that command. All starts of a batch are committed together.
func (a *App) startRegistrations(ctx context.Context, batch []messaging.Message) []error {
	errs := make([]error, len(batch))
	var all sync.WaitGroup
	for i, m := range batch {
		all.Go(func() { errs[i] = a.startRegistration(ctx, m) })
	}
	all.Wait()
	return errs
}

func (a *App) startRegistration(ctx context.Context, m messaging.Message) error {
	decoded, err := a.bus.Codec.Decode(m)
	if err != nil {
		return err
	}
	command, ok := decoded.(campaign.Register)
	if !ok {
		return messaging.Permanent(fmt.Errorf("app: %T on %s", decoded, m.Topic))
	}
	if command.ID == "" { // the original's bff gives none: the message is recognised again by the broker's id
		command.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(m.Topic+"@"+m.BrokerID)).String()
	}
	occurred := m.Published
	if occurred.IsZero() {
		occurred = time.Now()
	}
	err = a.begin(ctx, registration.Registration{Campaign: command, OccurredAt: occurred.UTC().Truncate(time.Millisecond)})
	if errors.Is(err, saga.ErrData) {
		return messaging.Permanent(err)
	}
	return err
}
