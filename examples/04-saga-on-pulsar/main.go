// Command 04-saga-on-pulsar books the trip of 01-first-saga between two services that share nothing but Pulsar: the coordinator and the travel agency, each with
// a SQLite database of its own. What a handler writes, the memory of its command and its reply are one commit, so a crash anywhere changes nothing.
//
//	make pulsar
//	go run ./examples/04-saga-on-pulsar
//
// PULSAR_URL names another broker than the one of "make pulsar", PULSAR_NAMESPACE where to put the topics.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

type (
	Trip            struct{ ID, Seat, Why string }
	BookFlight      struct{ Trip string }
	FlightBooked    struct{ Seat string }
	CancelFlight    struct{ Trip string }
	FlightCancelled struct{}
	BookHotel       struct{ Trip string }
	HotelBooked     struct{}
	HotelFull       struct{ Reason string }
)

// FailureReason goes to the saga's log.
func (e HotelFull) FailureReason() string { return e.Reason }

// BookTrip is the saga.
var BookTrip = saga.MustDefine("book-trip",
	saga.Step("flight",
		saga.Do(func(t Trip) BookFlight { return BookFlight{Trip: t.ID} }),
		saga.On(func(t *Trip, e FlightBooked) { t.Seat = e.Seat }),
		saga.Undo(func(t Trip) CancelFlight { return CancelFlight{Trip: t.ID} }),
		saga.Undone(func(*Trip, FlightCancelled) {})),
	saga.Step("hotel",
		saga.Do(func(t Trip) BookHotel { return BookHotel{Trip: t.ID} }),
		saga.On(func(*Trip, HotelBooked) {}),
		saga.OnFailure(func(t *Trip, e HotelFull) { t.Why = e.Reason }),
	).Pivot(),
)

// handlers are the agency's. Everything goes through tx: its table, and unseen beside it the inbox and the outbox. Rebind writes each ? as the database wants it.
func handlers(s *inbox.Service) {
	sqlmsg.Handle(s, func(ctx context.Context, tx sqlx.ExtContext, c BookFlight) (FlightBooked, error) {
		_, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO seats (seat, trip) VALUES ('12A', ?)"), c.Trip)
		return FlightBooked{Seat: "12A"}, err
	})
	sqlmsg.Handle(s, func(ctx context.Context, tx sqlx.ExtContext, c CancelFlight) (FlightCancelled, error) {
		fmt.Println("compensation: the seat of", c.Trip, "is free again")
		_, err := tx.ExecContext(ctx, tx.Rebind("DELETE FROM seats WHERE trip = ?"), c.Trip)
		return FlightCancelled{}, err
	})
	sqlmsg.Handle(s, func(ctx context.Context, tx sqlx.ExtContext, c BookHotel) (HotelBooked, error) {
		var seat string
		if err := sqlx.GetContext(ctx, tx, &seat, tx.Rebind("SELECT seat FROM seats WHERE trip = ?"), c.Trip); err != nil {
			return HotelBooked{}, err // tried again later
		}
		fmt.Println("no room for", c.Trip, "on seat", seat)
		return HotelBooked{}, messaging.Refuse(HotelFull{Reason: "no room left"})
	})
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "saga-on-pulsar-")
	if err == nil {
		err = errors.Join(run(ctx, dir), os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, "\nIs a broker there? \"make pulsar\" starts one, PULSAR_URL names another.")
		os.Exit(1) //nolint:gocritic // the deferred call only ends what ends with the process
	}
}

func run(ctx context.Context, dir string) (err error) {
	broker, err := pulsarmsg.New(pulsarmsg.Config{
		URL: cmp.Or(os.Getenv("PULSAR_URL"), "pulsar://localhost:6650"), Namespace: os.Getenv("PULSAR_NAMESPACE"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	types, err := codec()
	if err != nil {
		return err
	}
	bus := messaging.Bus{Broker: broker, Codec: types}

	// The agency: its database holds its own table, its inbox and its outbox.
	agencyDB, agencyStore, err := open(ctx, filepath.Join(dir, "agency.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agencyDB.Close()) }()
	err = agencyDB.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE seats (seat VARCHAR(8) PRIMARY KEY, trip TEXT NOT NULL)")
		return err
	})
	if err != nil {
		return err
	}
	agency, err := inbox.NewService(inbox.Config{Name: "agency", Bus: bus, Store: agencyStore})
	if err != nil {
		return err
	}
	handlers(agency)

	// The coordinator: its database holds the sagas and its outbox.
	sagaDB, sagaOutbox, err := open(ctx, filepath.Join(dir, "sagas.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sagaDB.Close()) }()
	sagas, err := sqlsaga.New(sagaDB, sqlsaga.Config{Outbox: sagaOutbox})
	if err != nil {
		return err
	}
	if err := sagas.Migrate(ctx); err != nil {
		return err
	}
	c, err := coordinator.New(coordinator.Config{Store: sagas, Bus: bus, Definitions: []saga.Any{BookTrip}})
	if err != nil {
		return err
	}

	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- agency.Run(running) }()
	go func() { ended <- c.Run(running) }()
	err = book(ctx, c, agency.Ready())
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// book starts a saga when all are ready, and waits for its end.
func book(ctx context.Context, c *coordinator.Coordinator, agency <-chan struct{}) error {
	for _, ready := range []<-chan struct{}{agency, c.Ready()} {
		select {
		case <-ready:
		case <-ctx.Done(): // the log says why
			return ctx.Err()
		}
	}
	id, err := coordinator.Start(ctx, c, BookTrip, Trip{ID: "trip-1"}, coordinator.Key("trip-1"))
	if err != nil {
		return err
	}
	end, err := c.Await(ctx, id)
	fmt.Printf("the saga is %s: %s\n", end.Status, end.Reason)
	return err
}

// open makes a database with an inbox and an outbox.
func open(ctx context.Context, path string) (*sqlmsg.DB, *sqlmsg.Store, error) {
	db, err := sqlmsg.Open(ctx, "sqlite:"+path) // or postgres://…, mysql://…
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err == nil {
		err = store.Migrate(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, store, nil
}

func codec() (*messaging.JSONCodec, error) {
	const flights, hotels = "example-flight", "example-hotel"
	return messaging.NewJSONCodec(
		messaging.JSON[BookFlight]("BookFlight", flights+"-commands"), messaging.JSON[FlightBooked]("FlightBooked", flights+"-events"),
		messaging.JSON[CancelFlight]("CancelFlight", flights+"-commands"), messaging.JSON[FlightCancelled]("FlightCancelled", flights+"-events"),
		messaging.JSON[BookHotel]("BookHotel", hotels+"-commands"), messaging.JSON[HotelBooked]("HotelBooked", hotels+"-events"),
		messaging.JSON[HotelFull]("HotelFull", hotels+"-events"))
}
