package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.flights() // nobody books hotels
		c, stop := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s, err := c.Await(ctx, id); !errors.Is(err, context.DeadlineExceeded) || s.Status != saga.Running {
			t.Errorf("while it runs: %s, %v", s.Status, err)
		}
		if _, err := c.Await(t.Context(), "nobody"); !errors.Is(err, saga.ErrNotFound) {
			t.Errorf("of an unknown instance: %v", err)
		}
		waiting := make(chan error)
		go func() {
			_, err := c.Await(context.Background(), id)
			waiting <- err
		}()
		synctest.Wait()
		stop()
		if err := <-waiting; !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("when the coordinator stops: %v", err)
		}
		if _, err := c.Await(t.Context(), id); !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("after it has stopped: %v", err)
		}

		again, _ := w.coordinator(coordinator.Config{})
		s := w.ends(again, id, saga.Parked)
		var data trip
		if err := json.Unmarshal(s.Root.Data, &data); err != nil || data.Seat != "12A" {
			t.Errorf("data %+v, %v", data, err)
		}
		if _, err := c.Await(t.Context(), id); err != nil {
			t.Errorf("of one at rest, by a coordinator that has stopped: %v", err)
		}
	})
}

// TestAwaitIsToldByTheCommit shows that nothing is polled where the coordinator itself does the work.
func TestAwaitIsToldByTheCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, _ := w.coordinator(coordinator.Config{})
		began := time.Now()
		s := w.ends(c, w.start(c, trip{ID: "t1"}), saga.Completed)
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s", took)
		}
		if stored, err := w.store.Get(t.Context(), s.ID); err != nil || !reflect.DeepEqual(s, stored) {
			t.Errorf("Await returned %+v, the store has %+v, %v", s, stored, err)
		}
	})
}

// TestAwaitSeesOtherProcesses waits with a coordinator that takes no part.
func TestAwaitSeesOtherProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTouring(t)
		w.hotel()
		idle, err := coordinator.New(coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def}, Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		c, _ := w.tours(coordinator.Config{})
		w.tell("book", "t-0", errors.New("later"))
		id := w.book(c, tour{ID: "t", Rooms: rooms("t", 1)})
		began := time.Now()
		time.AfterFunc(time.Second/2, func() { w.tell("book", "t-0", nil) })
		w.ends(idle, id, saga.Completed)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
