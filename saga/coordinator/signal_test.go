package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// TestSignal comes early, in time, twice and in vain.
func TestSignal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTravelling(t)
		c, _ := w.journeys(coordinator.Config{})
		id := w.begin(c, journey{ID: "j", Stays: stays(1)})
		signal := func(of saga.ID, node string, event any) error { return c.Signal(t.Context(), of, node, event) }
		version := w.loaded(id).Version
		for name, test := range map[string]struct{ got, want error }{
			"to nobody":            {signal("nobody", "boarding", boarding{}), saga.ErrNotFound},
			"to an unknown wait":   {signal(id, "landing", boarding{}), saga.ErrNotFound},
			"to a step":            {signal(id, "flight", boarding{}), saga.ErrNotFound},
			"of another type":      {signal(id, "boarding", passport{}), saga.ErrUnexpectedReply},
			"of no type":           {signal(id, "boarding", nil), saga.ErrUnexpectedReply},
			"wrong to an item":     {signal(id, "stays[0]/checked", passport{}), saga.ErrUnexpectedReply},
			"to an unknown fanout": {signal(id, "nights[0]/checked", checked{}), saga.ErrNotFound},
		} {
			if !errors.Is(test.got, test.want) {
				t.Errorf("a signal %s: %v, want %v", name, test.got, test.want)
			}
		}
		if s := w.loaded(id); s.Version != version {
			t.Errorf("signals in vain led from version %d to %d", version, s.Version)
		}
		for _, gate := range []string{"early", "again"} { // long before its wait
			if err := signal(id, "boarding", boarding{gate}); err != nil {
				t.Error(err)
			}
		}
		w.run(w.agency.Run, w.agency.Ready())
		time.Sleep(saga.DefaultTimeout + time.Second) // the flight is booked: the wait for the passport begins
		for _, number := range []string{"in time", "again"} {
			if err := signal(id, "prepare/papers/passport", passport{number}); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if err := signal(id, "stays[1]/checked", checked{}); !errors.Is(err, saga.ErrNotFound) {
			t.Errorf("a signal to an item that never comes: %v", err)
		}
		if err := signal(id, "stays[0]/checked", checked{"clean"}); err != nil {
			t.Error(err)
		}
		s := w.ends(c, id, saga.Completed)
		var data journey
		if decode(w.world, s, &data); data.Gate != "early" || data.Passport != "in time" {
			t.Errorf("it ended with %+v", data)
		}
		if items, err := w.store.Items(t.Context(), id, 0, 10); err != nil || len(items) != 1 || !strings.Contains(string(items[0].Data), "clean") {
			t.Errorf("its items are %v, %v", items, err)
		}
		if err := errors.Join(signal(id, "boarding", boarding{"late"}), signal(id, "landing", boarding{"late"})); err != nil {
			t.Errorf("signals after the end: %v", err)
		}
		if after := w.loaded(id); after.Version != s.Version {
			t.Errorf("signals after the end led from version %d to %d", s.Version, after.Version)
		}
	})
}

// message is the event as a signal from somebody who knows the instance.
func (w *travelling) message(id saga.ID, node string, event any) messaging.Message {
	w.Helper()
	m, err := w.codec.Encode(event)
	if err != nil {
		w.Fatal(err)
	}
	m.ID = fmt.Sprintf("%s %s %v", id, node, event)
	m.Headers = map[string]string{
		messaging.HeaderSaga: string(id), messaging.HeaderNode: node, messaging.HeaderDirection: string(messaging.Signal),
	}
	return m
}

// TestSignalsAsMessages come with the saga's headers: one to an item that is not made yet is kept until it is.
func TestSignalsAsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTravelling(t)
		w.run(w.agency.Run, w.agency.Ready())
		c, _ := w.journeys(coordinator.Config{})
		id := w.begin(c, journey{ID: "j", Stays: stays(1)})
		garbage := w.message(id, "boarding", boarding{"none"})
		garbage.Payload = []byte("?")
		settled := make(chan string, 10)
		for _, m := range []messaging.Message{
			w.message(id, "stays[0]/checked", checked{"clean"}), w.message(id, "boarding", boarding{"B7"}), w.message(id, "boarding", boarding{"C8"}),
			w.message(id, "landing", boarding{}), w.message("nobody", "boarding", boarding{}), w.message(id, "boarding", passport{}), garbage,
		} {
			w.broker.Publish(context.Background(), m, func(err error) {
				if err != nil {
					t.Error(err)
				}
				settled <- m.ID
			})
		}
		synctest.Wait()
		if got, want := len(settled), 7; got != want {
			t.Errorf("at first %d are settled, want %d", got, want)
		}
		time.Sleep(10 * time.Second)
		w.deliver(w.message(id, "prepare/papers/passport", passport{"p1"})) // it goes on to the item
		s := w.ends(c, id, saga.Completed)
		var data journey
		if decode(w.world, s, &data); data.Gate != "B7" && data.Gate != "C8" || data.Passport != "p1" {
			t.Errorf("it ended with %+v", data)
		}
		if took := s.Updated.Sub(s.Started); took > 11*time.Second {
			t.Errorf("it took %s: the early signal was not kept", took)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		var letters []string
		for _, d := range w.dead {
			letters = append(letters, d.Message.ID)
		}
		slices.Sort(letters)
		want := []string{string(id) + " boarding {none}", string(id) + " boarding {}", string(id) + " landing {}", "nobody boarding {}"}
		slices.Sort(want)
		if !slices.Equal(letters, want) {
			t.Errorf("dead letters %q, want %q", letters, want)
		}
	})
}

// deliver returns when the message is taken.
func (w *world) deliver(m messaging.Message) {
	w.Helper()
	if err := messaging.Publish(context.Background(), w.broker, m); err != nil {
		w.Fatal(err)
	}
}

// TestASignalToAnItemToComeIsKept by its fan-out, whenever that begins.
func TestASignalToAnItemToComeIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTravelling(t)
		w.run(w.agency.Run, w.agency.Ready())
		c, _ := w.journeys(coordinator.Config{})
		id := w.begin(c, journey{ID: "j", Stays: stays(1)})
		w.deliver(w.message(id, "stays[0]/checked", checked{"clean"})) // nobody has signalled the passport
		found := false
		for _, n := range w.loaded(id).Root.Nodes {
			found = found || len(n.Kept) == 1 && n.Kept[0].Node == "stays[0]/checked"
		}
		if got := w.letters(); !found || len(got) > 0 {
			t.Errorf("kept %t, dead letters %q", found, got)
		}
	})
}
