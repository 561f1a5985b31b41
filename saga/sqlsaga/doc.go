// Package sqlsaga keeps sagas in a SQL database: instances, the records of their fan-outs, their log, the operators' actions
// and, through package sqlmsg, the outbox, all written in one transaction.
//
// # Semantics
//
// [Store] implements [coordinator.Store] and [coordinator.Reader]. A commit is one transaction for any number of instances; those
// that are not at the expected version are left out whole. Times are kept to the microsecond, wake-up times to the millisecond, in UTC.
//
// # Use
//
//	db, err := sqlmsg.Open(ctx, "sqlite:trips.db")
//	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
//	store, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
//	err = errors.Join(messages.Migrate(ctx), store.Migrate(ctx))
//
// A start joins the caller's transaction with [Store.Within] and [coordinator.Within].
//
// # Schema
//
// [Store.Migrate] makes the tables sagas, saga_items, saga_log, saga_audit, saga_expected and saga_pauses, with an optional prefix, and its own version
// table. Who has a tool for migrations gives it the text of [SQL].
//
// # Limits
//
// SQLite, PostgreSQL, and MySQL 8 or MariaDB 10.6 and later; what differs between them is in internal/sqldb, in one value. With SQLite one process
// at a time writes, so that more coordinators do no more work. A fan-out's items are read by key or by page, never all at once.
//
// # Testing
//
// "sqlite::memory:" needs no files. The store passes sagatest.RunStore on all of them: on SQLite in a file and in memory, and on real servers.
package sqlsaga
