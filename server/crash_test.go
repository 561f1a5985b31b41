//go:build unix

package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

const (
	inFlight  = 200 // registrations
	mustLive  = 50  // the fewest sagas under way that make a kill count
	crashSeed = "ALPES_CRASH_SEED"
)

// TestCrash kills the server ten times under load and then asks the database whether it kept its word: every acknowledged
// registration is one saga that ended as it had to, with all of its effects or none, and nothing was applied twice.
func TestCrash(t *testing.T) {
	kills := 10
	if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(crashSeed); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("run again with %s=%d", crashSeed, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := &crashes{t: t, dir: t.TempDir(), random: random, crowd: newCrowd(inFlight, rand.New(rand.NewPCG(seed, 1)))}
	began := time.Now()

	rested := make(chan struct{})
	go func() {
		defer close(rested)
		c.crowd.run(t.Context())
	}()
	for i := 0; c.counted < kills && i < 2*kills; i++ {
		c.underLoad()
		if i%3 == 1 {
			c.whileStarting()
		}
	}
	c.comeToRest(rested)
	c.judge(kills)
	t.Logf("%v in all", time.Since(began).Round(time.Millisecond))
}

// crashes is one run of the test.
type crashes struct {
	t      *testing.T
	dir    string
	random *rand.Rand
	crowd  *crowd

	counted  int // kills with enough under way
	starting int // kills of a server that was starting
	repeated int // messages that were handled, or heard, but not yet marked as delivered: they came again
	lost     int // messages that nobody had handled: in memory alone they would have been lost
}

func (c *crashes) file() string { return filepath.Join(c.dir, "crash.db") }

func (c *crashes) start() *process {
	return start(c.t, c.dir, nil, "--listen", "127.0.0.1:0", "--data", c.file(), "--log-level", "error",
		"--partner-blocked", blocked, "--tracking-limit", strconv.Itoa(limit))
}

// underLoad starts the server, lets it work for a random time, and kills it.
func (c *crashes) underLoad() {
	c.t.Helper()
	p := c.start()
	base := p.url(c.t, "bff")
	announced := time.Since(p.began)
	c.crowd.turn(base)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()

	acks := c.crowd.acks.Load()
	moment := time.Duration(200+c.random.IntN(800)) * time.Millisecond
	full := time.Time{}
	progress, err := c.crowd.watch(ctx, base, func(active int) bool {
		if full.IsZero() && active >= mustLive && c.crowd.acks.Load() > acks {
			full = time.Now()
		}
		return !full.IsZero() && time.Since(full) > moment && active >= mustLive
	})
	if err != nil || ctx.Err() != nil {
		c.t.Fatalf("under load: %v, %v\n%s", err, ctx.Err(), p.stderr)
	}
	clients := c.crowd.inFlight()
	p.kill()
	killed := time.Since(p.began)
	c.crowd.turn("")
	left := c.inspect()
	if left.live >= mustLive {
		c.counted++
	}
	c.repeated += left.repeated
	c.lost += left.unhandled
	since := "none was left by an earlier one"
	if !progress.IsZero() {
		since = fmt.Sprintf("the first of an earlier server's sagas was at rest after %v", progress.Sub(p.began).Round(time.Millisecond))
	}
	c.t.Logf("killed after %v with %d registrations in flight: %d sagas under way, %d messages of which %d had been handled; it had taken requests after %v, %s",
		killed.Round(time.Millisecond), clients, left.live, left.repeated+left.unhandled, left.repeated, announced.Round(time.Millisecond), since)
}

// whileStarting kills a server at a random moment of its start.
func (c *crashes) whileStarting() {
	p := c.start()
	wait := time.NewTimer(time.Duration(c.random.IntN(120)) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-p.exited:
		c.t.Fatalf("the server ended while starting:\n%s", p.stderr)
	}
	p.kill()
	c.starting++
}

// remains is what a killed server left in its database.
type remains struct{ live, repeated, unhandled int }

// inspect looks into a copy: whoever opens the file itself recovers it, and that is for the next server to do.
func (c *crashes) inspect() (r remains) {
	c.t.Helper()
	dir, err := os.MkdirTemp(c.dir, "copy")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(filepath.Join(dir, "copy.db"+suffix), c.file()+suffix); err != nil {
			c.t.Fatal(err)
		}
	}
	db, err := openData(filepath.Join(dir, "copy.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	// A command was handled if its participant remembers it, a reply was heard if the saga's story tells it.
	const messages = `
		WITH m AS (SELECT headers ->> 'saga-id' AS saga, headers ->> 'saga-node' AS node, headers ->> 'saga-direction' AS direction,
			headers ->> 'saga-outcome' AS outcome FROM outbox)
		SELECT COUNT(*), COALESCE(SUM(CASE
			WHEN outcome IS NULL THEN EXISTS (SELECT 1 FROM inbox i
				WHERE i.consumer IN ('campaign', 'partner', 'tracking') AND i.entry_key = saga || '/' || m.node || '/' || m.direction)
			ELSE EXISTS (SELECT 1 FROM saga_log l WHERE l.saga_id = saga AND l.node = m.node AND l.direction = m.direction
				AND l.kind IN ('succeeded', 'refused', 'undone')) END), 0)
		FROM m`
	total := 0
	for query, into := range map[string][]any{
		"SELECT COUNT(*) FROM sagas WHERE status NOT IN ('completed', 'compensated', 'forced')": {&r.live},
		messages: {&total, &r.repeated},
	} {
		if err := db.QueryRowContext(c.t.Context(), query).Scan(into...); err != nil {
			c.t.Fatalf("%s: %v", query, err)
		}
	}
	r.unhandled = total - r.repeated
	return r
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if os.IsNotExist(err) {
		return nil // no write-ahead log
	}
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// comeToRest starts the server once more, lets all that was begun come to its end, and stops it as an operator would.
func (c *crashes) comeToRest(rested <-chan struct{}) {
	c.t.Helper()
	p := c.start()
	base := p.url(c.t, "bff")
	c.crowd.stop()
	c.crowd.turn(base)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	db, err := openData(c.file())
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	_, err = c.crowd.watch(ctx, base, func(active int) bool {
		select {
		case <-rested:
		default:
			return false
		}
		return active == 0 && c.outbox(ctx, db) == 0
	})
	if err != nil || ctx.Err() != nil {
		c.t.Fatalf("it does not come to rest: %v, %v; %d in flight, %d messages in the outbox\n%s",
			err, ctx.Err(), c.crowd.inFlight(), c.outbox(c.t.Context(), db), p.stderr)
	}
	c.t.Logf("at rest after %v", time.Since(p.began).Round(time.Millisecond))
	if code := p.terminate(c.t); code != 0 {
		c.t.Errorf("SIGTERM: exit code %d\n%s", code, p.stderr)
	}
}

func (c *crashes) outbox(ctx context.Context, db *sql.DB) (n int) {
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM outbox").Scan(&n); err != nil {
		c.t.Log("look into the outbox:", err)
		return -1
	}
	return n
}

// judge audits the database, and the test itself: one that never had much to lose has shown nothing.
func (c *crashes) judge(kills int) {
	c.t.Helper()
	db, err := openData(c.file())
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	orders := c.crowd.placed()
	f, violations, err := audit(c.t.Context(), db, orders)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, v := range violations {
		if i == 50 {
			c.t.Errorf("… and %d more", len(violations)-i)
			break
		}
		c.t.Error(v)
	}
	if refusal := c.crowd.refusal.Load(); refusal != nil {
		c.t.Error(*refusal)
	}
	acknowledged := int(c.crowd.acks.Load())
	c.t.Logf("%d kills under load and %d while starting; %d orders, %d acknowledged, %d requests unanswered, %d placed again",
		c.counted, c.starting, len(orders), acknowledged, c.crowd.unanswered.Load(), c.crowd.repeats.Load())
	c.t.Logf("%d sagas: %d completed, %d compensated; %d commands, %d undos, %d barred; %d messages came again after having been handled, %d had not been handled",
		f.sagas, f.completed, f.compensated, f.commands, f.undos, f.bars, c.repeated, c.lost)
	for what, ok := range map[string]bool{
		"kills with enough sagas under way": c.counted >= kills,
		"a fifth completed":                 f.completed*5 >= f.sagas,
		"a fifth compensated":               f.compensated*5 >= f.sagas,
		"sagas":                             f.sagas >= inFlight,
		"messages that came again":          c.repeated > 0,
		"messages that nobody had handled":  c.lost > 0,
		"orders that were placed again":     c.crowd.repeats.Load() > 0,
	} {
		if !ok {
			c.t.Errorf("the test has shown too little: %s", what)
		}
	}
}

// TestKillBetweenHandOverAndCommit kills the server at the one moment when a command is nowhere but in the outbox and in the memory of
// the in-process broker: it was handed over, and its service cannot commit.
func TestKillBetweenHandOverAndCommit(t *testing.T) {
	t.Parallel()
	for node, table := range map[string]string{"campaign": "campaigns", "partner": "partners", "conversion": "eventos"} {
		t.Run(node, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "held.db")
			serve := func() (*process, string) {
				p := start(t, dir, nil, "--listen", "127.0.0.1:0", "--data", file, "--log-level", "warn")
				return p, p.url(t, "bff")
			}
			exec := func(statement string) {
				t.Helper()
				db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			p, base := serve()
			exec("CREATE TRIGGER hold BEFORE INSERT ON " + table + " BEGIN SELECT RAISE(ABORT, 'held up'); END")
			clients := newCrowd(1, nil)
			clients.turn(base)
			o := &order{name: "campaign 0", participants: []string{"participant 0"}}
			clients.orders[o.name] = o
			path, body := requestOf(o, "")
			id, err := clients.post(t.Context(), base+path, body)
			if err != nil {
				t.Fatal(err)
			}
			clients.acknowledged(o, id, base)
			if p.stderr.await(regexp.MustCompile("held up")) == nil {
				t.Fatalf("it ended: %v\n%s", p.err, p.stderr)
			}
			p.kill()
			exec("DROP TRIGGER hold")

			p, base = serve()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := clients.watch(ctx, base, func(active int) bool { return active == 0 }); err != nil || ctx.Err() != nil {
				t.Fatalf("%v, %v\n%s", err, ctx.Err(), p.stderr)
			}
			if code := p.terminate(t); code != 0 {
				t.Errorf("exit code %d\n%s", code, p.stderr)
			}
			db, err := openData(file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if f, violations, err := audit(t.Context(), db, clients.placed()); err != nil || len(violations) > 0 || f.completed != 1 {
				t.Errorf("%+v, %v\n%q", f, err, violations)
			}
		})
	}
}
