package pulsarmsg

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/messaging"
)

// maxTopicPending bounds what waits for its outcome on one topic, in bytes.
const maxTopicPending = 64 << 20

// Config says which broker to talk to and how. Only URL is required.
type Config struct {
	// URL is the broker's service address, "pulsar://host:6650" or "pulsar+ssl://host:6651"; several hosts are separated by commas. Required.
	URL string
	// AdminURL is the address of the broker's REST interface, from which the schemas of other writers are read. Zero means the hosts of
	// URL with port 8080, or 8443 with TLS.
	AdminURL string
	// Namespace is where topics are whose name says nothing else, "tenant/namespace". Zero means "public/default".
	Namespace string
	// Schemas knows the Avro schemas of the topics. Nil means that messages are published and received without any.
	Schemas Schemas

	// Concurrency is how many calls of one consumer's receiver may run at once, on Shared and KeyShared subscriptions. Zero means 8.
	Concurrency int
	// Prefetch bounds the messages that the broker sends ahead to one consumer, for each partition. Zero means 1000.
	Prefetch int
	// MaxHeld bounds the messages that one consumer holds back, because they or earlier ones of their key wait to be delivered again.
	// Beyond it the consumer takes nothing more. Zero means 10,000.
	MaxHeld int
	// MaxPending bounds the messages of one topic that wait for their outcome; beyond it, and beyond 64 MiB, Publish waits. Zero means 4096.
	MaxPending int
	// MaxMessageSize is the broker's limit for one message, in bytes. Zero means 5 MiB, as the broker's own default.
	MaxMessageSize int
	// MixKeys says of which topics a batch may hold messages of different keys. That is faster where keys are many, and breaks the order for KeyShared
	// subscriptions, which the broker serves by the batch. Nil means none. It must be safe for concurrent use.
	MixKeys func(topic string) bool
	// FromEarliest has a new subscription begin with the oldest message that the topic still has. Zero: with the next one.
	FromEarliest bool

	// ConnectionTimeout bounds connecting. Zero means 5 s.
	ConnectionTimeout time.Duration
	// OperationTimeout bounds requests to the broker: opening a producer, subscribing, reading a schema. Zero means 15 s.
	OperationTimeout time.Duration
	// SendTimeout is after what time without an outcome a publish has failed. Zero means 30 s.
	SendTimeout time.Duration
	// KeepAlive is the interval of pings; a connection that is silent for two of them is dead. Zero means 15 s.
	KeepAlive time.Duration
	// CloseTimeout bounds Close, and the end of one subscription. Zero means 10 s.
	CloseTimeout time.Duration
	// Discovery is the interval at which new partitions are looked for. A subscription whose topic has got some begins again with all of them. Zero means 1 minute.
	Discovery time.Duration
	// Backoff spaces the attempts to subscribe again and to read a schema. Zero means 100 ms to 30 s.
	Backoff messaging.Backoff

	// TLS is for brokers whose URL begins with "pulsar+ssl". Zero means the system's certificate authorities.
	TLS TLS
	// Token authenticates. Zero means none. At most one of Token, TokenFile, TokenSource and OAuth2 is set.
	Token string
	// TokenFile names a file with a token, which is read anew for each connection. Zero means none.
	TokenFile string
	// TokenSource returns a token and is called for each connection. It must be safe for concurrent use. Nil means none.
	TokenSource func() (string, error)
	// OAuth2 authenticates with client credentials. Nil means not.
	OAuth2 *OAuth2

	// Metrics takes the metrics of the client and of this package. Nil means that nobody sees them; nothing is registered globally.
	Metrics prometheus.Registerer
	// Logger gets lost connections and what the client warns of; never payloads. Nil means [slog.Default].
	Logger *slog.Logger
}

// TLS says whom to trust, and who we are.
type TLS struct {
	// TrustFile names a PEM file of certificate authorities. Zero means the system's.
	TrustFile string
	// CertFile and KeyFile name the PEM files of a client certificate. Zero means none; they are given together.
	CertFile, KeyFile string
	// AnyHost accepts certificates that are not the host's, AnyCert all certificates. They are for tests.
	AnyHost, AnyCert bool
}

// OAuth2 is a client-credentials flow.
type OAuth2 struct {
	// Issuer is the URL of the authorization server. Required.
	Issuer string
	// KeyFile names the JSON file with the credentials, or is a "data:" URL that holds it: an object with client_id and client_secret. Required.
	KeyFile string
	// Audience is the broker's name at the authorization server. Zero means none.
	Audience string
	// Scope holds additional scopes, separated by spaces. Zero means none.
	Scope string
}

