//go:build unix

package main

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// fleet is the system as the original runs: four processes on a Pulsar, each on its own port, with the coordinator in campaign's.
type fleet struct {
	t        *testing.T
	dir      string
	host     string
	broker   testenv.Broker
	setup    setup
	database testenv.Database // of the servers; zero: a file for each service
	flags    []string
	running  map[string]*process
}

// setup is what a fleet is made of.
type setup struct {
	coordination string
	database     string // sqlite, postgres or mysql
}

func (s setup) String() string { return s.coordination + " on " + s.database }

// newFleet starts the four processes.
func newFleet(t *testing.T, s setup) *fleet {
	t.Helper()
	f := fleetOf(t, s)
	for service := range originalPorts() { // in any order
		f.start(service)
	}
	return f
}

// fleetOf makes a fleet of which nothing runs yet.
func fleetOf(t *testing.T, s setup) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), host: loopback(t), broker: testenv.Pulsar(t), setup: s, running: map[string]*process{}}
	switch s.database {
	case "postgres":
		f.database = testenv.Postgres(t)
	case "mysql":
		f.database = testenv.MySQL(t)
	}
	f.flags = []string{
		"--broker", f.broker.URL, "--broker-admin", f.broker.AdminURL, "--namespace", f.broker.Namespace, "--listen", f.host + ":0",
		"--coordination", s.coordination, "--log-level", "warn", "--partner-blocked", blocked, "--tracking-limit", strconv.Itoa(limit),
	}
	return f
}

// originalPorts are those that the original has.
func originalPorts() map[string]string {
	return map[string]string{"bff": "8000", "campaign": "8001", "partner": "8002", "tracking": "8003"}
}

// loopback returns an address of this machine whose original ports are free.
func loopback(t *testing.T) string {
	t.Helper()
	for range 10 {
		host := fmt.Sprintf("127.%d.%d.1", 1+rand.IntN(250), rand.IntN(250))
		if free(t, host, originalPorts()) == nil {
			return host
		}
	}
	if err := free(t, "127.0.0.1", originalPorts()); err != nil {
		t.Skipf("NOT TESTED: the services' original ports are not free: %v", err)
	}
	return "127.0.0.1"
}

// start runs a service's process, the first or the next.
func (f *fleet) start(service string) {
	f.t.Helper()
	own := filepath.Join(f.dir, service)
	if err := os.MkdirAll(own, 0o700); err != nil {
		f.t.Fatal(err)
	}
	env := []string{"CAMPAIGN_HOST=" + f.host + ":8001", "PARTNER_HOST=" + f.host + ":8002", "TRAKING_HOST=" + f.host + ":8003"}
	if f.database.URL != "" { // as SQLAlchemy writes it
		kind, rest, _ := strings.Cut(f.database.URL, ":")
		driver := map[string]string{"mysql": "mysql+pymysql", "postgres": "postgresql+psycopg2"}[kind]
		env = append(env, "DATABASE_URL="+driver+":"+rest)
	}
	p := start(f.t, own, env, append([]string{"--services", service}, f.flags...)...)
	p.url(f.t, service)
	f.running[service] = p
}

// kill ends a service's process as a crash does.
func (f *fleet) kill(service string) { f.running[service].kill() }

// stop ends all as an operator does.
func (f *fleet) stop() {
	f.t.Helper()
	for service, p := range f.running {
		if code := p.terminate(f.t); code != 0 {
			f.t.Errorf("%s: SIGTERM: exit code %d\n%s", service, code, p.stderr)
		}
	}
}

func (f *fleet) url(service string) string {
	return "http://" + f.host + ":" + originalPorts()[service]
}

// books opens the databases of all services.
func (f *fleet) books() (of books, sqlite bool) {
	f.t.Helper()
	of = books{}
	if f.database.URL != "" {
		db, err := sqldb.Open(f.t.Context(), f.database.URL, sqldb.AllowUnsafe())
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { db.Close() })
		for _, service := range services() {
			of[service] = db.Reader().DB
		}
		return of, false
	}
	for _, service := range services() {
		of[service] = f.book(service)
	}
	return of, true
}

