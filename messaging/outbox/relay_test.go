package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("the broker said no")

// broker records what it was given and kept; answer decides about each publish, nil keeps it at once.
type broker struct {
	mu     sync.Mutex
	answer func(m messaging.Message, done func(error))
	kept   []string
	order  []string // of the calls
	tries  map[string]int
}

func (b *broker) Publish(_ context.Context, m messaging.Message, done func(error)) {
	b.mu.Lock()
	if b.tries == nil {
		b.tries = map[string]int{}
	}
	b.tries[m.ID]++
	b.order = append(b.order, m.ID)
	answer := b.answer
	b.mu.Unlock()
	kept := func(err error) {
		if err == nil {
			b.mu.Lock()
			b.kept = append(b.kept, m.ID)
			b.mu.Unlock()
		}
		done(err)
	}
	if answer == nil {
		kept(nil)
		return
	}
	answer(m, kept)
}

func (b *broker) set(answer func(m messaging.Message, done func(error))) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

func (b *broker) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.kept)
}

// table counts the calls of a store and can fail them.
type table struct {
	*inbox.Memory
	mu             sync.Mutex
	reads, deletes int
	fail           error
	read           func() // called once after a reading
}

func (s *table) Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error) {
	s.mu.Lock()
	s.reads++
	err, read := s.fail, s.read
	s.read = nil
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	rows, err := s.Memory.Pending(ctx, offset, limit)
	if read != nil {
		read()
	}
	return rows, err
}

func (s *table) Delete(ctx context.Context, ids []string) error {
	s.mu.Lock()
	s.deletes++
	err := s.fail
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Memory.Delete(ctx, ids)
}

func (s *table) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *table) calls() (reads, deletes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads, s.deletes
}

// stage is a relay that runs in a synctest bubble.
type stage struct {
	t      *testing.T
	broker *broker
	table  *table
	relay  *outbox.Relay
	stop   func()
}

// inBubble runs fn with a relay that is not started yet.
func inBubble(t *testing.T, config outbox.Config, fn func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, broker: &broker{}, table: &table{Memory: inbox.NewMemory()}}
		s.make(config)
		fn(s)
	})
}

func (s *stage) make(config outbox.Config) {
	s.t.Helper()
	config.Store, config.Publisher, config.Logger = s.table, s.broker, slog.New(slog.DiscardHandler)
	relay, err := outbox.NewRelay(config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.relay = relay
}

// start runs the relay until the test's end or a call of stop, whichever is first, and lets it come to rest.
func (s *stage) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.relay.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("Run returned %v", err)
		}
	})
	s.t.Cleanup(s.stop)
	synctest.Wait()
}

// commit adds messages to the table, without a word to the relay.
func (s *stage) commit(messages ...messaging.Message) {
	s.t.Helper()
	err := s.table.InTx(context.Background(), func(ctx context.Context, tx inbox.Tx) error { return tx.Append(ctx, messages) })
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) send(messages ...messaging.Message) {
	s.t.Helper()
	s.commit(messages...)
	s.relay.Enqueue(messages...)
}

// pass lets time go by.
func (s *stage) pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func (s *stage) wantKept(ids ...string) {
	s.t.Helper()
	if got := s.broker.all(); !slices.Equal(got, ids) {
		s.t.Fatalf("the broker keeps %q, want %q", got, ids)
	}
}

func (s *stage) wantRows(n int) {
	s.t.Helper()
	rows, err := s.table.Memory.Pending(context.Background(), 0, 100_000)
	if err != nil || len(rows) != n {
		s.t.Fatalf("the table has %d rows, %v; want %d", len(rows), err, n)
	}
}

func message(id, key string) messaging.Message {
	return messaging.Message{ID: id, Key: key, Topic: "topic"}
}

func many(n, keys int) (messages []messaging.Message, ids []string) {
	for i := range n {
		id := fmt.Sprintf("%05d", i)
		ids = append(ids, id)
		messages = append(messages, message(id, fmt.Sprint(i%keys)))
	}
	return messages, ids
}

func TestPublishesFromMemoryAndDeletesTogether(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.start()
		readsBefore, _ := s.table.calls()
		messages, ids := many(1000, 7)
		for _, m := range messages {
			s.send(m)
		}
		synctest.Wait()
		s.wantKept(ids...)
		s.pass(time.Second)
		s.wantRows(0)
		reads, deletes := s.table.calls()
		if reads != readsBefore || deletes != 1 {
			t.Errorf("%d readings and %d deletions, want none and one", reads-readsBefore, deletes)
		}
	})
}

func TestReadsWhatACrashLeftBeforeAnythingNew(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		messages, ids := many(1500, 3)
		s.commit(messages...)
		s.send(message("new", "1"))
		s.start()
		s.wantKept(append(ids, "new")...)
		s.pass(time.Second)
		s.wantRows(0)
	})
}

