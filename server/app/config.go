package app

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The services.
const (
	BFF      = "bff"
	Campaign = registration.CampaignService
	Partner  = registration.PartnerService
	Tracking = registration.TrackingService
)

// Coordination says who sends the commands of new sagas. Sagas that are under way go on as they began.
type Coordination string

// The ways to coordinate.
const (
	// Orchestrated: the coordinator, which runs with campaign, sends them all.
	Orchestrated Coordination = "orchestrated"
	// Choreographed: each service sends its own, on the events of the others; the coordinator watches.
	Choreographed Coordination = "choreographed"
)

// InMemory is the [Config].Broker in this process.
const InMemory = "memory"

// Services returns all services, in the order of their ports.
func Services() []string { return []string{BFF, Campaign, Partner, Tracking} }

// ErrConfig says that a setting is wrong; the text names it.
var ErrConfig = errors.New("app: bad setting")

// Config says what runs, and where.
type Config struct {
	// Listen is the address of the one HTTP server that serves everything. Zero means "127.0.0.1:8000". With a part
	// of the Services it only gives the host; each has its original port, 8000 to 8003.
	Listen string
	// Data is the SQLite file. Zero means "alpes-partners.db".
	Data string
	// Ephemeral keeps everything in memory instead.
	Ephemeral bool
	// Database is the URL of the database that keeps everything instead: "sqlite:PATH", "postgres://…" or "mysql://…", or as SQLAlchemy
	// writes them, "mysql+pymysql://…". Zero means that Data and Ephemeral say where.
	Database string
	// AllowUnsafe takes a database although one of its settings says that it may lose what was committed.
	AllowUnsafe bool
	// Broker is where messages travel: "memory", in this process, or the address of a Pulsar, "pulsar://host:6650". Zero means "memory".
	Broker string
	// BrokerAdmin is the address of Pulsar's REST interface, from which the schemas of other writers are read. Zero means port 8080 of the
	// broker's hosts, 8443 with TLS.
	BrokerAdmin string
	// Namespace is where Pulsar has the topics, "tenant/namespace". Zero means "public/default".
	Namespace string
	// BrokerTokenFile names a file with the token for Pulsar, which is read anew for each connection. Zero means none.
	BrokerTokenFile string
	// BrokerCAFile names a PEM file of the certificate authorities to trust at "pulsar+ssl://host:6651". Zero means the system's.
	BrokerCAFile string
	// Services are those to run. Zero means all.
	Services []string
	// Coordination is that of new sagas. Zero means Orchestrated.
	Coordination Coordination
	// PartnerBlocked are names that the partner service refuses.
	PartnerBlocked []string
	// TrackingLimit is the most tracking events of one campaign; 0 admits none, negative any number.
	TrackingLimit int
	// Hosts are where the services that do not run here are, by name, as host:port. Zero means 127.0.0.1 and their original ports.
	Hosts map[string]string
	// Token is what clients have to send as "Authorization: Bearer TOKEN"; /healthz and /readyz are open. Zero means that
	// everyone may do everything, as with the original.
	Token string
	// KeepSagas is how long sagas are kept after their end, and KeepInbox how long the services remember what they have handled. Zero means 30 and
	// 90 days; see [coordinator.Retention] and the Keep of an inbox.
	KeepSagas, KeepInbox time.Duration
	// Grace bounds how long a stop waits for HTTP requests under way, and then, up to 5 s, for messages. Zero means 10 s.
	Grace time.Duration
	// Observe is told every transition of a saga, of a choreographed one as its watcher sees it; see [coordinator.Config]. Nil means nobody watches.
	Observe func(coordinator.Transition)
	// Logger gets what happens. Zero means [slog.Default].
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8000"
	}
	if c.Broker == "" {
		c.Broker = InMemory
	}
	if c.Data == "" {
		c.Data = "alpes-partners.db"
	}
	if len(c.Services) == 0 {
		c.Services = Services()
	}
	if c.Coordination == "" {
		c.Coordination = Orchestrated
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var faults []error
	for i, s := range c.Services {
		switch {
		case !slices.Contains(Services(), s):
			faults = append(faults, fmt.Errorf("%w: services: no service %q: use %v", ErrConfig, s, Services()))
		case slices.Contains(c.Services[:i], s):
			faults = append(faults, fmt.Errorf("%w: services: %q is named twice", ErrConfig, s))
		}
	}
	if c.Coordination != Orchestrated && c.Coordination != Choreographed {
		faults = append(faults, fmt.Errorf("%w: coordination: no %q: use %s or %s", ErrConfig, c.Coordination, Orchestrated, Choreographed))
	}
	for _, keep := range []struct {
		setting   string
		time, min time.Duration
	}{{"keep-sagas", c.KeepSagas, coordinator.MinKeep}, {"keep-inbox", c.KeepInbox, inbox.MinKeep}} {
		if keep.time > 0 && keep.time < keep.min {
			faults = append(faults, fmt.Errorf("%w: %s: %v is too short, as messages may still come again: give it %v or more, or a negative time for ever", ErrConfig, keep.setting, keep.time, keep.min))
		}
	}
	if c.Broker == InMemory && (c.BrokerAdmin != "" || c.Namespace != "") {
		faults = append(faults, fmt.Errorf("%w: broker: the broker in memory has no REST interface and no namespace: give its address, such as pulsar://localhost:6650", ErrConfig))
	}
	if c.Broker == InMemory && (c.BrokerTokenFile != "" || c.BrokerCAFile != "") {
		faults = append(faults, fmt.Errorf("%w: broker-token-file, broker-ca-file: the broker in memory takes none: give the address of a Pulsar with broker, such as pulsar+ssl://localhost:6651", ErrConfig))
	}
	if c.BrokerCAFile != "" && c.Broker != InMemory && !strings.HasPrefix(c.Broker, "pulsar+ssl://") {
		faults = append(faults, fmt.Errorf("%w: broker-ca-file: %s has no TLS: use pulsar+ssl://HOST:6651 for broker", ErrConfig, c.Broker))
	}
	for _, of := range []struct{ setting, file string }{{"broker-token-file", c.BrokerTokenFile}, {"broker-ca-file", c.BrokerCAFile}} {
		if of.file == "" {
			continue
		}
		if _, err := os.ReadFile(of.file); err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: %w", ErrConfig, of.setting, err))
		}
	}
	if c.Database != "" && c.Ephemeral {
		faults = append(faults, fmt.Errorf("%w: database and ephemeral name two places: leave one out", ErrConfig))
	}
	return errors.Join(faults...)
}

// keeps reports whether anything that runs here has data of its own. The bff has none.
func (c Config) keeps() bool {
	return slices.ContainsFunc(c.Services, func(s string) bool { return s != BFF })
}

// runs reports whether the service runs here.
func (c Config) runs(service string) bool { return slices.Contains(c.Services, service) }

// whole reports whether all services run here, on one port.
func (c Config) whole() bool { return len(c.Services) == len(Services()) }

// Version is the reference server's version.
const Version = "0.1.0"
