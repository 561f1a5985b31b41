package registration

import (
	"strconv"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/saga"
)

// partnerEvents recognises a partner by its campaign and its name, which is unique there: what the original's partner
// service sends has no headers, and after a failure an id of its own.
func partnerEvents() saga.Part[Item] {
	return saga.Matching(func(i Item) string { return keyOf(i.CampaignID, i.Participant.Name) },
		saga.KeyOf(func(e partner.Registered) string { return keyOf(e.CampaignID, e.Name) }),
		saga.KeyOf(func(e partner.RegistrationFailed) string { return keyOf(e.CampaignID, e.Name) }),
	)
}

// conversionEvents recognises a tracking event by the partner, the campaign and the time: the original's tracking
// service never tells the event's id. The partner's id is the one that its service has told by then.
func conversionEvents() saga.Part[Item] {
	return saga.Matching(func(i Item) string { return conversionKey(i.PartnerID, i.CampaignID, i.OccurredAt) },
		saga.KeyOf(func(e tracking.Registered) string { return conversionKey(e.PartnerID, e.CampaignID, e.OccurredAt) }),
		saga.KeyOf(func(e tracking.RegistrationFailed) string {
			return conversionKey(e.PartnerID, e.CampaignID, e.OccurredAt)
		}),
	)
}

func conversionKey(partnerID, campaignID string, at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return keyOf(partnerID, campaignID, strconv.FormatInt(at.UnixMilli(), 10))
}

// keyOf joins the parts, none of which may be missing: then it is "", the key of nothing.
func keyOf(parts ...string) string {
	for i, part := range parts {
		if part == "" {
			return ""
		}
		parts[i] = strconv.Quote(part)
	}
	return strings.Join(parts, " ")
}
