package otelmsg_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/otelmsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// TestIntegrationATraceGoesThroughPulsar: from the publisher's span to the receiver's, in the message's properties.
func TestIntegrationATraceGoesThroughPulsar(t *testing.T) {
	t.Parallel()
	server := testenv.Pulsar(t)
	below, err := pulsarmsg.New(pulsarmsg.Config{
		URL: server.URL, AdminURL: server.AdminURL, Namespace: server.Namespace, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	spans, provider := recorder(t)
	broker := otelmsg.Trace(below, otelmsg.Config{Provider: provider, System: "pulsar"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- broker.Subscribe(ctx, messaging.Subscription{Topic: "orders", Name: "billing"}, func() { close(ready) },
			func(_ context.Context, batch []messaging.Message) []messaging.Disposition {
				cancel()
				return make([]messaging.Disposition, len(batch))
			})
	}()
	<-ready
	if err := messaging.Publish(t.Context(), broker, messaging.Message{ID: "1", Topic: "orders", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := below.Close(); err != nil {
		t.Error(err)
	}
	all := spans.Ended()
	if len(all) != 2 {
		t.Fatalf("%d spans, want 2", len(all))
	}
	sent, processed := all[0], all[1]
	if sent.Name() != "send orders" {
		sent, processed = processed, sent
	}
	if processed.Parent().SpanID() != sent.SpanContext().SpanID() || !processed.Parent().IsRemote() {
		t.Errorf("the parent of the delivery is %v, want the publish %v", processed.Parent(), sent.SpanContext())
	}
}
