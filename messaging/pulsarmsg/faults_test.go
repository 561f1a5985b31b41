package pulsarmsg_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
)

// ordered checks that the messages of each key come in order, repetitions apart, until all have come.
type ordered struct {
	t    *testing.T
	mu   sync.Mutex
	next map[string]int
	left int
	got  int
	all  chan struct{}
}

func newOrdered(t *testing.T, total int) *ordered {
	return &ordered{t: t, next: map[string]int{}, left: total, all: make(chan struct{})}
}

func (o *ordered) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got += len(batch)
	for _, m := range batch {
		var n int
		if _, err := fmt.Sscan(m.ID, &n); err != nil {
			o.t.Error(err)
		}
		switch want := o.next[m.Key]; {
		case n > want:
			o.t.Errorf("key %s: message %d came where %d was expected", m.Key, n, want)
			o.next[m.Key] = n + 1
		case n == want:
			o.next[m.Key]++
			if o.left--; o.left == 0 {
				close(o.all)
			}
		}
	}
	return make([]messaging.Disposition, len(batch))
}

// TestIntegrationTopicsAreUnloaded: the broker closes producers and consumers, as it does when it moves a topic.
func TestIntegrationTopicsAreUnloaded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, kind := range map[string]messaging.SubscriptionType{
		"shared": messaging.Shared, "key-shared": messaging.KeyShared, "failover": messaging.Failover, "exclusive": messaging.Exclusive,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturbed(t, s, kind, 5, func(topic string, _ int) { s.unload(t, topic) })
		})
	}
}

// TestIntegrationConnectionsBreak: in the middle of publishing and consuming, now and then for a while.
func TestIntegrationConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, kind := range map[string]messaging.SubscriptionType{"key-shared": messaging.KeyShared, "exclusive": messaging.Exclusive} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := behindProxy(t, s)
			disturbed(t, s, kind, 8, func(_ string, i int) {
				moment := func() { <-time.After(300 * time.Millisecond) }
				switch i % 4 {
				case 0:
					p.Cut(t)
				case 1:
					p.Down()
					moment()
					p.Up(t)
				case 2:
					heal := p.Reset(t)
					moment()
					heal()
				case 3:
					heal := p.Limit(t, 4096) // in the middle of a frame
					moment()
					heal()
				}
			})
		})
	}
}

// disturbed publishes while something disturbs, and wants every message, in order where that is promised.
func disturbed(t *testing.T, s server, kind messaging.SubscriptionType, times int, disturb func(topic string, i int)) {
	t.Helper()
	const keys = 5
	topic := topicName(t)
	each := 40 * times
	all := newOrdered(t, keys*each)
	receiver := messaging.Receiver(all.receive)
	if kind == messaging.Shared {
		receiver = func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			all.mu.Lock()
			defer all.mu.Unlock()
			all.got += len(batch)
			for _, m := range batch {
				if id := m.Key + "/" + m.ID; all.next[id] == 0 {
					all.next[id] = 1
					if all.left--; all.left == 0 {
						close(all.all)
					}
				}
			}
			return make([]messaging.Disposition, len(batch))
		}
	}
	c := s.config(t)
	c.Backoff = messaging.Backoff{Base: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	c.SendTimeout = 5 * time.Minute // a broker that starts takes its time
	c.KeepAlive = time.Second
	b := open(t, c)
	consume(t, b, subscription(topic, kind), receiver)
	var messages []messaging.Message
	for i := range each {
		for k := range keys {
			messages = append(messages, messaging.Message{ID: fmt.Sprint(i), Topic: topic, Key: fmt.Sprint(k)})
		}
	}
	began := time.Now()
	part := len(messages) / times
	for i := range times {
		failed := make(chan error, 1)
		go func() { failed <- messaging.Publish(context.Background(), b, messages[i*part:(i+1)*part]...) }()
		disturb(topic, i)
		if err := wait(t, failed, "outcome"); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, all.all, "acknowledgement of all messages")
	all.mu.Lock()
	defer all.mu.Unlock()
	t.Logf("%d messages, disturbed %d times: all came, %d of them again, in %s", len(messages), times, all.got-len(messages), time.Since(began).Round(time.Millisecond))
}

