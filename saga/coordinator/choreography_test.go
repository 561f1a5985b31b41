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
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// The choreography of the tests: a cruise of three services, each of which sends its own commands on the others' events. The port's
// events tell the others all that they need.
type (
	cruise struct {
		ID     string
		Cabins []cabin
	}
	cabin     struct{ Name, Ref string }
	berth     struct{ Cruise cruise }
	berthed   struct{ Cruise cruise }
	full      struct{ Cruise cruise }
	unberth   struct{ Cruise string }
	unberthed struct{}
	makeUp    struct{ Cabin string }
	madeUp    struct{ Ref string }
	broken    struct{}
	strip     struct{ Cabin, Ref string }
	stripped  struct{}
	sell      struct{ Cruise string }
	sold      struct{}
	notSold   struct{}
)

func takeCruise() *saga.Definition[cruise] {
	return saga.MustDefine("cruise",
		saga.Step("berth",
			saga.Do(func(c cruise) berth { return berth{c} }),
			saga.On(func(*cruise, berthed) {}),
			saga.OnFailure(func(*cruise, full) {}),
			saga.Undo(func(c cruise) unberth { return unberth{c.ID} }),
			saga.Undone(func(*cruise, unberthed) {})).Service("port"),
		saga.ForEach("cabins", func(c cruise) []cabin { return c.Cabins },
			saga.Step("cabin",
				saga.Do(func(c cabin) makeUp { return makeUp{c.Name} }),
				saga.On(func(c *cabin, e madeUp) { c.Ref = e.Ref }),
				saga.OnFailure(func(*cabin, broken) {}),
				saga.Undo(func(c cabin) strip { return strip{c.Name, c.Ref} }),
				saga.Undone(func(*cabin, stripped) {})).Service("hotel")),
		saga.Step("sale",
			saga.Do(func(c cruise) sell { return sell{c.ID} }),
			saga.On(func(*cruise, sold) {}),
			saga.OnFailure(func(*cruise, notSold) {})).Service("agency").Pivot())
}

// cruising is a world of cruises, without a coordinator of all. What is named is refused.
type cruising struct {
	*world
	def     *saga.Definition[cruise]
	parties []*party
	refused []string
}

// party is one service's coordinator, or the watcher's, with its own store.
type party struct {
	name  string
	def   *saga.Definition[cruise]
	store *memsaga.Store
	c     *coordinator.Coordinator
	stop  func()
}

