package partner

// Register is the command to register a partner. It is raw input: [New] says what is valid.
type Register struct {
	// ID becomes the partner's id, a UUID. Empty: the service makes one.
	ID string `json:"id"`
	// CampaignID is opaque, at most 36 characters; nobody asks whether it exists.
	CampaignID string `json:"campaignId"`
	// Name is required, at most 100 characters.
	Name string `json:"name"`
	// Type is afiliado or affiliate, or influencer.
	Type string `json:"type"`
	// Profile is at most 255 characters.
	Profile string `json:"profile"`
}

// Cancel is the command to remove a partner. Cancelling one that does not exist succeeds.
type Cancel struct {
	ID string `json:"id"`
}

// Registered says that the partner exists.
type Registered struct {
	ID         string `json:"id"`
	CampaignID string `json:"campaignId"`
	Name       string `json:"name"`
	// Type is affiliate or influencer.
	Type    string `json:"type"`
	Profile string `json:"profile"`
}

// RegistrationFailed says that the partner does not exist: it was refused, or it was cancelled.
type RegistrationFailed struct {
	ID         string `json:"id"`
	CampaignID string `json:"campaignId"`
	Name       string `json:"name"`
	Type       string `json:"type"`
	Profile    string `json:"profile"`
	// Reason names the field and what is wrong with it. It travels beside the record, in a header.
	Reason string `json:"reason"`
}

// FailureReason returns the reason, for the log of the saga that asked.
func (f RegistrationFailed) FailureReason() string { return f.Reason }
