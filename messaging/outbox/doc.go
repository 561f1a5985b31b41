// Package outbox does the second half of the transactional outbox: a service adds messages to a
// table in the transaction that changes its data, and the [Relay] publishes what was committed.
//
// # Guarantees
//
// Every message of a committed transaction is published at least once, always with the same ID, key and body, and none
// of one that was rolled back, whenever the process dies. A message is published again only if it
// may not have been, if its row could not be deleted in time, or if relays share a table; consumers recognise it by its ID
// (see package inbox). Messages of one key and topic are published in the order in which they were enqueued: when
// one fails, the later ones of its key wait until it is through, and all others go on.
//
// It does not guarantee order between two relays on one table, nor between keys.
//
// # Use
//
//	relay, err := outbox.NewRelay(outbox.Config{Store: store, Publisher: broker})
//	go relay.Run(ctx)
//	…
//	err = store.InTx(ctx, func(ctx context.Context, tx inbox.Tx) error { …; return tx.Append(ctx, messages) })
//	if err == nil {
//		relay.Enqueue(messages...)
//	}
//
// # Life of a message
//
// Enqueue gives the relay what was just committed, so that nothing is read in good times. The relay
// publishes without waiting for outcomes, and deletes the rows of what the broker keeps, many with one commit.
// A full memory, or a crash between commit and Enqueue, costs nothing but a read of the table: at the start, on
// [Relay.Wake], and, for rows that nobody enqueued, every [Config.Sweep]. The table is read by state, never
// behind a cursor: a row whose transaction began early and committed late is found.
//
// # Errors
//
// A relay has no error that a caller could handle: it logs that publishing fails and tries again, with
// backoff, for as long as it runs. [NewRelay] returns the faults of its configuration joined; a second Run while one runs: [ErrRunning].
//
// # Concurrency
//
// All methods may be called from any goroutine. Any number of relays, in any number of processes, may share a table: each
// publishes what was enqueued with it, and leaves the others' rows until they are an interval old.
//
// # Limits
//
// A message that the broker will never take is tried for ever, and holds its key: watch [Relay.Stats] and the log. The
// messages of failing keys stay in memory; once they fill it ([Config.MaxInFlight]), other keys wait as well.
//
// # Testing
//
// inbox.NewMemory is a [Store] in memory; messagingtest.RunOutbox is the suite that every Store passes.
package outbox
