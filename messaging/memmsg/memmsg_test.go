package memmsg_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// inbox is a receiver that acknowledges and remembers.
type inbox struct {
	mu  sync.Mutex
	all []string
}

func (b *inbox) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range batch {
		b.all = append(b.all, fmt.Sprintf("%s/%d", m.ID, m.Delivery))
	}
	return make([]messaging.Disposition, len(batch))
}

func (b *inbox) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.all, " ")
}

// consume subscribes until stop or the end of the test.
func consume(t *testing.T, b *memmsg.Broker, s messaging.Subscription, r messaging.Receiver) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.Subscribe(ctx, s, func() { close(ready) }, r); err != nil && !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Subscribe: %v", err)
		}
	}()
	<-ready
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func message(id, key string) messaging.Message {
	return messaging.Message{ID: id, Topic: "t", Key: key}
}

// publish returns where the outcome comes.
func publish(b *memmsg.Broker, m messaging.Message) <-chan error {
	outcome := make(chan error, 1)
	b.Publish(context.Background(), m, func(err error) { outcome <- err })
	return outcome
}

func pending(t *testing.T, outcome <-chan error) {
	t.Helper()
	select {
	case err := <-outcome:
		t.Errorf("the outcome is %v already", err)
	default:
	}
}

var shared = messaging.Subscription{Topic: "t", Name: "s"}

func TestDeclareKeepsMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{}), &inbox{}
		early := publish(b, message("early", ""))
		if err := errors.Join(b.Declare(shared), b.Declare(shared), <-early); err != nil {
			t.Fatal(err)
		}
		kept := publish(b, message("kept", ""))
		synctest.Wait()
		pending(t, kept)
		consume(t, b, shared, got.receive)
		if err := <-kept; err != nil || got.String() != "kept/1" {
			t.Errorf("%v, %v; want the kept message", got, err)
		}
	})
}

func TestRedeliveryByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memmsg.New(memmsg.Config{})
		begin := time.Now()
		var trace []string
		s := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Failover, MaxBatch: 1}
		consume(t, b, s, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			dispositions := make([]messaging.Disposition, len(batch))
			for i, m := range batch {
				trace = append(trace, fmt.Sprintf("%s/%d %v", m.ID, m.Delivery, time.Since(begin)))
				if m.ID == "a1" && m.Delivery < 3 {
					dispositions[i] = messaging.Disposition{Redeliver: true, After: time.Duration(m.Delivery) * time.Hour}
				}
			}
			return dispositions
		})
		first := publish(b, message("a1", "a"))
		synctest.Wait()
		second, other := publish(b, message("a2", "a")), publish(b, message("b1", "b"))
		if err := errors.Join(<-other, <-first, <-second); err != nil {
			t.Fatal(err)
		}
		want := []string{"a1/1 0s", "b1/1 0s", "a1/2 1h0m0s", "a1/3 3h0m0s", "a2/1 3h0m0s"}
		if !slices.Equal(trace, want) {
			t.Errorf("%q, want %q", trace, want)
		}
	})
}

func TestBatchIsOldestFirstAcrossKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{}), &inbox{}
		s := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Exclusive, MaxBatch: 2}
		if err := b.Declare(s); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			publish(b, message(fmt.Sprint(i), []string{"a", "b", ""}[i%3]))
		}
		consume(t, b, s, got.receive)
		synctest.Wait()
		if want := "0/1 1/1 2/1 3/1 4/1 5/1"; got.String() != want {
			t.Errorf("%v, want %s", got, want)
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	for kind, want := range map[messaging.SubscriptionType]int{messaging.Shared: 3, messaging.KeyShared: 3, messaging.Failover: 1, messaging.Exclusive: 1} {
		synctest.Test(t, func(t *testing.T) {
			b := memmsg.New(memmsg.Config{Concurrency: 3})
			var mu sync.Mutex
			at, most := 0, 0
			consume(t, b, messaging.Subscription{Topic: "t", Name: "s", Type: kind, MaxBatch: 1}, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				mu.Lock()
				at++
				most = max(most, at)
				mu.Unlock()
				<-time.After(time.Second)
				mu.Lock()
				at--
				mu.Unlock()
				return make([]messaging.Disposition, len(batch))
			})
			var outcomes []<-chan error
			for i := range 9 {
				outcomes = append(outcomes, publish(b, message("m", fmt.Sprint(i))))
			}
			for _, o := range outcomes {
				<-o
			}
			if most != want {
				t.Errorf("type %d: %d receiver calls at once, want %d", kind, most, want)
			}
		})
	}
}

func TestPublishWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{MaxPending: 2}), &inbox{}
		if err := b.Declare(shared); err != nil {
			t.Fatal(err)
		}
		publish(b, message("1", ""))
		publish(b, message("2", ""))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		outcome := make(chan error, 2)
		b.Publish(ctx, message("given up", ""), func(err error) { outcome <- err })
		if err := <-outcome; !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v, want the deadline after a minute", err, time.Since(begin))
		}

		waited := make(chan struct{})
		go func() {
			b.Publish(context.Background(), message("3", ""), func(err error) { outcome <- err })
			close(waited)
		}()
		synctest.Wait()
		select {
		case <-waited:
			t.Error("Publish returned without room")
		default:
		}
		consume(t, b, shared, got.receive)
		if err := <-outcome; err != nil {
			t.Error(err)
		}
		if want := "1/1 2/1 3/1"; got.String() != want {
			t.Errorf("%v, want %s", got, want)
		}
	})
}

func TestContextEndsAnOpenPublish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{}), &inbox{}
		if err := b.Declare(shared); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		outcome := make(chan error, 2)
		b.Publish(ctx, message("1", ""), func(err error) { outcome <- err })
		cancel()
		if err := <-outcome; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		consume(t, b, shared, got.receive)
		synctest.Wait()
		pending(t, outcome)
		if got.String() != "1/1" {
			t.Errorf("%v, want the message all the same", got)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := memmsg.New(memmsg.Config{MaxPending: 3})
		s := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Failover, MaxBatch: 2}
		release := make(chan struct{})
		arrived := make(chan context.Context, 1)
		ended := make(chan error, 1)
		go func() {
			ended <- b.Subscribe(t.Context(), s, nil, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
				arrived <- ctx
				<-release
				return []messaging.Disposition{{}, {Redeliver: true}}
			})
		}()
		synctest.Wait()
		if err := b.Declare(messaging.Subscription{Topic: "u", Name: "other"}); err != nil {
			t.Fatal(err)
		}
		outcome := map[string]<-chan error{}
		outcome["at the receiver, acknowledged"] = publish(b, message("1", "k"))
		ctx := <-arrived
		outcome["queued"] = publish(b, message("2", "k"))
		m := message("3", "")
		m.Topic = "u"
		outcome["without a consumer"] = publish(b, m)
		outcome["queued too"] = publish(b, message("4", ""))
		waiting := make(chan error, 1)
		go b.Publish(context.Background(), message("5", "k"), func(err error) { waiting <- err })
		synctest.Wait()

		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		for what, o := range outcome {
			if what != "at the receiver, acknowledged" {
				if err := <-o; !errors.Is(err, messaging.ErrClosed) {
					t.Errorf("%s: %v, want ErrClosed", what, err)
				}
			}
		}
		if err := <-waiting; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("a publisher that waited for room: %v, want ErrClosed", err)
		}
		close(release)
		if err := <-outcome["at the receiver, acknowledged"]; err != nil {
			t.Errorf("a message that its receiver acknowledged: %v", err)
		}
		if err := <-ended; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Subscribe: %v, want ErrClosed", err)
		}
		if err := b.Declare(shared); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Declare: %v, want ErrClosed", err)
		}
	})
}

