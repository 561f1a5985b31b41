package registration

import (
	"errors"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/alpes/tracking"
)

// ErrInvalid says that an operator's edit breaks rules; [errors.As] with a *rule.Error tells which.
var ErrInvalid = errors.New("registration: invalid data")

// Validate holds an operator's edit to the campaign's rules: [ErrInvalid], with every fault.
func (r Registration) Validate() error {
	var check rule.Check
	_, err := campaign.New(r.Campaign)
	if broken, ok := errors.AsType[*rule.Error](err); ok {
		for _, f := range broken.Faults {
			check.Add("campaign."+f.Field, f.Problem, f.Fix)
		}
	}
	if r.OccurredAt.IsZero() {
		check.Add("occurredAt", "is missing", "give the time of the tracking events")
	}
	return check.Err(ErrInvalid)
}

// Validate holds an operator's edit to the rules of those that get its commands: [ErrInvalid], with every fault. The ids may be
// of the original's services, and are opaque.
func (i Item) Validate() error {
	var check rule.Check
	check.ID("campaignId", i.CampaignID, partner.MaxCampaignID)
	check.Name("participant.name", i.Participant.Name, partner.MaxName)
	if _, known := partner.ParseType(i.Participant.Type); !known {
		check.Add("participant.type", "is not a known type", "write afiliado, affiliate or influencer")
	}
	check.Text("participant.profile", i.Participant.Profile, partner.MaxProfile)
	check.ID("partnerId", i.PartnerID, tracking.MaxPartnerID)
	check.ID("eventId", i.EventID, tracking.MaxPartnerID)
	if i.OccurredAt.IsZero() {
		check.Add("occurredAt", "is missing", "give the time of the tracking event")
	}
	return check.Err(ErrInvalid)
}
