package sqlsaga_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// A saga whose painter knows nothing of sagas, and that others may start.
type (
	purchase struct{ ID, Why string }
	ordered  struct{ ID string }
	pay      struct{ Order string }
	paid     struct{}
	refund   struct{ Order string }
	repaid   struct{}
	paint    struct{ Order string }
	painted  struct{ Order string }
	ship     struct{ Order, Why string }
	shipped  struct{}
	unsent   struct{ Why string }
	nod      struct{}
)

func (u unsent) FailureReason() string { return u.Why }

// yard is a coordinator, a shop and a painter over one database.
type yard struct {
	*testing.T
	broker *memmsg.Broker
	codec  *messaging.JSONCodec
	def    *saga.Definition[purchase]
	c      *coordinator.Coordinator
	sagas  *sqlsaga.Store
	// letters are where the dead ones are.
	letters *sqlmsg.Store
}

func newYard(t *testing.T, url string) *yard {
	t.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[pay]("pay", "shop"), messaging.JSON[refund]("refund", "shop"), messaging.JSON[ship]("ship", "shop"),
		messaging.JSON[paint]("paint", "painter"), messaging.JSON[ordered]("ordered", "events"), messaging.JSON[paid]("paid", "events"),
		messaging.JSON[repaid]("repaid", "events"), messaging.JSON[painted]("painted", "events"),
		messaging.JSON[shipped]("shipped", "events"), messaging.JSON[unsent]("unsent", "events"), messaging.JSON[nod]("nod", "events"))
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{T: t, broker: memmsg.New(memmsg.Config{}), codec: codec}
	t.Cleanup(func() { _ = y.broker.Close() })
	y.letters, y.sagas = open(t, url)
	y.def = saga.MustDefine("order",
		saga.StartOn(func(e ordered) (string, purchase) { return e.ID, purchase{ID: e.ID} }),
		saga.Step("pay",
			saga.Do(func(o purchase) pay { return pay{o.ID} }), saga.On(func(*purchase, paid) {}), saga.Undo(func(o purchase) refund { return refund{o.ID} })),
		saga.Step("paint",
			saga.Do(func(o purchase) paint { return paint{o.ID} }), saga.On(func(*purchase, painted) {}),
			saga.Matching(func(o purchase) string { return o.ID }, saga.KeyOf(func(e painted) string { return e.Order }))).NothingToUndo(),
		saga.Step("ship",
			saga.Do(func(o purchase) ship { return ship{o.ID, o.Why} }), saga.On(func(*purchase, shipped) {}), saga.OnFailure(func(*purchase, unsent) {})).Pivot())
	bus, quiet := messaging.Bus{Broker: y.broker, Codec: codec}, slog.New(slog.DiscardHandler)
	shop, err := inbox.NewService(inbox.Config{Name: "shop", Bus: bus, Store: y.letters, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	inbox.Handle(shop, func(context.Context, inbox.Tx, pay) (paid, error) { return paid{}, nil })
	inbox.Handle(shop, func(context.Context, inbox.Tx, refund) (repaid, error) { return repaid{}, nil })
	inbox.Handle(shop, func(ctx context.Context, tx inbox.Tx, c ship) (shipped, error) {
		if c.Order == "odd" { // a key that its sender chose
			if err := tx.Append(ctx, []messaging.Message{{ID: "parcel", Topic: "parcels", Key: c.Why}}); err != nil {
				return shipped{}, err
			}
		}
		if c.Why != "" {
			return shipped{}, messaging.Refuse(unsent{c.Why})
		}
		return shipped{}, nil
	})
	y.c, err = coordinator.New(coordinator.Config{Store: y.sagas, Bus: bus, Definitions: []saga.Any{y.def}, DeadLetters: y.letters, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	painter, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: y.broker, DeadLetters: y.letters, Logger: quiet})
	if err == nil {
		err = painter.Handle(messaging.Subscription{Topic: "painter", Name: "painter"}, func(ctx context.Context, m messaging.Message) error {
			c, err := codec.Decode(m)
			if err != nil {
				return err
			}
			reply, err := codec.Encode(painted{c.(paint).Order})
			reply.ID = "painted\x00\xff" + m.ID + strings.Repeat("!", 300)
			return errors.Join(err, messaging.Publish(ctx, y.broker, reply))
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	y.run(shop.Run, shop.Ready())
	y.run(painter.Run, painter.Ready())
	y.run(y.c.Run, y.c.Ready())
	return y
}

func (y *yard) run(part func(context.Context) error, ready <-chan struct{}) {
	y.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(y.Context()))
	ended := make(chan error, 1)
	go func() { ended <- part(ctx) }()
	y.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			y.Error(err)
		}
	})
	<-ready
}

// publish publishes the event or command once it was changed, and waits until everybody has taken it.
func (y *yard) publish(body any, change func(messaging.Message) messaging.Message) {
	y.Helper()
	m, err := y.codec.Encode(body)
	if err != nil {
		y.Fatal(err)
	}
	m = change(m)
	ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
	defer cancel()
	if err := messaging.Publish(ctx, y.broker, m); err != nil {
		y.Errorf("%s %q was not taken: %v", m.Type, m.Headers, err)
	}
}

