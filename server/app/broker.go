package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/wire"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

const (
	// writers is how many transactions of one subscription may queue for the one writer of SQLite: one that commits
	// and one that gathers.
	writers = 2
	// maxRelayGrace bounds how long a stop waits for messages on their way, which the next start sends again otherwise.
	maxRelayGrace = 5 * time.Second
	// declareTime is how long a subscription is held that is only made here; Pulsar's client warns of those that end as they begin.
	declareTime = 50 * time.Millisecond
	// coordinatorSubscription is for the topic that nobody subscribed to in the original.
	coordinatorSubscription = "sub-campaign"
)

// broker is a driver, which the app closes.
type broker interface {
	messaging.Broker
	Close() error
}

func (a *App) wireBroker(context.Context) error {
	codec, err := wire.NewCodec(wire.Config{})
	if err != nil {
		return err
	}
	concurrency := 0 // the drivers' own
	if a.db != nil && a.db.Dialect().Name == "sqlite" {
		concurrency = writers
	}
	if a.cfg.Broker == InMemory {
		a.broker = memmsg.New(memmsg.Config{Concurrency: concurrency})
	} else {
		pulsar := a.cfg.pulsar()
		pulsar.Schemas, pulsar.Concurrency, pulsar.Logger = codec, concurrency, a.logger("broker")
		a.broker, err = pulsarmsg.New(pulsar)
		if err != nil {
			a.broker = nil // not a nil of the driver's type
			return fmt.Errorf("%w: %s", ErrConfig, inSettings(err))
		}
	}
	a.bus = messaging.Bus{Broker: a.broker, Codec: codec}
	if a.db == nil {
		return nil
	}
	a.relay, err = outbox.NewRelay(outbox.Config{
		Store: a.messages, Publisher: a.broker, Grace: min(a.cfg.Grace, maxRelayGrace), Logger: a.logger("relay"),
	})
	return err
}

// inSettings tells the driver's faults by the names of the settings that its fields come from.
func inSettings(err error) string {
	of := pulsarmsg.ErrConfig.Error() + ": "
	return strings.NewReplacer(
		of+"URL is", "broker: it is", of+"AdminURL is", "broker-admin: it is", of+"Namespace is", "namespace: it is",
		of+"TokenFile", "broker-token-file: it", of+"TLS.TrustFile", "broker-ca-file: it", of, "broker: ",
	).Replace(err.Error())
}

// pulsar is what the settings say of a broker outside.
func (c Config) pulsar() pulsarmsg.Config {
	return pulsarmsg.Config{
		URL: c.Broker, AdminURL: c.BrokerAdmin, Namespace: c.Namespace, FromEarliest: true,
		TokenFile: c.BrokerTokenFile, TLS: pulsarmsg.TLS{TrustFile: c.BrokerCAFile},
	}
}

// closeBroker takes a broker that does not answer for no failure: what is open comes again.
func (a *App) closeBroker() error {
	err := a.broker.Close()
	if errors.Is(err, pulsarmsg.ErrNotDrained) {
		a.cfg.Logger.Warn("the broker was left before it had answered", "error", err)
		return nil
	}
	return err
}

// reader is a subscription and the service that reads it.
type reader struct {
	service string
	messaging.Subscription
}

// readers returns all that read a topic in this coordination. Commands are shared with no order, as in the original. Coordinators get the
// messages of a saga in order; that the type is not the original's also keeps its coordinator and ours from taking each other's messages.
func (c Config) readers(topic wire.Topic) []reader {
	if service := handler(topic.Name); service != "" {
		return []reader{{service, messaging.Subscription{Topic: topic.Name, Name: topic.Subscription, Type: messaging.Shared}}}
	}
	name := topic.Subscription
	if name == "" {
		name = coordinatorSubscription
	}
	all := []reader{{Campaign, messaging.Subscription{Topic: topic.Name, Name: name, Type: messaging.KeyShared}}}
	if c.Coordination == Choreographed {
		for _, service := range registration.Services() { // every party hears every event
			all = append(all, reader{service, messaging.Subscription{Topic: topic.Name, Name: partyName(service), Type: messaging.KeyShared}})
		}
	}
	return all
}

// handler returns the service that handles the commands on the topic, "" for a topic of events.
func handler(topic string) string {
	switch topic {
	case wire.TopicRegisterCampaign, wire.TopicApproveCampaign, wire.TopicCancelCampaign:
		return Campaign
	case wire.TopicRegisterPartner, wire.TopicCancelPartner:
		return Partner
	case wire.TopicRegisterEvent, wire.TopicCancelEvent:
		return Tracking
	default:
		return ""
	}
}

// publishers returns the services that publish on the topic.
func publishers(topic string) []string {
	switch topic {
	case wire.TopicApproveCampaign, wire.TopicCampaignEvents:
		return []string{Campaign}
	case wire.TopicPartnerEvents:
		return []string{Partner}
	case wire.TopicTrackingEvents:
		return []string{Tracking}
	default: // commands come from clients, and from the coordinator
		return []string{BFF, Campaign}
	}
}

// absent returns the subscriptions of what is published here and read elsewhere.
func (c Config) absent() []messaging.Subscription {
	var all []messaging.Subscription
	for _, topic := range wire.Topics() {
		if !slices.ContainsFunc(publishers(topic.Name), c.runs) {
			continue
		}
		for _, r := range c.readers(topic) {
			if !c.runs(r.service) {
				all = append(all, r.Subscription)
			}
		}
	}
	return all
}

// declare makes the subscriptions of services that may not have run yet, so that what is published for them waits. It reports
// whether that was done before ctx ended; another failure is told to fail.
func (a *App) declare(ctx context.Context, fail context.CancelCauseFunc) bool {
	var all sync.WaitGroup
	for _, s := range a.cfg.absent() {
		all.Go(func() {
			if err := a.declareOne(ctx, s); err != nil {
				fail(fmt.Errorf("app: declare %s of %s: %w", s.Name, s.Topic, err))
			}
		})
	}
	all.Wait()
	return ctx.Err() == nil
}

func (a *App) declareOne(ctx context.Context, s messaging.Subscription) error {
	if m, ok := a.broker.(*memmsg.Broker); ok {
		return m.Declare(s)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// To subscribe for a moment is the one way to make a subscription that needs no administrator. What comes meanwhile is not
	// touched, and goes to others afterwards.
	leave := func() { time.AfterFunc(declareTime, cancel) }
	err := a.broker.Subscribe(ctx, s, leave, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		all := make([]messaging.Disposition, len(batch))
		for i := range all {
			all[i] = messaging.Disposition{Redeliver: true, After: time.Minute}
		}
		return all
	})
	if errors.Is(err, messaging.ErrBusy) { // it has consumers, so it is there
		return nil
	}
	return err
}

// explain says what to do about a failure that the services cannot know the reason of.
func explain(err error) error {
	if errors.Is(err, messaging.ErrBusy) {
		return fmt.Errorf("%w: a subscription has consumers of another type, such as those of the original's campaign service: "+
			"stop them, since two coordinators would take each other's messages, or choose another namespace", err)
	}
	return err
}

// InMemory reports whether the broker is in this process.
func (a *App) InMemory() bool { return a.cfg.Broker == InMemory }

// BrokerLocation says where messages travel, for a person to read.
func (a *App) BrokerLocation() string {
	if a.InMemory() {
		return "in this process"
	}
	return a.cfg.Broker + ", namespace " + cmp.Or(a.cfg.Namespace, "public/default")
}
