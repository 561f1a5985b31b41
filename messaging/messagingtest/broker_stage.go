package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// stage is what one case plays on: a broker and a topic that nobody else uses.
type stage struct {
	*testing.T
	features Features
	broker   messaging.Broker
	topic    string
}

func newStage(t *testing.T, f Features, b messaging.Broker) *stage {
	name := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
	// The time keeps runs apart that share a server.
	return &stage{T: t, features: f, broker: b, topic: fmt.Sprintf("suite-%s-%d", name, time.Now().UnixNano())}
}

// fork returns the same stage with another topic.
func (s *stage) fork(name string) *stage {
	other := *s
	other.topic += "-" + name
	return &other
}

// message returns the n-th message of the case, for the key.
func (s *stage) message(key string, n int) messaging.Message {
	return messaging.Message{
		ID: fmt.Sprintf("%s-%d", key, n), Topic: s.topic, Key: key, Type: "suite", Payload: fmt.Appendf(nil, "%d", n),
	}
}

func (s *stage) messages(key string, n int) []messaging.Message {
	all := make([]messaging.Message, n)
	for i := range all {
		all[i] = s.message(key, i)
	}
	return all
}

// publishing is a number of publishes under way.
type publishing struct {
	stage    *stage
	outcomes chan error
	n        int
}

// publish hands the messages to the broker; with [Features.DoneAfterAck] their outcomes wait for consumers, so
// that a case asks for them when it has played those.
func (s *stage) publish(messages ...messaging.Message) publishing {
	p := publishing{stage: s, outcomes: make(chan error, len(messages)), n: len(messages)}
	for _, m := range messages {
		p.publish(m)
	}
	return p
}

func (p publishing) publish(m messaging.Message) {
	var calls atomic.Int32
	p.stage.broker.Publish(context.Background(), m, func(err error) {
		if calls.Add(1) > 1 {
			p.stage.Errorf("done was called more than once for message %s", m.ID)
			return
		}
		p.outcomes <- err
	})
}

// succeeds waits until every outcome is known and wants all of them nil.
func (p publishing) succeeds() {
	p.stage.Helper()
	for i := range p.n {
		if err := receive(p.stage, p.outcomes, "outcome of a publish"); err != nil {
			p.stage.Fatalf("publish %d of %d: %v", i+1, p.n, err)
		}
	}
}

// keep is publish, but for messages that are to be in the broker before the case goes on, even if nobody takes
// them yet.
func (s *stage) keep(messages ...messaging.Message) publishing {
	s.Helper()
	p := s.publish(messages...)
	if !s.features.DoneAfterAck {
		p.succeeds()
		p.n = 0
	}
	return p
}

// subscribing is a Subscribe under way.
type subscribing struct {
	stage  *stage
	cancel context.CancelFunc
	ended  chan error
}

// subscribe starts a consumer and returns when it is ready.
func (s *stage) subscribe(sub messaging.Subscription, r messaging.Receiver) *subscribing {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &subscribing{stage: s, cancel: cancel, ended: make(chan error, 1)}
	returned := make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(returned)
		c.ended <- s.broker.Subscribe(ctx, sub, sync.OnceFunc(func() { close(ready) }), r)
	}()
	s.Cleanup(func() {
		cancel()
		select {
		case <-returned:
		case <-time.After(s.features.Patience):
			s.Errorf("Subscribe did not return after its context had ended")
		}
	})
	select {
	case <-ready:
	case err := <-c.ended:
		if errors.Is(err, messaging.ErrUnsupported) {
			s.Skipf("the broker does not support this subscription: %v", err)
		}
		s.Fatalf("Subscribe returned before it was ready: %v", err)
	case <-time.After(s.features.Patience):
		s.Fatal("Subscribe did not call ready")
	}
	return c
}

// stop ends the consumer and wants nil from Subscribe.
func (c *subscribing) stop() {
	c.stage.Helper()
	c.cancel()
	if err := receive(c.stage, c.ended, "return of Subscribe after its context ended"); err != nil {
		c.stage.Fatalf("Subscribe returned %v after its context had ended, want nil", err)
	}
}

func (s *stage) on(kind messaging.SubscriptionType, name string) messaging.Subscription {
	return messaging.Subscription{Topic: s.topic, Name: name, Type: kind}
}

// collector is a receiver that acknowledges everything and hands it on.
type collector chan messaging.Message

func collect() collector { return make(collector, 10_000) }

func (c collector) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	for _, m := range batch {
		c <- m
	}
	return make([]messaging.Disposition, len(batch))
}

// next returns the next n messages.
func (c collector) next(s *stage, n int) []messaging.Message {
	s.Helper()
	all := make([]messaging.Message, n)
	for i := range all {
		all[i] = receive(s, c, fmt.Sprintf("message %d of %d", i+1, n))
	}
	return all
}

// silent wants nothing more to come.
func (c collector) silent(s *stage) {
	s.Helper()
	select {
	case m := <-c:
		s.Fatalf("message %s came once more or should not have come (delivery %d)", m.ID, m.Delivery)
	case <-time.After(s.features.Glance):
	}
}

// receive waits for a value.
func receive[T any](s *stage, from <-chan T, what string) T {
	s.Helper()
	var v T
	select {
	case v = <-from:
	case <-time.After(s.features.Patience):
		s.Fatalf("no %s within %v", what, s.features.Patience)
	}
	return v
}

// quiet wants no value to come for a glance.
func quiet[T any](s *stage, from <-chan T, what string) {
	s.Helper()
	select {
	case <-from:
		s.Fatal(what)
	case <-time.After(s.features.Glance):
	}
}

func ids(messages []messaging.Message) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = m.ID
	}
	return all
}
