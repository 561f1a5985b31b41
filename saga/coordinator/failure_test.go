package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

var errStore = errors.New("the store fails")

// hookedStore calls its hooks before it does anything; nil hooks are passed over.
type hookedStore struct {
	*memsaga.Store
	load   func() error
	commit func([]coordinator.Change) error
	adopt  func() error
	pauses func() error
}

func (s *hookedStore) Pauses(ctx context.Context) ([]coordinator.Pause, error) {
	if s.pauses != nil {
		if err := s.pauses(); err != nil {
			return nil, err
		}
	}
	return s.Store.Pauses(ctx)
}

func (s *hookedStore) Load(ctx context.Context, wants []coordinator.Want) (map[saga.ID]saga.State, error) {
	if s.load != nil {
		if err := s.load(); err != nil {
			return nil, err
		}
	}
	return s.Store.Load(ctx, wants)
}

func (s *hookedStore) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	if s.commit != nil {
		if err := s.commit(changes); err != nil {
			return nil, err
		}
	}
	return s.Store.Commit(ctx, changes)
}

func (s *hookedStore) Adopt(ctx context.Context, hashes []string) error {
	if s.adopt != nil {
		if err := s.adopt(); err != nil {
			return err
		}
	}
	return s.Store.Adopt(ctx, hashes)
}

// TestAFailingInstanceStopsNoOther has the store refuse one instance for ever: its ticks come with everybody's.
func TestAFailingInstanceStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spoiled := coordinator.IDOf("trip", "spoiled")
		var refused atomic.Int64
		c, _ := w.coordinator(coordinator.Config{MaxBatch: 4, Store: &hookedStore{Store: w.store, commit: func(changes []coordinator.Change) error {
			for _, change := range changes {
				if change.State.ID == spoiled && change.Before > 0 {
					refused.Add(1)
					return errStore
				}
			}
			return nil
		}}})
		ids := []saga.ID{w.start(c, trip{ID: "spoiled"})}
		for i := range 20 { // their deadlines come together
			ids = append(ids, w.start(c, trip{ID: fmt.Sprint("t", i), Broke: i%2 == 0}))
		}
		synctest.Wait()
		time.Sleep(saga.DefaultTimeout + time.Second)
		w.participants()
		for i, id := range ids[1:] {
			w.ends(c, id, map[bool]saga.Status{true: saga.Compensated, false: saga.Completed}[i%2 == 0])
		}
		if s, err := w.store.Get(t.Context(), spoiled); err != nil || s.Status != saga.Running {
			t.Errorf("the spoiled instance is %s, %v", s.Status, err)
		}
		if n := refused.Load(); n > 2000 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

// TestHeldInstancesStopNoOther has somebody's transactions hold instances in the store, more than there are commits at the same time.
func TestHeldInstancesStopNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		released := make(chan struct{})
		held := func(change coordinator.Change) bool { return strings.HasPrefix(change.State.Key, "h") }
		c, _ := w.coordinator(coordinator.Config{Store: &hookedStore{Store: w.store, commit: func(changes []coordinator.Change) error {
			if slices.ContainsFunc(changes, held) {
				select {
				case <-released:
				case <-time.After(5 * time.Second): // as long as a store waits
					return errStore
				}
			}
			return nil
		}}})
		answers := make(chan error, 100)
		start := func(key string) {
			go func() {
				_, err := coordinator.Start(t.Context(), c, w.def, trip{ID: key}, coordinator.Key(key))
				answers <- err
			}()
		}
		for i := range 4 {
			start(fmt.Sprint("h", i))
			time.Sleep(200 * time.Millisecond)
		}
		began := time.Now()
		for i := range 20 {
			id := w.start(c, trip{ID: fmt.Sprint("t", i), Broke: i%2 == 0})
			w.ends(c, id, map[bool]saga.Status{true: saga.Compensated, false: saga.Completed}[i%2 == 0])
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the others took %s", took)
		}
		for range 4 {
			if err := <-answers; !errors.Is(err, errStore) {
				t.Errorf("a start of what is held: %v", err)
			}
		}
		start("h0")
		start("x") // in one batch with it, or not
		time.Sleep(time.Second)
		close(released)
		if err := errors.Join(<-answers, <-answers); err != nil {
			t.Error(err)
		}
		w.ends(c, coordinator.IDOf("trip", "h0"), saga.Completed)
		w.ends(c, coordinator.IDOf("trip", "x"), saga.Completed)
	})
}

