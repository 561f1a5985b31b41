package sqlsaga_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

type (
	trip         struct{ ID, Seat string }
	bookFlight   struct{ Trip string }
	flightBooked struct{ Seat string }
)

var bookTrip = saga.MustDefine("book-trip",
	saga.Step("flight",
		saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
		saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat }),
	).Pivot())

// A store on a database of the caller's own. The saga starts in the transaction that writes the caller's row: either both
// are there, or neither is.
func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// started, not committed: saga: not found
	// committed: completed {"ID":"t1","Seat":"12A"}
	// orders: 1
}

func example(ctx context.Context) error {
	db, err := sqlmsg.Open(ctx, "sqlite::memory:")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		return err
	}
	store, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		return err
	}
	if err := errors.Join(messages.Migrate(ctx), store.Migrate(ctx)); err != nil {
		return err
	}
	c, stop, err := runTrips(ctx, store, messages)
	if err != nil {
		return err
	}
	defer stop()

	var id saga.ID
	order := func(end error) error {
		return db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) (err error) {
			if _, err = tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY)"); err != nil {
				return err
			}
			if _, err = tx.ExecContext(ctx, "INSERT INTO orders VALUES ('t1')"); err != nil {
				return err
			}
			id, err = coordinator.Start(ctx, c, bookTrip, trip{ID: "t1"}, coordinator.Key("t1"), coordinator.Within(store.Within(tx)))
			return errors.Join(err, end)
		})
	}
	_ = order(errors.New("the caller rolls back"))
	_, err = store.Get(ctx, id)
	fmt.Println("started, not committed:", errors.Unwrap(err))

	if err := errors.Join(order(nil), c.Wake(ctx)); err != nil {
		return err
	}
	done, err := c.Await(ctx, id)
	fmt.Println("committed:", done.Status, string(done.Root.Data))
	var orders int
	err = errors.Join(err, db.Reader().GetContext(ctx, &orders, "SELECT count(*) FROM orders"))
	fmt.Println("orders:", orders)
	return err
}

// runTrips runs a coordinator and the participant that books flights.
func runTrips(ctx context.Context, store *sqlsaga.Store, messages *sqlmsg.Store) (*coordinator.Coordinator, func(), error) {
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[bookFlight]("book-flight", "flights"), messaging.JSON[flightBooked]("flight-booked", "flight-events"))
	if err != nil {
		return nil, nil, err
	}
	broker := memmsg.New(memmsg.Config{})
	bus := messaging.Bus{Broker: broker, Codec: codec}
	quiet := slog.New(slog.DiscardHandler)
	c, err := coordinator.New(coordinator.Config{Store: store, Bus: bus, Definitions: []saga.Any{bookTrip}, Logger: quiet})
	if err != nil {
		return nil, nil, err
	}
	flights, err := inbox.NewService(inbox.Config{Name: "flights", Bus: bus, Store: messages, Logger: quiet})
	if err != nil {
		return nil, nil, err
	}
	sqlmsg.Handle(flights, func(context.Context, sqlx.ExtContext, bookFlight) (flightBooked, error) {
		return flightBooked{Seat: "12A"}, nil
	})
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- c.Run(running) }()
	go func() { ended <- flights.Run(running) }()
	<-c.Ready()
	<-flights.Ready()
	return c, func() {
		cancel()
		_ = errors.Join(<-ended, <-ended, broker.Close())
	}, nil
}
