//go:build unix

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// load takes orders until it is stopped, and returns those that were acknowledged.
func (w *world) load(first, clients int, nodes ...*node) (stop func() []string) {
	var next atomic.Int64
	next.Store(int64(first))
	var mu sync.Mutex
	var taken []string
	var clientsDone sync.WaitGroup
	halt, once := make(chan struct{}), sync.Once{}
	for client := range clients {
		clientsDone.Go(func() {
			for {
				select {
				case <-halt:
					return
				case <-time.After(10 * time.Millisecond):
				}
				order := number(int(next.Add(1)))
				w.takes(order, nodes[client%len(nodes):]...)
				mu.Lock()
				taken = append(taken, order)
				mu.Unlock()
			}
		})
	}
	stop = func() []string {
		once.Do(func() { close(halt) })
		clientsDone.Wait()
		return taken
	}
	w.Cleanup(func() { stop() })
	return stop
}

// while lets the load go on for some time.
func while(d time.Duration) { <-time.After(d) }

// TestIntegrationServerHarmed kills the database's server under load, or fills its disk (G1, G2, G13, G15).
func TestIntegrationServerHarmed(t *testing.T) {
	t.Parallel()
	t.Run("postgres/killed", func(t *testing.T) {
		t.Parallel()
		database, server := testenv.OwnPostgres(t)
		killed(t, newWorld(t, database.URL, ""), server)
	})
	t.Run("mysql/killed", func(t *testing.T) {
		t.Parallel()
		database, server := testenv.OwnMySQL(t)
		killed(t, newWorld(t, database.URL, ""), server)
	})
	t.Run("postgres/full", func(t *testing.T) {
		t.Parallel()
		database, _ := testenv.OwnPostgres(t, testenv.SmallDisk("/small", 64))
		w := newWorld(t, database.URL, "")
		w.exec(
			"COPY (SELECT 1) TO PROGRAM 'mkdir /small/tables'", "CREATE TABLESPACE small LOCATION '/small/tables'",
			"ALTER TABLE {sagas} SET TABLESPACE small", "ALTER TABLE {log} SET TABLESPACE small", "ALTER TABLE {outbox} SET TABLESPACE small",
			"ALTER TABLE {ledger} SET TABLESPACE small", "ALTER TABLE inbox SET TABLESPACE small")
		full(t, w,
			func(*node) { w.exec("COPY (SELECT 1) TO PROGRAM 'dd if=/dev/zero of=/small/filler bs=64k || true'") },
			func(*node) { w.exec("COPY (SELECT 1) TO PROGRAM 'rm /small/filler'") })
	})
	t.Run("sqlite/full", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "full.db"), "")
		room := func(pages int) func(*node) { // beyond what the database has now
			return func(n *node) {
				err := n.db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) error {
					var count int
					if err := sqlx.GetContext(ctx, tx, &count, "PRAGMA page_count"); err != nil {
						return err
					}
					return sqlx.GetContext(ctx, tx, &count, fmt.Sprintf("PRAGMA max_page_count = %d", count+pages))
				})
				if err != nil {
					t.Error(err)
				}
			}
		}
		full(t, w, room(0), room(1_000_000_000))
	})
}

// refusals counts the starts that fail until it is asked.
func (w *world) refusals(n *node) (count func() int) {
	halt, done := make(chan struct{}), make(chan int)
	go func() {
		failed := 0
		for i := 0; ; i++ {
			select {
			case <-halt:
				done <- failed
				return
			case <-time.After(20 * time.Millisecond):
				if err := n.take(context.Background(), fmt.Sprintf("r%d", i), 0); err != nil {
					failed++
				}
			}
		}
	}()
	return func() int {
		close(halt)
		return <-done
	}
}

// killed kills the server twice under load.
func killed(t *testing.T, w *world, server *testenv.Server) {
	t.Helper()
	stop := w.load(0, 8, w.begin(w.site), w.begin(w.site))
	for range 2 {
		while(700 * time.Millisecond)
		began := time.Now()
		if err := errors.Join(server.Kill(t.Context()), server.Start(t.Context())); err != nil {
			t.Fatal(err)
		}
		down := time.Since(began)
		before := w.count("SELECT count(*) FROM {sagas} WHERE status = 'completed'")
		w.becomes("", "SELECT CASE WHEN count(*) > ? THEN 0 ELSE 1 END FROM {sagas} WHERE status = 'completed'", before)
		t.Logf("killed: down for %s, the next saga ended %s later", down.Round(time.Millisecond), (time.Since(began) - down).Round(time.Millisecond))
	}
	orders := stop()
	t.Logf("killed: %d orders", len(orders))
	w.audit(orders...)
}

// full fills the disk under load and makes room again.
func full(t *testing.T, w *world, fill, empty func(*node)) {
	t.Helper()
	n := w.begin(w.site)
	stop := w.load(50_000, 4, n)
	while(300 * time.Millisecond)
	fill(n)
	failed := 0
	for began := time.Now(); failed == 0 && time.Since(began) < patience/3; {
		refusals := w.refusals(n)
		while(time.Second)
		failed = refusals()
	}
	empty(n)
	if failed == 0 {
		t.Error("no start was refused: the disk was not full")
	}
	orders := stop()
	t.Logf("disk full: %d starts refused, %d orders taken in all", failed, len(orders))
	w.audit(orders...)
}

