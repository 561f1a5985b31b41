package campaign

import "time"

// Participant is a partner-to-be as a campaign names it. Type stays as it came (afiliado, influencer, affiliate).
type Participant struct {
	// ID is the caller's own id of the participant, opaque, at most 100 characters.
	ID string `json:"id"`
	// Type is the kind of partner; see package partner for the known ones.
	Type string `json:"type"`
	// Name is required, at most 100 characters, and unique within the campaign.
	Name string `json:"name"`
	// Profile describes the participant, at most 255 characters.
	Profile string `json:"profile"`
}

// Register is the command to register a campaign. It is raw input: [New] says what is valid.
type Register struct {
	// ID becomes the campaign's id, a UUID. Empty: the service makes one.
	ID string `json:"id"`
	// Name is required, at most 100 characters.
	Name string `json:"name"`
	// Budget is a positive decimal number in Currency, such as "10000.50".
	Budget string `json:"budget"`
	// Currency is an ISO 4217 code.
	Currency string `json:"currency"`
	// BrandID is required, at most 36 characters, opaque.
	BrandID string `json:"brandId"`
	// Participants may be empty.
	Participants []Participant `json:"participants"`
}

// Approve is the command to make a pending campaign active.
type Approve struct {
	ID string `json:"id"`
}

// Cancel is the command to remove a campaign. Cancelling one that does not exist succeeds.
type Cancel struct {
	ID string `json:"id"`
}

// Registered says that the campaign exists, pending.
type Registered struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Budget       string        `json:"budget"`
	Currency     string        `json:"currency"`
	BrandID      string        `json:"brandId"`
	Participants []Participant `json:"participants"`
	// At is when the event was sent, to the millisecond, as its message tells. Zero where it was not told, and on an event
	// that is still to be sent.
	At time.Time `json:"at,omitzero"`
}

// RegistrationFailed says that the campaign does not exist: it was refused, or it was cancelled.
type RegistrationFailed struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Budget       string        `json:"budget"`
	Currency     string        `json:"currency"`
	BrandID      string        `json:"brandId"`
	Participants []Participant `json:"participants"`
	// Reason names the field and what is wrong with it. It travels beside the record, in a header.
	Reason string `json:"reason"`
}

// Approved says that the campaign is active.
type Approved struct {
	ID string `json:"id"`
}

// FailureReason returns the reason, for the log of the saga that asked.
func (f RegistrationFailed) FailureReason() string { return f.Reason }
