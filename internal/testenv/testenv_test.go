package testenv_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

func TestIntegrationPulsar(t *testing.T) {
	t.Parallel()
	b := testenv.Pulsar(t)
	other := testenv.Pulsar(t)
	if b.Namespace == other.Namespace {
		t.Errorf("two calls share the namespace %s", b.Namespace)
	}
	if want := "persistent://" + b.Namespace + "/orders"; b.Topic("orders") != want {
		t.Errorf("Topic = %s, want %s", b.Topic("orders"), want)
	}
	checkBroker(t, b)
}

func TestIntegrationPostgres(t *testing.T) {
	t.Parallel()
	checkIsolation(t, "pgx", testenv.Postgres(t).URL, testenv.Postgres(t).URL)
}

func TestIntegrationMySQL(t *testing.T) {
	t.Parallel()
	checkIsolation(t, "mysql", dsn(t, testenv.MySQL(t).URL), dsn(t, testenv.MySQL(t).URL))
}

// A server of one's own comes back on the same address with the same data, however it went.
func TestIntegrationOwnPostgres(t *testing.T) {
	t.Parallel()
	db, server := testenv.OwnPostgres(t)
	checkFaults(t, server, "pgx", db.URL)
}

func TestIntegrationOwnMySQL(t *testing.T) {
	t.Parallel()
	db, server := testenv.OwnMySQL(t)
	checkFaults(t, server, "mysql", dsn(t, db.URL))
}

func TestIntegrationOwnPulsar(t *testing.T) {
	t.Parallel()
	b, server := testenv.OwnPulsar(t)
	checkBroker(t, b)
	ctx := t.Context()
	if err := server.Kill(ctx); err != nil {
		t.Fatal("Kill:", err)
	}
	if c, err := net.DialTimeout("tcp", hostOf(t, b.URL), time.Second); err == nil {
		c.Close()
		t.Error("a killed broker takes connections")
	}
	if err := server.Start(ctx); err != nil {
		t.Fatal("Start:", err)
	}
	checkBroker(t, b)
}

// Where there is no server, a test is skipped, or fails if integration tests are required.
func TestWithoutServers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Pulsar", "Postgres", "MySQL", "OwnPulsar", "OwnPostgres", "OwnMySQL"} {
		for require, want := range map[string]string{"": "--- SKIP", "1": "--- FAIL"} {
			t.Run(name+" required="+require, func(t *testing.T) {
				t.Parallel()
				out, err := runWithout(t, "TestIntegration"+name, require)
				if (err != nil) != (require == "1") {
					t.Errorf("the run ended with %v", err)
				}
				for _, text := range []string{want, "INTEGRATION TEST NOT RUN", "Start Docker, or "} {
					if !strings.Contains(out, text) {
						t.Errorf("the run does not say %q:\n%s", text, out)
					}
				}
			})
		}
	}
}

// A server that is named and does not answer is a failure: nobody wants tests skipped because of a typing error.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, variable, value string }{
		{"Pulsar", "PULSAR_URL", "pulsar://127.0.0.1:1"},
		{"Postgres", "POSTGRES_URL", "postgres://127.0.0.1:1/postgres"},
		{"MySQL", "MYSQL_URL", "mysql://root:secret@127.0.0.1:1/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			admin := "PULSAR_ADMIN_URL=http://127.0.0.1:1"
			out, err := runWithout(t, "TestIntegration"+c.name, "", c.variable+"="+c.value, admin)
			if err == nil || !strings.Contains(out, "--- FAIL") {
				t.Errorf("the run ended with %v:\n%s", err, out)
			}
			if strings.Contains(out, "secret") {
				t.Errorf("the run tells the password:\n%s", out)
			}
		})
	}
}

// runWithout runs a test of this binary where there is neither Docker nor a server, and returns its output.
func runWithout(t *testing.T, name, require string, env ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+name+"$", "-test.v")
	for _, v := range os.Environ() {
		switch key, _, _ := strings.Cut(v, "="); key {
		case "PULSAR_URL", "PULSAR_ADMIN_URL", "POSTGRES_URL", "MYSQL_URL":
		default:
			cmd.Env = append(cmd.Env, v)
		}
	}
	// The provider's name is what testcontainers looks at first; it knows none of this name.
	cmd.Env = append(cmd.Env, "TESTCONTAINERS_PROVIDER=none", "DOCKER_HOST=tcp://127.0.0.1:1", "REQUIRE_INTEGRATION="+require)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// checkBroker lets the broker send a message to itself, and connects to the port of its clients.
func checkBroker(t *testing.T, b testenv.Broker) {
	t.Helper()
	ask := func(path string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.AdminURL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for path, want := range map[string]string{"/admin/v2/brokers/health": "ok", "/admin/v2/persistent/" + b.Namespace: "[]"} {
		deadline := time.After(time.Minute)
		for got := ask(path); got != want; got = ask(path) {
			select {
			case <-time.After(100 * time.Millisecond): // after a crash the ledgers of the check are recovered first
			case <-deadline:
				t.Fatalf("GET %s: %q, want %q", path, got, want)
			}
		}
	}
	c, err := net.DialTimeout("tcp", hostOf(t, b.URL), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// checkIsolation writes into one database and looks for it in the other.
func checkIsolation(t *testing.T, driver, one, other string) {
	t.Helper()
	first, second := open(t, driver, one), open(t, driver, other)
	execute(t, first, "CREATE TABLE orders (id INT PRIMARY KEY)")
	execute(t, first, "INSERT INTO orders VALUES (7)")
	checkOrder(t, first)
	execute(t, second, "CREATE TABLE orders (id INT PRIMARY KEY)") // fails if it is there
}

func checkFaults(t *testing.T, server *testenv.Server, driver, dsn string) {
	t.Helper()
	db := open(t, driver, dsn)
	execute(t, db, "CREATE TABLE orders (id INT PRIMARY KEY)")
	execute(t, db, "INSERT INTO orders VALUES (7)")

	ctx := t.Context()
	step := func(name string, do func(context.Context) error) {
		t.Helper()
		if err := do(ctx); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	step("Kill", server.Kill)
	checkSilent(t, db, "a killed server")
	step("Start", server.Start)
	checkOrder(t, db)
	step("Restart", server.Restart)
	checkOrder(t, db)
	step("Pause", server.Pause)
	checkSilent(t, db, "a paused server")
	step("Resume", server.Resume)
	checkOrder(t, db)
	step("Stop", server.Stop)
	checkSilent(t, db, "a stopped server")
}

func checkSilent(t *testing.T, db *sql.DB, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err == nil {
		t.Errorf("%s answers", what)
	}
}

func checkOrder(t *testing.T, db *sql.DB) {
	t.Helper()
	var id int
	if err := db.QueryRowContext(t.Context(), "SELECT id FROM orders").Scan(&id); err != nil || id != 7 {
		t.Fatalf("read back %d, %v; want 7", id, err)
	}
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// dsn turns a URL into what the MySQL driver takes.
func dsn(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	return config.FormatDSN()
}

func hostOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}
