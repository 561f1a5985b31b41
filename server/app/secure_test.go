package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/server/app"
)

// That the driver uses them is for its own tests.
func TestTokenAndTrustReachTheDriver(t *testing.T) {
	t.Parallel()
	got := app.Pulsar(app.Config{Broker: "pulsar+ssl://h:6651", BrokerTokenFile: "token", BrokerCAFile: "ca.pem"})
	if got.URL != "pulsar+ssl://h:6651" || got.TokenFile != "token" || got.TLS.TrustFile != "ca.pem" {
		t.Errorf("the driver is told %+v", got)
	}
}

func TestBrokersSecretsAreCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(there, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		config app.Config
		want   string
	}{
		"token in memory":   {app.Config{BrokerTokenFile: there}, "broker-token-file"},
		"trust in memory":   {app.Config{BrokerCAFile: there}, "broker-ca-file"},
		"trust without TLS": {app.Config{Broker: "pulsar://h:6650", BrokerCAFile: there}, "use pulsar+ssl://HOST:6651"},
		"no token there":    {app.Config{Broker: "pulsar://h:6650", BrokerTokenFile: there + "x"}, "broker-token-file: open"},
		"no trust there":    {app.Config{Broker: "pulsar+ssl://h:6651", BrokerCAFile: there + "x"}, "broker-ca-file: open"},
		"no PEM":            {app.Config{Broker: "pulsar+ssl://h:6651", BrokerCAFile: there}, "broker-ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.config.Ephemeral, test.config.Listen = true, "127.0.0.1:0"
			_, err := app.New(t.Context(), test.config)
			if !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New returned %v, want %q", err, test.want)
			}
		})
	}
}
