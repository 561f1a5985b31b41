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
package registration
