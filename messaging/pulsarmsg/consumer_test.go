package pulsarmsg

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// TestALostConsumerIsReplaced: the client would reconnect by itself, and the broker would deliver again what is held here.
func TestALostConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		s.subscribe(messaging.KeyShared, 1, func(m messaging.Message) messaging.Disposition {
			switch {
			case m.ID == "1" && m.Delivery == 1:
				<-release
			case m.ID == "3" && m.Delivery == 1:
				return again(time.Hour)
			}
			return messaging.Disposition{}
		})
		first := <-s.made
		first.deliver(1, "a") // its receiver keeps it
		synctest.Wait()
		first.deliver(2, "a") // waits for it
		first.deliver(3, "b") // waits for its time
		first.deliver(4, "b")
		synctest.Wait()
		first.reconnect()
		second := <-s.made
		if first.closes() != 1 {
			t.Error("the lost consumer was not closed")
		}
		for i, key := range []string{"a", "a", "b", "b"} { // the broker delivers all of them again
			second.deliver(int64(i+1), key)
		}
		synctest.Wait()
		s.wantTrace("1/1 0s", "3/1 0s", "3/2 "+s.delay(1), "4/1 "+s.delay(1)) // nothing of "a" beside the receiver that is at it
		close(release)
		synctest.Wait()
		s.wantTrace("1/1 0s", "3/1 0s", "3/2 "+s.delay(1), "4/1 "+s.delay(1), "1/2 "+s.delay(1), "2/1 "+s.delay(1))
		wantAcks(t, first)
		wantAcks(t, second, 3, 4, 1, 2)
		s.stop()
	})
}

// TestOtherPartitions: the client's own discovery closes the old partitions' consumers when one of a new partition cannot be had.
func TestOtherPartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, func(c *Config) { c.Discovery = time.Hour })
		s.client.setPartitions("t-partition-0")
		s.subscribe(messaging.Shared, 1, nil)
		first := <-s.made
		if first.options.AutoDiscoveryPeriod < 1000*time.Hour {
			t.Errorf("the client looks for partitions every %v itself", first.options.AutoDiscoveryPeriod)
		}
		<-time.After(3 * time.Hour)
		synctest.Wait()
		if first.closes() > 0 {
			t.Error("a consumer was given up though the partitions are the same")
		}
		s.client.setPartitions("t-partition-0", "t-partition-1")
		second := <-s.made
		if after := time.Since(s.begin); after < 4*time.Hour || after > 4*time.Hour+time.Minute {
			t.Errorf("another consumer came after %v", after)
		}
		second.deliver(1, "a")
		<-time.After(3 * time.Hour)
		synctest.Wait()
		if first.closes() != 1 || second.closes() != 0 || len(s.made) > 0 {
			t.Errorf("the consumers were closed %d and %d times, and %d more were opened", first.closes(), second.closes(), len(s.made))
		}
		wantAcks(t, second, 1)
		s.stop()
	})
}

// TestConsumersAreLostAgainAndAgain: each time, what waits is forgotten. The attempts to subscribe grow rarer, until a consumer has lived for a while.
func TestConsumersAreLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.KeyShared, 0, func(messaging.Message) messaging.Disposition { return again(time.Hour) })
		var lost time.Duration
		for i := range 5 {
			c := <-s.made
			attempt := i
			if i == 4 { // the fourth consumer has lived
				attempt = 1
			}
			if took, want := time.Since(s.begin)-lost, s.broker.config.Backoff.Delay(attempt, "t/s"); i > 0 && took != want {
				t.Errorf("loss %d: subscribed again after %v, want %s", i, took, want)
			}
			c.deliver(1, "a")
			c.deliver(2, "")
			c.deliver(3, "b")
			synctest.Wait()
			if i == 3 {
				<-time.After(settled + time.Second)
			}
			c.reconnect()
			lost = time.Since(s.begin)
		}
		<-s.made
		if n := len(s.trace); n != 15 {
			t.Errorf("%d deliveries, want 3 to each of 5 consumers", n)
		}
		s.stop()
	})
}

// TestSupervision: what the client gives up for good, since its version 0.20, is not given up here.
func TestSupervision(t *testing.T) {
	t.Parallel()
	for _, cause := range []string{
		"server error: ConsumerBusy: Exclusive consumer is already connected", "server error: AuthorizationError: for a moment",
		"server error: TopicNotFound: being moved", "server error: NotAllowedError", "max retry attempts reached for reconnecting to broker",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.refuse = func(attempt int) error {
				if attempt == 2 || attempt == 3 {
					return errors.New(cause)
				}
				return nil
			}
			s.subscribe(messaging.Exclusive, 0, nil)
			first := <-s.made
			closer, ok := first.options.Interceptors[0].(pulsar.ConsumerCloseInterceptor)
			if !ok {
				t.Fatal("nobody listens to the consumer's end")
			}
			closer.OnConsumerClose(first, errors.New(cause))
			second := <-s.made
			second.deliver(1, "")
			synctest.Wait()
			s.wantTrace("1/1 " + s.delay(3))
			s.stop()
		})
	}
}

func TestTheFirstAttempt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"server error: ConsumerBusy: Exclusive consumer is already connected":  messaging.ErrBusy,
		"server error: ConsumerBusy: Subscription is of different type":        messaging.ErrBusy,
		"server error: ConsumerAssignError: Subscription is of different mode": messaging.ErrBusy,
		"server error: AuthorizationError: not yours":                          nil,
		"Invalid topic name: a/b":                                              nil,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			s.refuse = func(int) error { return errors.New(text) }
			s.subscribe(messaging.Exclusive, 0, nil)
			err := <-s.ended
			if err == nil || !strings.Contains(err.Error(), text) || want != nil && !errors.Is(err, want) {
				t.Errorf("%q: Subscribe returned %v, want it and %v", text, err, want)
			}
			s.cancel()
			closeBroker(t, s.broker)
		})
	}
	synctest.Test(t, func(t *testing.T) { // a broker that is not there yet is waited for
		s := newStage(t)
		s.refuse = func(attempt int) error {
			if attempt < 4 {
				return errors.New("connection error")
			}
			return nil
		}
		s.subscribe(messaging.Shared, 0, nil)
		<-s.made
		if got := time.Since(s.begin).String(); got != s.delay(3) {
			t.Errorf("subscribed after %s, want %s", got, s.delay(3))
		}
		s.stop()
	})
}

func TestAPassiveConsumerLetsGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.subscribe(messaging.Failover, 1, func(m messaging.Message) messaging.Disposition { return again(time.Hour) })
		c := <-s.made
		listener := c.options.EventListener
		listener.BecameInactive(c, "t", 0) // what a consumer that comes second is told first
		c.deliver(1, "a")
		synctest.Wait()
		if len(s.made) > 0 || c.closes() > 0 {
			t.Fatal("the consumer was replaced before it ever was active")
		}
		listener.BecameActive(c, "t", 0)
		listener.BecameInactive(c, "t", 1) // another partition
		synctest.Wait()
		if c.closes() > 0 {
			t.Fatal("the consumer was replaced for a partition that it never had")
		}
		listener.BecameInactive(c, "t", 0)
		<-s.made
		if c.closes() != 1 {
			t.Error("what the consumer held was not given back")
		}
		s.wantTrace("1/1 0s")
		s.stop()
	})
}
