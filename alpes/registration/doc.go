// Package registration declares the saga of Alpes Partners: registering a campaign registers each of its participants as a
// partner, and for each partner a tracking event; then the campaign is approved. A refusal anywhere undoes the rest.
//
//	register campaign → for each participant (register partner → register conversion) → approve campaign
//
// The approval is the pivot: until then the campaign is pending, a semantic lock that readers see. The ids of all
// entities are assigned beforehand from the campaign's id, so that every compensation can be sent without waiting for the
// reply of what it undoes.
//
// The saga's business key is the campaign's id: registering the same campaign twice is one registration.
//
// # Two ways to coordinate
//
// [Define] returns the saga as one coordinator conducts it. [Choreograph] returns each service's part in the same saga
// without a conductor, and the watcher's. The parties learn of a saga from the campaign's event, whose time is that of the tracking events.
//
// # With the original's services
//
// The original's partner and tracking services echo no headers. Their events are recognised by what they hold: a partner by
// its campaign and its name, a tracking event by its partner, its campaign and its time. A partner then has the id that its
// service gave it. Two things cannot be had from them: a partner that is registered by hand for the same campaign, with the
// same name and in the same moment, is not told apart; and an event that they registered cannot be undone, as its id is never told, so that
// a saga that has to undo one is parked for an operator. They take no part in a choreography.
package registration
