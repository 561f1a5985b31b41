package coordinator_test

import (
	"errors"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// onTopicsOfTheirOwn is the world's codec with one type for each topic.
func (w *world) onTopicsOfTheirOwn() {
	w.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[bookFlight]("bookFlight", "book-flight"), messaging.JSON[cancelFlight]("cancelFlight", "cancel-flight"),
		messaging.JSON[bookHotel]("bookHotel", "book-hotel"), messaging.JSON[cancelHotel]("cancelHotel", "cancel-hotel"),
		messaging.JSON[pay]("pay", "pay"), messaging.JSON[paid]("paid", "paid"), messaging.JSON[payFails]("payFails", "pay-fails"),
		messaging.JSON[flightBooked]("flightBooked", "flight-booked"), messaging.JSON[flightCancelled]("flightCancelled", "flight-cancelled"),
		messaging.JSON[hotelBooked]("hotelBooked", "hotel-booked"), messaging.JSON[hotelCancelled]("hotelCancelled", "hotel-cancelled"))
	if err != nil {
		w.Fatal(err)
	}
	w.codec = codec
}

func TestAnUndoWhoseReplyCannotBeSeenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onTopicsOfTheirOwn()
	config := coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def}}
	_, err := coordinator.New(config)
	if !errors.Is(err, coordinator.ErrConfig) {
		t.Fatalf("New: %v, want ErrConfig", err)
	}
	for _, want := range []string{"trip/flight", "coordinator_test.cancelFlight", "trip/hotel", "coordinator_test.cancelHotel", "saga.Undone", "Replies"} {
		if !containsText(err, want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	// A later version that declares the event has the topic read for the earlier one, too.
	mended := saga.MustDefine("trip", saga.Step("flight",
		saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
		saga.On(func(*trip, flightBooked) {}),
		saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.ID} }),
		saga.Undone(func(*trip, flightCancelled) {})))
	config.Definitions = append(config.Definitions, mended)
	if _, err := coordinator.New(config); err != nil {
		t.Errorf("beside a definition that declares the event: %v", err)
	}
	config.Replies = []any{struct{}{}}
	if _, err := coordinator.New(config); !errors.Is(err, coordinator.ErrConfig) || !containsText(err, "Replies[0]") {
		t.Errorf("a type without a topic: %v", err)
	}
}

func TestRepliesAreReadOnTheirOwnTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onTopicsOfTheirOwn()
	w.participants()
	c, _ := w.coordinator(coordinator.Config{Replies: []any{flightCancelled{}, hotelCancelled{}}})
	id := w.start(c, trip{ID: "t1", Broke: true})
	w.ends(c, id, saga.Compensated)
	if n := w.net("flight", "t1") + w.net("hotel", "t1"); n != 0 {
		t.Errorf("net effect %d, want none", n)
	}
}
