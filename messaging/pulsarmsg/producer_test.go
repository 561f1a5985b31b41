package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// opens returns a client that opens the producers in turn; a nil one is an error.
func opens(producers ...*fakeProducer) *fakeClient {
	next := 0
	return &fakeClient{produce: func(o pulsar.ProducerOptions) (pulsar.Producer, error) {
		next++
		if next > len(producers) || producers[next-1] == nil {
			return nil, errors.New("server error: ServiceNotReady")
		}
		producers[next-1].options = o
		return producers[next-1], nil
	}}
}

func topicMessage(id string) messaging.Message { return messaging.Message{ID: id, Topic: "t"} }

func closeBroker(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestProducerOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p), func(c *Config) { c.Discovery, c.MaxPending = 7*time.Second, 5 })
		publish(b, topicMessage("1"))
		s := <-p.sent
		s.done(nil, s.message, nil)
		if o := p.options; o.PartitionsAutoDiscoveryInterval != 7*time.Second || o.MaxPendingMessages < 5 {
			t.Errorf("the producer looks for partitions every %v and takes %d messages", o.PartitionsAutoDiscoveryInterval, o.MaxPendingMessages)
		}
		closeBroker(t, b)
	})
}

func TestMessagesKeepTheirOrderWhileTheProducerOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, open := newFakeProducer(), make(chan struct{})
		b := newFake(t, &fakeClient{produce: func(pulsar.ProducerOptions) (pulsar.Producer, error) {
			<-open
			return p, nil
		}})
		var outcomes []<-chan error
		for i := range 20 {
			if i == 10 {
				synctest.Wait()
				close(open)
			}
			outcomes = append(outcomes, publish(b, topicMessage(fmt.Sprint(i))))
		}
		for i, o := range outcomes {
			s := <-p.sent
			if got := s.message.Properties[PropertyID]; got != fmt.Sprint(i) {
				t.Fatalf("message %s was sent where %d was expected", got, i)
			}
			s.done(nil, s.message, nil)
			if err := <-o; err != nil {
				t.Error(err)
			}
		}
		closeBroker(t, b)
		if p.closes() != 1 {
			t.Errorf("the producer was closed %d times", p.closes())
		}
	})
}

// TestAnOutcomeThatNeverComes: the client loses callbacks, of a producer that the broker has forgotten for example. The publisher is told all the same, once, and
// the producer is replaced.
func TestAnOutcomeThatNeverComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newFakeProducer(), newFakeProducer()
		b := newFake(t, opens(first, second))
		begin := time.Now()
		lost := publish(b, topicMessage("lost"))
		s := <-first.sent
		if err := <-lost; !errors.Is(err, ErrNoOutcome) || time.Since(begin) != b.config.SendTimeout {
			t.Errorf("%v after %v, want ErrNoOutcome after %v", err, time.Since(begin), b.config.SendTimeout)
		}
		if first.closes() != 1 {
			t.Error("the producer was not closed")
		}
		s.done(nil, s.message, nil) // late
		again := publish(b, topicMessage("again"))
		s = <-second.sent
		s.done(nil, s.message, nil)
		if err := <-again; err != nil {
			t.Error(err)
		}
		pending(t, lost, "the lost message")
		closeBroker(t, b)
	})
}

func TestAnotherProducerAfterAFatalError(t *testing.T) {
	t.Parallel()
	for _, fatal := range []error{pulsar.ErrProducerClosed, pulsar.ErrTopicTerminated, pulsar.ErrTopicNotfound, pulsar.ErrProducerFenced} {
		synctest.Test(t, func(t *testing.T) {
			first, second := newFakeProducer(), newFakeProducer()
			b := newFake(t, opens(first, second))
			one, two := publish(b, topicMessage("1")), publish(b, topicMessage("2"))
			s := <-first.sent
			<-first.sent // whose callback is lost with the producer
			s.done(nil, s.message, errors.Join(fatal, errors.New("said so")))
			if err := <-one; !errors.Is(err, fatal) {
				t.Errorf("%v, want %v", err, fatal)
			}
			if err := <-two; !errors.Is(err, ErrNoOutcome) {
				t.Errorf("%v, want ErrNoOutcome", err)
			}
			three := publish(b, topicMessage("3"))
			s = <-second.sent
			s.done(nil, s.message, nil)
			if err := <-three; err != nil {
				t.Error(err)
			}
			closeBroker(t, b)
		})
	}
}

