//go:build unix

package faults_test

import (
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// text puts the tables' names into a statement.
func (w *world) text(statement string) string {
	return w.db.Reader().Rebind(strings.NewReplacer(
		"{ledger}", w.prefix+"ledger", "{sagas}", w.prefix+"sagas", "{outbox}", w.prefix+"outbox",
		"{dead}", w.prefix+"dead_letters", "{items}", w.prefix+"saga_items", "{log}", w.prefix+"saga_log",
	).Replace(statement))
}

// count is a query for one number.
func (w *world) count(statement string, args ...any) (n int) {
	w.Helper()
	if err := w.db.Reader().Get(&n, w.text(statement), args...); err != nil {
		w.Fatalf("audit: %v", err)
	}
	return n
}

// becomes waits until a query gives zero.
func (w *world) becomes(what, statement string, args ...any) {
	w.Helper()
	deadline, poll := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer poll.Stop()
	for n := w.count(statement, args...); n != 0; n = w.count(statement, args...) {
		select {
		case <-poll.C:
		case <-deadline:
			w.Errorf("audit: %d %s remain after %s", n, what, patience)
			return
		}
	}
}

const underWay = "SELECT count(*) FROM {sagas} WHERE status NOT IN ('completed', 'compensated')"

// rests waits until nothing moves any more.
func (w *world) rests() {
	w.Helper()
	w.becomes("sagas under way", underWay)
	w.becomes("rows of the outbox", "SELECT count(*) FROM {outbox}")
}

// audit waits until all is at rest, and compares what there is with the orders that were acknowledged.
func (w *world) audit(acknowledged ...string) {
	w.Helper()
	w.rests()
	var sagas []struct {
		ID     string `db:"id"`
		Key    string `db:"saga_key"`
		Status string `db:"status"`
	}
	var effects []struct {
		Order string `db:"order_id"`
		What  string `db:"what"`
		Delta int    `db:"delta"`
		N     int    `db:"n"`
	}
	if err := w.db.Reader().Select(&sagas, w.text("SELECT id, saga_key, status FROM {sagas}")); err != nil {
		w.Fatalf("audit: %v", err)
	}
	if err := w.db.Reader().Select(&effects, w.text("SELECT order_id, what, delta, count(*) AS n FROM {ledger} GROUP BY order_id, what, delta")); err != nil {
		w.Fatalf("audit: %v", err)
	}
	type effect struct {
		order, what string
		delta       int
	}
	ledger := map[effect]int{}
	for _, e := range effects {
		ledger[effect{e.Order, e.What, e.Delta}] = e.N
	}
	status := map[string]string{}
	for _, s := range sagas {
		status[s.Key] = s.Status
		if want := string(coordinator.IDOf("order", s.Key)); s.ID != want {
			w.Errorf("audit: the saga of order %s is %s, want %s", s.Key, s.ID, want)
		}
	}
	for _, number := range acknowledged {
		if status[number] == "" {
			w.Errorf("audit: order %s was acknowledged and is lost", number)
		}
	}
	for number, got := range status {
		want, shipped := string(saga.Completed), 1
		if refused(number) {
			want, shipped = string(saga.Compensated), 0
		}
		if got != want {
			w.Errorf("audit: order %s is %s, want %s", number, got, want)
		}
		for _, what := range []string{"reserve", "charge", "ship"} {
			done, undone := ledger[effect{number, what, 1}], ledger[effect{number, what, -1}]
			if done > 1 || undone > 1 || done-undone != shipped {
				w.Errorf("audit: order %s: %s was done %d times and undone %d times", number, what, done, undone)
			}
		}
	}
	for e := range ledger {
		if status[e.order] == "" {
			w.Errorf("audit: the ledger has a %s of order %s, which no saga knows", e.what, e.order)
		}
	}
	var dead []string
	if err := w.db.Reader().Select(&dead, w.text("SELECT reason FROM {dead}")); err != nil {
		w.Fatalf("audit: %v", err)
	}
	for _, reason := range dead {
		w.Errorf("audit: a dead letter: %s", reason)
	}
}
