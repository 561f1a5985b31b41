// Package pulsarmsg is a [messaging.Broker] on Apache Pulsar. It is the only package that knows Pulsar's client.
//
//	broker, err := pulsarmsg.New(pulsarmsg.Config{URL: "pulsar://localhost:6650", Schemas: codec})
//	if err != nil {
//		return err
//	}
//	defer broker.Close()
//	router, err := messaging.NewRouter(messaging.RouterConfig{
//		Subscriber:  broker,
//		DeadLetters: messaging.DeadLetterTopic(broker),
//	})
//
// [New] connects to nothing. Producers are opened by the first message of their topic; subscriptions connect, and connect again, until their
// context ends. [Broker.Close] ends both in bounded time.
//
// # Semantics
//
// A message is one Pulsar message: Key is the partition key, the headers are properties under their own names, W3C's traceparent included. Type, the
// schema's fingerprint and ID share one property, [PropertyEnvelope], "TYPE FINGERPRINT ID", since properties are what costs most; a message without an ID, without
// a type and a fingerprint, or with a space in them has [PropertyID] and [PropertyType] instead. Both forms are read, so that producers in other languages may
// write the second. A message of a foreign producer may have none of them: its ID is empty, and its BrokerID,
// "ledger:entry:partition:index", tells it from others. Of a message with an ordering key, that is the Key. Published is the broker's time where the
// broker is told to keep it, else the producer's.
//
// The outcome of a publish is nil when Pulsar has stored the message. A producer that loses its connection, or that the broker closes, is replaced, and what it
// owes is sent again by the next one, in the same order: some of it is then there twice. It is not replaced by the client, whose messages may overtake each other at
// that moment. Producers are also replaced when the client has closed them for good, and when they owe an outcome for
// [Config.SendTimeout]; their open messages then fail with [ErrNoOutcome] and may have been published. Outcomes
// are told on a goroutine of this package's: a function that blocks holds up its topic, and not the connection.
//
// Messages are batched as they come: one alone is sent at once, and those that come while it is on its way make the next batch. Messages with
// keys are batched by key, because the broker serves KeyShared subscriptions by the batch; [Config.MixKeys] is for topics that have none.
//
// A subscription is new with its first consumer, and begins there unless [Config.FromEarliest] is set; to lose nothing, subscribe before anything is published. A
// consumer whose connection is lost, that the broker closes, or that is no longer the active one of a Failover subscription, is replaced with backoff.
// What the first attempt is refused for good, such as a second consumer of an Exclusive subscription, Subscribe returns; later it is tried again, since a
// broker that has not missed the old connection yet gives the same answers.
//
// # Ordering
//
// The messages of a key come in order and one batch at a time on KeyShared, Failover and Exclusive subscriptions, redeliveries included. KeyShared and Shared call a receiver
// [Config.Concurrency] times at once; Failover and Exclusive once. When a consumer is lost the broker gives its messages to others, while a
// receiver of ours may still be at one of them: for that moment, and that message, a key has two receivers. The inbox decides then.
//
// Partitions keep the order of a key as long as their number stays the same.
//
// # Redelivery
//
// A message that is to be delivered again stays in this process until its time, and the later ones of its key wait behind it. Pulsar's negative
// acknowledgements are not used: they bring back the message's neighbours in its batch, break the order of the key and know no time for one
// message. A delay is forgotten when the consumer is lost or the process ends: the message then comes at once. [Config.MaxHeld]
// bounds what is held.
//
// Acknowledgements are by the message, and sent a moment later together; a crash within that moment repeats their messages. A broker without
// acknowledgmentAtBatchIndexLevelEnabled repeats acknowledged messages of a batch of which others are open, after a lost consumer.
//
// Delivery counts within this process; what another process saw of a message counts on Shared and KeyShared subscriptions, where the broker counts too. The broker counts
// a message from when it is sent ahead to a consumer: if that is lost before any receiver saw the message, it counts nevertheless.
//
// # Schema
//
// With [Config.Schemas], which a codec implements, the topic's Avro schema is registered byte for byte when its producer opens. A broker that does not take it beside its own makes every publish
// fail with [ErrSchemaRefused]. Consumers register none and are never refused: each message is read with its writer's schema. That is named by the header
// "avro-fingerprint", which our codec sets, or else by the schema version that the broker keeps with the message; the text of a version is read once in the life of a consumer, from
// the broker's REST interface, and given to [Schemas]. A fingerprint that a codec with a method Knows does not know is looked up by the version too, and, if that is another
// schema's, as of a message that a service wrote with an earlier schema than its producer has now, among all of the topic's. While the REST interface
// does not answer, such messages wait, with the later ones of their keys and no others. A version that is gone or cannot be read makes its messages malformed, never
// misread; it is asked for again after a minute. A fingerprint that is not known and comes without a version stays as it is: the codec decides, and ours calls the message malformed.
//
// # Limits
//
// A topic has [Config.MaxPending] messages without an outcome; beyond that, Publish waits. A consumer is sent [Config.Prefetch] messages ahead for each
// partition. A topic without a subscription keeps nothing, unless its namespace retains messages: subscribe to a dead-letter topic before there are dead letters.
//
// Transactions, the client's own dead-letter and retry topics, and deduplication by the broker are not used; a namespace may have the last switched on.
//
// Wrong credentials look like a lost connection to the client, which says more in the log. It also leaves one goroutine behind for each producer
// that it closes by itself, as when a topic is terminated or deleted.
//
// What Pulsar or its client cannot do is an error that says so: a subscription type that does not exist is [messaging.ErrUnsupported], a message that does not fit
// [ErrMessage], a schema beside others [ErrSchemaRefused], an exclusive subscription with a consumer [messaging.ErrBusy]. A panic of the client's is an error of the publish.
//
// # Metrics and traces
//
// [Config.Metrics] takes the client's metrics, and of this package pulsarmsg_subscription_losses_total, pulsarmsg_held_messages and
// pulsarmsg_producers_retired_total. Package otelmsg makes OpenTelemetry's spans, for this broker as for others.
//
// # Testing
//
// The integration tests find their broker as package testenv says: by PULSAR_URL, or in a container. [messagingtest.RunBroker] is among them, and faults under
// load: a killed broker, connections that break in every way, topics that are unloaded, partitions that grow. "make bench-pulsar" compares typed messages with the
// bare client.
//
// [messagingtest.RunBroker]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/messagingtest#RunBroker
package pulsarmsg