// order orders, and waits for the end.
func (y *yard) order(o purchase) saga.State {
	y.Helper()
	ctx, cancel := context.WithTimeout(y.Context(), time.Minute)
	defer cancel()
	id, err := coordinator.Start(ctx, y.c, y.def, o, coordinator.Key(o.ID))
	if err != nil {
		y.Fatal(err)
	}
	s, err := y.c.Await(ctx, id)
	if err != nil {
		y.Errorf("the order %q is %s: %v", o.ID, s.Status, err)
	}
	return s
}

// lettersBy counts the dead letters by what their reason says.
func (y *yard) lettersBy(wants ...string) map[string]int {
	y.Helper()
	letters, err := y.letters.DeadLetters(y.Context(), 0, 1000)
	if err != nil {
		y.Fatal(err)
	}
	found := map[string]int{}
	for _, letter := range letters {
		reason := letter.Reason
		for _, want := range wants {
			if strings.Contains(reason, want) {
				reason = want
			}
		}
		found[reason]++
	}
	return found
}

// everywhere runs the test on each database.
func everywhere(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	databases := map[string]func(testing.TB) testenv.Database{"sqlite": func(tb testing.TB) testenv.Database {
		tb.Helper()
		return testenv.Database{URL: "sqlite:" + filepath.Join(tb.TempDir(), "sagas.db")}
	}}
	maps.Copy(databases, testenv.Servers())
	for name, database := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, database(t).URL)
		})
	}
}

// TestIntegrationRefusalsWithAnyReason: whatever a participant gives as its reason, its saga is compensated.
func TestIntegrationRefusalsWithAnyReason(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, url string) {
		y := newYard(t, url)
		for i, why := range []string{"no stock\x00of this", "\x00", strings.Repeat("ñ", 1<<16)} {
			s := y.order(purchase{ID: fmt.Sprint(i), Why: why})
			if s.Status != saga.Compensated || !legible.Is(s.Reason) || !strings.HasPrefix(s.Reason, "ship: ") {
				t.Errorf("refused with %.20q: %s, %.20q", why, s.Status, s.Reason)
			}
			story, err := y.sagas.History(t.Context(), s.ID, 0, 100)
			if err != nil || len(story) == 0 {
				t.Errorf("the story: %v, %v", story, err)
			}
		}
		if letters := y.lettersBy(); len(letters) > 0 {
			t.Errorf("dead letters: %v", letters)
		}
	})
}

// TestIntegrationWhatNoDatabaseCanKeepIsADeadLetter: headers and ids of messages from outside that some database cannot
// look up or keep cost that message alone, and are tried once.
func TestIntegrationWhatNoDatabaseCanKeepIsADeadLetter(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, url string) {
		y := newYard(t, url)
		known := y.order(purchase{ID: "known"})
		n := 0
		for _, text := range []string{"a\x00b", "a\xffb"} {
			for _, c := range []messaging.Correlation{
				{Saga: text, Node: "pay"}, {Saga: string(known.ID), Node: text}, {Saga: string(known.ID), Node: "rooms[" + text + "]/pay"},
			} {
				n++
				for _, c.Direction = range []messaging.Direction{messaging.Do, messaging.Undo, messaging.Signal} {
					y.publish(paid{}, func(m messaging.Message) messaging.Message {
						return c.Stamp(m).WithHeader(messaging.HeaderOutcome, string(messaging.Success))
					})
				}
				c.Direction = messaging.Do
				y.publish(pay{}, c.Stamp)
			}
			y.publish(nod{}, func(m messaging.Message) messaging.Message { // nobody's, with an id that cannot be kept
				m.ID = text
				return m
			})
			y.publish(pay{}, func(m messaging.Message) messaging.Message { // of no saga
				m.ID, m.Key = text, text
				return m
			})
		}
		for _, id := range []string{"a\x00b", strings.Repeat("k", saga.MaxKey+1)} {
			_, err := coordinator.Start(t.Context(), y.c, y.def, purchase{ID: id}, coordinator.Key(id))
			if !errors.Is(err, saga.ErrKey) {
				t.Errorf("Start with a key of %d bytes: %v, want ErrKey", len(id), err)
			}
			y.publish(ordered{id}, func(m messaging.Message) messaging.Message { return m })
		}
		y.publish(ship{Order: "odd", Why: "a\x00b"}, func(m messaging.Message) messaging.Message { return m })
		headers, unkept, key := "headers of the saga are incomplete or malformed", "ID or key is not UTF-8 without NUL", "unusable key"
		if letters := y.lettersBy(headers, unkept, key); letters[headers] != 4*n || letters[unkept] != 1 || letters[key] != 2 || len(letters) != 3 {
			t.Errorf("dead letters: %v, want %d with %q, one with %q, two with %q", letters, 4*n, headers, unkept, key)
		}
		if s := y.order(purchase{ID: strings.Repeat("k", saga.MaxKey)}); s.Status != saga.Completed {
			t.Errorf("a later order is %s (%s)", s.Status, s.Reason)
		}
	})
}
