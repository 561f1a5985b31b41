//go:build unix

package faults_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m, testenv.Leftovers()...)
}

// The saga of the tests.
type (
	order struct {
		ID      string
		Refused bool
		Nap     time.Duration
	}
	reserve  struct{ Order string }
	reserved struct{}
	putBack  struct{ Order string }
	isBack   struct{}
	charge   struct{ Order string }
	charged  struct{}
	refund   struct{ Order string }
	isRefund struct{}
	ship     struct {
		Order   string
		Refused bool
	}
	shipped     struct{}
	undelivered struct{}
)

// takeOrder sends a command again that was lost with the memory of a stopped process, where the broker is, before a test takes that for a lock's doing.
func takeOrder() *saga.Definition[order] {
	const timeout, attempts = 10 * time.Second, 15
	return saga.MustDefine("order",
		saga.Step("reserve",
			saga.Do(func(o order) reserve { return reserve{o.ID} }), saga.On(func(*order, reserved) {}),
			saga.Undo(func(o order) putBack { return putBack{o.ID} })).Timeout(timeout).Attempts(attempts),
		saga.Sleep("nap", func(o order) time.Duration { return o.Nap }),
		saga.Step("charge",
			saga.Do(func(o order) charge { return charge{o.ID} }), saga.On(func(*order, charged) {}),
			saga.Undo(func(o order) refund { return refund{o.ID} })).Timeout(timeout).Attempts(attempts),
		saga.Step("ship",
			saga.Do(func(o order) ship { return ship{o.ID, o.Refused} }), saga.On(func(*order, shipped) {}),
			saga.OnFailure(func(*order, undelivered) {})).Pivot().Timeout(timeout).Attempts(attempts))
}

// site is where nodes run.
type site struct {
	url    string // of the database
	prefix string // of the tables
	broker messaging.Broker
	// sweep, recheck, lease and now are the settings of those names. Zero means 300 ms, 300 ms, the default and the host's clock.
	sweep, recheck, lease time.Duration
	now                   func() time.Time
}

// node is one process's parts: a coordinator, a participant and a relay over one pool.
type node struct {
	db          *sqlmsg.DB
	messages    *sqlmsg.Store
	sagas       *sqlsaga.Store
	relay       *outbox.Relay
	coordinator *coordinator.Coordinator
	shop        *inbox.Service
	def         *saga.Definition[order]
}

func (s site) open(ctx context.Context) (*node, error) {
	db, err := sqlmsg.Open(ctx, s.url, sqlmsg.Lease(s.lease))
	if err != nil {
		return nil, err
	}
	n, err := s.node(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return n, nil
}

func (s site) node(db *sqlmsg.DB) (*node, error) {
	n := &node{db: db, def: takeOrder()}
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[reserve]("reserve", "shop"), messaging.JSON[putBack]("putBack", "shop"), messaging.JSON[charge]("charge", "shop"),
		messaging.JSON[refund]("refund", "shop"), messaging.JSON[ship]("ship", "shop"),
		messaging.JSON[reserved]("reserved", "events"), messaging.JSON[isBack]("isBack", "events"), messaging.JSON[charged]("charged", "events"),
		messaging.JSON[isRefund]("isRefund", "events"), messaging.JSON[shipped]("shipped", "events"), messaging.JSON[undelivered]("undelivered", "events"))
	if err != nil {
		return nil, err
	}
	bus, quiet := messaging.Bus{Broker: s.broker, Codec: codec}, slog.New(slog.DiscardHandler)
	if n.messages, err = sqlmsg.NewStore(db, sqlmsg.Config{TablePrefix: s.prefix}); err != nil {
		return nil, err
	}
	if n.sagas, err = sqlsaga.New(db, sqlsaga.Config{Outbox: n.messages, TablePrefix: s.prefix}); err != nil {
		return nil, err
	}
	sweep := cmp.Or(s.sweep, 300*time.Millisecond)
	if n.relay, err = outbox.NewRelay(outbox.Config{Store: n.messages, Publisher: s.broker, Sweep: sweep, Grace: sweep, Logger: quiet}); err != nil {
		return nil, err
	}
	n.shop, err = inbox.NewService(inbox.Config{Name: "shop", Bus: bus, Store: n.messages, Relay: n.relay, Logger: quiet})
	if err != nil {
		return nil, err
	}
	s.stock(n.shop)
	n.coordinator, err = coordinator.New(coordinator.Config{
		Store: n.sagas, Bus: bus, Definitions: []saga.Any{n.def}, Relay: n.relay, DeadLetters: n.messages,
		Recheck: cmp.Or(s.recheck, 300*time.Millisecond), Now: s.now, Logger: quiet,
	})
	return n, err
}