// book opens a service's own file.
func (f *fleet) book(service string) *sql.DB {
	f.t.Helper()
	db, err := openData(filepath.Join(f.dir, service, "alpes-partners.db"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { db.Close() })
	return db
}

// logs returns what the processes wrote last, to be read where something failed.
func (f *fleet) logs() string {
	var b strings.Builder
	for service, p := range f.running {
		text := p.stderr.String()
		fmt.Fprintf(&b, "%s:\n%s\n", service, text[max(0, len(text)-3000):])
	}
	return b.String()
}

// settle waits until the orders' sagas are at rest and everything that was committed is published.
func (f *fleet) settle(ctx context.Context, c *crowd, of books) {
	f.t.Helper()
	for _, o := range c.placed() {
		if o.sagaID == "" {
			continue
		}
		f.until(ctx, fmt.Sprintf("that %s (%s) is at rest", o.name, o.sagaID), func() bool {
			state, err := c.state(ctx, f.url("campaign"), o.sagaID)
			return err == nil && resting(state)
		})
	}
	f.until(ctx, "that nothing is under way", func() bool {
		_, active, err := c.poll(ctx, f.url("campaign"))
		return err == nil && active == 0
	})
	tables := map[string][]string{}
	for _, service := range services() {
		tables[service] = []string{"SELECT COUNT(*) FROM outbox"}
		if f.setup.coordination == "choreographed" {
			tables[service] = append(tables[service], "SELECT COUNT(*) FROM "+service+"_sagas WHERE status NOT IN ('completed', 'compensated')")
		}
	}
	for service, queries := range tables {
		for _, query := range queries {
			f.until(ctx, query+" of "+service, func() bool { return countOf(ctx, of[service], query) == 0 })
		}
	}
}

// countOf returns the one number that a query gives, -1 if it fails.
func countOf(ctx context.Context, db *sql.DB, query string) (n int) {
	if db.QueryRowContext(ctx, query).Scan(&n) != nil {
		return -1
	}
	return n
}

// until polls the condition.
func (f *fleet) until(ctx context.Context, what string, met func() bool) {
	f.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !met() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			f.t.Fatalf("in vain: %s\n%s", what, f.logs())
		}
	}
}

// judge audits the databases against what the crowd ordered.
func (f *fleet) judge(of books, sqlite bool, c *crowd) figures {
	f.t.Helper()
	found, violations, err := auditBooks(f.t.Context(), of, sqlite, c.placed())
	if err != nil {
		f.t.Fatal(err)
	}
	for i, v := range violations {
		if i == 20 {
			f.t.Errorf("… and %d more", len(violations)-i)
			break
		}
		f.t.Error(v)
	}
	return found
}

// TestIntegrationFourProcesses plays the original's three scenarios, and looks at what the services tell and keep.
func TestIntegrationFourProcesses(t *testing.T) {
	t.Parallel()
	for _, s := range []setup{
		{"orchestrated", "sqlite"}, {"choreographed", "sqlite"},
		{"orchestrated", "postgres"}, {"choreographed", "postgres"},
		{"orchestrated", "mysql"}, {"choreographed", "mysql"},
	} {
		t.Run(s.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			f := newFleet(t, s)
			c := newCrowd(1, rand.New(rand.NewPCG(0, 0)))
			c.late = true
			orders := []*order{
				{name: "success", participants: []string{"participant 0", "participant 1"}},
				{name: "the event is refused", participants: []string{"p 0", "p 1", "p 2", "p 3", "p 4"}, compensated: true},
				{name: "the partner is refused", participants: []string{"p 0", blocked}, compensated: true},
			}
			for _, o := range orders {
				path, body := requestOf(o, "")
				id, err := c.post(ctx, f.url("bff")+path, body)
				if err != nil {
					t.Fatalf("%v\n%s", err, f.logs())
				}
				c.orders[o.name] = o
				c.acknowledged(o, id, f.url("bff"))
			}
			of, sqlite := f.books()
			f.settle(ctx, c, of)
			for path, parts := range map[string][]string{
				"/obtener-campaigns":                  {`"nombre":"success"`},
				"/obtener-partners":                   {`"nombre":"participant 0"`, `"nombre":"participant 1"`},
				"/obtener-eventos":                    {`"id_campana":`, `"id_partner":`},
				"/v1/campaigns?include=participants":  {`"status":"active"`},
				"/v1/sagas/" + orders[0].sagaID + "?": {f.url("campaign")}, // it is told where they are
			} {
				status, body := get(t, f.url("bff")+path)
				for _, part := range parts {
					if !strings.Contains(body, part) {
						t.Errorf("%s: %d: %s does not have %s", path, status, body, part)
					}
				}
				if strings.Contains(body, "refused") || strings.Contains(body, "p 0") {
					t.Errorf("%s has what was undone: %s", path, body)
				}
			}
			for _, path := range []string{"?party=partner", ""} {
				status, body := get(t, f.url("partner")+"/v1/sagas/"+orders[0].sagaID+path)
				if (status == http.StatusOK) != (s.coordination == "choreographed") {
					t.Errorf("partner's own part: %d: %s", status, body)
				}
			}
			if status, body := get(t, f.url("partner")+"/v1/pauses"); status != http.StatusOK {
				t.Errorf("partner's pauses: %d: %s", status, body)
			}
			f.stop()
			found := f.judge(of, sqlite, c)
			if found.completed != 1 || found.compensated != 2 || (found.choreographed == 3) != (s.coordination == "choreographed") {
				t.Errorf("%+v", found)
			}
			if files, err := os.ReadDir(filepath.Join(f.dir, "bff")); err != nil || len(files) > 0 {
				t.Errorf("the bff keeps %v, %v", files, err)
			}
		})
	}
}

