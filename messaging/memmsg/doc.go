// Package memmsg is a message broker inside the process: the default for examples, tests and single-process
// servers. It keeps the contract of [messaging.Broker] in full and stores nothing.
//
//	broker := memmsg.New(memmsg.Config{})
//	defer broker.Close()
//
// # Semantics
//
// Publish hands the message to every subscription that the topic has at that moment; a topic without any takes
// it at once and forgets it. The outcome of a publish is known when every one of those subscriptions has
// acknowledged it: a publisher that keeps its message until then, like the outbox, loses nothing when the
// process dies.
//
// A subscription lives as long as the broker. Its messages wait while it has no consumer, also when none ever
// came: [Broker.Declare] registers one before its consumer. Batches are what is there, oldest first.
//
// # Ordering
//
// Subscriptions of type KeyShared, Failover and Exclusive deliver the messages of one key in order and one
// batch at a time, whichever consumer takes them. KeyShared and Shared call a receiver [Config.Concurrency]
// times at once; Failover and Exclusive once, with all messages in the order of publishing. A subscription
// without a consumer may be taken up with another type.
//
// # Redelivery
//
// A message that is redelivered comes after its time and with its Delivery count raised; on an ordered
// subscription the later messages of its key wait for it. Messages that a consumer did not acknowledge go to
// the next one.
//
// # Limits
//
// A topic holds [Config.MaxPending] unacknowledged messages; beyond that, Publish waits for room, its context
// or Close. A receiver that publishes to a topic it is itself the consumer of should keep below that.
//
// # Testing
//
// All waiting is on channels and timers, so that the broker works in a testing/synctest bubble with its clock.
// [Config.Fault] loses, repeats, delays and reorders messages; [Script] decides that by a seed.
package memmsg
