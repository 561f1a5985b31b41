package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/alpespartners/alpespartners/server/app"
	"github.com/alpespartners/alpespartners/server/demo"
)

// commands are the subcommands.
type commands struct {
	Config kong.ConfigFlag `help:"Read settings from this JSON file, an object with the flags' names as keys. A flag prevails over the environment, that over the file. Default: alpes-partners.json if it is there." placeholder:"FILE" env:"ALPES_CONFIG"`

	Serve  serveCommand  `cmd:"" default:"withargs" help:"Serve the system, or a part of it."`
	Demo   demoCommand   `cmd:"" help:"Play the three scenarios and tell their sagas' stories; exit 0 only if each ends as it should."`
	Schema schemaCommand `cmd:"" help:"Print the SQL that makes the tables, for who makes them with a tool of his own; a start then has nothing left to make."`
}

// serveCommand serves until it is told to stop.
type serveCommand struct {
	Listen         string   `help:"Address of the HTTP server. With a part of the services, its host." default:"127.0.0.1:8000" env:"ALPES_LISTEN"`
	Data           string   `help:"SQLite file that keeps everything." default:"alpes-partners.db" env:"ALPES_DATA"`
	Ephemeral      bool     `help:"Keep everything in memory instead." env:"ALPES_EPHEMERAL"`
	Database       string   `help:"Keep everything in this database instead: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or mysql://USER:PASSWORD@HOST/DATABASE. The names that SQLAlchemy has for them are understood." placeholder:"URL" env:"ALPES_DATABASE,DATABASE_URL"`
	AllowUnsafe    bool     `help:"Take a database although one of its settings says that it may lose what was committed." env:"ALPES_ALLOW_UNSAFE"`
	Services       []string `help:"Services to run, each on its original port (bff 8000, campaign 8001, partner 8002, tracking 8003). The coordinator runs with campaign. Default: all, on one port." placeholder:"NAME" env:"ALPES_SERVICES"`
	Coordination   string   `help:"Who sends the commands of new sagas: orchestrated, the coordinator; or choreographed, each service on the events of the others. Sagas under way go on as they began." enum:"orchestrated,choreographed" default:"orchestrated" env:"ALPES_COORDINATION"`
	PartnerBlocked []string `help:"Names that the partner service refuses." placeholder:"NAME" env:"ALPES_PARTNER_BLOCKED"`
	TrackingLimit  int      `help:"Most tracking events of one campaign; 0 admits none, a negative number any." default:"1000" env:"ALPES_TRACKING_LIMIT"`
	CampaignHost   string   `help:"Where the campaign service is, for a bff without it." default:"127.0.0.1:8001" env:"CAMPAIGN_HOST"`
	PartnerHost    string   `help:"Where the partner service is, for a bff without it." default:"127.0.0.1:8002" env:"PARTNER_HOST"`
	TrackingHost   string   `help:"Where the tracking service is, for a bff without it." default:"127.0.0.1:8003" env:"TRAKING_HOST"`
	BrokerToken    string   `help:"File with the token for Pulsar; it is read anew for each connection." name:"broker-token-file" placeholder:"FILE" env:"ALPES_BROKER_TOKEN_FILE"`
	BrokerCA       string   `help:"PEM file of the certificate authorities to trust, for a Pulsar at pulsar+ssl://HOST:6651. Default: the system's." name:"broker-ca-file" placeholder:"FILE" env:"ALPES_BROKER_CA_FILE"`
	Token          string   `help:"Clients have to send this as a bearer token, and the services to each other. Default: none, everyone may do everything." env:"ALPES_TOKEN"`
	LogLevel       string   `help:"Lowest level of the log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info" env:"ALPES_LOG_LEVEL"`
	LogJSON        bool     `help:"Log as JSON." name:"log-json" env:"ALPES_LOG_JSON"`

	brokerFlags `embed:""`
	keepFlags   `embed:""`
}

// keepFlags say for how long what is done with is kept.
type keepFlags struct {
	KeepSagas time.Duration `help:"How long sagas are kept after their end, 168h or more; a negative time is for ever. Parked ones stay in any case." default:"720h" env:"ALPES_KEEP_SAGAS"`
	KeepInbox time.Duration `help:"How long services remember what they have handled, 168h or more; a negative time is for ever. It should be longer than the longest saga lasts." default:"2160h" env:"ALPES_KEEP_INBOX"`
}

// brokerFlags say where messages travel.
type brokerFlags struct {
	Broker      string `help:"Where messages travel: memory, in this process; or the address of a Pulsar, pulsar://HOST:6650. Default: memory, or what --broker-host says." placeholder:"URL" env:"ALPES_BROKER"`
	BrokerHost  string `help:"Host of a Pulsar on its usual ports, 6650 and 8080; what the original's services are told." placeholder:"HOST" env:"BROKER_HOST"`
	BrokerAdmin string `help:"Address of Pulsar's REST interface, from which the schemas of other services are read. Default: port 8080 of the broker's host." placeholder:"URL" env:"ALPES_BROKER_ADMIN"`
	Namespace   string `help:"Where Pulsar has the topics. Default: public/default." placeholder:"TENANT/NAME" env:"ALPES_NAMESPACE"`
}

