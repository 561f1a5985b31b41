// Package tracking is the bounded context that owns tracking events: the conversions that a
// partner brings to a campaign, each at a moment in time.
//
// The aggregate ([Event], made by [New]) knows the rules about one event and nothing else. The application
// layer ([Service]) handles one command in one transaction, knows the one rule about all events of a
// campaign, its limit, and answers with an event. [Repository] is the writing side's view of storage and [Views] the
// reading side's; package sqlalpes implements both.
//
//	events, err := tracking.NewService(repository, tracking.Config{Limit: 100})
//	if err != nil { … }
//	registered, err := events.Register(ctx, tracking.Register{PartnerID: "p-1", CampaignID: "c-1", OccurredAt: at})
//
// # Answers and errors
//
// A refusal for a business reason is a [messaging.Refusal] that carries [RegistrationFailed]; any other
// error is a fault of the infrastructure, and the command may be sent again. Registering the same event twice and
// cancelling one that is gone both succeed, so that every command may be sent again.
//
// The ids of partners and campaigns are opaque here: no rule asks whether they exist.
//
// # The limit
//
// A campaign never has more events than [Config].Limit, however many are registered at once, provided that
// each command runs in a transaction of its own or shares one with commands that ran before it:
// [Repository].Count holds the campaign until that transaction ends.
//
// # Concurrency
//
// An [Event] is an immutable value; a [Service] may be used by many goroutines.
package tracking
