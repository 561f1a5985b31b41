// Package campaign is the bounded context that owns campaigns: what one is, when one is valid,
// and what can be done to it.
//
// A [Campaign] is registered pending. While it is, others see it but may not count on it: the
// saga that registers its partners either approves it, which makes it active, or cancels it, which removes it.
//
// # Layers
//
// The aggregate ([Campaign], made by [New]) knows the rules and nothing else: no clock, no
// database, no messaging. The application layer ([Service]) handles one command in one transaction: it loads, lets
// the aggregate decide, stores, and returns the event. [Repository] is the writing side's view of storage and
// [Views] the reading side's; package sqlalpes implements both.
//
//	campaigns, err := campaign.NewService(repository, campaign.Config{})
//	if err != nil { … }
//	registered, err := campaigns.Register(ctx, campaign.Register{Name: "Spring", Budget: "2500.50", …})
//
// To dispatch through a bus, register the handlers with [HandleCommands] and [HandleQueries].
//
// # Answers and errors
//
// Each command answers with an event. A refusal for a business reason is a [messaging.Refusal] that carries
// [RegistrationFailed]; any other error is a fault of the infrastructure, and the command may be sent again.
// Registering the same campaign twice, approving an active one and cancelling one that is gone all succeed, so that
// every command may be sent again.
//
// Ids of other contexts (brands, participants) are opaque: no rule asks whether they exist.
//
// # Concurrency
//
// A [Campaign] is for one goroutine; a [Service] may be used by many.
package campaign
