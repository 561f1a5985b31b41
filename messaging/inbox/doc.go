// Package inbox is a participant's half of reliable messaging: a [Service] runs each command and event once, in one
// transaction with the domain's changes, the memory of having done so, and the reply.
//
// # Guarantees
//
// A command takes effect at most once however often it is delivered, and its reply is given as often as it is asked
// for, always with the same ID. An undo that comes before its do, or instead of it, has no effect,
// answers [messaging.Nothing] and bars the do for ever; a do that comes after its undo does nothing and answers nothing.
// [Decide] is that barrier, as a function. Nothing is acknowledged before its commit. A handler's error, refusal or panic undoes
// its own changes and nobody else's, although everything that arrived together shares one commit.
//
// It does not guarantee order, except as far as the subscription has it.
//
// # Retention
//
// Entries are removed a [Config].Keep after they were handled last, 90 days unless it says otherwise. A message that has no entry and is so old that it may have
// had one is not handled and not answered, as either may be wrong: it becomes a dead letter with [ErrForgotten], for somebody to look whether its effect
// is there. How old a step is tell the times in a command's headers, see [messaging.Correlation], and of all other messages the broker. So Keep
// should be longer than the longest saga lasts, and must be longer than brokers that do not tell when a message was published may repeat it.
// Dead letters stay until somebody removes them.
//
// # Use
//
//	svc, err := inbox.NewService(inbox.Config{Name: "flights", Bus: bus, Store: store})
//	inbox.Handle(svc, func(ctx context.Context, tx inbox.Tx, cmd BookFlight) (FlightBooked, error) {
//		if full {
//			return FlightBooked{}, messaging.Refuse(FlightRefused{Reason: "full"})
//		}
//		…
//		return FlightBooked{Seat: seat}, nil
//	})
//	err = svc.Run(ctx)
//
// On SQL, sqlmsg.Handle gives the handler the database's transaction itself. A handler knows nothing of sagas: whether
// a command does or undoes a step is told by its headers, as set by a coordinator. A command without
// them is handled once for each [messaging.Message.Identity], and its reply is published as a plain event.
//
// # Life of a batch
//
// What has arrived is decoded; one transaction looks up all entries with one query, lets the barrier decide about each message
// in order, runs handlers in savepoints, and writes entries and replies with one statement each. After
// the commit the replies go to the relay, and each message is acknowledged or has its own error. If the transaction
// itself fails, each message is handled alone, so that what dooms a transaction spoils no other message.
//
// # Errors
//
// Of handlers: [messaging.Refuse] is an answer; [messaging.Permanent] makes a dead letter; [messaging.RetryAfter]
// and all others have the command delivered again. Payloads that cannot be decoded and commands with half of a saga's headers are dead letters.
// Messages of a type without a handler are acknowledged: topics are shared. A store that cannot be reached
// delays messages without counting it as their failure.
//
// # Concurrency
//
// Handlers may run at the same time for different batches. A [Service] is safe for concurrent use; register handlers before Run.
//
// # Testing
//
// [NewMemory] is a store in memory; messagingtest.RunInbox is the suite that every [Store] passes.
package inbox
