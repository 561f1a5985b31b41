package partner_test

import (
	"context"

	"github.com/alpespartners/alpespartners/alpes/partner"
)

// memory is a repository for one goroutine, and how one for tests looks: the whole contract in a map.
type memory struct {
	partners map[string]partner.Partner
	fail     error // what every call returns, if not nil
}

func newMemory() *memory { return &memory{partners: map[string]partner.Partner{}} }

func (m *memory) Add(_ context.Context, p partner.Partner) error {
	if m.fail != nil {
		return m.fail
	}
	if _, taken := m.partners[p.ID()]; taken {
		return partner.ErrExists
	}
	m.partners[p.ID()] = p
	return nil
}

func (m *memory) Get(_ context.Context, id string) (partner.Partner, error) {
	if m.fail != nil {
		return partner.Partner{}, m.fail
	}
	p, found := m.partners[id]
	if !found {
		return p, partner.ErrNotFound
	}
	return p, nil
}

func (m *memory) Remove(ctx context.Context, id string) (partner.Partner, error) {
	p, err := m.Get(ctx, id)
	delete(m.partners, id)
	return p, err
}
