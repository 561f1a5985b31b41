//go:build unix

package faults_test

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// lease is that of the tests' processes. MySQL has whole seconds.
const lease = time.Second

// TestIntegrationFleet has several processes, each with a coordinator, a relay and a participant, on one database. At random they are killed,
// ended, started, and stopped for longer than the lease: nothing is lost, and nothing happens twice (I9, G1, G2, G13, G15).
func TestIntegrationFleet(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, w *world) {
		n := w.begin(w.site)
		stop := w.load(900_000, 2, n)
		born, did := 0, map[string]int{}
		bear := func() *child {
			born++
			return w.bear(t, lease, born*10_000)
		}
		var orders []string
		children := []*child{bear(), bear(), bear()}
		for range 8 {
			i := rand.IntN(len(children))
			while(time.Duration(rand.IntN(300)) * time.Millisecond)
			switch rand.IntN(3) {
			case 0:
				did["killed"]++
				orders = append(orders, children[i].end(syscall.SIGKILL)...)
				children[i] = bear()
			case 1:
				did["ended"]++
				orders = append(orders, children[i].end(syscall.SIGTERM)...)
				children[i] = bear()
			case 2:
				did["stopped"]++
				children[i].signal(syscall.SIGSTOP)
				while(lease + lease/2)
				children[i].signal(syscall.SIGCONT)
			}
		}
		for _, c := range children {
			c.signal(syscall.SIGTERM)
		}
		for _, c := range children {
			orders = append(orders, c.ended(true)...)
		}
		orders = append(orders, stop()...)
		t.Logf("%d orders of %d processes: %v", len(orders), born, did)
		w.audit(orders...)
	})
}

// TestIntegrationTakeover stops a process in the middle of a transaction. Another one finishes all that it had acknowledged once the lease is over,
// while it does not move; then it goes on, and does no harm (I9, G13).
func TestIntegrationTakeover(t *testing.T) {
	t.Parallel()
	held := map[string]string{
		"postgres": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xid IS NOT NULL",
		"mysql": "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id " +
			"WHERE p.db = database() AND p.command = 'Sleep' AND t.trx_rows_modified > 0",
	}
	onServers(t, func(t *testing.T, w *world) {
		c := w.bear(t, lease, 0)
		deadline := time.Now().Add(patience)
		for {
			c.signal(syscall.SIGSTOP)
			while(150 * time.Millisecond) // MySQL looks no more often
			if w.count(held[w.db.Dialect().Name]) > 0 {
				break
			}
			c.signal(syscall.SIGCONT)
			if time.Now().After(deadline) {
				t.Fatal("the process was never stopped in a transaction")
			}
			while(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		}
		began := time.Now()
		w.begin(w.site)
		w.rests()
		took := time.Since(began)
		ended := w.count("SELECT count(*) FROM {sagas} WHERE status IN ('completed', 'compensated')")
		t.Logf("%d orders had ended %s after the process was stopped in a transaction, with a lease of %s", ended, took.Round(time.Millisecond), lease)
		if took > lease+20*time.Second { // without a lease, the default of 30 s or for ever
			t.Errorf("the stopped process held the others up for %s", took)
		}
		c.signal(syscall.SIGCONT)
		while(lease)
		w.audit(c.end(syscall.SIGTERM)...)
	})
}

// TestIntegrationTimers: hosts whose clocks are an hour off wake a saga once, and when the database's clock says so (G13).
func TestIntegrationTimers(t *testing.T) {
	t.Parallel()
	const nap = 1500 * time.Millisecond
	onServers(t, func(t *testing.T, w *world) {
		var nodes []*node
		for _, off := range []time.Duration{-time.Hour, 0, time.Hour} {
			s := w.site
			s.now = func() time.Time { return time.Now().Add(off) }
			n := w.begin(s)
			nodes = append(nodes, n)
		}
		var orders []string
		began := time.Now()
		for i := range 60 {
			order := number(i)
			if err := nodes[i%len(nodes)].take(t.Context(), order, nap); err != nil {
				t.Fatal(err)
			}
			orders = append(orders, order)
		}
		w.audit(orders...)
		t.Logf("%d orders ended within %s", len(orders), time.Since(began).Round(time.Millisecond))
		var naps []struct {
			Saga  string `db:"saga_id"`
			Begun int64  `db:"begun"`
			Ended int64  `db:"ended"`
		}
		if err := w.db.Reader().Select(&naps, w.text("SELECT nap.saga_id, nap.at AS begun, charge.at AS ended FROM {log} nap "+
			"JOIN {log} charge ON charge.saga_id = nap.saga_id AND charge.node = 'charge' AND charge.direction = 'do' AND charge.kind = 'sent' "+
			"WHERE nap.node = 'nap'")); err != nil {
			t.Fatal(err)
		}
		if len(naps) != len(orders) {
			t.Errorf("%d sagas went on after their sleep, want %d", len(naps), len(orders))
		}
		for _, n := range naps {
			if slept := time.Duration(n.Ended-n.Begun) * time.Microsecond; slept < nap || slept > nap+patience {
				t.Errorf("saga %s slept for %s, want %s", n.Saga, slept, nap)
			}
		}
	})
}