// TestAStoreThatIsDownIsNotHammered has more due records than fit into a batch while no commit succeeds. The clock
// of the test stands still for a loop that does not rest.
func TestAStoreThatIsDownIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var down atomic.Bool
		var tried atomic.Int64
		c, _ := w.coordinator(coordinator.Config{MaxBatch: 2, Store: &hookedStore{Store: w.store, commit: func([]coordinator.Change) error {
			tried.Add(1)
			if down.Load() {
				return errStore
			}
			return nil
		}}})
		var ids []saga.ID
		for i := range 6 {
			ids = append(ids, w.start(c, trip{ID: fmt.Sprint("t", i)}))
		}
		down.Store(true)
		tried.Store(0)
		time.Sleep(time.Minute)
		if n := tried.Load(); n == 0 || n > 60 {
			t.Errorf("%d commits were tried in a minute", n)
		}
		if _, err := coordinator.Start(t.Context(), c, w.def, trip{}); !errors.Is(err, errStore) {
			t.Errorf("a start meanwhile: %v", err)
		}
		w.participants() // the broker drops what nobody is subscribed to
		down.Store(false)
		began := time.Now()
		for _, id := range ids {
			w.ends(c, id, saga.Completed)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s: the pages of due records did not come one after the other", took)
		}
	})
}

// TestStartWaitsForRun also shows what becomes of callers when it never comes.
func TestStartWaitsForRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		config := coordinator.Config{Store: w.store, Bus: w.bus(), Definitions: []saga.Any{w.def}, Logger: quiet()}
		c, err := coordinator.New(config)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := coordinator.Start(short, c, w.def, trip{ID: "t1"}, coordinator.Key("t1")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start: %v", err)
		}
		if err := c.Wake(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wake: %v", err)
		}
		if _, err := c.Act(short, "x", saga.Act{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Act: %v", err)
		}
		started := make(chan error)
		go func() {
			_, err := coordinator.Start(context.Background(), c, w.def, trip{ID: "t2"}, coordinator.Key("t2"))
			started <- err
		}()
		synctest.Wait()
		w.run(c.Run, nil)
		if err := <-started; err != nil {
			t.Error(err)
		}
		began := time.Now()
		w.ends(c, coordinator.IDOf("trip", "t2"), saga.Completed)
		if took := time.Since(began); took >= saga.DefaultTimeout {
			t.Errorf("it took %s: a message was lost before the subscriptions were there", took)
		}

		config.Store = &hookedStore{Store: w.store, adopt: func() error { return errStore }}
		if c, err = coordinator.New(config); err != nil {
			t.Fatal(err)
		}
		if err := c.Run(t.Context()); !errors.Is(err, errStore) {
			t.Errorf("Run on a store that is down: %v", err)
		}
		if _, err := coordinator.Start(t.Context(), c, w.def, trip{ID: "t3"}); !errors.Is(err, coordinator.ErrClosed) {
			t.Errorf("Start after a Run that failed: %v", err)
		}
	})
}

// lateBroker subscribes only once it is opened, and counts what is published.
type lateBroker struct {
	messaging.Broker
	open      chan struct{}
	published atomic.Int64
}

func (b *lateBroker) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	select {
	case <-b.open:
		return b.Broker.Subscribe(ctx, s, ready, r)
	case <-ctx.Done():
		return nil
	}
}

func (b *lateBroker) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	b.published.Add(1)
	b.Broker.Publish(ctx, m, done)
}

