package tracking

import (
	"errors"
	"time"

	"github.com/alpespartners/alpespartners/alpes/rule"
)

// ErrInvalid says that a command breaks rules; [errors.As] with a *rule.Error tells which.
var ErrInvalid = errors.New("tracking: invalid")

// The bounds of an event, in characters.
const (
	MaxPartnerID  = 100
	MaxCampaignID = 100
)

// The bounds of the year of an event, UTC: what every database and JSON can hold.
const (
	minYear = 1970
	maxYear = 9999
)

// ReasonCancelled is the reason in the event of a tracking event that was cancelled.
const ReasonCancelled = "cancelled"

// Event is the aggregate: a conversion that a partner brought to a campaign. It is an immutable value; compare
// with [Event.Equal]. Make one with [New]; the zero Event is none.
type Event struct {
	id         string
	partnerID  string
	campaignID string
	occurredAt time.Time
}

// New returns the event that cmd describes; its time is cut to the millisecond. If cmd breaks
// rules it returns [ErrInvalid] with every fault.
func New(cmd Register) (Event, error) {
	var check rule.Check
	check.UUID("id", cmd.ID)
	check.ID("partnerId", cmd.PartnerID, MaxPartnerID)
	check.ID("campaignId", cmd.CampaignID, MaxCampaignID)
	switch year := cmd.OccurredAt.UTC().Year(); {
	case cmd.OccurredAt.IsZero():
		check.Add("occurredAt", "is missing", "give the time of the conversion")
	case year < minYear || year > maxYear:
		check.Add("occurredAt", "is out of range", "give a time between the years 1970 and 9999")
	}
	if err := check.Err(ErrInvalid); err != nil {
		return Event{}, err
	}
	return Event{
		id:         cmd.ID,
		partnerID:  cmd.PartnerID,
		campaignID: cmd.CampaignID,
		occurredAt: toMillisecond(cmd.OccurredAt),
	}, nil
}

// toMillisecond returns t as it is stored: to the millisecond, UTC, without a monotonic clock.
func toMillisecond(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// ID returns the event's id, a UUID.
func (e Event) ID() string { return e.id }

// PartnerID returns the id of the partner who brought the conversion.
func (e Event) PartnerID() string { return e.partnerID }

// CampaignID returns the id of the campaign that the conversion is for.
func (e Event) CampaignID() string { return e.campaignID }

// OccurredAt returns when it happened, to the millisecond, in UTC.
func (e Event) OccurredAt() time.Time { return e.occurredAt }

// Equal says that both events are the same in every respect.
func (e Event) Equal(other Event) bool {
	return e.id == other.id && e.partnerID == other.partnerID && e.campaignID == other.campaignID &&
		e.occurredAt.Equal(other.occurredAt)
}

// Registered returns the event of the registration.
func (e Event) Registered() Registered {
	return Registered{ID: e.id, PartnerID: e.partnerID, CampaignID: e.campaignID, OccurredAt: e.occurredAt}
}

// Cancelled returns the event of the tracking event's end.
func (e Event) Cancelled() RegistrationFailed {
	return RegistrationFailed{
		ID:         e.id,
		PartnerID:  e.partnerID,
		CampaignID: e.campaignID,
		OccurredAt: e.occurredAt,
		Reason:     ReasonCancelled,
	}
}

// Snapshot is an event's data as a repository keeps it.
type Snapshot struct {
	ID         string
	PartnerID  string
	CampaignID string
	OccurredAt time.Time
}

// Snapshot returns the event's data for a repository to keep.
func (e Event) Snapshot() Snapshot {
	return Snapshot{ID: e.id, PartnerID: e.partnerID, CampaignID: e.campaignID, OccurredAt: e.occurredAt}
}

// Restore returns the event that a repository kept. It is for repositories alone and checks no rule: what was valid
// once must stay readable after the rules have changed.
func Restore(s Snapshot) Event {
	return Event{id: s.ID, partnerID: s.PartnerID, campaignID: s.CampaignID, occurredAt: toMillisecond(s.OccurredAt)}
}
