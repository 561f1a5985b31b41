package pulsarmsg_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// secure is a broker with TLS that knows who may do what.
type secure struct {
	server
	tlsURL    string
	trustFile string
	secret    []byte
}

// newSecure starts a broker of the test's own. The role "app" may publish and consume in its namespace; who gives no token at all is an administrator, since
// it is the test.
func newSecure(t *testing.T) secure {
	t.Helper()
	certificate, key := localhostCertificate(t)
	secret := []byte("a secret of the test that is long enough")
	b, _ := testenv.OwnPulsarWith(t, testenv.PulsarOptions{
		Settings: strings.Join([]string{
			"brokerServicePortTls=6651",
			"tlsCertificateFilePath=conf/broker.crt",
			"tlsKeyFilePath=conf/broker.key",
			"authenticationEnabled=true",
			"authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken",
			"tokenSecretKey=data:;base64," + base64.StdEncoding.EncodeToString(secret),
			"anonymousUserRole=test",
			"authorizationEnabled=true",
			"superUserRoles=test",
		}, "\n"),
		Files: map[string]string{"broker.crt": certificate, "broker.key": key},
	})
	s := secure{server: server{url: b.URL, admin: b.AdminURL, namespace: b.Namespace}, tlsURL: b.TLSURL, secret: secret}
	s.trustFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(s.trustFile, []byte(certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ask(t, http.MethodPost, "namespaces/"+s.namespace+"/permissions/app", []string{"produce", "consume"}, nil)
	return s
}

// token returns a token for the role, signed with the secret.
func token(role string, secret []byte) string {
	part := base64.RawURLEncoding.EncodeToString
	text := part([]byte(`{"alg":"HS256"}`)) + "." + part(fmt.Appendf(nil, `{"sub":%q}`, role))
	signature := hmac.New(sha256.New, secret)
	signature.Write([]byte(text))
	return text + "." + part(signature.Sum(nil))
}

// localhostCertificate returns a certificate that is its own authority, and its key, in PEM.
func localhostCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// issuer is an authorization server that gives out the token.
func issuer(t *testing.T, token string) *pulsarmsg.OAuth2 {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q}`, s.URL, s.URL+"/token")
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token)
	})
	key := `data:application/json;base64,` + base64.StdEncoding.EncodeToString([]byte(`{"type":"client_credentials","client_id":"app","client_secret":"s","issuer_url":"`+s.URL+`"}`))
	return &pulsarmsg.OAuth2{Issuer: s.URL, KeyFile: key, Audience: "pulsar"}
}

// TestIntegrationCredentials: TLS and every way to say who we are, on a broker that looks at them.
func TestIntegrationCredentials(t *testing.T) {
	t.Parallel()
	s := newSecure(t)
	app := token("app", s.secret)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	config := func(t *testing.T, change func(*pulsarmsg.Config)) pulsarmsg.Config {
		c := s.hardy(t)
		c.URL, c.TLS.TrustFile, c.SendTimeout = s.tlsURL, s.trustFile, 3*time.Second
		change(&c)
		return c
	}
	for name, change := range map[string]func(*pulsarmsg.Config){
		"token":        func(c *pulsarmsg.Config) { c.Token = app },
		"token file":   func(c *pulsarmsg.Config) { c.TokenFile = file },
		"token source": func(c *pulsarmsg.Config) { c.TokenSource = func() (string, error) { return app, nil } },
		"OAuth2":       func(c *pulsarmsg.Config) { c.OAuth2 = issuer(t, app) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic, in := topicName(t), newInbox()
			b := open(t, config(t, change))
			consume(t, b, subscription(strings.ReplaceAll(topic, " ", "-"), messaging.KeyShared), in.receive)
			publishAll(t, b, messaging.Message{ID: "1", Topic: strings.ReplaceAll(topic, " ", "-"), Key: "k"})
			in.next(t)
		})
	}
	for name, c := range map[string]struct {
		change func(*pulsarmsg.Config)
		final  bool // Subscribe returns
	}{
		"a token of somebody else's":   {func(c *pulsarmsg.Config) { c.Token = token("app", []byte("a secret of nobody that is long enough")) }, false},
		"a role without rights":        {func(c *pulsarmsg.Config) { c.Token = token("stranger", s.secret) }, true},
		"a certificate of nobody's":    {func(c *pulsarmsg.Config) { c.Token, c.TLS.TrustFile = app, "" }, false},
		"OAuth2 of a role without any": {func(c *pulsarmsg.Config) { c.OAuth2 = issuer(t, token("stranger", s.secret)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := strings.ReplaceAll(topicName(t), " ", "-")
			b := open(t, config(t, c.change))
			begin := time.Now()
			if err := messaging.Publish(t.Context(), b, messaging.Message{ID: "1", Topic: topic}); err == nil || time.Since(begin) > time.Minute {
				t.Errorf("publishing gives %v after %v, want an error in bounded time", err, time.Since(begin))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := b.Subscribe(ctx, subscription(topic, messaging.Shared), func() { t.Error("subscribed") }, newInbox().receive)
			if c.final && (err == nil || !strings.Contains(err.Error(), "AuthorizationError")) || !c.final && err != nil {
				t.Errorf("subscribing gives %v", err)
			}
		})
	}
}