func TestAFailureHoldsItsKeyOnly(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.start()
		s.broker.set(func(m messaging.Message, done func(error)) {
			if m.Key == "bad" {
				done(errRefused)
				return
			}
			done(nil)
		})
		s.send(message("1", "bad"), message("2", "good"), message("3", "bad"), message("4", ""))
		synctest.Wait()
		s.send(message("5", "bad"), message("6", "good"))
		synctest.Wait()
		s.wantKept("2", "4", "6")
		if stats := s.relay.Stats(); stats.Held != 3 || stats.Waiting != 3 {
			t.Errorf("the relay holds %+v, want 3 messages", stats)
		}
		s.pass(time.Minute)
		if tries := s.broker.tries; tries["1"] < 3 || tries["3"] != 0 || tries["5"] != 0 {
			t.Errorf("the failing key was tried %v times, want its first message only, again and again", tries)
		}
		s.broker.set(nil)
		s.pass(time.Minute)
		s.wantKept("2", "4", "6", "1", "3", "5")
		s.wantRows(0)
	})
}

func TestMessagesInFlightAreAwaitedBeforeTheirKeyIsTriedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.start()
		var outcomes []func(error)
		s.broker.set(func(_ messaging.Message, done func(error)) { outcomes = append(outcomes, done) })
		s.send(message("1", "k"), message("2", "k"), message("3", "k"))
		synctest.Wait()
		if len(outcomes) != 3 {
			t.Fatalf("%d messages are in flight, want all 3: keys are pipelined", len(outcomes))
		}
		outcomes[0](errRefused)
		s.send(message("4", "k"))
		s.pass(time.Minute)
		if len(outcomes) != 3 {
			t.Fatal("the key was tried again while messages of it were in flight")
		}
		outcomes[2](errRefused)
		outcomes[1](errRefused)
		s.broker.set(nil)
		s.pass(time.Minute)
		s.wantKept("1", "2", "3", "4")
	})
}

func TestWhatFindsNoRoomIsReadFromTheTableInOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{MaxInFlight: 8}, func(s *stage) {
		s.start()
		s.broker.set(func(_ messaging.Message, done func(error)) { time.AfterFunc(10*time.Millisecond, func() { done(nil) }) })
		messages, ids := many(500, 1)
		for _, m := range messages {
			s.send(m)
		}
		if stats := s.relay.Stats(); stats.Waiting > 8 || !stats.Behind {
			t.Errorf("the relay holds %+v, want at most 8 messages, and to be behind", stats)
		}
		s.pass(time.Minute)
		if !slices.Equal(s.broker.order, ids) {
			t.Fatalf("published were %q, want each once and in order", s.broker.order)
		}
		s.wantRows(0)
		if s.relay.Stats().Behind {
			t.Error("the relay is behind although the table is empty")
		}
		reads, _ := s.table.calls()
		s.send(message("next", "0"))
		s.pass(time.Second)
		if after, _ := s.table.calls(); after != reads {
			t.Error("the table is read although memory has room again")
		}
		s.wantRows(0)
	})
}

func TestWhatIsEnqueuedDuringAReadingIsReadNext(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.commit(message("1", "k"))
		s.table.read = func() { s.send(message("2", "k")) }
		s.start()
		s.pass(time.Second)
		s.wantKept("1", "2")
		s.wantRows(0)
	})
}

func TestAStuckTopicDoesNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{MaxInFlight: 8}, func(s *stage) {
		s.start()
		s.broker.set(func(m messaging.Message, done func(error)) {
			if strings.HasPrefix(m.ID, "stuck") {
				done(errRefused)
				return
			}
			done(nil)
		})
		for i := range 7 {
			s.send(message(fmt.Sprint("stuck", i), fmt.Sprint("stuck", i)))
		}
		messages, ids := many(20, 20)
		s.send(messages...)
		s.pass(time.Minute)
		s.wantKept(ids...)
		s.wantRows(7)
	})
}

func TestASweepFindsRowsThatNobodyEnqueued(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{Sweep: time.Minute}, func(s *stage) {
		s.start()
		s.commit(message("orphan", ""))
		s.pass(61 * time.Second) // it may be another relay's, about to be published
		s.wantKept()
		s.pass(time.Minute)
		s.wantKept("orphan")
		s.wantRows(0)
		s.commit(message("told", ""))
		s.relay.Wake()
		s.pass(time.Second)
		s.wantKept("orphan", "told")
	})
}

func TestStopWaitsForOutcomes(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{Grace: time.Second}, func(s *stage) {
		s.start()
		s.broker.set(func(m messaging.Message, done func(error)) {
			time.AfterFunc(map[string]time.Duration{"soon": 900 * time.Millisecond, "never": time.Hour}[m.ID], func() { done(nil) })
		})
		s.send(message("soon", "a"))
		synctest.Wait()
		s.stop()
		s.wantKept("soon")
		s.wantRows(0)

		s.start()
		s.send(message("never", "a"))
		synctest.Wait()
		begun := time.Now()
		s.stop()
		if waited := time.Since(begun); waited != time.Second {
			t.Errorf("the relay stopped after %v, want its grace", waited)
		}
		s.wantRows(1)
		s.broker.set(nil)
		s.start() // the next run takes it up
		s.pass(time.Second)
		s.wantKept("soon", "never")
		s.wantRows(0)
		s.pass(2 * time.Hour) // the outcome of the first run comes at last, and is nobody's
	})
}

func TestATableThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.table.set(errors.New("disk full"))
		s.commit(message("left", "a"))
		s.start()
		s.pass(time.Minute)
		s.wantKept()
		s.table.set(nil)
		s.pass(time.Minute)
		s.wantKept("left")
		s.wantRows(0)
		s.table.set(errors.New("disk full"))
		s.send(message("next", "a"))
		s.pass(time.Minute)
		s.wantKept("left", "next")
		s.wantRows(1)
		s.table.set(nil)
		s.pass(time.Minute)
		s.wantKept("left", "next")
		s.wantRows(0)
	})
}

func TestIdleRelayTouchesNothingButItsSweep(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{Sweep: time.Hour}, func(s *stage) {
		s.start()
		s.pass(24*time.Hour + time.Minute)
		if reads, deletes := s.table.calls(); reads != 1+24 || deletes != 0 {
			t.Errorf("a day of nothing took %d readings and %d deletions, want 25 and none", reads, deletes)
		}
	})
}

func TestRelaysShareATable(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{Sweep: time.Second}, func(s *stage) {
		s.start()
		other := &stage{t: s.t, broker: s.broker, table: s.table}
		other.make(outbox.Config{Sweep: time.Second})
		other.start()
		messages, ids := many(300, 10)
		for i, m := range messages {
			[]*stage{s, other}[i%2].send(m)
		}
		s.pass(10 * time.Second)
		kept := s.broker.all()
		slices.Sort(kept)
		if !slices.Equal(slices.Compact(kept), ids) {
			t.Error("messages were lost")
		}
		s.wantRows(0)
	})
}

func TestAnIDThatIsAddedAgainIsPublishedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.start()
		for range 3 {
			s.send(message("1", "a"))
			s.pass(time.Second)
		}
		s.wantKept("1", "1", "1")
		s.wantRows(0)
	})
}

func TestConfigAndLifeAreChecked(t *testing.T) {
	t.Parallel()
	_, err := outbox.NewRelay(outbox.Config{MaxInFlight: -1, Sweep: -1, Linger: -1, Grace: -1})
	if !errors.Is(err, outbox.ErrConfig) || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("NewRelay returned %v, want six faults", err)
	}
	inBubble(t, outbox.Config{}, func(s *stage) {
		s.start()
		if err := s.relay.Run(t.Context()); !errors.Is(err, outbox.ErrRunning) {
			t.Errorf("the second Run returned %v, want ErrRunning", err)
		}
	})
}

// However the broker and the table fail, and whenever the process dies, every committed message is kept by the broker,
// nothing else is, keys stay in order, and the table is empty in the end.
func TestRelayLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &stage{t: t, broker: &broker{}, table: &table{Memory: inbox.NewMemory()}}
			config := outbox.Config{
				MaxInFlight: rapid.SampledFrom([]int{1, 2, 5, 4096}).Draw(rt, "room"),
				Sweep:       time.Minute,
				Backoff:     messaging.Backoff{Base: time.Millisecond, Max: 10 * time.Millisecond},
			}
			s.make(config)
			s.start()
			odds := rapid.IntRange(0, 9).Draw(rt, "odds")
			n := 0
			s.broker.set(func(_ messaging.Message, done func(error)) {
				if n++; n%10 < odds {
					done(errRefused)
					return
				}
				done(nil)
			})
			messages, ids := many(rapid.IntRange(1, 60).Draw(rt, "messages"), rapid.IntRange(1, 4).Draw(rt, "keys"))
			for _, m := range messages {
				switch rapid.IntRange(0, 12).Draw(rt, "event") {
				case 0: // the process dies after the commit
					s.commit(m)
					s.stop()
					s.make(config)
					s.start()
				case 1:
					s.table.set(errors.New("down"))
					s.send(m)
					s.pass(5 * time.Millisecond)
					s.table.set(nil)
				case 2:
					s.send(m)
					s.pass(30 * time.Millisecond)
				default:
					s.send(m)
				}
			}
			s.broker.set(nil)
			s.pass(10 * time.Minute)
			s.stop()
			s.wantRows(0)
			if kept := firsts(s.broker.all()); !slices.Equal(slices.Sorted(slices.Values(kept)), ids) {
				t.Fatalf("the broker keeps %q, want all of %q", kept, ids)
			} else if key := disordered(kept, messages); key != "" {
				t.Fatalf("key %s is out of order: %q", key, kept)
			}
		})
	})
}

// firsts drops repetitions.
func firsts(ids []string) (first []string) {
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			first = append(first, id)
		}
		seen[id] = true
	}
	return first
}

// disordered returns a key whose messages, which were sent in the order of their IDs, are not in it.
func disordered(ids []string, messages []messaging.Message) string {
	keys, last := map[string]string{}, map[string]string{}
	for _, m := range messages {
		keys[m.ID] = m.Key
	}
	for _, id := range ids {
		if id < last[keys[id]] {
			return keys[id]
		}
		last[keys[id]] = id
	}
	return ""
}
