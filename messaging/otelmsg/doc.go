// Package otelmsg traces messages with OpenTelemetry, over any [messaging.Broker].
//
//	broker := otelmsg.Trace(pulsarBroker, otelmsg.Config{System: "pulsar"})
//	// Routers, relays and services are given this broker in place of the other.
//
// # Spans
//
// A publish is a span "send TOPIC" of kind producer, from [messaging.Publisher.Publish] until its outcome; an error is recorded with it. Its parent
// is the span in the context, or else the one that the message's header [messaging.HeaderTraceparent] names, as for a relay that publishes what a handler has
// stored. The header is then set to the new span.
//
// Each delivery of a message is a span "process TOPIC" of kind consumer, whose parent is the span that the header names, until the receiver has
// decided about the message. A message that is to be delivered again has the status Error. The receiver sees the header set to the new span, so that replies
// and dead letters, which keep it, go on from there; the context holds the span where the batch has one message only, as with
// [messaging.Router.Handle] unless its MaxBatch says otherwise.
//
// Attributes are those of the semantic conventions for messaging: system, destination, subscription, operation, message id and body size. Payloads,
// keys and other headers are in no span.
//
// # Propagation
//
// Always W3C's trace context: the headers "traceparent" and, if there is one, "tracestate". The process's propagators are not asked, since
// other services read these headers whatever this process prefers. A malformed header is none.
//
// # Concurrency
//
// The traced broker is as safe for concurrent use as the one below it. Closing is left to whoever opened that one.
package otelmsg
