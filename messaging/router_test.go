package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// driver is a subscriber that the test plays: it hands the receiver out.
type driver struct {
	receiver chan messaging.Receiver
	errs     chan error // what Subscribe is to return before its context ends
}

func newDriver() *driver {
	return &driver{receiver: make(chan messaging.Receiver, 10), errs: make(chan error, 10)}
}

func (d *driver) Subscribe(ctx context.Context, _ messaging.Subscription, ready func(), r messaging.Receiver) error {
	ready()
	d.receiver <- r
	select {
	case err := <-d.errs:
		return err
	case <-ctx.Done():
		return nil
	}
}

// letters remembers dead letters; err, if set, refuses them.
type letters struct {
	mu  sync.Mutex
	all []messaging.DeadLetter
	err error
}

func (l *letters) DeadLetter(_ context.Context, d messaging.DeadLetter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.all = append(l.all, d)
	return nil
}

func (l *letters) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *letters) reasons() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, d := range l.all {
		all = append(all, fmt.Sprintf("%s/%d: %s", d.Message.ID, d.Attempts, d.Reason))
	}
	return strings.Join(all, "; ")
}

var quiet = slog.New(slog.DiscardHandler)

func newRouter(t *testing.T, c messaging.RouterConfig) *messaging.Router {
	t.Helper()
	if c.Logger == nil {
		c.Logger = quiet
	}
	r, err := messaging.NewRouter(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the router until the test ends.
func start(t *testing.T, r *messaging.Router) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-r.Ready()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func verdict(d messaging.Disposition) string {
	if !d.Redeliver {
		return "ack"
	}
	return "again after " + d.After.String()
}

// TestVerdicts delivers one message again and again, as a broker does, until it is acknowledged or a limit.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	failing := errors.New("down")
	backoff := func(attempt int) string {
		return "again after " + messaging.Backoff{}.Delay(attempt, "m").String()
	}
	for _, test := range []struct {
		name        string
		maxAttempts int
		handler     func(call int) error
		want        []string
		dead        string
	}{
		{"nil acknowledges", 0, func(int) error { return nil }, []string{"ack"}, ""},
		{"Permanent is a dead letter", 0, func(int) error { return messaging.Permanent(failing) }, []string{"ack"}, "m/1: down"},
		{"ErrMalformed is a dead letter", 0, func(int) error { return fmt.Errorf("decode: %w", messaging.ErrMalformed) },
			[]string{"ack"}, "m/1: decode: messaging: malformed payload"},
		{"ErrUnknownType is a dead letter", 0, func(int) error { return messaging.ErrUnknownType }, []string{"ack"}, "m/1: messaging: unknown type"},
		{"a Refusal that reaches the router is a dead letter", 0, func(int) error { return fmt.Errorf("no: %w", messaging.Refuse(7)) },
			[]string{"ack"}, "m/1: no: messaging: refused with int"},
		{"any other error backs off, without end", 0, func(int) error { return failing },
			[]string{backoff(1), backoff(2), backoff(3), backoff(4), backoff(5), backoff(6), backoff(7), backoff(8)}, ""},
		{"MaxAttempts ends it", 3, func(int) error { return failing }, []string{backoff(1), backoff(2), "ack"}, "m/3: down"},
		{"one attempt", 1, func(int) error { return failing }, []string{"ack"}, "m/1: down"},
		{"success after failures", 3, func(call int) error {
			if call < 3 {
				return failing
			}
			return nil
		}, []string{backoff(1), backoff(2), "ack"}, ""},
		{"RetryAfter is not an attempt", 2, func(call int) error {
			if call <= 3 {
				return messaging.RetryAfter(time.Minute, failing)
			}
			return failing
		}, []string{"again after 1m0s", "again after 1m0s", "again after 1m0s", backoff(1), "ack"}, "m/2: down"},
		{"a negative RetryAfter is at once", 0, func(call int) error { return messaging.RetryAfter(-1, failing) },
			[]string{"again after 0s", "again after 0s"}, ""},
		{"the outermost mark decides", 0, func(int) error { return messaging.Permanent(messaging.RetryAfter(time.Hour, failing)) },
			[]string{"ack"}, "m/1: down"},
		{"five panics are a dead letter", 0, func(int) error { panic("boom") },
			[]string{backoff(1), backoff(2), backoff(3), backoff(4), "ack"}, "m/5: messaging: handler panicked: boom"},
		{"Goexit is a panic", 2, func(int) error { runtime.Goexit(); return nil },
			[]string{backoff(1), "ack"}, "m/2: messaging: handler ended its goroutine"},
		{"a panic value that may hold a payload is not quoted", 1, func(int) error { panic([]byte("secret")) },
			[]string{"ack"}, "m/1: messaging: handler panicked with []uint8"},
		{"MaxAttempts holds for panics too", 7, func(int) error { panic(failing) },
			[]string{backoff(1), backoff(2), backoff(3), backoff(4), backoff(5), backoff(6), "ack"}, "m/7: messaging: handler panicked: down"},
	} {
		for _, batch := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/batch=%t", test.name, batch), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					d, dead := newDriver(), &letters{}
					r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: dead, MaxAttempts: test.maxAttempts})
					calls := 0
					s := messaging.Subscription{Topic: "t", Name: "s"}
					if batch {
						must(t, r.HandleBatch(s, func(context.Context, []messaging.Message) []error {
							calls++
							return []error{test.handler(calls)}
						}))
					} else {
						must(t, r.Handle(s, func(context.Context, messaging.Message) error {
							calls++
							return test.handler(calls)
						}))
					}
					start(t, r)
					receive := <-d.receiver
					var got []string
					for delivery := 1; len(got) < len(test.want); delivery++ {
						m := messaging.Message{ID: "m", Topic: "t", Delivery: delivery}
						got = append(got, verdict(receive(t.Context(), []messaging.Message{m})[0]))
						if got[len(got)-1] == "ack" {
							break
						}
					}
					if !slices.Equal(got, test.want) {
						t.Errorf("got\n%q, want\n%q", got, test.want)
					}
					if reasons := dead.reasons(); reasons != test.dead {
						t.Errorf("dead letters: %q, want %q", reasons, test.dead)
					}
				})
			})
		}
	}
}

