package campaign

import (
	"errors"
	"slices"
)

// ErrInvalid says that a command breaks rules; [errors.As] with a *rule.Error tells which.
var ErrInvalid = errors.New("campaign: invalid")

// The bounds of a campaign, in characters and in participants.
const (
	MaxName               = 100
	MaxBudget             = 30
	MaxBrandID            = 36
	MaxParticipants       = 10_000
	MaxParticipantID      = 100
	MaxParticipantName    = 100
	MaxParticipantProfile = 255
)

// ReasonCancelled is the reason in the event of a campaign that was cancelled.
const ReasonCancelled = "cancelled"

// Status is where a campaign is in its life.
type Status string

// The statuses.
const (
	// Pending campaigns wait for their partners.
	Pending Status = "pending"
	// Active campaigns were approved.
	Active Status = "active"
)

// Campaign is the aggregate: an advertiser's budget and those who are to spend it. Make one with
// [New]; the zero Campaign is none.
type Campaign struct {
	id           string
	name         string
	budget       string
	currency     string
	brandID      string
	participants []Participant
	status       Status
}

// New returns the pending campaign that cmd describes. If cmd breaks rules it returns [ErrInvalid]
// with every fault.
func New(cmd Register) (Campaign, error) {
	budget, err := validate(cmd)
	if err != nil {
		return Campaign{}, err
	}
	return Campaign{
		id:           cmd.ID,
		name:         cmd.Name,
		budget:       budget,
		currency:     cmd.Currency,
		brandID:      cmd.BrandID,
		participants: slices.Clone(cmd.Participants),
		status:       Pending,
	}, nil
}

// ID returns the campaign's id, a UUID.
func (c Campaign) ID() string { return c.id }

// Name returns the campaign's name.
func (c Campaign) Name() string { return c.name }

// Budget returns the amount in Currency as an exact decimal in canonical form: no sign, no
// exponent, no needless zeros.
func (c Campaign) Budget() string { return c.budget }

// Currency returns the ISO 4217 code of the budget's currency.
func (c Campaign) Currency() string { return c.currency }

// BrandID returns the id of the brand that pays.
func (c Campaign) BrandID() string { return c.brandID }

// Participants returns a copy of those who are to become partners, in the order of the command.
func (c Campaign) Participants() []Participant { return slices.Clone(c.participants) }

// Status returns where the campaign is in its life.
func (c Campaign) Status() Status { return c.status }

// Approve makes the campaign active. Approving an active one changes nothing.
func (c *Campaign) Approve() Approved {
	c.status = Active
	return Approved{ID: c.id}
}

// Cancelled returns the event of the campaign's end.
func (c Campaign) Cancelled() RegistrationFailed {
	return RegistrationFailed{
		ID:           c.id,
		Name:         c.name,
		Budget:       c.budget,
		Currency:     c.currency,
		BrandID:      c.brandID,
		Participants: c.Participants(),
		Reason:       ReasonCancelled,
	}
}

// Registered returns the event of the campaign's registration.
func (c Campaign) Registered() Registered {
	return Registered{
		ID:           c.id,
		Name:         c.name,
		Budget:       c.budget,
		Currency:     c.currency,
		BrandID:      c.brandID,
		Participants: c.Participants(),
	}
}

// SameRegistration says that both campaigns were registered with the same content, whatever
// happened to them since.
func (c Campaign) SameRegistration(other Campaign) bool {
	return c.id == other.id && c.name == other.name && c.budget == other.budget && c.currency == other.currency &&
		c.brandID == other.brandID && slices.Equal(c.participants, other.participants)
}

// Equal says that both campaigns are the same in every respect.
func (c Campaign) Equal(other Campaign) bool {
	return c.SameRegistration(other) && c.status == other.status
}

// Snapshot is a campaign's data as a repository keeps it.
type Snapshot struct {
	ID           string
	Name         string
	Budget       string
	Currency     string
	BrandID      string
	Participants []Participant
	Status       Status
}

// Snapshot returns the campaign's data for a repository to keep.
func (c Campaign) Snapshot() Snapshot {
	return Snapshot{
		ID:           c.id,
		Name:         c.name,
		Budget:       c.budget,
		Currency:     c.currency,
		BrandID:      c.brandID,
		Participants: c.Participants(),
		Status:       c.status,
	}
}

// Restore returns the campaign that a repository kept. It is for repositories alone and checks no rule: what
// was valid once must stay readable after the rules, or the list of currencies, have changed.
func Restore(s Snapshot) Campaign {
	return Campaign{
		id:           s.ID,
		name:         s.Name,
		budget:       s.Budget,
		currency:     s.Currency,
		brandID:      s.BrandID,
		participants: slices.Clone(s.Participants),
		status:       s.Status,
	}
}