func newCruising(t *testing.T, faults func(messaging.Message) memmsg.Fault, refused ...string) *cruising {
	t.Helper()
	w := &cruising{world: newWorld(t), def: takeCruise(), refused: refused}
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[berth]("berth", "port"), messaging.JSON[unberth]("unberth", "port"), messaging.JSON[makeUp]("makeUp", "hotel"),
		messaging.JSON[strip]("strip", "hotel"), messaging.JSON[sell]("sell", "agency"),
		messaging.JSON[berthed]("berthed", "port-events"), messaging.JSON[full]("full", "port-events"),
		messaging.JSON[unberthed]("unberthed", "port-events"), messaging.JSON[madeUp]("madeUp", "hotel-events"),
		messaging.JSON[broken]("broken", "hotel-events"), messaging.JSON[stripped]("stripped", "hotel-events"),
		messaging.JSON[sold]("sold", "agency-events"), messaging.JSON[notSold]("notSold", "agency-events"))
	if err != nil {
		t.Fatal(err)
	}
	w.codec = codec
	w.broker = memmsg.New(memmsg.Config{Fault: faults})
	t.Cleanup(func() { _ = w.broker.Close() })
	joins := []saga.Join[cruise]{
		saga.JoinOn(func(e berthed) cruise { return e.Cruise }), saga.JoinOn(func(e full) cruise { return e.Cruise }),
	}
	for _, name := range []string{"port", "hotel", "agency", ""} {
		def, err := saga.Choreograph(w.def, name, joins...)
		if err != nil {
			t.Fatal(err)
		}
		w.parties = append(w.parties, &party{name: name, def: def, store: memsaga.New()})
	}
	for _, topic := range []string{"port-events", "hotel-events", "agency-events"} { // a party that comes late misses nothing
		for _, p := range w.parties {
			if err := w.broker.Declare(messaging.Subscription{Topic: topic, Name: p.subscription()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.participants()
	return w
}

func (p *party) subscription() string { return "saga of " + p.name }

// join starts the party's coordinator.
func (w *cruising) join(p *party, config coordinator.Config) {
	w.Helper()
	if config.Store == nil {
		config.Store = p.store
	}
	config.Name, config.Definitions = p.subscription(), []saga.Any{p.def}
	p.c, p.stop = w.coordinator(config)
}

func (w *cruising) joinAll() {
	w.Helper()
	for _, p := range w.parties {
		w.join(p, coordinator.Config{})
	}
}

// does notes an effect of what is not refused.
func (w *cruising) does(what string, by int, refusal any) error {
	if by > 0 && slices.Contains(w.refused, what) {
		return messaging.Refuse(refusal)
	}
	w.effect(what, "", by)
	return nil
}

func (w *cruising) participants() {
	w.Helper()
	port, hotel, agency := w.service("port"), w.service("hotel"), w.service("agency")
	inbox.Handle(port, func(_ context.Context, _ inbox.Tx, c berth) (berthed, error) {
		return berthed(c), w.does("berth", 1, full(c))
	})
	inbox.Handle(port, func(context.Context, inbox.Tx, unberth) (unberthed, error) {
		return unberthed{}, w.does("berth", -1, nil)
	})
	inbox.Handle(hotel, func(_ context.Context, _ inbox.Tx, c makeUp) (madeUp, error) {
		return madeUp{"ref " + c.Cabin}, w.does(c.Cabin, 1, broken{})
	})
	inbox.Handle(hotel, func(_ context.Context, _ inbox.Tx, c strip) (stripped, error) {
		return stripped{}, w.does(c.Cabin, -1, nil)
	})
	inbox.Handle(agency, func(context.Context, inbox.Tx, sell) (sold, error) {
		return sold{}, w.does("sale", 1, notSold{})
	})
	for _, s := range []*inbox.Service{port, hotel, agency} {
		w.run(s.Run, s.Ready())
	}
}

// sail has the port start a cruise of so many cabins.
func (w *cruising) sail(cabins int) saga.ID {
	w.Helper()
	data := cruise{ID: "c", Cabins: make([]cabin, cabins)}
	for i := range data.Cabins {
		data.Cabins[i].Name = fmt.Sprint("cabin ", i)
	}
	port := w.parties[0]
	id, err := coordinator.Start(context.Background(), port.c, port.def, data, coordinator.Key("c"))
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// ends wants all parties to come to the same end, with all effects or none.
func (w *cruising) ends(what string, id saga.ID, cabins int) {
	w.Helper()
	want, effect := saga.Completed, 1
	if len(w.refused) > 0 {
		want, effect = saga.Compensated, 0
	}
	for _, p := range w.parties {
		var s saga.State
		for range 3600 {
			s, _ = p.store.Get(context.Background(), id)
			if s.Status.Terminal() {
				break
			}
			<-time.After(time.Second)
		}
		if s.Status != want {
			w.Fatalf("%s: to %q it is %q (%s), want %s", what, p.name, s.Status, s.Reason, want)
		}
	}
	effects := []string{"berth", "sale"}
	for i := range cabins {
		effects = append(effects, fmt.Sprint("cabin ", i))
	}
	for _, e := range effects {
		if got := w.net(e, ""); got != effect {
			w.Errorf("%s: net effect of %s is %d, want %d", what, e, got, effect)
		}
	}
	<-time.After(2 * time.Minute) // whatever is late
	w.noLetters()
}

// ways are what is refused, by its name.
func ways() map[string][]string {
	return map[string][]string{
		"nothing refused": nil, "the first step refused": {"berth"}, "an item refused": {"cabin 1"},
		"all items refused": {"cabin 0", "cabin 1", "cabin 2"}, "the last step refused": {"sale"},
	}
}

// TestChoreography comes to the same end with all parties: the three services and the watcher, which sends nothing.
func TestChoreography(t *testing.T) {
	t.Parallel()
	for name, refused := range ways() {
		synctest.Test(t, func(t *testing.T) {
			w := newCruising(t, nil, refused...)
			w.joinAll()
			began := time.Now()
			id := w.sail(3)
			w.ends(name, id, 3)
			for _, p := range w.parties {
				if s, err := p.store.Get(t.Context(), id); err != nil || s.Updated.Sub(began) > time.Second {
					t.Errorf("%s: to %q it ended after %s, %v: something waited for a timer", name, p.name, s.Updated.Sub(began), err)
				}
				entries, err := p.store.History(t.Context(), id, 0, 1000)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if e.Kind == saga.LogSent && serviceOf(e.Node) != p.name {
						t.Errorf("%s: %q sent the command of %s", name, p.name, e.Node)
					}
				}
			}
		})
	}
}

func serviceOf(node string) string {
	switch node {
	case "berth":
		return "port"
	case "sale":
		return "agency"
	default:
		return "hotel"
	}
}

// TestChoreographyOfThoseWhoComeLate has each party in turn away until nothing goes on without it.
func TestChoreographyOfThoseWhoComeLate(t *testing.T) {
	t.Parallel()
	for name, refused := range ways() {
		for late := 1; late < 4; late++ {
			synctest.Test(t, func(t *testing.T) {
				w := newCruising(t, nil, refused...)
				for i, p := range w.parties {
					if i != late {
						w.join(p, coordinator.Config{})
					}
				}
				id := w.sail(3)
				time.Sleep(time.Minute)
				w.join(w.parties[late], coordinator.Config{})
				w.ends(fmt.Sprintf("%s, %q late", name, w.parties[late].name), id, 3)
			})
		}
	}
}

// TestChoreographyOverABadBroker loses, repeats, delays and reorders messages.
func TestChoreographyOverABadBroker(t *testing.T) {
	t.Parallel()
	odds := memmsg.Odds{Drop: 0.1, Fail: 0.1, Duplicate: 0.3, Delay: 0.5, Behind: 0.3, MaxDelay: 3 * time.Second}
	for name, refused := range ways() {
		for seed := range uint64(12) {
			synctest.Test(t, func(t *testing.T) {
				w := newCruising(t, memmsg.Script(seed, odds), refused...)
				w.joinAll()
				w.ends(fmt.Sprintf("%s, seed %d", name, seed), w.sail(3), 3)
			})
		}
	}
}

// TestChoreographyCrashPoints stops each party at every boundary in turn, and takes its work up in a new life.
func TestChoreographyCrashPoints(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string][]string{"nothing refused": nil, "an item refused": {"cabin 1"}, "the last step refused": {"sale"}} {
		for victim, p := range []string{"port", "hotel", "agency", "the watcher"} {
			points := 0
			for n := 1; ; n++ {
				crashed := false
				synctest.Test(t, func(t *testing.T) {
					crashed = crashPartyAt(t, fmt.Sprintf("%s, %s crashes at %d", name, p, n), n, victim, refused)
				})
				if !crashed {
					break
				}
				points = n
			}
			t.Logf("%s, %s: %d crash points", name, p, points)
			if points < 4 {
				t.Errorf("%s, %s: only %d crash points were met", name, p, points)
			}
		}
	}
}

func crashPartyAt(t *testing.T, what string, n, victim int, refused []string) (crashed bool) {
	t.Helper()
	w := newCruising(t, nil, refused...)
	f := newFuse(n)
	store, broker := &crashingStore{w.parties[victim].store, f}, crashingBroker{w.broker, f}
	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker, Grace: time.Millisecond, Linger: time.Microsecond, Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	stopRelay := w.run(relay.Run, nil)
	for i, p := range w.parties {
		config := coordinator.Config{}
		if i == victim {
			config = coordinator.Config{Store: store, Bus: messaging.Bus{Broker: broker, Codec: w.codec}, Relay: relay}
		}
		w.join(p, config)
	}
	id := coordinator.IDOf("cruise", "c")
	started := make(chan struct{})
	go func() {
		defer close(started)
		port := w.parties[0]
		data := cruise{ID: "c", Cabins: []cabin{{Name: "cabin 0"}, {Name: "cabin 1"}, {Name: "cabin 2"}}}
		_, _ = coordinator.Start(context.Background(), port.c, port.def, data, coordinator.Key("c"))
	}()
	select {
	case <-f.blown:
		crashed = true
	case <-time.After(time.Minute):
	}
	<-started
	w.parties[victim].stop()
	stopRelay()
	w.join(w.parties[victim], coordinator.Config{})
	w.sail(3) // whoever got no answer starts again with the same key
	w.ends(what, id, 3)
	return crashed
}

// TestChoreographyRefusesTwoPartiesInOneCoordinator, as they would write over each other.
func TestChoreographyRefusesTwoPartiesInOneCoordinator(t *testing.T) {
	t.Parallel()
	w := newCruising(t, nil)
	_, err := coordinator.New(coordinator.Config{
		Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def, w.parties[0].def, w.parties[3].def}, Logger: quiet(),
	})
	wantFault(t, err, "two parties")
	if _, err := coordinator.New(coordinator.Config{
		Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def, w.parties[0].def}, Logger: quiet(),
	}); err != nil {
		t.Errorf("one party beside the orchestrated definition: %v", err)
	}
}

func wantFault(t *testing.T, err error, text string) {
	t.Helper()
	if !errors.Is(err, coordinator.ErrConfig) || !strings.Contains(err.Error(), text) {
		t.Errorf("New: %v, want ErrConfig that says %q", err, text)
	}
}
