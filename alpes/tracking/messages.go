package tracking

import "time"

// Register is the command to register a tracking (conversion) event. It is raw input: [New] says what is valid.
type Register struct {
	// ID becomes the event's id, a UUID. Empty: the service makes one.
	ID string `json:"id"`
	// PartnerID is opaque, at most 100 characters; nobody asks whether it exists.
	PartnerID string `json:"partnerId"`
	// CampaignID is opaque, at most 100 characters; nobody asks whether it exists.
	CampaignID string `json:"campaignId"`
	// OccurredAt is kept to the millisecond.
	OccurredAt time.Time `json:"occurredAt"`
}

// Cancel is the command to remove an event. Cancelling one that does not exist succeeds.
type Cancel struct {
	ID string `json:"id"`
}

// Registered says that the event exists.
type Registered struct {
	ID         string    `json:"id"`
	PartnerID  string    `json:"partnerId"`
	CampaignID string    `json:"campaignId"`
	OccurredAt time.Time `json:"occurredAt"`
}

// RegistrationFailed says that the event does not exist: it was refused, or it was cancelled.
type RegistrationFailed struct {
	ID         string    `json:"id"`
	PartnerID  string    `json:"partnerId"`
	CampaignID string    `json:"campaignId"`
	OccurredAt time.Time `json:"occurredAt"`
	// Reason names the field and what is wrong with it. It travels beside the record, in a header.
	Reason string `json:"reason"`
}

// FailureReason returns the reason, for the log of the saga that asked.
func (f RegistrationFailed) FailureReason() string { return f.Reason }
