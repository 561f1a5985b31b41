package coordinator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// foreign runs a participant that knows of sagas no more than that it echoes headers: answer changes what it would send.
func (w *world) foreign(topic string, answer func(command any, reply messaging.Message) messaging.Message) {
	w.Helper()
	router, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: w.broker, DeadLetters: messaging.DeadLetterTopic(w.broker), Logger: quiet()})
	if err == nil {
		err = router.Handle(messaging.Subscription{Topic: topic, Name: "foreign"}, func(ctx context.Context, m messaging.Message) error {
			command, err := w.codec.Decode(m)
			if err != nil {
				return err
			}
			events := map[string]any{
				"bookFlight": flightBooked{}, "cancelFlight": flightCancelled{}, "bookHotel": hotelBooked{}, "cancelHotel": hotelCancelled{}, "pay": paid{},
			}
			event := events[m.Type]
			if event == nil {
				return nil // an event, on the same topic
			}
			if c, ok := command.(pay); ok && c.Broke {
				event = payFails{Reason: "no money"}
			}
			reply, err := w.codec.Encode(event)
			if err != nil {
				return err
			}
			reply.Headers = m.Headers
			reply = answer(command, reply)
			return messaging.Publish(ctx, w.broker, reply)
		})
	}
	if err != nil {
		w.Fatal(err)
	}
	w.run(router.Run, router.Ready())
}

// onOneTopic has commands and events share a topic.
func (w *world) onOneTopic() {
	w.Helper()
	var err error
	w.codec, err = messaging.NewJSONCodec(
		messaging.JSON[bookFlight]("bookFlight", "all"), messaging.JSON[cancelFlight]("cancelFlight", "all"),
		messaging.JSON[bookHotel]("bookHotel", "all"), messaging.JSON[cancelHotel]("cancelHotel", "all"), messaging.JSON[pay]("pay", "all"),
		messaging.JSON[flightBooked]("flightBooked", "all"), messaging.JSON[flightCancelled]("flightCancelled", "all"),
		messaging.JSON[hotelBooked]("hotelBooked", "all"), messaging.JSON[hotelCancelled]("hotelCancelled", "all"),
		messaging.JSON[paid]("paid", "all"), messaging.JSON[payFails]("payFails", "all"))
	if err != nil {
		w.Fatal(err)
	}
}

// TestForeignParticipantsNeedTellNoOutcome: a reply that echoes its command's headers is taken by its type, also where commands
// with the same headers come on its topic.
func TestForeignParticipantsNeedTellNoOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.onOneTopic()
		w.foreign("all", func(_ any, reply messaging.Message) messaging.Message { return reply })
		c, _ := w.coordinator(coordinator.Config{})
		for name, want := range map[string]saga.Status{"well": saga.Completed, "broke": saga.Compensated} {
			s := w.ends(c, w.start(c, trip{ID: name, Broke: name == "broke"}), want)
			if story := fmt.Sprint(w.story(s.ID)); strings.Contains(story, string(saga.LogTimedOut)) {
				t.Errorf("a reply was lost: %s", story)
			}
		}
		if len(w.dead) > 0 {
			t.Errorf("dead letters: %v", w.dead)
		}
	})
}

// TestForeignParticipantsThatEchoWrong get to know it by a dead letter, not by a time-out.
func TestForeignParticipantsThatEchoWrong(t *testing.T) {
	t.Parallel()
	for reason, spoil := range map[string]func(messaging.Message) messaging.Message{
		"incomplete or malformed": func(m messaging.Message) messaging.Message { return m.WithHeader(messaging.HeaderEpoch, "") },
		"use success, failure":    func(m messaging.Message) messaging.Message { return m.WithHeader(messaging.HeaderOutcome, "OK") },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.onOneTopic()
			w.foreign("all", func(_ any, reply messaging.Message) messaging.Message { return spoil(reply) })
			c, _ := w.coordinator(coordinator.Config{})
			w.start(c, trip{ID: "t1"})
			synctest.Wait()
			if len(w.dead) != 1 || !strings.Contains(w.dead[0].Reason, reason) {
				t.Errorf("dead letters: %v, want one with %q", w.dead, reason)
			}
		})
	}
}
