package otelmsg

import (
	"context"
	"maps"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/alpespartners/alpespartners/messaging"
)

// scope names this package in the spans that it makes.
const scope = "github.com/alpespartners/alpespartners/messaging/otelmsg"

// Config says how spans are made. The zero value is ready to use.
type Config struct {
	// Provider makes the spans. Nil means the process's own, which [otel.SetTracerProvider] sets.
	Provider trace.TracerProvider
	// System is the broker's name in the semantic conventions, such as "pulsar". Zero means that spans do not tell.
	System string
}

// Trace returns a broker that publishes and delivers what b does, and makes a span of each. What spans hold is told in the package
// comment. Errors are those of b.
func Trace(b messaging.Broker, c Config) messaging.Broker {
	if c.Provider == nil {
		c.Provider = otel.GetTracerProvider()
	}
	t := &traced{next: b, tracer: c.Provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))}
	if c.System != "" {
		t.system = []attribute.KeyValue{semconv.MessagingSystemKey.String(c.System)}
	}
	return t
}

// traced implements [messaging.Broker].
type traced struct {
	next   messaging.Broker
	tracer trace.Tracer
	system []attribute.KeyValue
}

// Publish implements [messaging.Publisher].
func (t *traced) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	from := ctx
	if !trace.SpanContextFromContext(ctx).IsValid() {
		from = extract(ctx, m)
	}
	from, span := t.start(from, m, "send", trace.SpanKindProducer, semconv.MessagingOperationTypeSend)
	t.next.Publish(ctx, inject(from, m), func(err error) {
		finish(span, err)
		done(err)
	})
}

// finish ends a publish's span with its outcome.
func finish(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.End()
}

// Subscribe implements [messaging.Subscriber].
func (t *traced) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	subscription := semconv.MessagingDestinationSubscriptionName(s.Name)
	return t.next.Subscribe(ctx, s, ready, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		spans := make([]trace.Span, len(batch))
		messages := make([]messaging.Message, len(batch))
		for i, m := range batch {
			own, span := t.start(extract(ctx, m), m, "process", trace.SpanKindConsumer, semconv.MessagingOperationTypeProcess, subscription)
			spans[i], messages[i] = span, inject(own, m)
		}
		if len(batch) == 1 {
			ctx = trace.ContextWithSpan(ctx, spans[0])
		}
		var dispositions []messaging.Disposition
		defer func() { // also when the receiver does not return
			for i, span := range spans {
				if i >= len(dispositions) || dispositions[i].Redeliver {
					span.SetStatus(codes.Error, "to be delivered again")
				}
				span.End()
			}
		}()
		dispositions = r(ctx, messages)
		return dispositions
	})
}

// start begins the span of an operation with the message.
func (t *traced) start(ctx context.Context, m messaging.Message, operation string, kind trace.SpanKind, more ...attribute.KeyValue) (context.Context, trace.Span) {
	all := more
	all = append(all, semconv.MessagingOperationName(operation), semconv.MessagingDestinationName(m.Topic), semconv.MessagingMessageBodySize(len(m.Payload)))
	all = append(all, t.system...)
	if m.ID != "" {
		all = append(all, semconv.MessagingMessageID(m.ID))
	}
	return t.tracer.Start(ctx, operation+" "+m.Topic, trace.WithSpanKind(kind), trace.WithAttributes(all...)) //nolint:spancheck // the caller ends it
}

// extract returns ctx with the span that the message's headers name, if they name one.
func extract(ctx context.Context, m messaging.Message) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(m.Headers))
}

// inject returns the message with the headers of the span in ctx. The headers of the given one are not changed.
func inject(ctx context.Context, m messaging.Message) messaging.Message {
	headers := make(map[string]string, len(m.Headers)+2)
	maps.Copy(headers, m.Headers)
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(headers))
	if len(headers) > 0 {
		m.Headers = headers
	}
	return m
}