// TestDeadLetterStoreDown: nothing is lost while dead letters cannot be stored.
func TestDeadLetterStoreDown(t *testing.T) {
	t.Parallel()
	d, dead := newDriver(), &letters{}
	dead.refuse(errors.New("disk full"))
	r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: dead})
	must(t, r.Handle(messaging.Subscription{Topic: "t", Name: "s"}, func(context.Context, messaging.Message) error {
		return messaging.Permanent(errors.New("bad"))
	}))
	start(t, r)
	receive := <-d.receiver
	batch := []messaging.Message{{ID: "m", Topic: "t"}}
	for attempt := range 3 {
		want := messaging.Disposition{Redeliver: true, After: messaging.Backoff{}.Delay(attempt+1, "m")}
		if got := receive(t.Context(), batch)[0]; got != want {
			t.Fatalf("attempt %d: %s, want %s", attempt+1, verdict(got), verdict(want))
		}
	}
	dead.refuse(nil)
	if got := receive(t.Context(), batch)[0]; got.Redeliver {
		t.Errorf("%s, want ack", verdict(got))
	}
	if want := "m/4: bad"; dead.reasons() != want {
		t.Errorf("dead letters: %q, want %q", dead.reasons(), want)
	}
}

// TestOneOfAKeyHoldsTheRest: later messages of a key wait for a redelivered one on ordered subscriptions, and only there.
func TestOneOfAKeyHoldsTheRest(t *testing.T) {
	t.Parallel()
	batch := []messaging.Message{
		{ID: "a1", Key: "a"}, {ID: "b1", Key: "b"}, {ID: "a2", Key: "a"}, {ID: "-1"}, {ID: "-2"}, {ID: "b2", Key: "b"}, {ID: "a3", Key: "a"},
	}
	fails := func(m messaging.Message) error {
		switch m.ID {
		case "a1":
			return messaging.RetryAfter(time.Second, errors.New("not yet"))
		case "a3": // would be a dead letter if it were not held
			return messaging.Permanent(errors.New("bad"))
		case "-1":
			return messaging.RetryAfter(time.Minute, errors.New("not yet"))
		}
		return nil
	}
	for _, test := range []struct {
		kind          messaging.SubscriptionType
		again, called string
		dead          string
	}{
		{messaging.Shared, "a1 -1", "a1 b1 a2 -1 -2 b2 a3", "a3/1: bad"},
		{messaging.KeyShared, "a1 a2 -1 a3", "a1 b1 -1 -2 b2", ""},
		{messaging.Failover, "a1 a2 -1 a3", "a1 b1 -1 -2 b2", ""},
		{messaging.Exclusive, "a1 a2 -1 a3", "a1 b1 -1 -2 b2", ""},
	} {
		for _, whole := range []bool{false, true} {
			d, dead := newDriver(), &letters{}
			r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: dead})
			var called []string
			s := messaging.Subscription{Topic: "t", Name: "s", Type: test.kind}
			if whole {
				must(t, r.HandleBatch(s, func(_ context.Context, batch []messaging.Message) []error {
					errs := make([]error, len(batch))
					for i, m := range batch {
						errs[i] = fails(m)
					}
					return errs
				}))
			} else {
				must(t, r.Handle(s, func(_ context.Context, m messaging.Message) error {
					called = append(called, m.ID)
					return fails(m)
				}))
			}
			stop := start(t, r)
			var again []string
			for i, disposition := range (<-d.receiver)(t.Context(), batch) {
				if disposition.Redeliver {
					again = append(again, batch[i].ID)
				}
				if batch[i].Key == "a" && disposition.Redeliver && disposition.After != time.Second {
					t.Errorf("type %d: %s comes %s, want the delay of a1", test.kind, batch[i].ID, verdict(disposition))
				}
			}
			stop()
			if got := strings.Join(again, " "); got != test.again {
				t.Errorf("type %d, batch %t: redelivered %q, want %q", test.kind, whole, got, test.again)
			}
			if got := strings.Join(called, " "); !whole && got != test.called {
				t.Errorf("type %d: handled %q, want %q", test.kind, got, test.called)
			}
			if dead.reasons() != test.dead {
				t.Errorf("type %d, batch %t: dead letters %q, want %q", test.kind, whole, dead.reasons(), test.dead)
			}
		}
	}
}