func TestRetype(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{}), &inbox{}
		if err := b.Declare(shared); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			publish(b, message(fmt.Sprint(i), "k"))
		}
		exclusive := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Exclusive}
		consume(t, b, exclusive, got.receive)
		synctest.Wait()
		if want := "0/1 1/1 2/1 3/1"; got.String() != want {
			t.Errorf("%v, want %s", got, want)
		}
		if err := b.Subscribe(t.Context(), shared, nil, got.receive); !errors.Is(err, messaging.ErrBusy) {
			t.Errorf("another type beside a consumer: %v, want ErrBusy", err)
		}
	})
}

// TestReceiverMisbehaves: a receiver that ends its goroutine or miscounts loses nothing.
func TestReceiverMisbehaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, got := memmsg.New(memmsg.Config{}), &inbox{}
		calls := 0
		consume(t, b, messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Exclusive}, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
			calls++
			switch calls {
			case 1:
				runtime.Goexit()
			case 2:
				return nil
			}
			return got.receive(ctx, batch)
		})
		if err := <-publish(b, message("1", "k")); err != nil || got.String() != "1/3" {
			t.Errorf("%v, %v; want the third delivery", got, err)
		}
	})
}

func TestInvalidSubscriptions(t *testing.T) {
	t.Parallel()
	b := memmsg.New(memmsg.Config{})
	for _, s := range []messaging.Subscription{{Topic: "t"}, {Name: "s"}, {Topic: "t", Name: "s", Type: 9}} {
		if b.Declare(s) == nil || b.Subscribe(t.Context(), s, nil, nil) == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	if err := <-publish(b, messaging.Message{}); err == nil {
		t.Error("a message without a topic: no error")
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faults := map[string]memmsg.Fault{
			"drop": {Drop: true}, "fail": {Fail: true}, "twice": {Duplicate: true}, "late": {Delay: time.Minute}, "behind": {Behind: 2},
		}
		b := memmsg.New(memmsg.Config{Fault: func(m messaging.Message) memmsg.Fault { return faults[m.ID] }})
		loose, ordered := &inbox{}, &inbox{}
		keyed := messaging.Subscription{Topic: "t", Name: "ordered", Type: messaging.Failover}
		if err := errors.Join(b.Declare(shared), b.Declare(keyed)); err != nil {
			t.Fatal(err)
		}
		outcomes := make(map[string]<-chan error)
		for _, id := range []string{"drop", "fail", "behind", "twice", "late", "last"} {
			outcomes[id] = publish(b, message(id, "k"))
		}
		consume(t, b, shared, loose.receive)
		consume(t, b, keyed, ordered.receive)
		synctest.Wait()
		if want := "fail/1 twice/1 twice/2 behind/1 last/1"; loose.String() != want {
			t.Errorf("shared, before the delay: %v, want %s", loose, want)
		}
		for id, o := range outcomes {
			if err := <-o; errors.Is(err, memmsg.ErrFault) != (id == "drop" || id == "fail") {
				t.Errorf("%s: %v", id, err)
			}
		}
		if want := "fail/1 behind/1 twice/1 twice/2 late/1 last/1"; ordered.String() != want {
			t.Errorf("ordered: %v, want %s", ordered, want)
		}
		if want := "fail/1 twice/1 twice/2 behind/1 last/1 late/1"; loose.String() != want {
			t.Errorf("shared: %v, want %s", loose, want)
		}
	})
}

