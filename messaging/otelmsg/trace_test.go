package otelmsg_test

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
	"github.com/alpespartners/alpespartners/messaging/otelmsg"
)

// recorder keeps the spans that have ended.
func recorder(t testing.TB) (*tracetest.SpanRecorder, *sdktrace.TracerProvider) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return spans, provider
}

// closing is a traced broker that can be closed, as the suite wants.
type closing struct {
	messaging.Broker
	close func() error
}

func (c closing) Close() error { return c.close() }

// TestATracedBrokerKeepsTheContract: without a recorder, since that changes a header, which the suite wants unchanged.
func TestATracedBrokerKeepsTheContract(t *testing.T) {
	t.Parallel()
	messagingtest.RunBroker(t, messagingtest.Features{DoneAfterAck: true}, func(t *testing.T) messaging.Broker {
		below := memmsg.New(memmsg.Config{})
		return closing{otelmsg.Trace(below, otelmsg.Config{Provider: noop.NewTracerProvider()}), below.Close}
	})
}

// below is a broker that keeps what is published, and delivers what it is given.
type below struct {
	outcome   error
	published []messaging.Message
	batch     []messaging.Message
}

func (b *below) Publish(_ context.Context, m messaging.Message, done func(error)) {
	b.published = append(b.published, m)
	done(b.outcome)
}

func (b *below) Subscribe(ctx context.Context, _ messaging.Subscription, _ func(), r messaging.Receiver) error {
	r(ctx, b.batch)
	return nil
}

func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

const (
	aTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	aSpan  = "00f067aa0ba902b7"
	parent = "00-" + aTrace + "-" + aSpan + "-01"
)

func TestAPublishIsASpan(t *testing.T) {
	t.Parallel()
	spans, provider := recorder(t)
	b := &below{}
	traced := otelmsg.Trace(b, otelmsg.Config{Provider: provider, System: "pulsar"})
	headers := map[string]string{messaging.HeaderTraceparent: parent, "tracestate": "vendor=1", "other": "x"}
	m := messaging.Message{ID: "1", Topic: "orders", Key: "secret", Headers: headers, Payload: []byte("pay")}
	if err := messaging.Publish(t.Context(), traced, m); err != nil {
		t.Fatal(err)
	}
	ended := spans.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans, want 1", len(ended))
	}
	s := ended[0]
	if s.Name() != "send orders" || s.SpanKind() != trace.SpanKindProducer || s.Status().Code != codes.Unset ||
		s.Parent().SpanID().String() != aSpan || !s.Parent().IsRemote() || s.SpanContext().TraceID().String() != aTrace {
		t.Errorf("span %q of kind %v with parent %v and status %v", s.Name(), s.SpanKind(), s.Parent(), s.Status())
	}
	want := map[string]string{
		"messaging.system": "pulsar", "messaging.operation.type": "send", "messaging.operation.name": "send",
		"messaging.destination.name": "orders", "messaging.message.id": "1", "messaging.message.body.size": "3",
	}
	if got := attributes(s); !maps.Equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	sent := b.published[0].Headers
	if want := "00-" + aTrace + "-" + s.SpanContext().SpanID().String() + "-01"; sent[messaging.HeaderTraceparent] != want ||
		sent["tracestate"] != "vendor=1" || sent["other"] != "x" {
		t.Errorf("headers sent %v, want the new span %s", sent, want)
	}
	if headers[messaging.HeaderTraceparent] != parent {
		t.Error("the publisher's own headers were changed")
	}
}

// TestTheParentOfAPublish: the span under way, before what the message says.
func TestTheParentOfAPublish(t *testing.T) {
	t.Parallel()
	spans, provider := recorder(t)
	b := &below{}
	ctx, root := provider.Tracer("test").Start(t.Context(), "root")
	m := messaging.Message{Topic: "t", Headers: map[string]string{messaging.HeaderTraceparent: parent}}
	if err := messaging.Publish(ctx, otelmsg.Trace(b, otelmsg.Config{Provider: provider}), m); err != nil {
		t.Fatal(err)
	}
	if s := spans.Ended()[0]; s.Parent().SpanID() != root.SpanContext().SpanID() {
		t.Errorf("the parent is %v, want the span of the context", s.Parent())
	}
}

