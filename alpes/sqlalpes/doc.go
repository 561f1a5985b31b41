// Package sqlalpes keeps the campaigns, partners and tracking events in an SQL database: it implements the
// repositories and the views of packages campaign, partner and tracking.
//
// # Transactions
//
// A repository is made once, on a pool or on one transaction. A call whose context carries a transaction,
// put there by [WithTx], runs in that one; so the domain's services are made once too, and a participant's handler
// lets them join its transaction, in which its inbox and outbox are:
//
//	partners, err := partner.NewService(sqlalpes.NewPartners(nil), partner.Config{})
//	…
//	sqlmsg.Handle(participant, func(ctx context.Context, tx sqlx.ExtContext, cmd partner.Register) (partner.Registered, error) {
//		return partners.Register(sqlalpes.WithTx(ctx, tx), cmd)
//	})
//
// A repository that was made on nil works in such transactions only and returns [ErrNoTx] elsewhere: it
// cannot write beside the transaction by mistake. For queries make one on the database's reading pool.
//
// # Guarantees
//
// What the domain accepts is read back equal: budgets stay exact decimals, texts keep every character, times
// their millisecond. [Campaigns.Update] never overwrites what somebody else wrote: each row has a version.
// A campaign's events are counted in a row of their own, which [Events.Count] holds until its transaction ends,
// so that two transactions cannot both take the last place, on any isolation level.
//
// # Tables
//
// [Migrate] makes them: campaigns, partners and eventos with the original's columns, and eventos_por_campana. It does
// not adopt tables that the original made: a service that replaces one of the original's starts with a database of its own.
//
// # Errors
//
// The methods return the sentinels of the domain packages as their interfaces say; all other errors are the
// database's, wrapped with the operation and without any value.
//
// # Concurrency
//
// All types are safe for concurrent use, as far as what they were made on is: a transaction is for one goroutine at a time.
package sqlalpes