func TestNothingIsSentBeforeTheSubscriptionsAreThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		late := &lateBroker{Broker: w.broker, open: make(chan struct{})}
		c, err := coordinator.New(coordinator.Config{
			Store: w.store, Bus: messaging.Bus{Broker: late, Codec: w.codec}, Definitions: []saga.Any{w.def}, Logger: quiet(),
		})
		if err != nil {
			t.Fatal(err)
		}
		w.run(c.Run, nil)
		id := w.start(c, trip{ID: "t1"}) // starts need the store only
		synctest.Wait()
		if n := late.published.Load(); n != 0 {
			t.Errorf("%d messages were published", n)
		}
		close(late.open)
		began := time.Now()
		w.ends(c, id, saga.Completed)
		if took := time.Since(began); took >= saga.DefaultTimeout {
			t.Errorf("it took %s", took)
		}
	})
}

// TestStopFinishesWhatWasTaken stops the coordinator in the middle of a commit.
func TestStopFinishesWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		committing, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		c, stop := w.coordinator(coordinator.Config{Store: &hookedStore{Store: w.store, commit: func([]coordinator.Change) error {
			once.Do(func() {
				close(committing)
				<-goOn
			})
			return nil
		}}})
		started := make(chan error, 1)
		go func() {
			_, err := coordinator.Start(context.Background(), c, w.def, trip{ID: "t1"}, coordinator.Key("t1"))
			started <- err
		}()
		<-committing
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			stop()
		}()
		synctest.Wait()
		close(goOn)
		if err := <-started; err != nil {
			t.Errorf("the start that was under way: %v", err)
		}
		<-stopped
		if _, err := w.store.Get(t.Context(), coordinator.IDOf("trip", "t1")); err != nil {
			t.Error(err)
		}
	})
}

// reply is what the airline answers to the saga.
func (w *world) reply(id saga.ID) messaging.Message {
	w.Helper()
	m, err := w.codec.Encode(flightBooked{Seat: "12A"})
	if err != nil {
		w.Fatal(err)
	}
	m = messaging.Correlation{Saga: string(id), Node: "flight", Direction: messaging.Do}.Stamp(m)
	return m.WithHeader(messaging.HeaderOutcome, string(messaging.Success))
}

// TestLateReplyOfALostDefinition: a terminal instance never changes, so that nobody needs its definition any more.
func TestLateReplyOfALostDefinition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.participants()
		c, stop := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		w.ends(c, id, saga.Completed)
		stop()
		w.coordinator(coordinator.Config{Definitions: []saga.Any{bookTrip("another")}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := messaging.Publish(ctx, w.broker, w.reply(id)); err != nil {
			t.Errorf("the reply was not acknowledged: %v", err)
		}
	})
}

// TestUnexpectedRepliesAreDeadLetters sends an instance that is under way what none of its steps expects.
func TestUnexpectedRepliesAreDeadLetters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		good := w.reply(id)
		for node, outcome := range map[string]messaging.Outcome{
			"hotel": messaging.Success, "flight": messaging.Failure, "nowhere": messaging.Success, "rooms[3]/room": messaging.Success, "]": messaging.Success,
		} {
			m := good.WithHeader(messaging.HeaderNode, node).WithHeader(messaging.HeaderOutcome, string(outcome))
			if err := messaging.Publish(t.Context(), w.broker, m); err != nil {
				t.Error(err)
			}
		}
		w.mu.Lock()
		dead := len(w.dead)
		w.mu.Unlock()
		if dead != 5 {
			t.Errorf("%d dead letters, want 5", dead)
		}
		w.participants()
		time.Sleep(saga.DefaultTimeout)
		w.ends(c, id, saga.Completed)
	})
}