// TestBatchPanicIsolated: a message that makes a batch handler panic does not cost its neighbours anything.
func TestBatchPanicIsolated(t *testing.T) {
	t.Parallel()
	d, dead := newDriver(), &letters{}
	r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: dead, MaxAttempts: 1})
	var sizes []int
	must(t, r.HandleBatch(messaging.Subscription{Topic: "t", Name: "s"}, func(_ context.Context, batch []messaging.Message) []error {
		sizes = append(sizes, len(batch))
		for _, m := range batch {
			if m.ID == "poison" {
				panic("boom")
			}
		}
		return nil
	}))
	start(t, r)
	for i, disposition := range (<-d.receiver)(t.Context(), []messaging.Message{{ID: "x"}, {ID: "poison"}, {ID: "y"}}) {
		if disposition.Redeliver {
			t.Errorf("message %d: %s, want ack", i, verdict(disposition))
		}
	}
	if want := []int{3, 1, 1, 1}; !slices.Equal(sizes, want) {
		t.Errorf("batches of %v, want %v", sizes, want)
	}
	if want := "poison/1: messaging: handler panicked: boom"; dead.reasons() != want {
		t.Errorf("dead letters: %q, want %q", dead.reasons(), want)
	}
}

// TestWrongNumberOfErrors: a batch handler that miscounts acknowledges nothing.
func TestWrongNumberOfErrors(t *testing.T) {
	t.Parallel()
	d := newDriver()
	r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: &letters{}})
	must(t, r.HandleBatch(messaging.Subscription{Topic: "t", Name: "s"}, func(context.Context, []messaging.Message) []error {
		return []error{nil}
	}))
	start(t, r)
	for i, disposition := range (<-d.receiver)(t.Context(), []messaging.Message{{ID: "x"}, {ID: "y"}}) {
		if !disposition.Redeliver {
			t.Errorf("message %d: acknowledged", i)
		}
	}
}

// TestShutdown: what ends with the router's context is left for the next consumer, and is no failed attempt.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broker, dead := memmsg.New(memmsg.Config{}), &letters{}
		defer broker.Close()
		r := newRouter(t, messaging.RouterConfig{Subscriber: broker, DeadLetters: dead, MaxAttempts: 1})
		s := messaging.Subscription{Topic: "t", Name: "s", Type: messaging.Failover, MaxBatch: 10}
		must(t, broker.Declare(s))
		for i := range 3 {
			broker.Publish(t.Context(), messaging.Message{ID: fmt.Sprint(i), Topic: "t", Key: "k"}, func(error) {})
		}
		var handled []string
		must(t, r.Handle(s, func(ctx context.Context, m messaging.Message) error {
			handled = append(handled, m.ID)
			<-ctx.Done()
			return ctx.Err()
		}))
		stop := start(t, r)
		synctest.Wait()
		stop()
		if !slices.Equal(handled, []string{"0"}) || dead.reasons() != "" {
			t.Errorf("handled %q, dead letters %q; want the first alone and none", handled, dead.reasons())
		}

		next := newRouter(t, messaging.RouterConfig{Subscriber: broker, DeadLetters: dead})
		var left []string
		must(t, next.Handle(s, func(_ context.Context, m messaging.Message) error {
			left = append(left, m.ID)
			return nil
		}))
		start(t, next)
		synctest.Wait()
		if !slices.Equal(left, []string{"0", "1", "2"}) {
			t.Errorf("the next router handled %q, want all in order", left)
		}
	})
}

