package partner

import (
	"errors"

	"github.com/alpespartners/alpespartners/alpes/rule"
)

// ErrInvalid says that a command breaks rules; [errors.As] with a *rule.Error tells which.
var ErrInvalid = errors.New("partner: invalid")

// The bounds of a partner, in characters.
const (
	MaxCampaignID = 36
	MaxName       = 100
	MaxProfile    = 255
)

// ReasonCancelled is the reason in the event of a partner that was cancelled.
const ReasonCancelled = "cancelled"

// Type is the kind of partner.
type Type string

// The types.
const (
	// Affiliate is paid for each sale that it brings.
	Affiliate Type = "affiliate"
	// Influencer is paid for being seen.
	Influencer Type = "influencer"
)

// ParseType returns the type that s names. An affiliate may also be called afiliado, as the
// original's clients do.
func ParseType(s string) (t Type, known bool) {
	switch s {
	case "affiliate", "afiliado":
		return Affiliate, true
	case "influencer":
		return Influencer, true
	default:
		return "", false
	}
}

// Partner is the aggregate: somebody who advertises for one campaign. It is an immutable value and may be
// compared with ==. Make one with [New]; the zero Partner is none.
type Partner struct {
	id         string
	campaignID string
	name       string
	kind       Type
	profile    string
}

// New returns the partner that cmd describes. If cmd breaks rules it returns [ErrInvalid] with
// every fault.
func New(cmd Register) (Partner, error) {
	var check rule.Check
	check.UUID("id", cmd.ID)
	check.ID("campaignId", cmd.CampaignID, MaxCampaignID)
	check.Name("name", cmd.Name, MaxName)
	kind, known := ParseType(cmd.Type)
	if !known {
		check.Add("type", "is not a known type", "write afiliado, affiliate or influencer")
	}
	check.Text("profile", cmd.Profile, MaxProfile)
	if err := check.Err(ErrInvalid); err != nil {
		return Partner{}, err
	}
	return Partner{id: cmd.ID, campaignID: cmd.CampaignID, name: cmd.Name, kind: kind, profile: cmd.Profile}, nil
}

// ID returns the partner's id, a UUID.
func (p Partner) ID() string { return p.id }

// CampaignID returns the id of the campaign that the partner advertises for.
func (p Partner) CampaignID() string { return p.campaignID }

// Name returns the partner's name.
func (p Partner) Name() string { return p.name }

// Type returns the kind of partner.
func (p Partner) Type() Type { return p.kind }

// Profile returns what the partner says of itself; it may be empty.
func (p Partner) Profile() string { return p.profile }

// Registered returns the event of the partner's registration.
func (p Partner) Registered() Registered {
	return Registered{ID: p.id, CampaignID: p.campaignID, Name: p.name, Type: string(p.kind), Profile: p.profile}
}

// Cancelled returns the event of the partner's end.
func (p Partner) Cancelled() RegistrationFailed {
	return RegistrationFailed{
		ID:         p.id,
		CampaignID: p.campaignID,
		Name:       p.name,
		Type:       string(p.kind),
		Profile:    p.profile,
		Reason:     ReasonCancelled,
	}
}

// Snapshot is a partner's data as a repository keeps it.
type Snapshot struct {
	ID         string
	CampaignID string
	Name       string
	Type       Type
	Profile    string
}

// Snapshot returns the partner's data for a repository to keep.
func (p Partner) Snapshot() Snapshot {
	return Snapshot{ID: p.id, CampaignID: p.campaignID, Name: p.name, Type: p.kind, Profile: p.profile}
}

// Restore returns the partner that a repository kept. It is for repositories alone and checks no rule: what was
// valid once must stay readable after the rules have changed.
func Restore(s Snapshot) Partner {
	return Partner{id: s.ID, campaignID: s.CampaignID, name: s.Name, kind: s.Type, profile: s.Profile}
}
