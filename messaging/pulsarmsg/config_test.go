package pulsarmsg

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"

	"github.com/alpespartners/alpespartners/messaging"
)

func TestConfigurationsAreChecked(t *testing.T) {
	t.Parallel()
	token := func() (string, error) { return "t", nil }
	for want, c := range map[string]Config{
		"URL is required":                     {},
		"URL is no address of a broker":       {URL: "http://localhost:8080"},
		"AdminURL is no address":              {URL: "pulsar://h", AdminURL: "localhost:8080"},
		"Namespace is not of the form":        {URL: "pulsar://h", Namespace: "public"},
		"Concurrency is negative":             {URL: "pulsar://h", Concurrency: -1},
		"SendTimeout is negative":             {URL: "pulsar://h", SendTimeout: -1},
		"Backoff needs":                       {URL: "pulsar://h", Backoff: messaging.Backoff{Base: 2, Max: 1}},
		"more than one of Token":              {URL: "pulsar://h", Token: "t", TokenSource: token},
		"OAuth2 needs Issuer and KeyFile":     {URL: "pulsar://h", OAuth2: &OAuth2{}},
		"are given together":                  {URL: "pulsar+ssl://h", TLS: TLS{CertFile: "f"}},
		"does not begin with pulsar+ssl":      {URL: "pulsar://h", TLS: TLS{AnyHost: true}},
		"TLS.TrustFile":                       {URL: "pulsar+ssl://h", TLS: TLS{TrustFile: "/nowhere"}},
		"TLS.TrustFile holds no certificate":  {URL: "pulsar+ssl://h", TLS: TLS{TrustFile: "config_test.go"}},
		"TLS.CertFile and TLS.KeyFile: open":  {URL: "pulsar+ssl://h", TLS: TLS{CertFile: "/nowhere", KeyFile: "/nowhere"}},
		"OAuth2: open /nowhere":               {URL: "pulsar://h", OAuth2: &OAuth2{Issuer: "http://h", KeyFile: "/nowhere"}},
		"OAuth2.KeyFile holds no client_id":   {URL: "pulsar://h", OAuth2: &OAuth2{Issuer: "http://h", KeyFile: "data://{}"}},
		"TokenFile holds no token: open /now": {URL: "pulsar://h", TokenFile: "/nowhere"},
		"TokenFile holds no token: unexpecte": {URL: "pulsar://h", TokenFile: os.DevNull},
		"MaxHeld is negative: leave it zero":  {URL: "pulsar://h", MaxHeld: -1, MaxPending: -1},
		"bad configuration: MaxPending is ne": {URL: "pulsar://h", MaxHeld: -1, MaxPending: -1},
	} {
		c.Logger = slog.New(slog.DiscardHandler)
		b, err := New(c)
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want ErrConfig with %q", c, err, want)
		}
		if b != nil {
			b.Close()
		}
	}
}

