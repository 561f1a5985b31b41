package campaign

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/messaging"
)

// Config configures a [Service].
type Config struct {
	// NewID makes the id of a campaign that is registered without one, a UUID. It must be safe for concurrent use.
	// Zero means a new UUIDv7.
	NewID func() (string, error)
}

// Service handles the commands. It is safe for concurrent use.
type Service struct {
	campaigns Repository
	newID     func() (string, error)
}

// NewService returns a service that keeps its campaigns in r, which is required.
func NewService(r Repository, c Config) (*Service, error) {
	if r == nil {
		return nil, errors.New("campaign: a service needs a repository")
	}
	if c.NewID == nil {
		c.NewID = rule.NewID
	}
	return &Service{campaigns: r, newID: c.NewID}, nil
}

// Register registers a campaign, pending. What breaks the rules, and an id that another campaign
// has, is refused with [RegistrationFailed]. Registering the same again answers the same and changes nothing.
func (s *Service) Register(ctx context.Context, cmd Register) (Registered, error) {
	if cmd.ID == "" {
		id, err := s.newID()
		if err != nil {
			return Registered{}, fmt.Errorf("campaign: make an id: %w", err)
		}
		cmd.ID = id
	}
	c, err := New(cmd)
	if err != nil {
		return Registered{}, refuse(cmd, rule.Reason(err))
	}
	err = s.campaigns.Add(ctx, c)
	if errors.Is(err, ErrExists) {
		return s.registerAgain(ctx, cmd, c)
	}
	if err != nil {
		return Registered{}, err
	}
	return c.Registered(), nil
}

func (s *Service) registerAgain(ctx context.Context, cmd Register, c Campaign) (Registered, error) {
	stored, err := s.campaigns.Get(ctx, c.ID())
	if err != nil {
		return Registered{}, err
	}
	if !stored.SameRegistration(c) {
		return Registered{}, refuse(cmd, "id is taken by another campaign: give a new one, or none")
	}
	return stored.Registered(), nil
}

// Approve makes a campaign active. A campaign that does not exist (any more) is refused with [RegistrationFailed].
func (s *Service) Approve(ctx context.Context, cmd Approve) (Approved, error) {
	var approved Approved
	err := s.campaigns.Update(ctx, cmd.ID, func(c *Campaign) error {
		approved = c.Approve()
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return Approved{}, messaging.Refuse(RegistrationFailed{ID: rule.Legible(cmd.ID), Reason: "id is that of no campaign: register it first"})
	}
	if err != nil {
		return Approved{}, err
	}
	return approved, nil
}

// Cancel removes a campaign. The event tells what it was; for one that does not exist it holds the id alone.
func (s *Service) Cancel(ctx context.Context, cmd Cancel) (RegistrationFailed, error) {
	c, err := s.campaigns.Remove(ctx, cmd.ID)
	if errors.Is(err, ErrNotFound) {
		return RegistrationFailed{ID: rule.Legible(cmd.ID), Reason: ReasonCancelled}, nil
	}
	if err != nil {
		return RegistrationFailed{}, err
	}
	return c.Cancelled(), nil
}

// refuse answers cmd with the failure event. The event repeats the command as far as any consumer could
// read it: a budget that is no number, and a list with too many participants, are left out.
func refuse(cmd Register, reason string) error {
	budget, _ := parseDecimal(cmd.Budget)
	var participants []Participant
	if len(cmd.Participants) <= MaxParticipants {
		participants = slices.Clone(cmd.Participants)
	}
	for i, p := range participants {
		participants[i] = Participant{
			ID: rule.Legible(p.ID), Type: rule.Legible(p.Type), Name: rule.Legible(p.Name), Profile: rule.Legible(p.Profile),
		}
	}
	return messaging.Refuse(RegistrationFailed{
		ID:           rule.Legible(cmd.ID),
		Name:         rule.Legible(cmd.Name),
		Budget:       budget,
		Currency:     rule.Legible(cmd.Currency),
		BrandID:      rule.Legible(cmd.BrandID),
		Participants: participants,
		Reason:       reason,
	})
}