func (c Config) withDefaults() Config {
	setInt := func(v *int, standard int) {
		if *v == 0 {
			*v = standard
		}
	}
	setDuration := func(v *time.Duration, standard time.Duration) {
		if *v == 0 {
			*v = standard
		}
	}
	setInt(&c.Concurrency, 8)
	setInt(&c.Prefetch, 1000)
	setInt(&c.MaxHeld, 10_000)
	setInt(&c.MaxPending, 4096)
	setInt(&c.MaxMessageSize, 5<<20)
	setDuration(&c.ConnectionTimeout, 5*time.Second)
	setDuration(&c.OperationTimeout, 15*time.Second)
	setDuration(&c.SendTimeout, 30*time.Second)
	setDuration(&c.KeepAlive, 15*time.Second)
	setDuration(&c.CloseTimeout, 10*time.Second)
	setDuration(&c.Discovery, time.Minute)
	if c.Namespace == "" {
		c.Namespace = "public/default"
	}
	if c.MixKeys == nil {
		c.MixKeys = func(string) bool { return false }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.AdminURL == "" && isServiceURL(c.URL) {
		c.AdminURL = adminURL(c.URL)
	}
	return c
}

// validate returns all faults of a configuration that has its defaults.
func (c Config) validate() error {
	var faults []error
	fault := func(wrong bool, what string) {
		if wrong {
			faults = append(faults, fmt.Errorf("%w: %s", ErrConfig, what))
		}
	}
	fault(c.URL == "", "URL is required: give the broker's address, such as pulsar://localhost:6650")
	fault(c.URL != "" && !isServiceURL(c.URL), "URL is no address of a broker: it begins with pulsar:// or pulsar+ssl:// and names a host, or several with commas between them, each with its port: pulsar://localhost:6650")
	fault(c.AdminURL != "" && !isAdminURL(c.AdminURL), "AdminURL is no address of a REST interface: it begins with http:// or https:// and names a host and its port: http://localhost:8080")
	fault(strings.Count(c.Namespace, "/") != 1 || strings.Contains(c.Namespace, "://"), "Namespace is not of the form tenant/namespace")
	negative := func(name string, v int64) {
		fault(v < 0, name+" is negative: leave it zero for the default")
	}
	negative("Concurrency", int64(c.Concurrency))
	negative("Prefetch", int64(c.Prefetch))
	negative("MaxHeld", int64(c.MaxHeld))
	negative("MaxPending", int64(c.MaxPending))
	negative("MaxMessageSize", int64(c.MaxMessageSize))
	negative("ConnectionTimeout", int64(c.ConnectionTimeout))
	negative("OperationTimeout", int64(c.OperationTimeout))
	negative("SendTimeout", int64(c.SendTimeout))
	negative("KeepAlive", int64(c.KeepAlive))
	negative("CloseTimeout", int64(c.CloseTimeout))
	negative("Discovery", int64(c.Discovery))
	fault(c.Backoff.Base < 0 || c.Backoff.Max < 0 || c.Backoff.Max != 0 && c.Backoff.Max < c.Backoff.Base, "Backoff needs 0 <= Base <= Max")
	credentials := 0
	for _, given := range []bool{c.Token != "", c.TokenFile != "", c.TokenSource != nil, c.OAuth2 != nil} {
		if given {
			credentials++
		}
	}
	fault(credentials > 1, "more than one of Token, TokenFile, TokenSource and OAuth2 is set")
	fault(c.OAuth2 != nil && (c.OAuth2.Issuer == "" || c.OAuth2.KeyFile == ""), "OAuth2 needs Issuer and KeyFile")
	fault((c.TLS.CertFile == "") != (c.TLS.KeyFile == ""), "TLS.CertFile and TLS.KeyFile are given together")
	fault(c.TLS != TLS{} && c.URL != "" && !strings.HasPrefix(c.URL, "pulsar+ssl://"), "TLS is set, but URL does not begin with pulsar+ssl://")
	return errors.Join(faults...)
}

func isServiceURL(text string) bool {
	scheme, rest, _ := strings.Cut(text, "://")
	if scheme != "pulsar" && scheme != "pulsar+ssl" {
		return false
	}
	hosts, _, _ := strings.Cut(rest, "/")
	for one := range strings.SplitSeq(hosts, ",") {
		if u, err := url.Parse("pulsar://" + one); err != nil || !namesHost(u) {
			return false
		}
	}
	return true
}

// namesHost says whether a URL has a host and, if it has a port, one that there can be.
func namesHost(u *url.URL) bool {
	if u.Hostname() == "" || !strings.HasPrefix(u.Host, "[") && strings.ContainsAny(u.Hostname(), ":;") {
		return false
	}
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func isAdminURL(text string) bool {
	for one := range strings.SplitSeq(text, ",") {
		u, err := url.Parse(one)
		if err != nil || !namesHost(u) || u.Scheme != "http" && u.Scheme != "https" {
			return false
		}
	}
	return true
}

// adminURL returns the REST interfaces of the hosts of a service URL, separated by commas.
func adminURL(serviceURL string) string {
	scheme, hosts, found := strings.Cut(serviceURL, "://")
	if !found {
		return ""
	}
	prefix, port := "http://", "8080"
	if scheme == "pulsar+ssl" {
		prefix, port = "https://", "8443"
	}
	var all []string
	hosts, _, _ = strings.Cut(hosts, "/")
	for host := range strings.SplitSeq(hosts, ",") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if host = strings.Trim(host, "[]"); host != "" {
			all = append(all, prefix+net.JoinHostPort(host, port))
		}
	}
	return strings.Join(all, ",")
}

// fullTopic returns the topic's whole name, "persistent://tenant/namespace/name".
func (c Config) fullTopic(name string) string {
	switch {
	case strings.Contains(name, "://"):
		return name
	case strings.Count(name, "/") == 2:
		return "persistent://" + name
	default:
		return "persistent://" + c.Namespace + "/" + name
	}
}
