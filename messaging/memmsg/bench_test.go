package memmsg_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// BenchmarkPublishConsume measures one message from Publish to its acknowledged outcome, with as many under way as fit.
func BenchmarkPublishConsume(b *testing.B) {
	for name, kind := range map[string]messaging.SubscriptionType{
		"shared": messaging.Shared, "key-shared": messaging.KeyShared, "failover": messaging.Failover,
	} {
		b.Run(name, func(b *testing.B) {
			broker := memmsg.New(memmsg.Config{})
			defer broker.Close()
			ctx, cancel := context.WithCancel(context.Background())
			ready, ended := make(chan struct{}), make(chan error, 1)
			go func() {
				ended <- broker.Subscribe(ctx, messaging.Subscription{Topic: "t", Name: "s", Type: kind}, func() { close(ready) },
					func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
						return make([]messaging.Disposition, len(batch))
					})
			}()
			<-ready
			keys := make([]string, 1000)
			for i := range keys {
				keys[i] = fmt.Sprint("key-", i)
			}
			var open sync.WaitGroup
			done := func(error) { open.Done() }
			b.ReportAllocs()
			n, begin := 0, time.Now() // b.Elapsed leaves out those still open at the end
			for b.Loop() {
				open.Add(1)
				broker.Publish(ctx, messaging.Message{ID: "id", Topic: "t", Key: keys[n%len(keys)]}, done)
				n++
			}
			open.Wait()
			b.ReportMetric(float64(n)/time.Since(begin).Seconds(), "msg/s")
			cancel()
			<-ended
		})
	}
}
