package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// ErrConfig says that a configuration lacks something or contradicts itself.
var ErrConfig = errors.New("web: bad configuration")

// Service names a part of the HTTP interface, as the original divided it.
type Service string

// The services.
const (
	// BFF has the routes for clients: the original's and those under /v1.
	BFF Service = "bff"
	// Campaign has /campaigns.
	Campaign Service = "campaign"
	// Partner has /partners.
	Partner Service = "partner"
	// Tracking has /eventos.
	Tracking Service = "tracking"
)

// Services returns all services. The slice is the caller's.
func Services() []Service { return []Service{BFF, Campaign, Partner, Tracking} }

// DefaultMaxBody is the greatest body of a Config that names none, in bytes.
const DefaultMaxBody = 1 << 20

// Actor carries out operators' actions on sagas. *coordinator.Coordinator is one.
type Actor interface {
	// Act applies the action and returns the instance after it. Errors: [saga.ErrNotFound], [saga.ErrConflict],
	// [saga.ErrNotAllowed], [saga.ErrUnknownDefinition].
	Act(ctx context.Context, id saga.ID, act saga.Act) (saga.State, error)
}

// Pauser pauses definitions and releases them. *coordinator.Coordinator is one.
type Pauser interface {
	// Pause makes the definition's instances, or with "" those of all, send nothing. Errors: [coordinator.ErrUnwanted],
	// [saga.ErrUnknownDefinition].
	Pause(ctx context.Context, definition, by, why string) error
	// Resume ends that and releases what was held, rate records a second, or with 0 all at once. Errors as Pause.
	Resume(ctx context.Context, definition string, rate int, by, why string) error
}

// Party is a service's part in choreographed sagas, for operators: it has states, a story and actions of its own.
type Party struct {
	// Sagas shows them. Required.
	Sagas coordinator.Reader
	// Actor carries out operators' actions. Nil means that they are answered 501.
	Actor Actor
}

// Config says what a handler serves and with what.
type Config struct {
	// Services are those whose routes the handler has. Zero means all.
	Services []Service
	// Bus carries the commands. Required with [BFF].
	Bus messaging.Bus
	// Campaigns answers queries. Required with [BFF] and [Campaign]; see [CampaignsOn] and [RemoteCampaigns].
	Campaigns campaign.Views
	// Partners answers queries. Required with [BFF] and [Partner]; see [PartnersOn] and [RemotePartners].
	Partners partner.Views
	// Events answers queries. Required with [BFF] and [Tracking]; see [EventsOn] and [RemoteEvents].
	Events tracking.Views

	// Sagas shows the sagas, whatever the Services. Nil means that the coordinator is elsewhere: with [BFF],
	// /v1/sagas then answers 501.
	Sagas coordinator.Reader
	// Actor carries out operators' actions. Nil means that they are answered 501.
	Actor Actor
	// Pauser pauses definitions; Sagas tells of the pauses. Nil means that this is answered 501.
	Pauser Pauser
	// Parties are those that run here, by the services that requests name. Zero means none.
	Parties map[string]Party
	// Definitions explain the steps of the sagas and give their diagrams, of several versions the first.
	Definitions []saga.Any
	// SagasAt is the URL of the server that has the sagas, for the answer 501. Zero means that it is not told.
	SagasAt string

	// Started waits until requests can be served, and fails if they won't be soon: they are answered 503 then. /healthz and /readyz do not wait. Zero
	// means that they can be served at once.
	Started func(ctx context.Context) error
	// Ready says whether requests can be served, for /readyz. Zero means always.
	Ready func(ctx context.Context) error
	// Authorize says whether a request may be served; see [BearerToken]. /healthz and /readyz are open to everyone.
	// Zero means that everyone may do everything, as with the original.
	Authorize func(r *http.Request) bool
	// MaxBody is the greatest body, in bytes. Zero means [DefaultMaxBody].
	MaxBody int64
	// Timeout bounds the time of a request; a whole list of the original's routes gets as much for each page. Zero means 30 s.
	Timeout time.Duration
	// Version is the server's version in the OpenAPI document. Zero means "0.0.0".
	Version string
	// Logger gets the access log and what fails. Zero means [slog.Default].
	Logger *slog.Logger
	// NewID makes ids, UUIDs. It must be safe for concurrent use. Zero means a new UUIDv7.
	NewID func() (string, error)
	// Now is the clock of events that come without a time. Zero means [time.Now].
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if len(c.Services) == 0 {
		c.Services = Services()
	}
	if c.Ready == nil {
		c.Ready = func(context.Context) error { return nil }
	}
	if c.Started == nil {
		c.Started = func(context.Context) error { return nil }
	}
	if c.Authorize == nil {
		c.Authorize = func(*http.Request) bool { return true }
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Version == "" {
		c.Version = "0.0.0"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.NewID == nil {
		c.NewID = rule.NewID
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("%w: %s", ErrConfig, fmt.Sprintf(format, args...)))
		}
	}
	for _, s := range c.Services {
		need(slices.Contains(Services(), s), "no service %q: name some of %v", s, Services())
	}
	need(!c.serves(BFF) || c.Bus.Broker != nil && c.Bus.Codec != nil, "Bus is missing: the bff sends commands")
	need(c.Campaigns != nil || !c.serves(BFF) && !c.serves(Campaign), "Campaigns is missing")
	need(c.Partners != nil || !c.serves(BFF) && !c.serves(Partner), "Partners is missing")
	need(c.Events != nil || !c.serves(BFF) && !c.serves(Tracking), "Events is missing")
	need(c.Sagas != nil || c.Actor == nil, "Sagas is missing: an Actor needs it")
	need(c.Sagas != nil || c.Pauser == nil, "Sagas is missing: a Pauser needs it")
	for _, service := range slices.Sorted(maps.Keys(c.Parties)) {
		need(c.Parties[service].Sagas != nil, "Parties: Sagas of %q is missing", service)
	}
	need(c.MaxBody > 0, "MaxBody is negative")
	need(c.Timeout > 0, "Timeout is negative")
	return errors.Join(faults...)
}

func (c Config) serves(s Service) bool { return slices.Contains(c.Services, s) }