func TestScript(t *testing.T) {
	t.Parallel()
	odds := memmsg.Odds{Drop: 0.1, Fail: 0.2, Duplicate: 0.3, Delay: 0.4, Behind: 0.5}
	const n = 2000
	draw := func(seed uint64, order func(i int) int) map[int]memmsg.Fault {
		script, all := memmsg.Script(seed, odds), make(map[int]memmsg.Fault)
		for i := range n {
			all[order(i)] = script(message(fmt.Sprint(order(i)), ""))
		}
		return all
	}
	forward := draw(1, func(i int) int { return i })
	backward := draw(1, func(i int) int { return n - 1 - i })
	other := draw(2, func(i int) int { return i })
	same := 0
	var drops, fails, twice, delays, behind int
	for i, f := range forward {
		if f != backward[i] {
			t.Fatalf("message %d: %+v in one order and %+v in the other", i, f, backward[i])
		}
		if f == other[i] {
			same++
		}
		for count, hit := range map[*int]bool{&drops: f.Drop, &fails: f.Fail, &twice: f.Duplicate, &delays: f.Delay > 0, &behind: f.Behind > 0} {
			if hit {
				*count++
			}
		}
		if f.Delay > 10*time.Millisecond || f.Behind > 4 {
			t.Errorf("message %d: %+v is out of bounds", i, f)
		}
	}
	if same > n/2 {
		t.Errorf("another seed gives the same fault for %d of %d messages", same, n)
	}
	for i, got := range []int{drops, fails, twice, delays, behind} {
		if want := n / 10 * (i + 1); got < want*8/10 || got > want*12/10 {
			t.Errorf("fault %d: %d of %d, want about %d", i, got, n, want)
		}
	}
	script := memmsg.Script(1, memmsg.Odds{Drop: 0.5})
	passed := 0
	for range 64 { // a message that is published again is not doomed
		if !script(message("m", "")).Drop {
			passed++
		}
	}
	if passed == 0 || passed == 64 {
		t.Errorf("%d of 64 publishes of one message pass, want about half", passed)
	}
}

// TestStress: with consumers that come and go, redeliveries and faults, every message is acknowledged, in the order of its key.
func TestStress(t *testing.T) {
	t.Parallel()
	const keys, n = 20, 100
	b := memmsg.New(memmsg.Config{MaxPending: 100, Fault: memmsg.Script(7, memmsg.Odds{Duplicate: 0.1, Delay: 0.05, MaxDelay: time.Millisecond})})
	defer b.Close()
	s := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.KeyShared, MaxBatch: 5}
	if err := b.Declare(s); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	next := make(map[string]int)
	deliveries := 0
	receive := func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		mu.Lock()
		defer mu.Unlock()
		dispositions := make([]messaging.Disposition, len(batch))
		held := make(map[string]bool)
		for i, m := range batch {
			deliveries++
			var at int
			if _, err := fmt.Sscan(m.ID, &at); err != nil {
				t.Error(err)
			}
			switch want := next[m.Key]; {
			case held[m.Key] || deliveries%11 == 0:
				held[m.Key] = true
				dispositions[i].Redeliver = true
			case at == want:
				next[m.Key]++
			case at > want:
				t.Errorf("key %s: message %d came before %d", m.Key, at, want)
			}
		}
		return dispositions
	}
	ctx, cancel := context.WithCancel(t.Context())
	var consumers sync.WaitGroup
	for range 3 {
		consumers.Go(func() {
			for ctx.Err() == nil {
				some, stop := context.WithTimeout(ctx, 5*time.Millisecond)
				if err := b.Subscribe(some, s, nil, receive); err != nil {
					t.Error(err)
				}
				stop()
			}
		})
	}
	var publishers sync.WaitGroup
	for k := range keys {
		publishers.Go(func() {
			var all []messaging.Message
			for i := range n {
				all = append(all, message(fmt.Sprint(i), fmt.Sprint(k)))
			}
			if err := messaging.Publish(t.Context(), b, all...); err != nil {
				t.Error(err)
			}
		})
	}
	publishers.Wait()
	cancel()
	consumers.Wait()
	for k := range keys {
		if got := next[fmt.Sprint(k)]; got != n {
			t.Errorf("key %d: %d of %d acknowledged", k, got, n)
		}
	}
}
