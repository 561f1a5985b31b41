// Package alpes is the context map of the reference domain: Alpes Partners, a marketplace where brands
// run campaigns and partners, affiliates and influencers, are paid for what they bring. It holds no code.
//
// # Contexts
//
//	            registration (the saga)
//	   commands ↓ ↑ events        ↓ ↑            ↓ ↑
//	┌──────────────────┐ ┌──────────────────┐ ┌──────────────────┐
//	│ campaign         │ │ partner          │ │ tracking         │
//	│ budgets, brands, │ │ who advertises   │ │ conversions,     │
//	│ approval         │ │ for a campaign   │ │ a limit for each │
//	└──────────────────┘ └──────────────────┘ └──────────────────┘
//
// Package campaign owns campaigns, package partner partners, package tracking the tracking events. No context
// imports another or asks it anything: an id of another context is an opaque text, and whether it exists is the
// business of the saga in package registration, which sends each context its commands and listens to its events.
//
// # Layers of a context
//
//	messages.go      the published language: commands and events, plain structs
//	campaign.go      the aggregate: private fields, a constructor that checks every rule, behaviour
//	repository.go    what the aggregate needs of storage
//	service.go       the application layer: one command, one transaction, one event
//	queries.go       the reading side
//	bus.go           both sides on a bus of package cqrs
//
// Arrows point inwards: an aggregate knows no clock, no database and no messaging; only the application
// layer knows how a refusal is answered (package messaging).
//
// # Around the contexts
//
//	rule             the shared kernel: rules about plain values, and the error that lists all faults
//	sqlalpes         the repositories and views in SQL
//	wire             the original's topics, records and Spanish names; it translates at the border
//
// # Answers
//
// Each command is answered by one event. Registering answers Registered, or the refusal RegistrationFailed, which
// means that the thing does not exist; cancelling answers RegistrationFailed for the same reason. Every command may
// be sent again: what is done already is answered the same way and not done twice.
package alpes