// address returns the broker's, given what was on the command line: a flag prevails over the variable of the other.
func (f *brokerFlags) address(given func(flag string) bool) (string, error) {
	hostOnly := f.Broker == "" || given("broker-host") && !given("broker")
	switch {
	case f.BrokerHost == "" || !hostOnly:
		return f.Broker, nil
	case strings.ContainsAny(f.BrokerHost, "/: "):
		return "", fmt.Errorf("broker-host: %q is more than a host, whose ports are 6650 and 8080: use broker for an address, such as pulsar://localhost:6650", f.BrokerHost)
	default:
		return "pulsar://" + f.BrokerHost + ":6650", nil
	}
}

// AfterApply settles which of the settings that exclude each other counts: those of the command line prevail.
func (c *serveCommand) AfterApply(ctx *kong.Context) (err error) {
	given := onCommandLine(ctx)
	if c.Broker, err = c.address(given); err != nil {
		return err
	}
	if given("database") {
		if !given("ephemeral") {
			c.Ephemeral = false
		}
	} else if given("data") || given("ephemeral") {
		c.Database = ""
	}
	return nil
}

// onCommandLine tells the flags that are there from those with a value of the environment or a file.
func onCommandLine(ctx *kong.Context) func(flag string) bool {
	names := map[string]bool{}
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			names[p.Flag.Name] = true
		}
	}
	return func(flag string) bool { return names[flag] }
}

// Run serves.
func (c *serveCommand) Run(ctx context.Context) error {
	logger, err := c.logger()
	if err != nil {
		return err
	}
	system, err := app.New(ctx, app.Config{
		Listen: c.Listen, Data: c.Data, Ephemeral: c.Ephemeral, Database: c.Database, AllowUnsafe: c.AllowUnsafe,
		Broker: c.Broker, BrokerAdmin: c.BrokerAdmin, Namespace: c.Namespace, BrokerTokenFile: c.BrokerToken, BrokerCAFile: c.BrokerCA,
		Services: c.Services, KeepSagas: c.KeepSagas, KeepInbox: c.KeepInbox,
		Coordination: app.Coordination(c.Coordination), PartnerBlocked: c.PartnerBlocked, TrackingLimit: c.TrackingLimit, Token: c.Token,
		Hosts:  map[string]string{app.Campaign: c.CampaignHost, app.Partner: c.PartnerHost, app.Tracking: c.TrackingHost},
		Logger: logger,
	})
	if err != nil {
		return err
	}
	fmt.Print(welcome(system, c.Token != ""))
	return system.Run(ctx)
}

func (c *serveCommand) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("log-level: %w", err)
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogJSON {
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
}

// welcome says where things are and what to try.
func welcome(system *app.App, token bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Alpes Partners is starting. Data: %s\n", system.Location())
	if !system.InMemory() {
		fmt.Fprintf(&b, "Broker: %s\n", system.BrokerLocation())
	}
	b.WriteString("\n")
	for _, s := range app.Services() {
		if url := system.URL(s); url != "" {
			fmt.Fprintf(&b, "  %-9s %s\n", s, url)
		}
	}
	base := system.URL(app.BFF)
	if base == "" || !system.Whole() {
		if system.InMemory() {
			b.WriteString("\nThe broker is in this process: what is sent to a service that does not run here waits until it does.\n")
		}
		b.WriteString("\n")
		return b.String()
	}
	header := ""
	if token {
		header = " -H 'Authorization: Bearer YOUR-TOKEN'"
	}
	fmt.Fprintf(&b, `
Register a campaign:

  curl -i %s/registrar-campaign%s -H 'Content-Type: application/json' -d '{"nombre":"Spring","presupuesto":10000,"divisa":"USD","marca_id":"brand-7","participantes":[{"id":"p-1","tipo":"afiliado","nombre":"Alice Doe","informacion_perfil":"Fashion"},{"id":"p-2","tipo":"influencer","nombre":"Bob","informacion_perfil":"Travel"},{"id":"p-3","tipo":"influencer","nombre":"Mallory","informacion_perfil":"Coupons"}]}'

Then look at:

  %[1]s/v1/sagas      the sagas and their stories
  %[1]s/v1/campaigns  the campaigns; also /v1/partners and /v1/events
  %[1]s/openapi.json  the whole API

Stop with Ctrl-C; nothing in flight is lost.

`, base, header)
	return b.String()
}

// demoCommand plays the scenarios.
type demoCommand struct {
	Coordination string `help:"Who sends the commands: orchestrated, the coordinator; or choreographed, each service on the events of the others, and the story is what the watcher sees." enum:"orchestrated,choreographed" default:"orchestrated" env:"ALPES_COORDINATION"`

	brokerFlags `embed:""`
}

// AfterApply settles where messages travel.
func (c *demoCommand) AfterApply(ctx *kong.Context) (err error) {
	c.Broker, err = c.address(onCommandLine(ctx))
	return err
}

// Run plays them. Without a namespace of its own on a Pulsar, the demo makes one: a server in the usual one would take part.
func (c *demoCommand) Run(ctx context.Context) error {
	return demo.Run(ctx, os.Stdout, demo.Config{
		Coordination: app.Coordination(c.Coordination), Broker: c.Broker, BrokerAdmin: c.BrokerAdmin, Namespace: c.Namespace,
	})
}

// schemaCommand prints the tables.
type schemaCommand struct {
	Dialect string `arg:"" enum:"sqlite,postgres,mysql" help:"For which database: sqlite, postgres or mysql."`
}

// Run prints them.
func (c *schemaCommand) Run() error {
	text, err := app.Schema(c.Dialect)
	if err == nil {
		fmt.Print(text)
	}
	return err
}
