package partner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/messaging"
)

// Config configures a [Service].
type Config struct {
	// Blocked are names whose partners are refused, whatever their case and the white space around
	// them. Zero means none.
	Blocked []string
	// NewID makes the id of a partner that is registered without one, a UUID. It must be safe for concurrent use.
	// Zero means a new UUIDv7.
	NewID func() (string, error)
}

// Service handles the commands. It is safe for concurrent use.
type Service struct {
	partners Repository
	blocked  []string
	newID    func() (string, error)
}

// NewService returns a service that keeps its partners in r, which is required.
func NewService(r Repository, c Config) (*Service, error) {
	if r == nil {
		return nil, errors.New("partner: a service needs a repository")
	}
	if c.NewID == nil {
		c.NewID = rule.NewID
	}
	return &Service{partners: r, blocked: slices.Clone(c.Blocked), newID: c.NewID}, nil
}

// Register registers a partner. What breaks the rules, a blocked name, and an id that another
// partner has, is refused with [RegistrationFailed]. Registering the same again answers the same and changes nothing.
func (s *Service) Register(ctx context.Context, cmd Register) (Registered, error) {
	if cmd.ID == "" {
		id, err := s.newID()
		if err != nil {
			return Registered{}, fmt.Errorf("partner: make an id: %w", err)
		}
		cmd.ID = id
	}
	p, err := New(cmd)
	if err != nil {
		return Registered{}, refuse(cmd, rule.Reason(err))
	}
	if s.isBlocked(p.Name()) {
		return Registered{}, refuse(cmd, "name is blocked: ask the operator")
	}
	err = s.partners.Add(ctx, p)
	if errors.Is(err, ErrExists) {
		return s.registerAgain(ctx, cmd, p)
	}
	if err != nil {
		return Registered{}, err
	}
	return p.Registered(), nil
}

func (s *Service) registerAgain(ctx context.Context, cmd Register, p Partner) (Registered, error) {
	stored, err := s.partners.Get(ctx, p.ID())
	if err != nil {
		return Registered{}, err
	}
	if stored != p {
		return Registered{}, refuse(cmd, "id is taken by another partner: give a new one, or none")
	}
	return stored.Registered(), nil
}

func (s *Service) isBlocked(name string) bool {
	return slices.ContainsFunc(s.blocked, func(blocked string) bool {
		return strings.EqualFold(strings.TrimSpace(blocked), strings.TrimSpace(name))
	})
}

// Cancel removes a partner. The event tells who it was; for one that does not exist it holds the id alone.
func (s *Service) Cancel(ctx context.Context, cmd Cancel) (RegistrationFailed, error) {
	p, err := s.partners.Remove(ctx, cmd.ID)
	if errors.Is(err, ErrNotFound) {
		return RegistrationFailed{ID: rule.Legible(cmd.ID), Reason: ReasonCancelled}, nil
	}
	if err != nil {
		return RegistrationFailed{}, err
	}
	return p.Cancelled(), nil
}

// refuse answers cmd with the failure event. The event repeats the command as far as any consumer
// could read it: a type that is not known is left out.
func refuse(cmd Register, reason string) error {
	kind, _ := ParseType(cmd.Type)
	return messaging.Refuse(RegistrationFailed{
		ID:         rule.Legible(cmd.ID),
		CampaignID: rule.Legible(cmd.CampaignID),
		Name:       rule.Legible(cmd.Name),
		Type:       string(kind),
		Profile:    rule.Legible(cmd.Profile),
		Reason:     reason,
	})
}