// TestOrphanIsTakenUpByAColleague has an instance parked by a coordinator that lacks its definition, while one that has it runs already.
func TestOrphanIsTakenUpByAColleague(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		synctest.Wait()
		before, err := w.store.Load(t.Context(), []coordinator.Want{{ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		parked, effects := saga.ParkOrphan(before[id], "no such definition", time.Now())
		change := coordinator.Change{Before: before[id].Version, State: parked}
		for i, e := range effects {
			if line, ok := e.(saga.Log); ok {
				change.Log = append(change.Log, coordinator.LogEntry{Version: parked.Version, Line: i, At: time.Now(), Log: line})
			}
		}
		if conflicts, err := w.store.Commit(t.Context(), []coordinator.Change{change}); err != nil || len(conflicts) > 0 {
			t.Fatal(conflicts, err)
		}
		w.participants()
		time.Sleep(2 * time.Minute) // one recheck, then the step's time-out
		w.ends(c, id, saga.Completed)
		w.story(id)
	})
}

// TestUnusableDataParksOnce: what only another program can read is parked, and not again with every recheck.
func TestUnusableDataParksOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c, _ := w.coordinator(coordinator.Config{})
		id := w.start(c, trip{ID: "t1"})
		other := w.start(c, trip{ID: "t2"})
		synctest.Wait()
		loaded, err := w.store.Load(t.Context(), []coordinator.Want{{ID: id}})
		if err != nil {
			t.Fatal(err)
		}
		s := loaded[id]
		s.Version++
		s.Root.Data = []byte(`{"ID": 7}`)
		change := coordinator.Change{Before: s.Version - 1, State: s, Records: []saga.Record{s.Root}}
		if conflicts, err := w.store.Commit(t.Context(), []coordinator.Change{change}); err != nil || len(conflicts) > 0 {
			t.Fatal(conflicts, err)
		}
		w.participants()
		s = w.ends(c, id, saga.Parked)
		time.Sleep(time.Hour)
		if after, err := w.store.Get(t.Context(), id); err != nil || !after.Orphaned || after.Version != s.Version {
			t.Errorf("an hour later it went from version %d to %d, %v", s.Version, after.Version, err)
		}
		w.ends(c, other, saga.Completed)
	})
}

// TestWakeOnAFullBatch keeps the loop busy with pages while it is woken.
func TestWakeOnAFullBatch(t *testing.T) {
	t.Parallel()
	w := newTouring(t)
	w.hotel()
	c, _ := w.tours(coordinator.Config{MaxBatch: 1})
	var ids []saga.ID
	for i := range 4 {
		name := fmt.Sprint("t", i)
		ids = append(ids, w.book(c, tour{ID: name, Rooms: rooms(name, 120)}))
		if err := c.Wake(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		w.ends(c, id, saga.Completed)
	}
}

// TestObserveSeesEveryVersionInOrder also holds with conflicts, as what one coordinator commits the other does not.
func TestObserveSeesEveryVersionInOrder(t *testing.T) {
	t.Parallel()
	w := newTouring(t)
	w.hotel()
	var seen [2][]coordinator.Transition // each is written by one goroutine
	var stops [2]func()
	var cs [2]*coordinator.Coordinator
	for i := range cs {
		cs[i], stops[i] = w.tours(coordinator.Config{Observe: func(tr coordinator.Transition) { seen[i] = append(seen[i], tr) }})
	}
	const n = 10
	for i := range n {
		name := fmt.Sprint("t", i)
		w.book(cs[i%2], tour{ID: name, Rooms: rooms(name, 5)})
	}
	for i := range n {
		w.ends(cs[0], coordinator.IDOf("tour", fmt.Sprint("t", i)), saga.Completed)
	}
	stops[0]()
	stops[1]()
	lines := map[saga.ID][]coordinator.LogEntry{}
	for _, one := range seen {
		last := map[saga.ID]int64{}
		for _, tr := range one {
			if tr.State.Version <= last[tr.State.ID] {
				t.Errorf("%s: version %d was observed after %d", tr.State.ID, tr.State.Version, last[tr.State.ID])
			}
			last[tr.State.ID] = tr.State.Version
			lines[tr.State.ID] = append(lines[tr.State.ID], tr.Log...)
		}
	}
	for id, observed := range lines {
		stored, err := w.store.History(t.Context(), id, 0, 1000)
		slices.SortStableFunc(observed, func(a, b coordinator.LogEntry) int { return int(a.Version - b.Version) })
		if err != nil || !slices.Equal(observed, stored) {
			t.Errorf("%s: observed %d lines, %d are stored, %v", id, len(observed), len(stored), err)
		}
	}
}