// TestSubscribesAgain: a lost subscription is subscribed again after a backoff; ErrClosed and ErrBusy end Run.
func TestSubscribesAgain(t *testing.T) {
	t.Parallel()
	for _, final := range []error{messaging.ErrClosed, messaging.ErrBusy} {
		synctest.Test(t, func(t *testing.T) {
			d := newDriver()
			r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: &letters{}, Backoff: messaging.Backoff{Base: time.Second, Max: time.Second}})
			for _, name := range []string{"one", "two"} {
				must(t, r.Handle(messaging.Subscription{Topic: "t", Name: name}, func(context.Context, messaging.Message) error { return nil }))
			}
			ended := make(chan error, 1)
			go func() { ended <- r.Run(t.Context()) }()
			<-r.Ready()
			synctest.Wait()
			begin := time.Now()
			<-d.receiver
			<-d.receiver
			d.errs <- io.ErrUnexpectedEOF
			<-d.receiver
			if took := time.Since(begin); took < time.Second/2 || took > time.Second {
				t.Errorf("subscribed again after %v, want the backoff", took)
			}
			d.errs <- nil // a driver that ends without a word is not trusted either
			<-d.receiver
			d.errs <- fmt.Errorf("driver: %w", final)
			if err := <-ended; !errors.Is(err, final) {
				t.Errorf("Run: %v, want %v", err, final)
			}
		})
	}
}

func TestRouterRefusesFaults(t *testing.T) {
	t.Parallel()
	_, err := messaging.NewRouter(messaging.RouterConfig{MaxAttempts: -1, Backoff: messaging.Backoff{Base: 2, Max: 1}, Middleware: []messaging.Middleware{nil}})
	for _, part := range []string{"Subscriber", "DeadLetters", "MaxAttempts", "Backoff", "Middleware[0]"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("NewRouter: %v, want it to name %s", err, part)
		}
	}
	r := newRouter(t, messaging.RouterConfig{Subscriber: newDriver(), DeadLetters: &letters{}})
	handler := func(context.Context, messaging.Message) error { return nil }
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run without handlers: no error")
	}
	must(t, r.Handle(messaging.Subscription{Topic: "t", Name: "s"}, handler))
	for _, s := range []messaging.Subscription{{Topic: "t", Name: "s"}, {Topic: "t"}, {Name: "s"}, {Topic: "t", Name: "n", MaxBatch: -1}} {
		if err := r.Handle(s, handler); err == nil {
			t.Errorf("Handle of %+v: no error", s)
		}
	}
	if r.Handle(messaging.Subscription{Topic: "t", Name: "n"}, nil) == nil || r.HandleBatch(messaging.Subscription{Topic: "t", Name: "n"}, nil) == nil {
		t.Error("no handler: no error")
	}
	start(t, r)
	if r.Handle(messaging.Subscription{Topic: "t", Name: "late"}, handler) == nil {
		t.Error("Handle after Run: no error")
	}
	if r.Run(t.Context()) == nil {
		t.Error("the second Run: no error")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	b := messaging.Backoff{Base: time.Second, Max: time.Minute}
	for attempt, full := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 7: time.Minute, 1 << 40: time.Minute} {
		distinct := make(map[time.Duration]bool)
		for i := range 100 {
			d := b.Delay(attempt, fmt.Sprint(i))
			if d < full/2 || d > full {
				t.Errorf("attempt %d: %v, want %v to %v", attempt, d, full/2, full)
			}
			if d != b.Delay(attempt, fmt.Sprint(i)) {
				t.Error("the same arguments gave two delays")
			}
			distinct[d] = true
		}
		if len(distinct) < 90 {
			t.Errorf("attempt %d: only %d distinct delays of 100", attempt, len(distinct))
		}
	}
	if d := (messaging.Backoff{Base: time.Hour}).Delay(5, "x"); d < time.Hour/2 || d > time.Hour {
		t.Errorf("a base above the default maximum gives %v", d)
	}
	if d := (messaging.Backoff{Base: 1, Max: 1<<63 - 1}).Delay(100, "x"); d < 1<<61 {
		t.Errorf("overflow gives %v", d)
	}
}
