// Package partner is the bounded context that owns partners: the affiliates and influencers who
// advertise for a campaign.
//
// The aggregate ([Partner], made by [New]) knows the rules and nothing else. The application layer
// ([Service]) handles one command in one transaction and answers with an event. [Repository] is the writing
// side's view of storage and [Views] the reading side's; package sqlalpes implements both.
//
//	partners, err := partner.NewService(repository, partner.Config{Blocked: []string{"Mallory"}})
//	if err != nil { … }
//	registered, err := partners.Register(ctx, partner.Register{CampaignID: "c-1", Name: "Alice", Type: "afiliado"})
//
// # Answers and errors
//
// A refusal for a business reason is a [messaging.Refusal] that carries [RegistrationFailed]; any other
// error is a fault of the infrastructure, and the command may be sent again. Registering the same partner twice
// and cancelling one that is gone both succeed, so that every command may be sent again.
//
// A campaign's id is opaque here: no rule asks whether it exists.
//
// # Concurrency
//
// A [Partner] is an immutable value; a [Service] may be used by many goroutines.
package partner
