package tracking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/messaging"
)

// The special values of [Config].Limit.
const (
	// DefaultLimit is the limit of a Config that names none.
	DefaultLimit = 1000
	// Unlimited admits every event.
	Unlimited = -1
	// RefuseAll admits no event: the way to watch a saga compensate.
	RefuseAll = -2
)

// Config configures a [Service].
type Config struct {
	// Limit is the most events that a campaign may have, or [Unlimited], or [RefuseAll]. Zero means [DefaultLimit].
	Limit int
	// NewID makes the id of an event that is registered without one, a UUID. It must be safe for concurrent use.
	// Zero means a new UUIDv7.
	NewID func() (string, error)
}

func (c Config) withDefaults() Config {
	if c.Limit == 0 {
		c.Limit = DefaultLimit
	}
	if c.NewID == nil {
		c.NewID = rule.NewID
	}
	return c
}

// Service handles the commands. It is safe for concurrent use.
type Service struct {
	events Repository
	limit  int
	newID  func() (string, error)
}

// NewService returns a service that keeps its events in r, which is required.
func NewService(r Repository, c Config) (*Service, error) {
	c = c.withDefaults()
	var faults []error
	if r == nil {
		faults = append(faults, errors.New("tracking: a service needs a repository"))
	}
	if c.Limit < RefuseAll {
		faults = append(faults, fmt.Errorf("tracking: no such limit: %d", c.Limit))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Service{events: r, limit: c.Limit, newID: c.NewID}, nil
}

// Register registers an event. What breaks the rules, an event beyond its campaign's limit, and an id that
// another event has, is refused with [RegistrationFailed]. Registering the same again answers the same and changes
// nothing, also when the campaign is full by now.
func (s *Service) Register(ctx context.Context, cmd Register) (Registered, error) {
	if cmd.ID == "" {
		id, err := s.newID()
		if err != nil {
			return Registered{}, fmt.Errorf("tracking: make an id: %w", err)
		}
		cmd.ID = id
	}
	e, err := New(cmd)
	if err != nil {
		return Registered{}, refuse(cmd, rule.Reason(err))
	}
	stored, err := s.events.Get(ctx, e.ID())
	switch {
	case errors.Is(err, ErrNotFound):
		return s.registerFirst(ctx, cmd, e)
	case err != nil:
		return Registered{}, err
	case !stored.Equal(e):
		return Registered{}, refuse(cmd, "id is taken by another event: give a new one, or none")
	default:
		return stored.Registered(), nil
	}
}

func (s *Service) registerFirst(ctx context.Context, cmd Register, e Event) (Registered, error) {
	full, err := s.isFull(ctx, e.CampaignID())
	if err != nil {
		return Registered{}, err
	}
	if full {
		return Registered{}, refuse(cmd, "campaignId is that of a campaign with all the events it may have: raise the limit")
	}
	if err := s.events.Add(ctx, e); err != nil {
		return Registered{}, err
	}
	return e.Registered(), nil
}

func (s *Service) isFull(ctx context.Context, campaignID string) (bool, error) {
	switch s.limit {
	case Unlimited:
		return false, nil
	case RefuseAll:
		return true, nil
	}
	n, err := s.events.Count(ctx, campaignID)
	return n >= s.limit, err
}

// Cancel removes an event. The answer tells what it was; for one that does not exist it holds the id alone.
func (s *Service) Cancel(ctx context.Context, cmd Cancel) (RegistrationFailed, error) {
	e, err := s.events.Remove(ctx, cmd.ID)
	if errors.Is(err, ErrNotFound) {
		return RegistrationFailed{ID: rule.Legible(cmd.ID), Reason: ReasonCancelled}, nil
	}
	if err != nil {
		return RegistrationFailed{}, err
	}
	return e.Cancelled(), nil
}

// refuse answers cmd with the failure event. The event repeats the command as far as any consumer could
// read it: a time out of range is left out.
func refuse(cmd Register, reason string) error {
	var at time.Time
	if year := cmd.OccurredAt.UTC().Year(); year >= minYear && year <= maxYear {
		at = toMillisecond(cmd.OccurredAt)
	}
	return messaging.Refuse(RegistrationFailed{
		ID:         rule.Legible(cmd.ID),
		PartnerID:  rule.Legible(cmd.PartnerID),
		CampaignID: rule.Legible(cmd.CampaignID),
		OccurredAt: at,
		Reason:     reason,
	})
}