func TestAPublishThatFails(t *testing.T) {
	t.Parallel()
	spans, provider := recorder(t)
	b := &below{outcome: messaging.ErrClosed}
	err := messaging.Publish(t.Context(), otelmsg.Trace(b, otelmsg.Config{Provider: provider}), messaging.Message{Topic: "t"})
	if !errors.Is(err, messaging.ErrClosed) {
		t.Errorf("%v, want the broker's error", err)
	}
	if s := spans.Ended()[0]; s.Status().Code != codes.Error || attributes(s)["error.type"] == "" {
		t.Errorf("status %v, attributes %v; want an error", s.Status(), attributes(s))
	}
}

func TestADeliveryIsASpan(t *testing.T) {
	t.Parallel()
	spans, provider := recorder(t)
	with := messaging.Message{ID: "1", Topic: "orders", Headers: map[string]string{messaging.HeaderTraceparent: parent}}
	without := messaging.Message{ID: "2", Topic: "orders", Headers: map[string]string{messaging.HeaderTraceparent: "nonsense"}}
	b := &below{batch: []messaging.Message{with, without}}
	var got []messaging.Message
	subscription := messaging.Subscription{Topic: "orders", Name: "billing"}
	if err := otelmsg.Trace(b, otelmsg.Config{Provider: provider}).Subscribe(t.Context(), subscription, nil,
		func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
			if trace.SpanFromContext(ctx).SpanContext().IsValid() {
				t.Error("the context of a batch has a span, of which message?")
			}
			got = slices.Clone(batch)
			return []messaging.Disposition{{}, {Redeliver: true}}
		}); err != nil {
		t.Fatal(err)
	}
	for i, s := range spans.Ended() {
		a := attributes(s)
		if s.Name() != "process orders" || s.SpanKind() != trace.SpanKindConsumer || a["messaging.operation.type"] != "process" ||
			a["messaging.destination.subscription.name"] != "billing" || a["messaging.message.id"] != got[i].ID {
			t.Errorf("span %q of kind %v with attributes %v", s.Name(), s.SpanKind(), a)
		}
		if fromParent := s.Parent().SpanID().String() == aSpan; fromParent != (i == 0) {
			t.Errorf("message %s: the parent is %v", got[i].ID, s.Parent())
		}
		if failed := s.Status().Code == codes.Error; failed != (i == 1) {
			t.Errorf("message %s: the status is %v", got[i].ID, s.Status())
		}
		if !strings.Contains(got[i].Header(messaging.HeaderTraceparent), s.SpanContext().SpanID().String()) {
			t.Errorf("message %s names the span %s, not its own", got[i].ID, got[i].Header(messaging.HeaderTraceparent))
		}
	}
	if with.Header(messaging.HeaderTraceparent) != parent {
		t.Error("the driver's headers were changed")
	}
}

// TestOneMessageAlone: its span is in the context, and ends however the receiver does.
func TestOneMessageAlone(t *testing.T) {
	t.Parallel()
	spans, provider := recorder(t)
	b := &below{batch: []messaging.Message{{Topic: "t"}}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = otelmsg.Trace(b, otelmsg.Config{Provider: provider}).Subscribe(context.Background(), messaging.Subscription{}, nil,
			func(ctx context.Context, _ []messaging.Message) []messaging.Disposition {
				trace.SpanFromContext(ctx).SetAttributes(attribute.Bool("seen", true))
				runtime.Goexit()
				return nil
			})
	}()
	<-ended
	if s := spans.Ended(); len(s) != 1 || attributes(s[0])["seen"] != "true" || s[0].Status().Code != codes.Error {
		t.Errorf("spans %v, want one that the receiver saw, with an error", s)
	}
}

// TestWithoutAProvider: nobody has set one, so that nothing is traced and nothing is added.
func TestWithoutAProvider(t *testing.T) {
	t.Parallel()
	b := &below{}
	m := messaging.Message{Topic: "t", Headers: map[string]string{messaging.HeaderTraceparent: parent}}
	if err := messaging.Publish(t.Context(), otelmsg.Trace(b, otelmsg.Config{}), m, messaging.Message{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if got := b.published[0].Header(messaging.HeaderTraceparent); got != parent {
		t.Errorf("the header is %q, want it kept", got)
	}
	if got := b.published[1].Headers; got != nil {
		t.Errorf("headers %v, want none", got)
	}
}
