package otelmsg_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/otelmsg"
)

// A message's delivery is a child of its publish, in whatever process.
func ExampleTrace() {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	below := memmsg.New(memmsg.Config{})
	broker := otelmsg.Trace(below, otelmsg.Config{Provider: provider, System: "memmsg"})

	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error)
	go func() {
		ended <- broker.Subscribe(ctx, messaging.Subscription{Topic: "orders", Name: "billing"}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				return make([]messaging.Disposition, len(batch))
			})
	}()
	<-ready
	fmt.Println("published:", messaging.Publish(ctx, broker, messaging.Message{ID: "order-1", Topic: "orders"}))
	cancel()
	fmt.Println("ended:", <-ended)
	sent, processed := spans.Ended()[1], spans.Ended()[0] // an in-process broker tells the outcome after the delivery
	fmt.Println(sent.Name(), "->", processed.Name(), processed.Parent().SpanID() == sent.SpanContext().SpanID())
	fmt.Println("close:", below.Close())
	// Output:
	// published: <nil>
	// ended: <nil>
	// send orders -> process orders true
	// close: <nil>
}
