// Package sqlmsg keeps the outbox, the inbox and the dead letters of a service in its own SQL database, and runs its handlers
// in the transaction that changes its data.
//
// # Semantics
//
// A [Store] is an inbox.Store, an outbox.Store and [messaging.DeadLetters] at once. A handler of [Handle] gets the transaction; what it
// writes, the entry in the inbox and the reply in the outbox are committed together. Code outside of handlers adds messages
// to its own transaction with [Store.Append].
//
//	db, err := sqlmsg.Open(ctx, "sqlite:flights.db")
//	store, err := sqlmsg.NewStore(db, sqlmsg.Config{})
//	err = store.Migrate(ctx)
//	svc, err := inbox.NewService(inbox.Config{Name: "flights", Bus: bus, Store: store})
//	sqlmsg.Handle(svc, func(ctx context.Context, tx sqlx.ExtContext, cmd BookFlight) (FlightBooked, error) { … })
//	err = svc.Run(ctx)
//
// # Ordering
//
// The outbox is read in the order in which rows were added, by state and never behind a cursor.
//
// # Redelivery
//
// The database decides what was handled: a message that comes again after its commit finds its entry. When a
// commit fails its outcome is unknown, and the messages come again and find it out. The service
// removes old entries; see [inbox.Config].Keep. Dead letters are somebody's work, and stay until an operator removes them.
//
// # Schema
//
// [Store.Migrate] makes the tables outbox, inbox, inbox_horizon and dead_letters, with an optional prefix, and its own
// version table. Entries of the inbox are told apart by consumer, so that services may share a database, and a Store of it. A coordinator may share them,
// too: its sagas are in tables of package sqlsaga, and its commands in the same outbox. Who has a tool for migrations gives it the text of [SQL].
//
// # Limits
//
// SQLite, PostgreSQL, and MySQL 8 or MariaDB 10.6 and later. Sessions of MySQL are in UTC, and the tables that they make are of InnoDB, the caller's
// too; one that the caller made otherwise, of an engine without transactions, keeps what a failed handler wrote.
// SQLite has one writer: transactions of one process wait for each other in Go, and should be short. With "sqlite::memory:"
// there is one connection for everything, so that a handler must read through its transaction only.
//
// # Testing
//
// "sqlite::memory:" needs no files; the package itself passes messagingtest.RunInbox and messagingtest.RunOutbox on SQLite and on real servers.
package sqlmsg
