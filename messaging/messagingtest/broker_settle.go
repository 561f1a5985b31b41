package messagingtest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

func ownDisposition(s *stage) {
	const n = 20
	var mu sync.Mutex
	deliveries := make(map[string]int)
	acknowledged := make(chan string, 10*n)
	p := s.publishOn(s.on(messaging.Shared, "one"), s.messages("k", n),
		func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			mu.Lock()
			defer mu.Unlock()
			dispositions := make([]messaging.Disposition, len(batch))
			for i, m := range batch {
				deliveries[m.ID]++
				// Every other message has to come twice.
				dispositions[i].Redeliver = m.Payload[len(m.Payload)-1]%2 == 1 && deliveries[m.ID] == 1
				if !dispositions[i].Redeliver {
					acknowledged <- m.ID
				}
			}
			return dispositions
		})
	var have []string
	for range n {
		have = append(have, receive(s, acknowledged, "acknowledgement of every message"))
	}
	p.succeeds()
	quiet(s, acknowledged, "an acknowledged message came again")
	slices.Sort(have)
	if distinct := slices.Compact(have); len(distinct) != n {
		s.Errorf("%d of %d messages were acknowledged, the others twice", len(distinct), n)
	}
}

// publishOn publishes to a subscription that has no consumer at that time, so that batches form, and then
// starts it.
func (s *stage) publishOn(sub messaging.Subscription, all []messaging.Message, r messaging.Receiver) publishing {
	s.Helper()
	s.subscribe(sub, collect().receive).stop()
	p := s.keep(all...)
	s.subscribe(sub, r)
	return p
}

func redeliveryWaits(s *stage) {
	const times = 3
	for _, after := range []time.Duration{0, 200 * time.Millisecond} {
		s := s.fork(after.String())
		type delivery struct {
			count int
			at    time.Time
		}
		deliveries := make(chan delivery, 10)
		var mu sync.Mutex
		came := 0
		s.subscribe(s.on(messaging.Shared, "one"), func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			mu.Lock()
			defer mu.Unlock()
			dispositions := make([]messaging.Disposition, len(batch))
			for i, m := range batch {
				came++
				dispositions[i] = messaging.Disposition{Redeliver: came < times, After: after}
				deliveries <- delivery{count: m.Delivery, at: time.Now()}
			}
			return dispositions
		})
		p := s.publish(s.message("k", 1))
		var last time.Time
		for i := range times {
			d := receive(s, deliveries, "redelivery")
			if d.count != i+1 && !s.features.NoDeliveryCount {
				s.Errorf("Delivery is %d on delivery %d", d.count, i+1)
			}
			if took := d.at.Sub(last); i > 0 && took < after {
				s.Errorf("redelivered after %v, want at least %v", took, after)
			}
			last = d.at
		}
		p.succeeds()
		quiet(s, deliveries, "an acknowledged message came again")
	}
}

func redeliveryKeepsOrder(s *stage) {
	const keys, n = 4, 25
	for name, kind := range map[string]messaging.SubscriptionType{
		"key-shared": messaging.KeyShared, "failover": messaging.Failover, "exclusive": messaging.Exclusive,
	} {
		s := s.fork(name)
		q := newSequence(s, keys*n)
		var mu sync.Mutex
		seen := make(map[string]bool)
		retry := func(m messaging.Message) bool { // the first delivery of every fifth message
			mu.Lock()
			defer mu.Unlock()
			first := !seen[m.ID]
			seen[m.ID] = true
			return first && m.Payload[len(m.Payload)-1]%5 == 0
		}
		sub := s.on(kind, "one")
		sub.MaxBatch = 10
		s.subscribe(sub, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
			q.begin(batch)
			return q.end(batch, retry, 5*time.Millisecond)
		})
		p := s.publish(s.interleave(keys, n)...)
		receive(s, q.all, "acknowledgement of all messages")
		p.succeeds()
	}
}

func subscribeSettles(s *stage) {
	sub := s.on(messaging.Failover, "one")
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	c := s.subscribe(sub, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		arrived <- struct{}{}
		<-release
		return make([]messaging.Disposition, len(batch))
	})
	p := s.publish(s.message("k", 1))
	receive(s, arrived, "message")
	c.cancel()
	select {
	case err := <-c.ended:
		close(release)
		s.Fatalf("Subscribe returned %v while its receiver had a message", err)
	case <-time.After(s.features.Glance):
	}
	close(release)
	c.stop()
	p.succeeds()
	got := collect()
	s.subscribe(sub, got.receive)
	p = s.publish(s.message("k", 2))
	if m := got.next(s, 1)[0]; m.ID != "k-2" {
		s.Errorf("the next consumer got %s, which was acknowledged before its predecessor's Subscribe returned", m.ID)
	}
	p.succeeds()
}

func unacknowledgedGoOn(s *stage) {
	const n = 5
	sub := s.on(messaging.Failover, "one")
	ended, cancelled := make(chan struct{}), make(chan struct{}, 100)
	c := s.subscribe(sub, func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		cancelled <- struct{}{}
		<-ended
		dispositions := make([]messaging.Disposition, len(batch))
		for i := range dispositions {
			dispositions[i].Redeliver = true
		}
		return dispositions
	})
	p := s.keep(s.messages("k", n)...)
	receive(s, cancelled, "message")
	c.cancel()
	close(ended)
	c.stop()
	got := collect()
	s.subscribe(sub, got.receive)
	all := got.next(s, n)
	if have, want := ids(all), ids(s.messages("k", n)); !slices.Equal(have, want) {
		s.Errorf("the next consumer got %q, want %q", have, want)
	}
	if all[0].Delivery < 2 && !s.features.NoDeliveryCount {
		s.Errorf("Delivery is %d on the second delivery", all[0].Delivery)
	}
	p.succeeds()
}
