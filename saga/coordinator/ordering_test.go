package coordinator_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The third saga of the tests: orders, which begin with an event, whose carrier and clerks know nothing of sagas, and whose till, which
// decides, does. What the carrier and the clerks tell is recognised by the lane.
type (
	order struct {
		ID, Lane      string
		Tracking, Why string
		Approved      string
	}
	orderPlaced  struct{ Order, Lane string }
	ship         struct{ Lane string }
	shipped      struct{ Lane, Tracking string }
	shipRefused  struct{ Lane, Why string }
	recall       struct{ Lane string }
	approved     struct{ Lane, By string }
	bill         struct{ Order string }
	billed       struct{}
	billRefused  struct{}
	weatherWarns struct{ Place string } // travels with the others and concerns nobody
)

// FailureReason implements [saga.FailureReason].
func (e shipRefused) FailureReason() string { return e.Why }

func laneOf(o order) string { return o.Lane }

// shipping is a step of a carrier that echoes no headers; its refusal also acknowledges the recall.
func shipping() *saga.StepNode[order] {
	return saga.Step("ship",
		saga.Do(func(o order) ship { return ship{o.Lane} }),
		saga.On(func(o *order, e shipped) { o.Tracking = e.Tracking }),
		saga.OnFailure(func(o *order, e shipRefused) { o.Why = e.Why }),
		saga.Undo(func(o order) recall { return recall{o.Lane} }),
		saga.Matching(laneOf, saga.KeyOf(func(e shipped) string {
			if e.Lane == "bad" {
				panic("no such lane")
			}
			return e.Lane
		}), saga.KeyOf(func(e shipRefused) string { return e.Lane })),
	).UndoneByFailure()
}

func approval() *saga.WaitNode[order] {
	return saga.Wait("approval", func(o *order, e approved) { o.Approved = e.By },
		saga.Matching(laneOf, saga.KeyOf(func(e approved) string { return e.Lane })))
}

func billing() *saga.StepNode[order] {
	return saga.Step("bill",
		saga.Do(func(o order) bill { return bill{o.ID} }),
		saga.On(func(*order, billed) {}),
		saga.OnFailure(func(*order, billRefused) {})).Pivot()
}

func placeOrder(name string) *saga.Definition[order] {
	return saga.MustDefine(name,
		saga.StartOn(func(e orderPlaced) (string, order) { return e.Order, order{ID: e.Order, Lane: e.Lane} }),
		shipping(), approval(), billing())
}

// ordering is a world of orders; the test itself is the carrier and the clerks.
type ordering struct {
	*world
	def  *saga.Definition[order]
	sent int
}

func newOrdering(t *testing.T) *ordering {
	t.Helper()
	w := &ordering{world: newWorld(t), def: placeOrder("order")}
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[ship]("ship", "carrier"), messaging.JSON[recall]("recall", "carrier"), messaging.JSON[bill]("bill", "till"),
		messaging.JSON[orderPlaced]("orderPlaced", "events"), messaging.JSON[shipped]("shipped", "events"),
		messaging.JSON[shipRefused]("shipRefused", "events"), messaging.JSON[approved]("approved", "events"),
		messaging.JSON[billed]("billed", "events"), messaging.JSON[billRefused]("billRefused", "events"),
		messaging.JSON[weatherWarns]("weatherWarns", "events"))
	if err != nil {
		t.Fatal(err)
	}
	w.codec = codec
	return w
}

// till runs the participant that knows of sagas; it refuses the bills of the orders named.
func (w *ordering) till(refused ...string) {
	w.Helper()
	s := w.service("till")
	inbox.Handle(s, func(_ context.Context, _ inbox.Tx, c bill) (billed, error) {
		if slices.Contains(refused, c.Order) {
			return billed{}, messaging.Refuse(billRefused{})
		}
		w.effect("bill", c.Order, 1)
		return billed{}, nil
	})
	w.run(s.Run, s.Ready())
}

// orders starts a coordinator of orders.
func (w *ordering) orders(config coordinator.Config) (c *coordinator.Coordinator, stop func()) {
	w.Helper()
	if config.Definitions == nil {
		config.Definitions = []saga.Any{w.def}
	}
	return w.coordinator(config)
}

// event is a message of somebody who knows nothing of sagas.
func (w *ordering) event(event any) messaging.Message {
	w.Helper()
	m, err := w.codec.Encode(event)
	if err != nil {
		w.Fatal(err)
	}
	w.sent++
	m.ID = fmt.Sprint("event ", w.sent)
	return m
}

// tellAll publishes events one after the other: each is taken before the next comes.
func (w *ordering) tellAll(events ...any) {
	w.Helper()
	for _, e := range events {
		w.deliver(w.event(e))
	}
}

// together has the messages wait until a coordinator comes, which then gets all of them at once.
func (w *ordering) together(messages ...messaging.Message) (taken func()) {
	w.Helper()
	outcomes := make(chan error, len(messages))
	if err := w.broker.Declare(messaging.Subscription{Topic: "events", Name: "saga-coordinator"}); err != nil {
		w.Fatal(err)
	}
	for _, m := range messages {
		w.broker.Publish(context.Background(), m, func(err error) { outcomes <- err })
	}
	return func() {
		w.Helper()
		for range messages {
			if err := <-outcomes; err != nil {
				w.Fatal(err)
			}
		}
	}
}

// place starts an order.
func (w *ordering) place(c *coordinator.Coordinator, id, lane string) saga.ID {
	w.Helper()
	started, err := coordinator.Start(context.Background(), c, w.def, order{ID: id, Lane: lane}, coordinator.Key(id))
	if err != nil {
		w.Fatal(err)
	}
	return started
}

func orderID(id string) saga.ID { return coordinator.IDOf("order", id) }

// now returns the order as it is stored.
func (w *ordering) now(id string) (s saga.State, data order) {
	w.Helper()
	s, err := w.store.Get(context.Background(), orderID(id))
	if err != nil {
		w.Fatal(err)
	}
	decode(w.world, s, &data)
	return s, data
}

// letters returns the reasons of the dead letters.
func (w *world) letters() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	reasons := make([]string, len(w.dead))
	for i, d := range w.dead {
		reasons[i] = d.Reason
	}
	return reasons
}

// noLetters wants no dead letter.
func (w *world) noLetters() {
	w.Helper()
	if got := w.letters(); len(got) > 0 {
		w.Errorf("dead letters: %q", got)
	}
}