// TestTheClientPanics: it closes the channels that it sends on when a topic goes away.
func TestTheClientPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newFakeProducer(), newFakeProducer()
		first.sends = func(*pulsar.ProducerMessage, callback) { panic("send on closed channel") }
		b := newFake(t, opens(first, second))
		if err := <-publish(b, topicMessage("1")); !errors.Is(err, pulsar.ErrProducerClosed) {
			t.Errorf("%v, want ErrProducerClosed", err)
		}
		again := publish(b, topicMessage("2"))
		s := <-second.sent
		s.done(nil, s.message, nil)
		if err := <-again; err != nil {
			t.Error(err)
		}
		closeBroker(t, b)
	})
}

func TestAnErrorOfOneMessageKeepsTheProducer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p))
		large := publish(b, topicMessage("1"))
		s := <-p.sent
		s.done(nil, s.message, pulsar.ErrMessageTooLarge)
		err := <-large
		if class, _ := messaging.Classify(err); !errors.Is(err, ErrMessage) || class != messaging.Terminal {
			t.Errorf("%v of class %v, want a terminal ErrMessage", err, class)
		}
		next := publish(b, topicMessage("2"))
		s = <-p.sent
		s.done(nil, s.message, nil)
		if err := <-next; err != nil || p.closes() != 0 {
			t.Errorf("%v, closed %d times", err, p.closes())
		}
		closeBroker(t, b)
	})
}

func TestAProducerThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, open := newFakeProducer(), make(chan error)
		b := newFake(t, &fakeClient{produce: func(pulsar.ProducerOptions) (pulsar.Producer, error) {
			if err := <-open; err != nil {
				return nil, err
			}
			return p, nil
		}})
		one, two := publish(b, topicMessage("1")), publish(b, topicMessage("2"))
		open <- errors.New("server error: IncompatibleSchema: not like the others")
		for _, o := range []<-chan error{one, two} {
			if err := <-o; !errors.Is(err, ErrSchemaRefused) || !strings.Contains(err.Error(), "not like the others") {
				t.Errorf("%v, want ErrSchemaRefused with what the broker said", err)
			}
		}
		three := publish(b, topicMessage("3"))
		open <- nil
		s := <-p.sent
		s.done(nil, s.message, nil)
		if err := <-three; err != nil {
			t.Error(err)
		}
		closeBroker(t, b)
	})
}

// TestABrokerThatIsNotReady is asked again while the message has time.
func TestABrokerThatIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(nil, nil, p))
		o := publish(b, topicMessage("1"))
		s := <-p.sent
		s.done(nil, s.message, nil)
		if err := <-o; err != nil {
			t.Error(err)
		}
		closeBroker(t, b)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, opens())
		begin := time.Now()
		err := <-publish(b, topicMessage("1"))
		if took := time.Since(begin); err == nil || !strings.Contains(err.Error(), "ServiceNotReady") || took != b.config.SendTimeout {
			t.Errorf("%v after %v, want the broker's error after %v", err, took, b.config.SendTimeout)
		}
		closeBroker(t, b)
	})
}

func TestPublishWaitsForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p), func(c *Config) { c.MaxPending, c.SendTimeout = 2, time.Hour })
		publish(b, topicMessage("1"))
		publish(b, topicMessage("2"))

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		if err := <-publishUntil(ctx, b, topicMessage("given up")); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("%v after %v, want the deadline after a minute", err, time.Since(begin))
		}
		waited, closed := make(chan error, 1), make(chan error, 1)
		go func() { waited <- <-publish(b, topicMessage("3")) }()
		synctest.Wait()
		if len(p.sent) != 2 {
			t.Fatalf("%d messages were sent, want 2", len(p.sent))
		}
		s := <-p.sent
		s.done(nil, s.message, nil)
		synctest.Wait()
		go func() { closed <- <-publish(b, topicMessage("4")) }()
		synctest.Wait()
		err := b.Close() // 2 and 3 have no outcome
		if !errors.Is(err, ErrNotDrained) {
			t.Errorf("Close: %v, want ErrNotDrained", err)
		}
		for _, o := range []<-chan error{waited, closed} {
			if err := <-o; !errors.Is(err, messaging.ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		}
	})
}

func TestBytesAreBoundedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p), func(c *Config) { c.MaxMessageSize = maxTopicPending; c.SendTimeout = time.Hour })
		m := topicMessage("1")
		m.Payload = make([]byte, maxTopicPending/2)
		one := publish(b, m)
		waiting := make(chan error, 1)
		go func() { waiting <- <-publish(b, m) }()
		s := <-p.sent
		synctest.Wait()
		if len(p.sent) > 0 {
			t.Fatal("the second message was sent beside the first")
		}
		s.done(nil, s.message, nil)
		s = <-p.sent
		s.done(nil, s.message, nil)
		if err := errors.Join(<-one, <-waiting); err != nil {
			t.Error(err)
		}
		closeBroker(t, b)
	})
}

func TestTheContextOfAnOpenPublishEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p), func(c *Config) { c.SendTimeout = time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		given, other := publishUntil(ctx, b, topicMessage("1")), publish(b, topicMessage("2"))
		first, second := <-p.sent, <-p.sent
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		pending(t, other, "a publish with another context")
		first.done(nil, first.message, nil)
		second.done(nil, second.message, nil)
		if err := <-other; err != nil {
			t.Error(err)
		}
		pending(t, given, "the publish that was given up")
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		for range 3 { // one after the other: the context is let go of in between
			o := publishUntil(ctx, b, topicMessage("3"))
			s := <-p.sent
			s.done(nil, s.message, nil)
			if err := <-o; err != nil {
				t.Error(err)
			}
		}
		if n := len(b.outlets[outletKey{topic: "t"}].watches); n != 0 {
			t.Errorf("%d contexts are still watched", n)
		}
		closeBroker(t, b)
	})
}

// TestAPublisherThatBlocks: the client calls back on the goroutine that reads the connection, which nobody may hold up.
func TestAPublisherThatBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		b := newFake(t, opens(p))
		release, blocked := make(chan struct{}), make(chan struct{})
		b.Publish(t.Context(), topicMessage("1"), func(error) {
			close(blocked)
			<-release
		})
		s := <-p.sent
		s.done(nil, s.message, nil) // returns
		<-blocked
		second := publish(b, topicMessage("2"))
		s = <-p.sent
		s.done(nil, s.message, nil)
		synctest.Wait()
		pending(t, second, "a publish after one that blocks")
		close(release)
		if err := <-second; err != nil {
			t.Error(err)
		}
		closeBroker(t, b)
	})
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newFakeProducer()
		p.hang = true
		b := newFake(t, opens(p))
		lost := publish(b, topicMessage("1"))
		<-p.sent
		begin := time.Now()
		err := b.Close()
		if took := time.Since(begin); !errors.Is(err, ErrNotDrained) || took != b.config.CloseTimeout {
			t.Errorf("Close: %v after %v, want ErrNotDrained after %v", err, took, b.config.CloseTimeout)
		}
		if err := <-lost; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("the open publish: %v, want ErrClosed", err)
		}
		if err := <-publish(b, topicMessage("2")); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("a publish after Close: %v, want ErrClosed", err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		close(p.ended)
	})
}

func TestCloseWhileTheProducerOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, open := newFakeProducer(), make(chan struct{})
		b := newFake(t, &fakeClient{produce: func(pulsar.ProducerOptions) (pulsar.Producer, error) {
			<-open
			return p, nil
		}})
		o := publish(b, topicMessage("1"))
		if err := b.Close(); !errors.Is(err, ErrNotDrained) {
			t.Errorf("Close: %v, want ErrNotDrained", err)
		}
		if err := <-o; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
		close(open)
		synctest.Wait()
		if p.closes() != 1 {
			t.Errorf("the producer that came too late was closed %d times, want once", p.closes())
		}
	})
}