// TestAddressesAreChecked: the client takes some of them and tries for ever, and refuses others in its own log.
func TestAddressesAreChecked(t *testing.T) {
	t.Parallel()
	for _, hosts := range []string{"", "/", ":6650", "h:", "h:abc", "h:0", "h:65536", "a:6650,", "a:6650,:6650", "a:6650,b:x", "a:6650;b:6650", "a;b", "fe80::1:6650", "[::1", "h h"} {
		for _, scheme := range []string{"pulsar", "pulsar+ssl"} {
			err := Config{URL: scheme + "://" + hosts}.withDefaults().validate()
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "URL is no address of a broker") || strings.Contains(err.Error(), "AdminURL") {
				t.Errorf("%s://%s: %v", scheme, hosts, err)
			}
		}
		if strings.ContainsAny(hosts, ",;") {
			continue
		}
		if err := (Config{URL: "pulsar://h", AdminURL: "http://" + hosts}).withDefaults().validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "AdminURL is no address") {
			t.Errorf("http://%s: %v", hosts, err)
		}
	}
	for _, hosts := range []string{"h", "h:1", "h:65535/", "a,b:6650", "a:6650,b:6651/", "[::1]", "[::1]:6650"} {
		if err := (Config{URL: "pulsar://" + hosts}).withDefaults().validate(); err != nil {
			t.Errorf("pulsar://%s: %v", hosts, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"pulsar://broker:6650":            "http://broker:8080",
		"pulsar://a:6650,b:6651/":         "http://a:8080,http://b:8080",
		"pulsar+ssl://broker.example":     "https://broker.example:8443",
		"pulsar://[::1]:6650":             "http://[::1]:8080",
		"pulsar+ssl://a:6651,[fe80::1]:1": "https://a:8443,https://[fe80::1]:8443",
	} {
		c := Config{URL: url}.withDefaults()
		if err := c.validate(); err != nil || c.AdminURL != want {
			t.Errorf("%s: AdminURL is %s, want %s; %v", url, c.AdminURL, want, err)
		}
	}
	c := Config{URL: "pulsar://h", Namespace: "alpes/prod"}.withDefaults()
	for name, want := range map[string]string{
		"t": "persistent://alpes/prod/t", "a/b/t": "persistent://a/b/t", "non-persistent://a/b/t": "non-persistent://a/b/t",
	} {
		if got := c.fullTopic(name); got != want {
			t.Errorf("topic %s is %s, want %s", name, got, want)
		}
	}
}

// TestTheClientsOptions: without them it waits for the kernel's two minutes, takes 30 s to find a dead connection, and bounds memory for all topics at once.
func TestTheClientsOptions(t *testing.T) {
	t.Parallel()
	c := Config{URL: "pulsar://h", ConnectionTimeout: 1, OperationTimeout: 2, KeepAlive: 3, Token: "x"}.withDefaults()
	o, err := clientOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	if o.URL != c.URL || o.ConnectionTimeout != 1 || o.OperationTimeout != 2 || o.KeepAliveInterval != 3 || o.MemoryLimitBytes != -1 ||
		o.MetricsRegisterer != c.Metrics || o.Authentication == nil || o.TLSConfig == nil || o.Logger == nil {
		t.Errorf("got %+v", o)
	}
	if h, err := c.httpClient(); err != nil || h.Timeout != 2 {
		t.Errorf("the REST interface may take %v, want OperationTimeout; %v", h.Timeout, err)
	}
}

// TestTheClientsLog: its debug lines hold whole messages, and its information is that of a debugger.
func TestTheClientsLog(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
	logger := pulsarlog.NewLoggerWithSlog(slog.New(newQuieter(handler))).SubLogger(pulsarlog.Fields{"topic": "t"})
	logger.Debug("a payload")
	logger.Info("connected")
	logger.WithField("size", 1).Error("failed")
	got := out.String()
	if strings.Contains(got, "payload") || !strings.Contains(got, "level=DEBUG msg=connected topic=t") || !strings.Contains(got, "level=WARN msg=failed topic=t size=1") {
		t.Errorf("the log is\n%s", got)
	}
	out.Reset()
	logger = pulsarlog.NewLoggerWithSlog(slog.New(newQuieter(slog.NewTextHandler(&out, nil))).WithGroup("g"))
	logger.Info("connected")
	if out.Len() > 0 {
		t.Errorf("the log is %s", &out)
	}
}

// TestTheClientsWarningsAreRare: the client has one for each topic and attempt, several a second while there is no broker.
func TestTheClientsWarningsAreRare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		logger := pulsarlog.NewLoggerWithSlog(slog.New(newQuieter(slog.NewTextHandler(&out, nil))))
		for i := range 25 { // one a second, of two topics in turns
			logger.SubLogger(pulsarlog.Fields{"topic": i % 2}).Warn("no connection")
			<-time.After(time.Second)
		}
		for i := range 2 * maxLines {
			logger.Warn("line ", i)
		}
		got := out.String()
		for want, n := range map[string]int{`msg="no connection"`: 3, "omitted=9": 2, `msg="line `: 2 * maxLines} {
			if strings.Count(got, want) != n {
				t.Errorf("%s is there %d times, want %d:\n%s", want, strings.Count(got, want), n, got)
			}
		}
	})
}

// handshake is a broker that reads the first frame of one connection and hangs up.
func handshake(t *testing.T, listener net.Listener) <-chan string {
	t.Helper()
	frames := make(chan string, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			var size [4]byte
			if _, err := io.ReadFull(c, size[:]); err == nil {
				frame := make([]byte, binary.BigEndian.Uint32(size[:]))
				if _, err := io.ReadFull(c, frame); err == nil {
					frames <- string(frame)
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return frames
}

// connect has a driver connect to the broker and returns the first frame that comes there, "" if none comes.
func connect(t *testing.T, frames <-chan string, c Config) string {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	c.OperationTimeout, c.SendTimeout = 300*time.Millisecond, 300*time.Millisecond
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	outcome := make(chan error, 1)
	b.Publish(t.Context(), messaging.Message{Topic: "t"}, func(err error) { outcome <- err })
	select {
	case frame := <-frames:
		return frame
	case <-outcome:
		return ""
	case <-time.After(30 * time.Second):
		t.Fatal("neither a connection nor an outcome")
		return ""
	}
}

func plainListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTokens(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"token": {Token: "secret-token"}, "file": {TokenFile: file},
		"source": {TokenSource: func() (string, error) { return "secret-token", nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := plainListener(t)
			c.URL = "pulsar://" + l.Addr().String()
			frame := connect(t, handshake(t, l), c)
			if !strings.Contains(frame, "secret-token") || !strings.Contains(frame, "token") {
				t.Errorf("the broker got %q, without the token", frame)
			}
			wantBearer(t, c, "secret-token")
		})
	}
}

// TestTokensAreReadAnew for each connection: they expire.
func TestTokensAreReadAnew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	token := ""
	write := func(text string) {
		t.Helper()
		token = text
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	for name, c := range map[string]Config{"file": {TokenFile: file}, "source": {TokenSource: func() (string, error) { return token, nil }}} {
		provider, err := c.credentials()
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"first", "second"} {
			write(want)
			if got, err := provider.GetData(); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v; want %q", name, got, err, want)
			}
		}
	}
}

