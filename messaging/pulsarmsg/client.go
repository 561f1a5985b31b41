package pulsarmsg

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/oauth2"
	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/auth"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/prometheus/client_golang/prometheus"
)

// newClient returns the vendor's client for a valid configuration. It connects to nothing yet.
func newClient(c Config) (pulsar.Client, error) {
	options, err := clientOptions(c)
	if err != nil {
		return nil, err
	}
	client, err := pulsar.NewClient(options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return client, nil
}

func clientOptions(c Config) (pulsar.ClientOptions, error) {
	provider, err := c.credentials()
	if err != nil {
		return pulsar.ClientOptions{}, err
	}
	tlsConfig, err := c.TLS.config() // the client's own settings would only be checked with each connection, and in the log
	if err != nil {
		return pulsar.ClientOptions{}, err
	}
	options := pulsar.ClientOptions{
		URL:                c.URL,
		ConnectionTimeout:  c.ConnectionTimeout, // the client's default is the kernel's, two minutes
		OperationTimeout:   c.OperationTimeout,
		KeepAliveInterval:  c.KeepAlive,
		TLSConfig:          tlsConfig,
		MemoryLimitBytes:   -1, // topics have limits of their own, which Publish waits for
		MetricsRegisterer:  c.Metrics,
		MetricsCardinality: pulsar.MetricsCardinalityTopic,
		Logger:             pulsarlog.NewLoggerWithSlog(slog.New(newQuieter(c.Logger.Handler()))),
	}
	if provider != nil {
		options.Authentication = provider
	}
	return options, nil
}

// credentials returns how to authenticate, nil if not. The constructor that the client offers for OAuth2 swallows its error.
func (c Config) credentials() (auth.Provider, error) {
	switch {
	case c.Token != "":
		return auth.NewAuthenticationToken(c.Token), nil
	case c.TokenFile != "":
		if text, err := os.ReadFile(c.TokenFile); err != nil || len(bytes.TrimSpace(text)) == 0 {
			return nil, fmt.Errorf("%w: TokenFile holds no token: %w", ErrConfig, cmp.Or(err, io.ErrUnexpectedEOF))
		}
		return auth.NewAuthenticationTokenFromFile(c.TokenFile), nil
	case c.TokenSource != nil:
		return auth.NewAuthenticationTokenFromSupplier(c.TokenSource), nil
	case c.OAuth2 == nil:
		return nil, nil
	}
	key, err := oauth2.NewClientCredentialsProviderFromKeyFile(c.OAuth2.KeyFile).GetClientCredentials()
	if err != nil { // else found with the first connection
		return nil, fmt.Errorf("%w: OAuth2: %w", ErrConfig, err)
	}
	if key.ClientID == "" || key.ClientSecret == "" {
		return nil, fmt.Errorf("%w: OAuth2.KeyFile holds no client_id or no client_secret", ErrConfig)
	}
	provider, err := auth.NewAuthenticationOAuth2WithParams(map[string]string{
		auth.ConfigParamType:      auth.ConfigParamTypeClientCredentials,
		auth.ConfigParamIssuerURL: c.OAuth2.Issuer,
		auth.ConfigParamAudience:  c.OAuth2.Audience,
		auth.ConfigParamKeyFile:   c.OAuth2.KeyFile,
		auth.ConfigParamScope:     c.OAuth2.Scope,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: OAuth2: %w", ErrConfig, err)
	}
	return provider, nil
}

// config returns the TLS settings for the REST interface, checked.
func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.AnyHost || t.AnyCert} //nolint:gosec // asked for, see below
	if t.TrustFile != "" {
		pem, err := os.ReadFile(t.TrustFile)
		if err != nil {
			return nil, fmt.Errorf("%w: TLS.TrustFile: %w", ErrConfig, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: TLS.TrustFile holds no certificate: it has to be PEM", ErrConfig)
		}
	}
	if t.AnyHost && !t.AnyCert { // the chain is still verified
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("no certificate")
			}
			options := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
			for _, c := range state.PeerCertificates[1:] {
				options.Intermediates.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(options)
			return err
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: TLS.CertFile and TLS.KeyFile: %w", ErrConfig, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// httpClient returns the client for the REST interface, with the same credentials.
func (c Config) httpClient() (*http.Client, error) {
	config, err := c.TLS.config()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: c.KeepAlive}
	client := &http.Client{Transport: transport, Timeout: c.OperationTimeout}
	// An own provider: the client's is not made for two transports.
	provider, err := c.credentials()
	if err != nil || provider == nil {
		return client, err
	}
	if err := provider.Init(); err != nil {
		return nil, fmt.Errorf("%w: credentials: %w", ErrConfig, err)
	}
	if err := provider.WithTransport(transport); err != nil {
		return nil, fmt.Errorf("%w: credentials: %w", ErrConfig, err)
	}
	client.Transport = provider
	return client, nil
}

const (
	// repeatAfter is how long a line of the client's is not repeated.
	repeatAfter = 10 * time.Second
	// maxLines bounds the lines that are remembered for that; beyond it some come early.
	maxLines = 100
)

// quieter is what the vendor's client logs through. Its debug lines hold payloads, and its information is that of a debugger. What it warns of
// comes again for each topic and attempt; once in a while is enough, as this package tells its own losses.
type quieter struct {
	slog.Handler
	said *said
}

// said is when each line was written last, and how many were not since.
type said struct {
	mu    sync.Mutex
	lines map[string]line
}

type line struct {
	last    time.Time
	omitted int
}

func newQuieter(h slog.Handler) quieter {
	return quieter{h, &said{lines: make(map[string]line)}}
}

// say reports whether the line is to be written, and how many of the kind were not since the last.
func (s *said) say(text string, now time.Time) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.lines[text]
	if known && now.Sub(l.last) < repeatAfter {
		l.omitted++
		s.lines[text] = l
		return 0, false
	}
	if len(s.lines) >= maxLines {
		clear(s.lines)
	}
	s.lines[text] = line{last: now}
	return l.omitted, true
}

func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	switch {
	case level < slog.LevelInfo:
		return false
	case level < slog.LevelWarn:
		return q.Handler.Enabled(ctx, slog.LevelDebug)
	default:
		return q.Handler.Enabled(ctx, slog.LevelWarn)
	}
}