// TestIntegrationNobodyReadsYet has one service run alone, on a broker where the others never did: what it publishes for them has to wait for them.
func TestIntegrationNobodyReadsYet(t *testing.T) {
	t.Parallel()
	commands := map[string]string{}
	for _, c := range []string{"registrar-partner", "cancelar-partner", "registrar-evento-conversion", "cancelar-evento"} {
		commands["comando-"+c] = "sub-com-" + c
	}
	for name, test := range map[string]struct {
		coordination, service string
		want                  map[string]string // by topic
	}{
		"the bff":      {"orchestrated", "bff", map[string]string{"comando-registrar-campaign": "sub-com-registrar-campaign"}},
		"its commands": {"orchestrated", "bff", commands},
		"coordinator":  {"orchestrated", "campaign", commands},
		"participant":  {"orchestrated", "partner", map[string]string{"evento-partners": "sub-partner"}},
		"party":        {"choreographed", "partner", map[string]string{"evento-partners": "saga-tracking"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			f := fleetOf(t, setup{test.coordination, "sqlite"})
			f.start(test.service)
			f.until(ctx, "readiness", func() bool {
				status, _ := get(t, f.url(test.service)+"/readyz")
				return status == http.StatusOK
			})
			for topic, want := range test.want {
				status, body := get(t, f.broker.AdminURL+"/admin/v2/persistent/"+f.broker.Namespace+"/"+topic+"/subscriptions")
				if !strings.Contains(body, strconv.Quote(want)) {
					t.Errorf("the subscriptions of %s are %d %s, without %s", topic, status, body, want)
				}
			}
			f.stop()
		})
	}
}

// TestIntegrationKillsOfFourProcesses kills each process in turn, in the midst of sagas, and starts it again: nothing is lost, and nothing is
// done twice.
func TestIntegrationKillsOfFourProcesses(t *testing.T) {
	t.Parallel()
	for _, s := range []setup{{"orchestrated", "sqlite"}, {"choreographed", "postgres"}, {"orchestrated", "mysql"}} {
		t.Run(s.String(), func(t *testing.T) {
			const clients = 12
			rounds := 2
			if testing.Short() {
				rounds = 1
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			f := newFleet(t, s)
			c := newCrowd(clients, rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1)))
			c.late = true
			rested := make(chan struct{})
			go func() {
				defer close(rested)
				c.run(ctx)
			}()
			c.turn(f.url("bff"))
			var under []int
			for range rounds {
				for _, service := range slices.Sorted(maps.Keys(originalPorts())) {
					under = append(under, f.killUnderLoad(ctx, c, service))
				}
			}
			c.stop()
			f.until(ctx, "that the clients are done", func() bool {
				_, _, err := c.poll(ctx, f.url("campaign"))
				select {
				case <-rested:
					return err == nil
				default:
					return false
				}
			})
			of, sqlite := f.books()
			f.settle(ctx, c, of)
			f.stop()
			found := f.judge(of, sqlite, c)
			t.Logf("kills with %v sagas under way; %d orders, %d acknowledged, %d unanswered, %d placed again; %+v",
				under, len(c.placed()), c.acks.Load(), c.unanswered.Load(), c.repeats.Load(), found)
			if refusal := c.refusal.Load(); refusal != nil {
				t.Error(*refusal)
			}
			if found.sagas < 2*clients || found.completed == 0 || found.compensated == 0 || slices.Min(under) == 0 {
				t.Error("the test has shown too little")
			}
		})
	}
}

// killUnderLoad waits until sagas have come to rest since the last kill and others are under way, kills, and starts again. It returns how many were.
func (f *fleet) killUnderLoad(ctx context.Context, c *crowd, service string) (under int) {
	f.t.Helper()
	acks := c.acks.Load()
	f.until(ctx, "that there is enough under way to kill "+service, func() bool {
		_, active, err := c.poll(ctx, f.url("campaign"))
		under = active
		return err == nil && active >= c.size/3 && c.acks.Load() >= acks+int64(c.size)/2
	})
	if service != "bff" {
		f.kill(service)
		f.start(service)
		return under
	}
	f.until(ctx, "that a request is under way", func() bool {
		_, _, _ = c.poll(ctx, f.url("campaign")) // those who may place the next order
		for range 10_000 {
			if c.asked.Load() > 0 {
				return true
			}
			runtime.Gosched()
		}
		return false
	})
	f.kill(service)
	c.turn("")
	f.start(service)
	c.turn(f.url("bff"))
	return under
}