// wantBearer wants the REST interface to get the token too.
func wantBearer(t *testing.T, c Config, token string) {
	t.Helper()
	got := make(chan string, 1)
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		fmt.Fprint(w, `{"type":"AVRO","data":"x"}`)
	}))
	defer rest.Close()
	c.AdminURL, c.Schemas = rest.URL, fakeSchemas{}
	w, err := newWriters(c.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetch(t.Context(), "t", "schema"); err != nil {
		t.Fatal(err)
	}
	if header := <-got; header != "Bearer "+token {
		t.Errorf("the REST interface got %q", header)
	}
}

func TestOAuth2(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	issuer := httptest.NewServer(mux)
	defer issuer.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"issuer": issuer.URL, "token_endpoint": issuer.URL + "/token"})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != "alpes" || r.FormValue("client_secret") != "s3cret" || r.FormValue("audience") != "urn:broker" ||
			r.FormValue("scope") != "produce consume" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "granted-token", "token_type": "Bearer", "expires_in": 3600})
	})
	key := filepath.Join(t.TempDir(), "key.json")
	text := fmt.Sprintf(`{"type":"client_credentials","client_id":"alpes","client_secret":"s3cret","issuer_url":%q}`, issuer.URL)
	if err := os.WriteFile(key, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := plainListener(t)
	c := Config{URL: "pulsar://" + l.Addr().String(), OAuth2: &OAuth2{Issuer: issuer.URL, KeyFile: key, Audience: "urn:broker", Scope: "produce consume"}}
	if frame := connect(t, handshake(t, l), c); !strings.Contains(frame, "granted-token") {
		t.Errorf("the broker got %q, without the token", frame)
	}
	wantBearer(t, c, "granted-token")
	http.DefaultClient.CloseIdleConnections()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	trust, pair := certificate(t, "127.0.0.1")
	_, wrongHost := certificate(t, "10.0.0.1")
	otherTrust, _ := certificate(t, "127.0.0.1")
	certFile, client := certificate(t, "127.0.0.1")
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	key, err := x509.MarshalPKCS8PrivateKey(client.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tls    TLS
		server tls.Certificate
		asks   tls.ClientAuthType
		wanted bool
	}{
		"trusted":         {TLS{TrustFile: trust}, pair, 0, true},
		"not trusted":     {TLS{TrustFile: otherTrust}, pair, 0, false},
		"system's trust":  {TLS{}, pair, 0, false},
		"wrong host":      {TLS{TrustFile: trust}, wrongHost, 0, false},
		"any host":        {TLS{TrustFile: trust, AnyHost: true}, pair, 0, true},
		"any host, still": {TLS{TrustFile: otherTrust, AnyHost: true}, pair, 0, false},
		"any certificate": {TLS{AnyCert: true}, wrongHost, 0, true},
		"ours shown":      {TLS{TrustFile: trust, CertFile: certFile, KeyFile: keyFile}, pair, tls.RequireAnyClientCert, true},
		"none of ours":    {TLS{TrustFile: trust}, pair, tls.RequireAnyClientCert, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.server}, ClientAuth: c.asks, MinVersion: tls.VersionTLS12})
			if err != nil {
				t.Fatal(err)
			}
			frame := connect(t, handshake(t, l), Config{URL: "pulsar+ssl://" + l.Addr().String(), TLS: c.tls})
			if got := frame != ""; got != c.wanted {
				t.Errorf("connected: %v, want %v", got, c.wanted)
			}
		})
	}
}

// certificate returns a file with a certificate that is its own authority, for the address, and the pair.
func certificate(t *testing.T, address string) (file string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestCloseWithoutAConnection(t *testing.T) {
	t.Parallel()
	b, err := New(Config{URL: "pulsar://127.0.0.1:1", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Error(err)
	}
	if err := b.Subscribe(context.Background(), messaging.Subscription{Topic: "t", Name: "s"}, nil, nil); !errors.Is(err, messaging.ErrClosed) {
		t.Errorf("Subscribe: %v, want ErrClosed", err)
	}
}
