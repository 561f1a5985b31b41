// Command 01-first-saga books a trip: a flight, then a hotel. The hotel is full, so the flight is cancelled again.
//
//	go run ./examples/01-first-saga
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// saga:begin

// The data of the saga, and the commands and events of its participants, are plain structs.
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

// BookTrip is the saga. Every type is inferred; a mismatch does not compile.
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

// FailureReason goes to the saga's log.
func (e HotelFull) FailureReason() string { return e.Reason }

// A participant knows nothing of sagas: one handler, one transaction. A refusal is the failure event.
func participants(s *inbox.Service) {
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c BookFlight) (FlightBooked, error) {
		fmt.Println("flight booked for", c.Trip)
		return FlightBooked{Seat: "12A"}, nil
	})
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c CancelFlight) (FlightCancelled, error) {
		fmt.Println("flight cancelled for", c.Trip)
		return FlightCancelled{}, nil
	})
	inbox.Handle(s, func(context.Context, inbox.Tx, BookHotel) (HotelBooked, error) {
		return HotelBooked{}, messaging.Refuse(HotelFull{Reason: "no room left"})
	})
}

// saga:end

func main() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // the deferred stop only ends what ends with the process
	}
}

// run wires everything in memory: with sqlsaga and sqlmsg in place of memsaga and inbox.Memory it survives a crash.
func run(ctx context.Context) error {
	types, err := messaging.NewJSONCodec(
		messaging.JSON[BookFlight]("BookFlight", "flight-commands"), messaging.JSON[CancelFlight]("CancelFlight", "flight-commands"),
		messaging.JSON[FlightBooked]("FlightBooked", "flights"), messaging.JSON[FlightCancelled]("FlightCancelled", "flights"),
		messaging.JSON[BookHotel]("BookHotel", "hotel-commands"),
		messaging.JSON[HotelBooked]("HotelBooked", "hotels"), messaging.JSON[HotelFull]("HotelFull", "hotels"))
	if err != nil {
		return err
	}
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: types}
	service, err := inbox.NewService(inbox.Config{Name: "travel", Bus: bus, Store: inbox.NewMemory()})
	if err != nil {
		return err
	}
	participants(service)
	c, err := coordinator.New(coordinator.Config{Store: memsaga.New(), Bus: bus, Definitions: []saga.Any{BookTrip}})
	if err != nil {
		return err
	}
	go service.Run(ctx) //nolint:errcheck // it ends with ctx
	go c.Run(ctx)       //nolint:errcheck // it ends with ctx
	<-service.Ready()
	<-c.Ready()

	id, err := coordinator.Start(ctx, c, BookTrip, Trip{ID: "trip-1"}, coordinator.Key("trip-1"))
	if err != nil {
		return err
	}
	end, err := c.Await(ctx, id)
	fmt.Printf("the saga is %s: %s\n", end.Status, end.Reason)
	return err
}
