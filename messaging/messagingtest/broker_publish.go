package messagingtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

func arrivesWhole(s *stage) {
	got := collect()
	s.subscribe(s.on(messaging.Shared, "one"), got.receive)
	want := messaging.Message{
		ID: "id-1", Topic: s.topic, Key: "key-1", Type: "order-placed", Payload: []byte("payload"),
		Headers:   map[string]string{messaging.HeaderTraceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "other": "x"},
		Published: time.Unix(1, 0), Delivery: 7, BrokerID: "not yours", // ignored on publishing
	}
	before := time.Now().Add(-time.Minute) // the server's clock is another one
	p := s.publish(want)
	m := got.next(s, 1)[0]
	p.succeeds()
	if m.ID != want.ID || m.Topic != want.Topic || m.Key != want.Key || m.Type != want.Type || !bytes.Equal(m.Payload, want.Payload) {
		s.Errorf("got %+v, want %+v", m, want)
	}
	for name, value := range want.Headers {
		if m.Header(name) != value {
			s.Errorf("header %s is %q, want %q", name, m.Header(name), value)
		}
	}
	if m.Delivery != 1 && !s.features.NoDeliveryCount {
		s.Errorf("Delivery is %d on the first delivery, want 1", m.Delivery)
	}
	if m.BrokerID == "" || m.BrokerID == want.BrokerID {
		s.Errorf("BrokerID is %q, want one of the broker's own", m.BrokerID)
	}
	if s.features.NoPublished {
		s.Log("Published is not checked: Features.NoPublished")
	} else if m.Published.Before(before) {
		s.Errorf("Published is %v, want the time of publishing", m.Published)
	}
}

func arrivesUnchanged(s *stage) {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	wants := []messaging.Message{
		{ID: "empty", Topic: s.topic, Type: "suite"},
		{ID: "binary", Topic: s.topic, Type: "suite", Payload: binary},
		{ID: "large", Topic: s.topic, Type: "suite", Payload: bytes.Repeat(binary, 400)},
		{ID: "headers", Topic: s.topic, Type: "suite", Headers: map[string]string{"empty": "", "unicode": "ñandú ☃", "long": string(bytes.Repeat([]byte("x"), 1000))}},
	}
	got := collect()
	s.subscribe(s.on(messaging.Shared, "one"), got.receive)
	p := s.publish(wants...)
	arrived := make(map[string]messaging.Message)
	for _, m := range got.next(s, len(wants)) {
		arrived[m.ID] = m
	}
	p.succeeds()
	for _, want := range wants {
		m, ok := arrived[want.ID]
		if !ok {
			s.Errorf("message %q did not arrive", want.ID)
			continue
		}
		if !bytes.Equal(m.Payload, want.Payload) {
			s.Errorf("message %q: payload of %d bytes arrived changed (%d bytes)", want.ID, len(want.Payload), len(m.Payload))
		}
		if len(want.Headers) > 0 && !maps.Equal(m.Headers, want.Headers) {
			s.Errorf("message %q: headers are %q, want %q", want.ID, m.Headers, want.Headers)
		}
	}
}

func brokerIDsAreUnique(s *stage) {
	got := collect()
	s.subscribe(s.on(messaging.Shared, "one"), got.receive)
	const n = 50
	foreign := s.message("", 1)
	foreign.ID = "" // as of a producer that gives none
	p := s.publish(slices.Repeat([]messaging.Message{foreign}, n)...)
	seen := make(map[string]bool)
	for _, m := range got.next(s, n) {
		seen[m.Identity()] = true
	}
	p.succeeds()
	if len(seen) != n {
		s.Errorf("%d messages without an ID have %d identities", n, len(seen))
	}
}

func publishToNobody(s *stage) {
	s.publish(s.messages("k", 3)...).succeeds()
}

func publishWithEndedContext(s *stage) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	outcomes := make(chan error, 2)
	s.broker.Publish(ctx, s.message("k", 1), func(err error) { outcomes <- err })
	if err := receive(s, outcomes, "outcome of the publish"); !errors.Is(err, context.Canceled) {
		s.Errorf("done got %v, want context.Canceled", err)
	}
	quiet(s, outcomes, "done was called twice")
}

func concurrentPublishes(s *stage) {
	const publishers, each = 8, 100
	got := collect()
	s.subscribe(s.on(messaging.Shared, "one"), got.receive)
	p := publishing{stage: s, outcomes: make(chan error, publishers*each), n: publishers * each}
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() {
			for _, m := range s.messages(fmt.Sprintf("p%d", i), each) {
				p.publish(m)
			}
		})
	}
	wg.Wait()
	distinct := make(map[string]bool)
	for _, m := range got.next(s, publishers*each) {
		distinct[m.ID] = true
	}
	p.succeeds()
	if len(distinct) != publishers*each {
		s.Errorf("%d of %d messages arrived, the others were repeated", len(distinct), publishers*each)
	}
	got.silent(s)
}

func doneAfterAck(s *stage) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 1)
	first := collect()
	s.subscribe(s.on(messaging.Shared, "quick"), first.receive)
	s.subscribe(s.on(messaging.Shared, "slow"), func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
		arrived <- struct{}{}
		<-release
		return make([]messaging.Disposition, len(batch))
	})
	p := s.publish(s.message("k", 1))
	first.next(s, 1)
	receive(s, arrived, "message at the second subscription")
	select {
	case err := <-p.outcomes:
		s.Errorf("done was called with %v before the second subscription acknowledged", err)
		close(release)
		return
	case <-time.After(s.features.Glance):
	}
	close(release)
	p.succeeds()
}

func everySubscription(s *stage) {
	const n = 20
	kinds := []messaging.SubscriptionType{messaging.Shared, messaging.KeyShared, messaging.Failover}
	all := make([]collector, len(kinds))
	for i, kind := range kinds {
		all[i] = collect()
		s.subscribe(s.on(kind, fmt.Sprintf("subscription-%d", i)), all[i].receive)
	}
	p := s.publish(s.messages("k", n)...)
	want := ids(s.messages("k", n))
	slices.Sort(want)
	for i, got := range all {
		have := ids(got.next(s, n))
		slices.Sort(have)
		if !slices.Equal(have, want) {
			s.Errorf("subscription %d got %q, want each message once", i, have)
		}
	}
	p.succeeds()
}

func closedSaysSo(s *stage) {
	got := collect()
	running := s.subscribe(s.on(messaging.Shared, "one"), got.receive)
	switch b := s.broker.(type) {
	case interface{ Close() error }:
		if err := b.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
	case interface{ Close() }:
		b.Close()
	default:
		s.Skip("switched off: the broker has no Close method")
	}
	if err := receive(s, running.ended, "return of Subscribe after Close"); !errors.Is(err, messaging.ErrClosed) {
		s.Errorf("the Subscribe under way returned %v, want ErrClosed", err)
	}
	if err := receive(s, s.publish(s.message("k", 1)).outcomes, "outcome of a publish"); !errors.Is(err, messaging.ErrClosed) {
		s.Errorf("Publish after Close: %v, want ErrClosed", err)
	}
	late := make(chan error, 1)
	go func() {
		late <- s.broker.Subscribe(context.Background(), s.on(messaging.Shared, "two"), nil, got.receive)
	}()
	if err := receive(s, late, "return of a Subscribe that came after Close"); !errors.Is(err, messaging.ErrClosed) {
		s.Errorf("Subscribe after Close: %v, want ErrClosed", err)
	}
}
