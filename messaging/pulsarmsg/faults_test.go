package pulsarmsg_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// load publishes for as long as a fault lasts, as an outbox does: what has failed is published again with the same ID. Subscriptions apply each ID once, as an
// inbox does.
type load struct {
	t       *testing.T
	topic   string
	ledgers []*ledger

	published, failures int
}

// ledger is what one subscription has applied.
type ledger struct {
	kind messaging.SubscriptionType

	mu         sync.Mutex
	applied    map[string]bool
	last       map[string]int // by key
	duplicates int
	overtaken  int // messages that came after a later one of their key
}

func (l *ledger) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range batch {
		if l.applied[m.ID] {
			l.duplicates++
			continue
		}
		l.applied[m.ID] = true
		_, number, _ := strings.Cut(m.ID, "/")
		if n, err := strconv.Atoi(number); err != nil || n < l.last[m.Key] {
			l.overtaken++
		} else {
			l.last[m.Key] = n
		}
	}
	return make([]messaging.Disposition, len(batch))
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.applied)
}

// newLoad subscribes once for each kind.
func newLoad(t *testing.T, b *pulsarmsg.Broker, topic string, kinds ...messaging.SubscriptionType) *load {
	t.Helper()
	l := &load{t: t, topic: topic}
	for i, kind := range kinds {
		one := &ledger{kind: kind, applied: map[string]bool{}, last: map[string]int{}}
		l.ledgers = append(l.ledgers, one)
		consume(t, b, messaging.Subscription{Topic: topic, Name: "s" + strconv.Itoa(i), Type: kind}, one.receive)
	}
	return l
}

// during publishes while fault runs, and for a moment before and after. It wants every message applied by every subscription, in order where all went well and order is
// promised.
func (l *load) during(b messaging.Publisher, keepsOrder bool, fault func()) {
	l.t.Helper()
	begin := time.Now()
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.publish(b, over)
	}()
	<-time.After(100 * time.Millisecond)
	fault()
	<-time.After(100 * time.Millisecond)
	close(over)
	wait(l.t, ended, "end of the publishing")
	for _, one := range l.ledgers {
		eventually(l.t, func() bool { return one.count() == l.published })
		one.mu.Lock()
		if keepsOrder && l.failures == 0 && one.kind != messaging.Shared && one.overtaken > 0 {
			l.t.Errorf("subscription type %d: %d messages were overtaken within their keys", one.kind, one.overtaken)
		}
		l.t.Logf("subscription type %d: %d messages applied once each, %d duplicates, %d publishes repeated, %.1f s",
			one.kind, len(one.applied), one.duplicates, l.failures, time.Since(begin).Seconds())
		one.mu.Unlock()
	}
}

// publish publishes until over is closed and every message has been taken.
func (l *load) publish(b messaging.Publisher, over <-chan struct{}) {
	const keys, most = 7, 500
	type outcome struct {
		m   messaging.Message
		err error
	}
	outcomes := make(chan outcome, most)
	open := 0
	send := func(m messaging.Message) {
		open++
		b.Publish(context.Background(), m, func(err error) { outcomes <- outcome{m, err} })
	}
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for running := true; running || open > 0; {
		select {
		case o := <-outcomes:
			if open--; o.err != nil {
				l.failures++
				send(o.m)
			}
		case <-pace.C:
			for range 10 {
				if !running || open == most {
					break
				}
				key := strconv.Itoa(l.published % keys)
				send(messaging.Message{ID: key + "/" + strconv.Itoa(l.published), Topic: l.topic, Key: key, Payload: []byte("paid")})
				l.published++
			}
		case <-over:
			running, over = false, nil
		}
	}
}

// hardy is the configuration of a driver that finds out about faults soon and does not give messages up.
func (s server) hardy(t *testing.T) pulsarmsg.Config {
	c := s.config(t)
	c.Backoff = messaging.Backoff{Base: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	c.KeepAlive = time.Second
	c.OperationTimeout = 5 * time.Second
	c.SendTimeout = 5 * time.Minute // a broker that starts takes its time
	return c
}

// TestIntegrationTopicsAreUnloaded: the broker closes producers and consumers, as it does when it moves a topic.
func TestIntegrationTopicsAreUnloaded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	b := open(t, s.hardy(t))
	newLoad(t, b, topic, messaging.Shared, messaging.KeyShared, messaging.Failover, messaging.Exclusive).during(b, true, func() {
		for range 5 {
			s.unload(t, topic)
			<-time.After(200 * time.Millisecond)
		}
	})
}

