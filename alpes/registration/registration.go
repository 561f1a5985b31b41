package registration

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/saga"
)

// Name is the definition's name.
const Name = "register-campaign"

// The services that carry the steps out.
const (
	CampaignService = "campaign"
	PartnerService  = "partner"
	TrackingService = "tracking"
)

// Registration is the saga's data.
type Registration struct {
	// Campaign is what is to be registered. Its ID is required and is the saga's business key.
	Campaign campaign.Register `json:"campaign"`
	// OccurredAt is the time of the tracking events: that of the campaign's registration, once it is told.
	OccurredAt time.Time `json:"occurredAt"`
	// Refusal is why the campaign was refused, if it was.
	Refusal string `json:"refusal,omitempty"`
}

// Item is the data of one participant's branch.
type Item struct {
	CampaignID  string               `json:"campaignId"`
	Participant campaign.Participant `json:"participant"`
	PartnerID   string               `json:"partnerId"`
	EventID     string               `json:"eventId"`
	OccurredAt  time.Time            `json:"occurredAt"`
	// Refusal is why the partner or its event was refused, if one was.
	Refusal string `json:"refusal,omitempty"`
}

// items assigns every participant its partner's and its event's id: version 5 UUIDs of the campaign's id and the participant's number.
func items(r Registration) []Item {
	all := make([]Item, len(r.Campaign.Participants))
	for i, p := range r.Campaign.Participants {
		all[i] = Item{
			CampaignID: r.Campaign.ID, Participant: p, OccurredAt: r.OccurredAt,
			PartnerID: entityID(r.Campaign.ID, "partner", i),
			EventID:   entityID(r.Campaign.ID, "event", i),
		}
	}
	return all
}

func entityID(campaignID, kind string, i int) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "alpespartners/%s/%s/%d", campaignID, kind, i)).String()
}

// Define returns the saga, orchestrated.
func Define() *saga.Definition[Registration] {
	return saga.MustDefine(Name,
		saga.Step("campaign",
			saga.Do(func(r Registration) campaign.Register { return r.Campaign }),
			saga.On(func(r *Registration, e campaign.Registered) {
				if !e.At.IsZero() {
					r.OccurredAt = e.At
				}
			}),
			saga.OnFailure(func(r *Registration, e campaign.RegistrationFailed) { r.Refusal = e.Reason }),
			saga.Undo(func(r Registration) campaign.Cancel { return campaign.Cancel{ID: r.Campaign.ID} }),
		).UndoneByFailure().Service(CampaignService),
		saga.ForEach("participants", items,
			saga.Step("partner",
				saga.Do(func(i Item) partner.Register {
					return partner.Register{
						ID: i.PartnerID, CampaignID: i.CampaignID,
						Name: i.Participant.Name, Type: i.Participant.Type, Profile: i.Participant.Profile,
					}
				}),
				saga.On(func(i *Item, e partner.Registered) { i.PartnerID = cmp.Or(e.ID, i.PartnerID) }),
				saga.OnFailure(func(i *Item, e partner.RegistrationFailed) { i.Refusal = e.Reason }),
				saga.Undo(func(i Item) partner.Cancel { return partner.Cancel{ID: i.PartnerID} }),
				partnerEvents(),
			).UndoneByFailure().Service(PartnerService),
			saga.Step("conversion",
				saga.Do(func(i Item) tracking.Register {
					return tracking.Register{
						ID: i.EventID, PartnerID: i.PartnerID, CampaignID: i.CampaignID, OccurredAt: i.OccurredAt,
					}
				}),
				saga.On(func(i *Item, e tracking.Registered) { i.EventID = cmp.Or(e.ID, i.EventID) }),
				saga.OnFailure(func(i *Item, e tracking.RegistrationFailed) { i.Refusal = e.Reason }),
				saga.Undo(func(i Item) tracking.Cancel { return tracking.Cancel{ID: i.EventID} }),
				conversionEvents(),
			).UndoneByFailure().Service(TrackingService),
		).AtMost(50),
		saga.Step("approve",
			saga.Do(func(r Registration) campaign.Approve { return campaign.Approve{ID: r.Campaign.ID} }),
			saga.On(func(*Registration, campaign.Approved) {}),
		).Pivot().Service(CampaignService),
	)
}