// TestIntegrationContention has transactions that lock the same rows the other way round, and errors of serialization, while several
// nodes work: deadlocks cost time and nothing else.
func TestIntegrationContention(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, w *world) {
		if w.db.Dialect().Name == "postgres" {
			contentious(w)
		}
		var nodes []*node
		for range 3 {
			n := w.begin(w.site)
			nodes = append(nodes, n)
		}
		stop := w.load(0, 12, nodes...)
		halt := make(chan struct{})
		var nuisance sync.WaitGroup
		var lost, kept atomic.Int64
		for range 3 {
			nuisance.Go(func() {
				for {
					select {
					case <-halt:
						return
					default:
					}
					if err := w.inTheWay(); w.db.Dialect().IsSerialization(err) {
						lost.Add(1)
					} else if err != nil {
						w.Error(err)
					} else {
						kept.Add(1)
					}
				}
			})
		}
		while(3 * time.Second)
		close(halt)
		nuisance.Wait()
		orders := stop()
		t.Logf("%d orders; of the transactions in their way %d lost a deadlock and %d did not", len(orders), lost.Load(), kept.Load())
		if kept.Load() == 0 || len(orders) < 20 {
			t.Error("nothing contended")
		}
		w.audit(orders...)
	})
}

// contentious makes PostgreSQL find deadlocks soon, and fail every twentieth row of the ledger and of the log as a serializable transaction would.
func contentious(w *world) {
	w.Helper()
	name := w.url[strings.LastIndex(w.url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	w.exec("ALTER DATABASE "+name+" SET deadlock_timeout = '20ms'",
		`CREATE FUNCTION contend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF random() < 0.05 THEN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END IF; RETURN NEW; END $$`,
		"CREATE TRIGGER contend BEFORE INSERT ON {ledger} FOR EACH ROW EXECUTE FUNCTION contend()",
		"CREATE TRIGGER contend BEFORE INSERT ON {log} FOR EACH ROW EXECUTE FUNCTION contend()")
}

// inTheWay locks some sagas that are under way, the last one first.
func (w *world) inTheWay() error {
	return w.db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) error {
		var ids []string
		if err := sqlx.SelectContext(ctx, tx, &ids, w.text("SELECT id FROM {sagas} WHERE status = 'running' ORDER BY id DESC LIMIT 6")); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, w.text("UPDATE {sagas} SET reason = reason WHERE id = ?"), id); err != nil {
				return err
			}
			<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond)
		}
		return nil
	})
}

// TestIntegrationWaiting has all connections of a node's pool taken by others for a while, and a transaction that adds to the
// outbox, and commits long after those that began later: nothing is skipped (G15).
func TestIntegrationWaiting(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, w *world) {
		n := w.begin(w.site)
		stop := w.load(0, 4, n)
		late := number(99_997)
		begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() { // its node dies: nobody enqueues what it commits
			ended <- w.db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) error {
				err := n.takeWithin(ctx, tx, late)
				close(begun)
				<-end
				return err
			})
		}()
		<-begun
		while(500 * time.Millisecond)
		release := exhaust(t, n.db)
		refusals := w.refusals(n)
		while(500 * time.Millisecond)
		release()
		t.Logf("the pool was exhausted for 500 ms: %d starts refused", refusals())
		while(time.Second) // several sweeps pass over what is not visible yet
		earlier := w.count("SELECT count(*) FROM {sagas} WHERE status = 'completed'")
		orders := stop()
		w.rests()
		close(end)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		w.becomes("late order", "SELECT count(*) FROM {sagas} WHERE saga_key = ? AND status <> 'completed'", late)
		t.Logf("the late one ended %s after its commit, behind %d that began after it", time.Since(began).Round(time.Millisecond), earlier)
		w.audit(append(orders, late)...)
	})
}

// TestIntegrationHeldSagas has a transaction start some sagas and stay open, while clients try to start the same ones, over and over: the others go on.
func TestIntegrationHeldSagas(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, w *world) {
		n := w.begin(w.site)
		held := []string{number(99_991), number(99_992), number(99_993), number(99_994)}
		begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- w.db.InTx(context.Background(), func(ctx context.Context, tx sqlx.ExtContext) (err error) {
				for _, number := range held {
					err = errors.Join(err, n.takeWithin(ctx, tx, number))
				}
				close(begun)
				<-end
				return err
			})
		}()
		<-begun
		var clients sync.WaitGroup
		for _, number := range held {
			clients.Go(func() { w.takes(number, n) })
		}
		while(500 * time.Millisecond)
		began := time.Now()
		var worst time.Duration
		for i := range 100 {
			one := time.Now()
			w.takes(number(i), n)
			worst = max(worst, time.Since(one))
		}
		t.Logf("with %d sagas held and wanted, 100 others were started in %s, the slowest in %s", len(held), time.Since(began).Round(time.Millisecond), worst.Round(time.Millisecond))
		if n := w.count("SELECT count(*) FROM {sagas}"); n != 100 {
			t.Errorf("%d sagas were started", n)
		}
		close(end)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		clients.Wait()
		orders := held
		for i := range 100 {
			orders = append(orders, number(i))
		}
		w.audit(orders...)
	})
}

// exhaust takes every connection of the pool that is to be had.
func exhaust(t *testing.T, db *sqldb.DB) (release func()) {
	t.Helper()
	var held []*sqlx.Conn
	for len(held) < db.Reader().Stats().MaxOpenConnections {
		conn, err := db.Reader().Connx(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	return func() {
		for _, conn := range held {
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
