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
// # Limits
//
// SQLite now; what differs between databases is in internal/sqldb, in one value. A fan-out's items are read by key or
// by page, never all at once.
//
// # Testing
//
// The store passes sagatest.RunStore on a file and in memory.
package sqlsaga
