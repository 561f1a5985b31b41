package campaign_test

import (
	"context"

	"github.com/alpespartners/alpespartners/alpes/campaign"
)

// memory is a repository for one goroutine, and how one for tests looks: the whole contract in a map.
type memory struct {
	campaigns map[string]campaign.Campaign
	fail      error // what every call returns, if not nil
}

func newMemory() *memory { return &memory{campaigns: map[string]campaign.Campaign{}} }

func (m *memory) Add(_ context.Context, c campaign.Campaign) error {
	if m.fail != nil {
		return m.fail
	}
	if _, taken := m.campaigns[c.ID()]; taken {
		return campaign.ErrExists
	}
	m.campaigns[c.ID()] = c
	return nil
}

func (m *memory) Get(_ context.Context, id string) (campaign.Campaign, error) {
	if m.fail != nil {
		return campaign.Campaign{}, m.fail
	}
	c, found := m.campaigns[id]
	if !found {
		return c, campaign.ErrNotFound
	}
	return c, nil
}

func (m *memory) Update(ctx context.Context, id string, change func(*campaign.Campaign) error) error {
	c, err := m.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := change(&c); err != nil {
		return err
	}
	m.campaigns[id] = c
	return nil
}

func (m *memory) Remove(ctx context.Context, id string) (campaign.Campaign, error) {
	c, err := m.Get(ctx, id)
	delete(m.campaigns, id)
	return c, err
}