// TestIntegrationTheNetworkFreezes: connections stay open and nothing passes, which the client's pings find out.
func TestIntegrationTheNetworkFreezes(t *testing.T) {
	t.Parallel()
	s, p := behindProxy(t, newServer(t))
	disturbed(t, s, messaging.KeyShared, 2, func(string, int) {
		heal := p.Freeze(t)
		<-time.After(4 * time.Second) // more than two of the intervals
		heal()
	})
}

// TestIntegrationTheBrokerIsKilled with kill -9 under load, and started again with its data.
func TestIntegrationTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	b, container := testenv.OwnPulsar(t)
	s := server{url: b.URL, admin: b.AdminURL}
	disturbed(t, s, messaging.KeyShared, 2, func(string, int) {
		if err := errors.Join(container.Kill(t.Context()), container.Start(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// TestIntegrationTheSubscriptionIsDeleted: by an operator, under a consumer, with force.
func TestIntegrationTheSubscriptionIsDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	b := open(t, s.config(t))
	consume(t, b, subscription(topic, messaging.KeyShared), in.receive)
	publishAll(t, b, messaging.Message{ID: "1", Topic: topic})
	in.next(t)
	s.ask(t, http.MethodDelete, "persistent/public/default/"+topic+"/subscription/s?force=true", nil, nil)
	eventually(t, func() bool { // what is published while there is no subscription is lost
		publishAll(t, b, messaging.Message{ID: "2", Topic: topic})
		return len(in) > 0
	})
}

// eventually tries until it works.
func eventually(t testing.TB, f func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !f() {
		select {
		case <-deadline:
			t.Fatal("not in time")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestIntegrationPartitionsGrow: nothing is lost when a topic gets more of them.
func TestIntegrationPartitionsGrow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic, in := topicName(t), newInbox()
	s.ask(t, http.MethodPut, "persistent/public/default/"+topic+"/partitions", 1, nil)
	c := s.config(t)
	c.Discovery = 200 * time.Millisecond
	b := open(t, c)
	consume(t, b, subscription(topic, messaging.KeyShared), in.receive)
	seen, partitions, n := map[string]bool{}, map[string]bool{}, 0
	publish := func() {
		var all []messaging.Message
		for range 20 {
			all = append(all, messaging.Message{ID: fmt.Sprint(n), Topic: topic, Key: fmt.Sprint(n)})
			n++
		}
		publishAll(t, b, all...)
	}
	publish()
	s.ask(t, http.MethodPost, "persistent/public/default/"+topic+"/partitions", 3, nil)
	eventually(t, func() bool {
		publish()
		for len(in) > 0 {
			m := <-in
			seen[m.ID] = true
			partitions[strings.Split(m.BrokerID, ":")[2]] = true
		}
		return len(partitions) == 3
	})
	for len(seen) < n {
		seen[in.next(t).ID] = true
	}
}

// TestIntegrationTheTopicIsTerminated: the client then forgets its producer without a word. Publishers are told in bounded time.
func TestIntegrationTheTopicIsTerminated(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	c := s.config(t)
	c.SendTimeout = 2 * time.Second
	b := open(t, c)
	publishAll(t, b, messaging.Message{ID: "1", Topic: topic})
	s.ask(t, http.MethodPost, "persistent/public/default/"+topic+"/terminate", nil, nil)
	for range 2 {
		outcome := make(chan error, 1)
		b.Publish(t.Context(), messaging.Message{ID: "2", Topic: topic}, func(err error) { outcome <- err })
		if err := wait(t, outcome, "outcome"); err == nil {
			t.Error("a terminated topic took a message")
		}
	}
}

// TestIntegrationABrokerThatIsNotThere: publishing fails in bounded time, subscribing waits, and Close is bounded.
func TestIntegrationABrokerThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s, p := behindProxy(t, s)
	p.Down()
	topic, in := topicName(t), newInbox()
	c := s.config(t)
	c.OperationTimeout, c.SendTimeout = time.Second, time.Second
	b := open(t, c)
	if err := messaging.Publish(t.Context(), b, messaging.Message{ID: "1", Topic: topic}); err == nil {
		t.Error("a broker that is not there took a message")
	}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Subscribe(ctx, subscription(topic, messaging.Exclusive), func() { close(ready) }, in.receive)
	}()
	<-time.After(time.Second)
	p.Up(t)
	wait(t, ready, "subscription")
	publishAll(t, b, messaging.Message{ID: "2", Topic: topic})
	if m := in.next(t); m.ID != "2" {
		t.Errorf("got %s", m.ID)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