func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		r.Level = slog.LevelDebug
		return q.Handler.Handle(ctx, r)
	}
	r.Level = slog.LevelWarn // what is an error to the client is tried again here
	omitted, ok := q.said.say(r.Message, time.Now())
	if !ok {
		return nil
	}
	if omitted > 0 {
		r.AddAttrs(slog.Int("omitted", omitted))
	}
	return q.Handler.Handle(ctx, r)
}

func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs), q.said}
}

func (q quieter) WithGroup(name string) slog.Handler {
	return quieter{q.Handler.WithGroup(name), q.said}
}

// metrics are this package's own; the client has others under pulsar_client_.
type metrics struct {
	losses  *prometheus.CounterVec // topic, subscription
	held    *prometheus.GaugeVec   // topic, subscription
	retired *prometheus.CounterVec // topic
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pulsarmsg_subscription_losses_total", Help: "Consumers that were lost and subscribed again.",
		}, []string{"topic", "subscription"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pulsarmsg_held_messages", Help: "Messages that wait in this process to be delivered, or delivered again.",
		}, []string{"topic", "subscription"}),
		retired: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pulsarmsg_producers_retired_total", Help: "Producers that were given up and opened again.",
		}, []string{"topic"}),
	}
	return m, errors.Join(register(r, &m.losses), register(r, &m.held), register(r, &m.retired))
}

// register registers the collector, or takes the one that another broker of the process has registered.
func register[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if !errors.As(err, &already) {
		return err
	}
	other, ok := already.ExistingCollector.(C)
	if !ok {
		return err
	}
	*c = other
	return nil
}
