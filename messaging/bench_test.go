package messaging_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// BenchmarkRouter measures what the router adds to each message between driver and handler.
func BenchmarkRouter(b *testing.B) {
	const size = 100
	for name, add := range map[string]func(*messaging.Router, messaging.Subscription) error{
		"handle": func(r *messaging.Router, s messaging.Subscription) error {
			return r.Handle(s, func(context.Context, messaging.Message) error { return nil })
		},
		"batch": func(r *messaging.Router, s messaging.Subscription) error {
			return r.HandleBatch(s, func(context.Context, []messaging.Message) []error { return nil })
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := newDriver()
			r, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: d, DeadLetters: &letters{}, Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			if err := add(r, messaging.Subscription{Topic: "t", Name: "s", Type: messaging.KeyShared, MaxBatch: size}); err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			receive := <-d.receiver
			batch := make([]messaging.Message, size)
			for i := range batch {
				batch[i] = messaging.Message{ID: "id", Topic: "t", Key: "k"}
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				receive(ctx, batch)
				n += size
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
			cancel()
			<-ended
		})
	}
}

// BenchmarkRouterOverMemory measures the whole way: Publish, the broker in memory, router, handler, outcome.
func BenchmarkRouterOverMemory(b *testing.B) {
	broker := memmsg.New(memmsg.Config{})
	defer broker.Close()
	r, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: broker, DeadLetters: &letters{}, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Handle(messaging.Subscription{Topic: "t", Name: "s"}, func(context.Context, messaging.Message) error { return nil }); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	<-r.Ready()
	var open sync.WaitGroup
	done := func(error) { open.Done() }
	b.ReportAllocs()
	n, begin := 0, time.Now() // b.Elapsed leaves out those still open at the end
	for b.Loop() {
		open.Add(1)
		broker.Publish(ctx, messaging.Message{ID: "id", Topic: "t", Key: "k"}, done)
		n++
	}
	open.Wait()
	b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "msg/s")
	cancel()
	<-ended
}

func BenchmarkJSONCodec(b *testing.B) {
	c := newCodec(b)
	v := placed{ID: "1", Lines: []line{{"a", 1}, {"b", 2}}, Notes: map[string]string{"k": "v"}}
	b.ReportAllocs()
	for b.Loop() {
		m, err := c.Encode(v)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}
