package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go/wait"
)

// Broker is a Pulsar, and a namespace in it that belongs to one test.
type Broker struct {
	// URL is where clients connect: "pulsar://127.0.0.1:6650".
	URL string
	// TLSURL is where clients connect with TLS: "pulsar+ssl://127.0.0.1:6651". Only [OwnPulsarWith] gives one.
	TLSURL string
	// AdminURL is the root of the admin API: "http://127.0.0.1:8080".
	AdminURL string
	// Namespace is "public/" and a name. It is empty when the test begins, and deleted with all topics when the test ends.
	Namespace string
}

// Topic returns the full name of a topic in the test's namespace.
func (b Broker) Topic(name string) string {
	return "persistent://" + b.Namespace + "/" + name
}

// Pulsar returns the broker that all tests of a run share.
func Pulsar(tb testing.TB) Broker {
	tb.Helper()
	var b Broker
	if given := os.Getenv("PULSAR_URL"); given != "" {
		b = Broker{URL: given, AdminURL: cmp.Or(os.Getenv("PULSAR_ADMIN_URL"), adminOf(given))}
	} else {
		b = brokerAt(shared(tb, pulsarKind(tb)))
	}
	b = b.withNamespace(tb)
	cleanup(tb, "delete the namespace", func(ctx context.Context) error {
		return b.admin(ctx, http.MethodDelete, "?force=true")
	})
	return b
}

// OwnPulsar returns a broker of this test alone.
func OwnPulsar(tb testing.TB) (Broker, *Server) {
	tb.Helper()
	server, addresses := own(tb, pulsarKind(tb))
	return brokerAt(addresses).withNamespace(tb), server
}

// PulsarOptions are what a test's own broker has besides the usual.
type PulsarOptions struct {
	// Settings are lines of standalone.conf. They come after the usual ones and win.
	Settings string
	// Files are the contents of files in the broker's folder conf/, by their names.
	Files map[string]string
}

// OwnPulsarWith returns a broker of this test alone with settings of its own. It must let the admin API be used without credentials.
func OwnPulsarWith(tb testing.TB, o PulsarOptions) (Broker, *Server) {
	tb.Helper()
	k := pulsarKind(tb)
	k.env[pulsarSettings] += "\n" + o.Settings
	k.ports = append(k.ports, "6651/tcp")
	var script strings.Builder
	for name, content := range o.Files {
		variable := fmt.Sprintf("TESTENV_FILE_%d", len(k.env))
		k.env[variable] = content
		fmt.Fprintf(&script, `printf '%%s' "$%s" >'conf/%s' && `, variable, name)
	}
	last := len(k.command) - 1
	k.command[last] = script.String() + k.command[last]
	server, addresses := own(tb, k)
	b := brokerAt(addresses)
	b.TLSURL = "pulsar+ssl://" + addresses[2]
	return b.withNamespace(tb), server
}

func brokerAt(addresses []string) Broker {
	return Broker{URL: "pulsar://" + addresses[0], AdminURL: "http://" + addresses[1]}
}

// adminOf guesses the admin API's address: the usual port of the same host.
func adminOf(service string) string {
	u, err := url.Parse(service)
	if err != nil {
		return ""
	}
	return "http://" + net.JoinHostPort(u.Hostname(), "8080")
}

// pulsarSettings is the variable that holds the broker's settings.
const pulsarSettings = "TESTENV_STANDALONE_CONF"

// pulsarKind runs the image's own program with the settings of "make pulsar". They go in by the environment:
// a file that is copied into a container can come after another process has started it.
func pulsarKind(tb testing.TB) kind {
	tb.Helper()
	return kind{
		name:      "Pulsar",
		short:     "pulsar",
		otherwise: `run "make pulsar" and set PULSAR_URL`,
		image:     "apachepulsar/pulsar:4.2.4",
		imageVar:  "TESTENV_PULSAR_IMAGE",
		ports:     []string{"6650/tcp", "8080/tcp"},
		env: map[string]string{
			pulsarSettings: standaloneConf(tb),
			"PULSAR_MEM":   "-Xms256m -Xmx512m -XX:MaxDirectMemorySize=512m -XX:TieredStopAtLevel=1", // half the work to start
		},
		command: []string{
			"bash", "-c", `printf '%s\n' "$` + pulsarSettings + `" >conf/standalone.conf && ` +
				"exec bin/pulsar standalone -nfw -nss",
		},
		// The namespace is the last thing that a start makes.
		ready: wait.ForHTTP("/admin/v2/namespaces/public/default").WithPort("8080/tcp").WithStartupTimeout(startTime),
	}
}

// standaloneConf reads the broker's settings from the root of the module.
func standaloneConf(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		conf, err := fs.ReadFile(os.DirFS(dir), "testdata/pulsar/standalone.conf")
		if err == nil {
			return string(conf)
		}
		if dir == filepath.Dir(dir) {
			tb.Fatalf("testenv: no testdata/pulsar/standalone.conf above the test: %v", err)
		}
	}
}

// withNamespace makes the test's namespace.
func (b Broker) withNamespace(tb testing.TB) Broker {
	tb.Helper()
	b.Namespace = "public/" + unique(tb, "-")
	if err := b.admin(tb.Context(), http.MethodPut, ""); err != nil {
		tb.Fatalf("testenv: make a namespace: %v", err)
	}
	return b
}

func (b Broker) admin(ctx context.Context, method, query string) error {
	target := strings.TrimSuffix(b.AdminURL, "/") + "/admin/v2/namespaces/" + b.Namespace + query
	request, err := http.NewRequestWithContext(ctx, method, target, http.NoBody)
	if err != nil {
		return err
	}
	request.Close = true // a connection that stays open looks like a leak to who counts goroutines
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	err = errors.Join(err, response.Body.Close())
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, target, response.Status, text)
	}
	return err
}