// TestProducersByKey: messages with keys are batched by key, as the broker serves KeyShared subscriptions by the batch; others are not.
func TestProducersByKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		built := make(chan pulsar.ProducerOptions, 10)
		b := newFake(t, &fakeClient{produce: func(o pulsar.ProducerOptions) (pulsar.Producer, error) {
			built <- o
			p := newFakeProducer()
			p.sends = func(m *pulsar.ProducerMessage, done callback) { done(nil, m, nil) }
			return p, nil
		}}, func(c *Config) { c.MixKeys = func(topic string) bool { return topic == "mixed" } })
		for _, c := range []struct {
			m    messaging.Message
			want pulsar.BatcherBuilderType
		}{
			{messaging.Message{Topic: "t", Key: "k"}, pulsar.KeyBasedBatchBuilder},
			{messaging.Message{Topic: "t"}, pulsar.DefaultBatchBuilder},
			{messaging.Message{Topic: "mixed", Key: "k"}, pulsar.DefaultBatchBuilder},
		} {
			if err := <-publish(b, c.m); err != nil {
				t.Error(err)
			}
			if o := <-built; o.BatcherBuilderType != c.want || o.DisableBatching {
				t.Errorf("%+v: batches are built by %v, off: %v", c.m, o.BatcherBuilderType, o.DisableBatching)
			}
		}
		closeBroker(t, b)
	})
}

// TestALostProducerIsReplaced: the client would register again before it has sent what is queued, so that messages overtake each other. Before it does, it asks for a
// backoff policy.
func TestALostProducerIsReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newFakeProducer(), newFakeProducer()
		b := newFake(t, opens(first, nil, second))
		ctx, cancel := context.WithCancel(t.Context())
		stored := publish(b, topicMessage("0"))
		s := <-first.sent
		s.done(nil, s.message, nil)
		if err := <-stored; err != nil {
			t.Error(err)
		}
		givenUp := publishUntil(ctx, b, topicMessage("given up"))
		outcomes := []<-chan error{publish(b, topicMessage("1")), publish(b, topicMessage("2"))}
		synctest.Wait()
		cancel()
		if err := <-givenUp; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		first.options.BackOffPolicyFunc()
		if first.closes() != 1 {
			t.Error("the producer was not closed before it could register again")
		}
		outcomes = append(outcomes, publish(b, topicMessage("3")))
		for len(first.sent) > 0 { // what the client says when it is closed
			s := <-first.sent
			s.done(nil, s.message, pulsar.ErrProducerClosed)
		}
		for i, o := range outcomes {
			s := <-second.sent
			if got, want := s.message.Properties[PropertyID], fmt.Sprint(i+1); got != want {
				t.Errorf("message %s was sent, want %s", got, want)
			}
			pending(t, o, "a message that was sent again")
			s.done(nil, s.message, nil)
			if err := <-o; err != nil {
				t.Error(err)
			}
		}
		closeBroker(t, b)
	})
}

// TestAProducerIsLostAgainAndAgain: until its messages have had their time.
func TestAProducerIsLostAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		producers := []*fakeProducer{newFakeProducer(), newFakeProducer(), newFakeProducer(), newFakeProducer()}
		b := newFake(t, opens(producers...), func(c *Config) { c.SendTimeout = time.Minute })
		o := publish(b, topicMessage("1"))
		for _, p := range producers[:3] {
			<-p.sent
			pending(t, o, "a message that is sent again")
			<-time.After(25 * time.Second)
			p.options.BackOffPolicyFunc()
		}
		if err := <-o; !errors.Is(err, ErrNoOutcome) {
			t.Errorf("%v, want ErrNoOutcome", err)
		}
		closeBroker(t, b)
	})
}

// TestAProducerIsLostWhileItOpens: as one of a topic with several partitions, of which one was open already.
func TestAProducerIsLostWhileItOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newFakeProducer(), newFakeProducer()
		client := opens(first, second)
		open, opened := client.produce, 0
		client.produce = func(o pulsar.ProducerOptions) (pulsar.Producer, error) {
			if opened++; opened == 1 {
				go o.BackOffPolicyFunc()
				synctest.Wait()
			}
			return open(o)
		}
		b := newFake(t, client)
		o := publish(b, topicMessage("1"))
		s := <-second.sent
		s.done(nil, s.message, nil)
		if err := <-o; err != nil || first.closes() != 1 {
			t.Errorf("%v; the lost producer was closed %d times, want once", err, first.closes())
		}
		closeBroker(t, b)
	})
}
