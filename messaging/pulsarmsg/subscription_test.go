package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// stage is a subscription under test and the consumers that its driver makes, one after the other.
type stage struct {
	*testing.T
	broker *Broker
	client *fakeClient
	made   chan *fakeConsumer
	refuse func(attempt int) error // nil: admits all
	begin  time.Time
	ended  chan error
	cancel context.CancelFunc

	mu    sync.Mutex
	trace []string // "id/delivery time"
}

func newStage(t *testing.T, change ...func(*Config)) *stage {
	t.Helper()
	s := &stage{T: t, made: make(chan *fakeConsumer, 10), begin: time.Now(), ended: make(chan error, 1)}
	attempt := 0
	s.client = &fakeClient{subscribe: func(o pulsar.ConsumerOptions) (pulsar.Consumer, error) {
		attempt++
		if s.refuse != nil {
			if err := s.refuse(attempt); err != nil {
				return nil, err
			}
		}
		c := &fakeConsumer{options: o, ended: make(chan struct{})}
		s.made <- c
		return c, nil
	}}
	s.broker = newFake(t, s.client, change...)
	return s
}

// subscribe starts the subscription; decide, if not nil, says what happens to each message.
func (s *stage) subscribe(kind messaging.SubscriptionType, maxBatch int, decide func(messaging.Message) messaging.Disposition) {
	s.run(kind, maxBatch, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		dispositions := make([]messaging.Disposition, len(batch))
		for i, m := range batch {
			s.note(m)
			if decide != nil {
				dispositions[i] = decide(m)
			}
		}
		return dispositions
	})
}

func (s *stage) run(kind messaging.SubscriptionType, maxBatch int, r messaging.Receiver) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() {
		s.ended <- s.broker.Subscribe(ctx, messaging.Subscription{Topic: "t", Name: "s", Type: kind, MaxBatch: maxBatch}, nil, r)
	}()
}

func (s *stage) note(m messaging.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trace = append(s.trace, fmt.Sprintf("%s/%d %v", m.ID, m.Delivery, time.Since(s.begin)))
}

func (s *stage) wantTrace(want ...string) {
	s.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.trace, want) {
		s.Errorf("deliveries are %q, want %q", s.trace, want)
	}
}

// stop ends the subscription and the driver.
func (s *stage) stop() {
	s.Helper()
	s.cancel()
	if err := <-s.ended; err != nil {
		s.Errorf("Subscribe: %v", err)
	}
	closeBroker(s.T, s.broker)
}

func again(after time.Duration) messaging.Disposition {
	return messaging.Disposition{Redeliver: true, After: after}
}

func wantAcks(t *testing.T, c *fakeConsumer, entries ...int) {
	t.Helper()
	var want []string
	for _, e := range entries {
		want = append(want, fmt.Sprintf("1:%d:0:0", e))
	}
	if got := c.acks(); !slices.Equal(got, want) {
		t.Errorf("acknowledged are %q, want %q", got, want)
	}
}

func TestRedeliveryHoldsTheKey(t *testing.T) {
	t.Parallel()
	for _, kind := range []messaging.SubscriptionType{messaging.KeyShared, messaging.Failover, messaging.Exclusive} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.subscribe(kind, 1, func(m messaging.Message) messaging.Disposition {
				if m.ID == "1" && m.Delivery < 3 {
					return again(time.Duration(m.Delivery) * time.Hour)
				}
				return messaging.Disposition{}
			})
			c := <-s.made
			c.deliver(1, "a")
			c.deliver(2, "a")
			synctest.Wait()
			c.deliver(3, "b")
			c.deliver(4, "")
			<-time.After(4 * time.Hour)
			s.wantTrace("1/1 0s", "3/1 0s", "4/1 0s", "1/2 1h0m0s", "1/3 3h0m0s", "2/1 3h0m0s")
			wantAcks(t, c, 3, 4, 1, 2)
			s.stop()
		})
	}
}

func TestSharedGoesOnDuringARedelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.Shared, 0, func(m messaging.Message) messaging.Disposition {
			if m.ID == "1" && m.Delivery == 1 {
				return again(time.Second)
			}
			return messaging.Disposition{}
		})
		c := <-s.made
		c.deliver(1, "a")
		synctest.Wait()
		c.deliver(2, "a")
		<-time.After(time.Second)
		s.wantTrace("1/1 0s", "2/1 0s", "1/2 1s")
		wantAcks(t, c, 2, 1)
		s.stop()
	})
}

// delay returns when the n-th attempt to subscribe again is made.
func (s *stage) delay(n int) string {
	var d time.Duration
	for i := range n {
		d += s.broker.config.Backoff.Delay(i+1, "t/s")
	}
	return d.String()
}

// TestTheBatchOfAKey: what comes while an earlier message of the key waits, comes after it, also when it could go in one batch with those that come before.
func TestTheBatchOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		s.subscribe(messaging.Failover, 10, func(m messaging.Message) messaging.Disposition {
			switch m.ID + "/" + fmt.Sprint(m.Delivery) {
			case "1/1":
				return again(0)
			case "2/1":
				return again(time.Hour)
			case "0/1", "3/1":
				<-release
			}
			return messaging.Disposition{}
		})
		c := <-s.made
		c.deliver(0, "a")
		synctest.Wait()
		for i := range 3 {
			c.deliver(int64(i+1), "a")
		}
		synctest.Wait()
		release <- struct{}{}
		synctest.Wait() // 1, 2 and 3 are one batch, at the receiver
		c.deliver(4, "a")
		synctest.Wait()
		close(release)
		<-time.After(2 * time.Hour)
		s.wantTrace("0/1 0s", "1/1 0s", "2/1 0s", "3/1 0s", "1/2 0s", "2/2 1h0m0s", "4/1 1h0m0s")
		s.stop()
	})
}

func TestNothingIsDeliveredAfterTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.Shared, 1, func(messaging.Message) messaging.Disposition {
			s.cancel()
			return again(0)
		})
		c := <-s.made
		c.deliver(1, "")
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
		s.wantTrace("1/1 0s")
		closeBroker(t, s.broker)
	})
}

func TestHeldMessagesAreBounded(t *testing.T) {
	t.Parallel()
	const messages = 30 // more than can be held and handled
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *Config) { c.MaxHeld = 3 })
		s.subscribe(messaging.Shared, 1, func(m messaging.Message) messaging.Disposition {
			if m.Delivery == 1 {
				return again(time.Minute)
			}
			return messaging.Disposition{}
		})
		c := <-s.made
		for i := range messages {
			c.deliver(int64(i), "")
		}
		synctest.Wait()
		s.mu.Lock()
		n := len(s.trace)
		s.mu.Unlock()
		if n > 3+s.broker.config.Concurrency {
			t.Errorf("%d messages were taken, want at most 3 that wait and those that are handled", n)
		}
		if len(c.options.MessageChannel) == 0 {
			t.Error("the consumer was emptied although nothing more can be held")
		}
		<-time.After(messages * time.Minute)
		if got := len(c.acks()); got != messages {
			t.Errorf("%d of %d messages are acknowledged in the end", got, messages)
		}
		s.stop()
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	for kind, want := range map[messaging.SubscriptionType]int{messaging.Shared: 3, messaging.KeyShared: 3, messaging.Failover: 1, messaging.Exclusive: 1} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, func(c *Config) { c.Concurrency = 3 })
			var mu sync.Mutex
			at, most := 0, 0
			s.subscribe(kind, 1, func(messaging.Message) messaging.Disposition {
				mu.Lock()
				at++
				most = max(most, at)
				mu.Unlock()
				<-time.After(time.Second)
				mu.Lock()
				at--
				mu.Unlock()
				return messaging.Disposition{}
			})
			c := <-s.made
			for i := range 9 {
				c.deliver(int64(i), fmt.Sprint(i))
			}
			<-time.After(time.Minute)
			if most != want {
				t.Errorf("type %d: %d receiver calls at once, want %d", kind, most, want)
			}
			s.stop()
		})
	}
}

// TestReceiverMisbehaves: a receiver that ends its goroutine or miscounts loses nothing.
func TestReceiverMisbehaves(t *testing.T) {
	t.Parallel()
	for _, kind := range []messaging.SubscriptionType{messaging.Shared, messaging.KeyShared} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			calls := 0
			s.run(kind, 0, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				calls++
				for _, m := range batch {
					s.note(m)
				}
				switch calls {
				case 1:
					runtime.Goexit()
				case 2:
					return nil
				}
				return make([]messaging.Disposition, len(batch))
			})
			c := <-s.made
			c.deliver(1, "k")
			<-time.After(time.Minute)
			s.wantTrace("1/1 0s", "1/2 1s", "1/3 2s")
			wantAcks(t, c, 1)
			s.stop()
		})
	}
}

func TestSubscribeEndsWhileItConnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		open := make(chan struct{})
		s.refuse = func(int) error {
			<-open
			return nil
		}
		s.subscribe(messaging.Shared, 0, nil)
		synctest.Wait()
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("Subscribe: %v", err)
		}
		close(open)
		c := <-s.made
		synctest.Wait()
		if c.closes() != 1 {
			t.Error("the consumer that came too late was not closed")
		}
		closeBroker(t, s.broker)
	})
}

func TestCloseEndsSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		s.run(messaging.Shared, 1, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
			<-ctx.Done() // ends with the broker
			<-release
			return make([]messaging.Disposition, len(batch))
		})
		c := <-s.made
		c.deliver(1, "")
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.broker.Close() }()
		synctest.Wait()
		select {
		case err := <-closed:
			t.Errorf("Close returned %v while a receiver had a message", err)
		default:
		}
		close(release)
		if err := <-closed; err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-s.ended; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Subscribe returned %v, want ErrClosed", err)
		}
		wantAcks(t, c, 1)
		if c.closes() != 1 {
			t.Error("the consumer was not closed")
		}
		s.cancel()
	})
}

// TestTheEndIsBounded: the client waits for the broker when it closes a consumer.
func TestTheEndIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.Shared, 0, nil)
		c := <-s.made
		c.hang = true
		synctest.Wait()
		begin := time.Now()
		s.cancel()
		if err := <-s.ended; err != nil || time.Since(begin) != s.broker.config.CloseTimeout {
			t.Errorf("Subscribe returned %v after %v, want nil after %v", err, time.Since(begin), s.broker.config.CloseTimeout)
		}
		close(c.ended)
		closeBroker(t, s.broker)
	})
}

func TestDeliveriesAreCountedAcrossConsumers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.Failover, 0, func(m messaging.Message) messaging.Disposition { return again(time.Hour) })
		first := <-s.made
		first.deliver(1, "")
		first.deliver(2, "", func(m *fakeMessage) { m.redelivered = 4 }) // as the broker counts for Shared
		synctest.Wait()
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Fatal(err)
		}
		s.subscribe(messaging.Failover, 0, nil)
		second := <-s.made
		second.deliver(1, "")
		second.deliver(2, "")
		s.wantTrace("1/1 0s", "2/5 0s", "1/2 0s", "2/6 0s")
		s.stop()
	})
}