// TestIntegrationConnectionsBreak: in the middle of publishing and consuming, in every way.
func TestIntegrationConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for name, fault := range map[string]func(*testing.T, *testenv.Proxy, *prometheus.Registry){
		"reset": func(t *testing.T, p *testenv.Proxy, _ *prometheus.Registry) {
			for range 3 {
				lasting(100*time.Millisecond, p.Reset(t))
				<-time.After(300 * time.Millisecond)
			}
		},
		// In the middle of what the broker says. Not sooner: the client has a data race of its own where a connection ends just as a producer opens.
		"torn": func(t *testing.T, p *testenv.Proxy, _ *prometheus.Registry) { lasting(time.Second, p.Tear(t, 1<<16)) },
		"refused": func(t *testing.T, p *testenv.Proxy, _ *prometheus.Registry) {
			for range 2 {
				p.Down()
				lasting(300*time.Millisecond, func() { p.Up(t) })
				<-time.After(300 * time.Millisecond)
			}
		},
		"silent": func(t *testing.T, p *testenv.Proxy, r *prometheus.Registry) {
			heal := p.Freeze(t)
			eventually(t, func() bool { return losses(t, r) >= 2 }) // before it heals, which ends the connections
			heal()
		},
		"slow": func(t *testing.T, p *testenv.Proxy, _ *prometheus.Registry) { lasting(3*time.Second, p.Narrow(t, 40)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := behindProxy(t, s)
			c, registry := s.hardy(t), prometheus.NewRegistry()
			c.Metrics = registry
			b := open(t, c)
			newLoad(t, b, topicName(t), messaging.KeyShared, messaging.Exclusive).during(b, true, func() { fault(t, p, registry) })
		})
	}
}

// losses returns how many consumers were lost.
func losses(t *testing.T, r *prometheus.Registry) (all int) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "pulsarmsg_subscription_losses_total" {
			for _, m := range f.GetMetric() {
				all += int(m.GetCounter().GetValue())
			}
		}
	}
	return all
}

// lasting heals after a time.
func lasting(d time.Duration, heal func()) {
	<-time.After(d)
	heal()
}

// TestIntegrationTheBrokerIsKilled: with -9, under load, and started again.
func TestIntegrationTheBrokerIsKilled(t *testing.T) {
	t.Parallel()
	own, process := testenv.OwnPulsar(t)
	s := server{url: own.URL, admin: own.AdminURL, namespace: own.Namespace}
	b := open(t, s.hardy(t))
	newLoad(t, b, topicName(t), messaging.Shared, messaging.KeyShared, messaging.Failover).during(b, true, func() {
		if err := process.Kill(context.Background()); err != nil {
			t.Error(err)
		}
		if err := process.Start(context.Background()); err != nil {
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
	s.ask(t, http.MethodDelete, s.path(topic)+"/subscription/s?force=true", nil, nil)
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

// TestIntegrationPartitionsGrow: under load. A key may move to another partition, so that its order is not kept at that moment.
func TestIntegrationPartitionsGrow(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	s.ask(t, http.MethodPut, s.path(topic)+"/partitions", 1, nil)
	c := s.hardy(t)
	c.Discovery = 100 * time.Millisecond
	b := open(t, c)
	l := newLoad(t, b, topic, messaging.Shared, messaging.KeyShared, messaging.Failover)
	in := newInbox() // of one partition that is new
	l.during(b, false, func() {
		s.ask(t, http.MethodPost, s.path(topic)+"/partitions", 4, nil)
		consume(t, b, subscription(topic+"-partition-3", messaging.Shared), in.receive)
		in.next(t)
	})
}

// TestIntegrationANewPartitionIsRefused: the consumer of another client has the first new partition for itself for a while. The client's own discovery would then close the consumers of
// the partitions that were there before, without a word.
func TestIntegrationANewPartitionIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	topic := topicName(t)
	s.ask(t, http.MethodPut, s.path(topic)+"/partitions", 1, nil)
	c := s.config(t)
	c.Discovery = 3 * time.Second
	b := open(t, c)
	in := newInbox()
	consume(t, b, subscription(topic, messaging.Shared), in.receive)
	s.ask(t, http.MethodPost, s.path(topic)+"/partitions", 2, nil)
	holder, err := foreign(t, s).Subscribe(pulsar.ConsumerOptions{Topic: s.full(topic) + "-partition-1", SubscriptionName: "s", Type: pulsar.Exclusive})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(2 * c.Discovery)
	holder.Close()
	for _, partition := range []string{"-partition-0", "-partition-1"} {
		publishAll(t, b, messaging.Message{ID: partition, Topic: topic + partition})
		if m := in.next(t); m.ID != partition {
			t.Errorf("got %s, want %s", m.ID, partition)
		}
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
	s.ask(t, http.MethodPost, s.path(topic)+"/terminate", nil, nil)
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
