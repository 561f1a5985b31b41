// Package messaging carries commands and events between services: messages, brokers, codecs, and a [Router]
// that turns a handler's error into what happens to the message. It depends on the standard library only;
// brokers and codecs are drivers in the packages below it.
//
// # Guarantees
//
// Delivery is at least once: a message is acknowledged after its handler returned nil, or after it was stored
// as a dead letter, and at no other time. A handler therefore sees some messages twice and must be idempotent;
// package inbox makes it so.
//
// On subscriptions of type [KeyShared], [Failover] and [Exclusive] the messages of one key are handled in the
// order of their publishing, one at a time, redeliveries included: a message that has to wait makes the later
// ones of its key wait too. Messages without a key, and all messages of a [Shared] subscription, are unordered.
//
// Nothing that an outsider sends stops a consumer. A malformed payload is a dead letter, and so is, after five
// attempts, a message that makes its handler panic. [Redrive] makes the message of it again, to be published when
// the reason is gone.
//
// Not guaranteed: exactly-once delivery, order between keys or topics, and that [RouterConfig.MaxAttempts] is
// exact; attempts are counted in memory, so that a restart or another consumer begins anew. Too many attempts
// are harmless where too few would give up a message for the time its service was down.
//
// # A first consumer
//
//	broker := memmsg.New(memmsg.Config{})
//	router, err := messaging.NewRouter(messaging.RouterConfig{
//		Subscriber:  broker,
//		DeadLetters: messaging.DeadLetterTopic(broker),
//	})
//	if err != nil {
//		return err
//	}
//	err = router.Handle(messaging.Subscription{Topic: "orders", Name: "billing"},
//		func(ctx context.Context, m messaging.Message) error {
//			value, err := codec.Decode(m)
//			if err != nil {
//				return err // malformed: becomes a dead letter
//			}
//			return bill(ctx, value.(OrderPlaced)) // any other error: tried again
//		})
//	if err != nil {
//		return err
//	}
//	return router.Run(ctx) // until ctx ends
//
// # What a handler's error means
//
//	nil                            acknowledge
//	Permanent(err)                 dead letter, with err's text as the reason
//	ErrMalformed, ErrUnknownType   dead letter
//	Refuse(event)                  dead letter: nobody is left to answer
//	RetryAfter(d, err)             again after d; not counted as an attempt
//	any other                      again after a backoff that grows; dead letter after MaxAttempts, if set
//	panic, runtime.Goexit          the same, but after five attempts if MaxAttempts is zero
//
// An error that comes when the router's own context has ended is none of these: the message is simply left for
// the next consumer.
//
// # The life of a router
//
// [NewRouter], then [Router.Handle] or [Router.HandleBatch] for each subscription, then [Router.Run], once.
// [Router.Ready] tells when messages published from now on will be seen. Run ends with its context, after the
// handlers under way have returned; it subscribes again when a broker ends a subscription. The router closes
// nothing: the broker belongs to whoever opened it.
//
// # Errors to handle
//
// A publisher sees [ErrClosed], the end of its own context, and the broker's own errors; after each the message
// may have been published all the same. Run returns [ErrClosed] when the broker was closed below it and
// [ErrBusy] when an exclusive subscription has another consumer. [Classify] tells what the router would do
// about an error.
//
// # Concurrency
//
// Publishers, subscribers, codecs and the router are safe for concurrent use. A [Message] is a value; its
// headers and payload are shared and must not be changed.
//
// # Codecs
//
// [JSONCodec] is for services that agree on JSON; package avromsg is for those with schemas. Wire names are
// given by the user and never derived from Go types, so that renaming a type breaks nobody.
package messaging
