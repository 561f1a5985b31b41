// Package coordinator runs sagas: it takes what happens to instances, lets [saga.Decide] decide, commits the new states,
// their log and the commands to send in one transaction, and only then sends.
//
// # Guarantees
//
// A start that was acknowledged is an instance that ends completed, compensated or visibly parked, whatever crashes. Every
// transition is committed whole: state, log, audit and outbox rows. Replies are acknowledged after the commit, and
// commands leave after it, so that a crash repeats messages and loses none; the participants' barrier (package
// inbox) makes a repeated one harmless. Two coordinators on one store never both decide from the same version.
//
// It does not isolate sagas from each other: between two steps others see what the first one did. Use a semantic lock, as
// the reference domain's pending campaign is.
//
// # Use
//
//	c, err := coordinator.New(coordinator.Config{Store: store, Bus: bus, Definitions: []saga.Any{BookTrip}})
//	go c.Run(ctx)
//	id, err := coordinator.Start(ctx, c, BookTrip, trip, coordinator.Key(trip.ID))
//
// # Topics
//
// It reads the topics of all events that its definitions declare, and of [Config].Replies; what travels elsewhere it does not see. So a reply that no
// definition declares, to an [saga.Undo] without [saga.Undone], has to share a topic with a declared event. Package avromsg has one type for each
// topic: there every reply has to be declared. [New] refuses an undo whose reply cannot come, where the codec is a [messaging.Catalog].
//
// # The loop
//
// One goroutine takes whatever has arrived (starts, replies, actions, due ticks), without waiting for more, loads those instances
// with one query, decides, and commits all of them together; meanwhile the next batch gathers. A version conflict puts
// just that instance into the next batch. Nothing is polled while idle: the store knows the next wake-up time.
// Once in a [Config].Recheck the store is asked anyway, for what a dead process left behind.
//
// # Retention
//
// Instances that ended are removed 30 days later, unless [Config].Retention says otherwise; those that are parked never are. Until then a start with the same key finds
// the instance; afterwards it begins another one.
//
// # Errors
//
// A reply that no step expects, or to an instance that does not exist, becomes a dead letter. Replies to an instance
// whose definition is not registered come again later, perhaps to a coordinator that knows it; if nobody does, it is parked once it is
// overdue by a [Config].Recheck. An instance whose data cannot be read is parked at once. If the store fails, nothing was
// decided: messages are redelivered and callers get the error.
//
// # Concurrency
//
// All methods may be called from any goroutine, before and while the coordinator runs; a start waits until it does.
//
// # Testing
//
// Package memsaga is a store in memory and package memmsg a broker; [sagatest.RunStore] is the suite that every store passes.
//
// [sagatest.RunStore]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/sagatest#RunStore
package coordinator