// stock gives the shop its handlers.
func (s site) stock(shop *inbox.Service) {
	effect := func(ctx context.Context, tx sqlx.ExtContext, order, what string, delta int) error {
		_, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO "+s.prefix+"ledger (order_id, what, delta) VALUES (?, ?, ?)"), order, what, delta)
		return err
	}
	sqlmsg.Handle(shop, func(ctx context.Context, tx sqlx.ExtContext, c reserve) (reserved, error) {
		return reserved{}, effect(ctx, tx, c.Order, "reserve", 1)
	})
	sqlmsg.Handle(shop, func(ctx context.Context, tx sqlx.ExtContext, c putBack) (isBack, error) {
		return isBack{}, effect(ctx, tx, c.Order, "reserve", -1)
	})
	sqlmsg.Handle(shop, func(ctx context.Context, tx sqlx.ExtContext, c charge) (charged, error) {
		return charged{}, effect(ctx, tx, c.Order, "charge", 1)
	})
	sqlmsg.Handle(shop, func(ctx context.Context, tx sqlx.ExtContext, c refund) (isRefund, error) {
		return isRefund{}, effect(ctx, tx, c.Order, "charge", -1)
	})
	sqlmsg.Handle(shop, func(ctx context.Context, tx sqlx.ExtContext, c ship) (shipped, error) {
		if c.Refused {
			return shipped{}, messaging.Refuse(undelivered{})
		}
		return shipped{}, effect(ctx, tx, c.Order, "ship", 1)
	})
}

// run runs the node until ctx ends, closes its database, and returns.
func (n *node) run(ctx context.Context) error {
	relayCtx, stopRelay := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRelay()
	parts, relayed := make(chan error, 2), make(chan error, 1)
	go func() { parts <- n.coordinator.Run(ctx) }()
	go func() { parts <- n.shop.Run(ctx) }()
	go func() { relayed <- n.relay.Run(relayCtx) }()
	err := errors.Join(<-parts, <-parts)
	stopRelay()
	err = errors.Join(err, <-relayed, n.db.Close())
	if errors.Is(err, messaging.ErrClosed) {
		return nil
	}
	return err
}

// take starts the order with the number, until that is acknowledged. Every third one is refused in the end.
func (n *node) take(ctx context.Context, number string, nap time.Duration) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := coordinator.Start(short, n.coordinator, n.def, order{ID: number, Refused: refused(number), Nap: nap}, coordinator.Key(number))
	return err
}

// takeWithin starts the order as a part of the caller's transaction.
func (n *node) takeWithin(ctx context.Context, tx sqlx.ExtContext, number string) error {
	_, err := coordinator.Start(ctx, n.coordinator, n.def, order{ID: number, Refused: refused(number)}, coordinator.Key(number),
		coordinator.Within(n.sagas.Within(tx)))
	return err
}

// refused says what becomes of the order in the end.
func refused(number string) bool { return number[len(number)-1]%3 == 0 }

// world is a database with tables, and the broker.
type world struct {
	testing.TB
	site

	db *sqlmsg.DB // the auditor's
}

// newWorld makes the tables. The broker is in memory.
func newWorld(t testing.TB, url, prefix string) *world {
	t.Helper()
	broker := memmsg.New(memmsg.Config{})
	t.Cleanup(func() { _ = broker.Close() })
	w := &world{TB: t, site: site{url: url, prefix: prefix, broker: broker}}
	db, err := sqlmsg.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	t.Cleanup(func() { _ = db.Close() })
	n, err := w.node(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.messages.Migrate(t.Context()), n.sagas.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	w.exec(`CREATE TABLE {ledger} (order_id VARCHAR(64) NOT NULL, what VARCHAR(16) NOT NULL, delta INTEGER NOT NULL)`)
	return w
}

// exec executes statements that name the tables {ledger}, {sagas} and so on.
func (w *world) exec(statements ...string) {
	w.Helper()
	for _, text := range statements {
		if _, err := w.db.Writer().Exec(w.text(text)); err != nil {
			w.Fatalf("%s: %v", text, err)
		}
	}
}

// begin runs a node of the site until the test ends.
func (w *world) begin(s site) *node {
	w.Helper()
	n, err := s.open(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("a node ended with %v", err)
		}
	})
	<-n.coordinator.Ready()
	<-n.shop.Ready()
	return n
}

// takes has an order taken by one of the nodes, which try in turn until one acknowledges it.
func (w *world) takes(number string, nodes ...*node) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for i := 0; ; i++ {
		err := nodes[i%len(nodes)].take(context.Background(), number, 0)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.Errorf("order %s was not taken: %v", number, err)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// patience is how long anything may take that is not measured.
const patience = time.Minute

// number names the i-th order of a test.
func number(i int) string { return fmt.Sprintf("o%07d", i) }

// onServers runs a test on each of the databases that are servers.
func onServers(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, server := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, server(t).URL, ""))
		})
	}
}
