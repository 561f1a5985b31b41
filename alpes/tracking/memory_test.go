package tracking_test

import (
	"context"

	"github.com/alpespartners/alpespartners/alpes/tracking"
)

// memory is a repository for one goroutine, and how one for tests looks: the whole contract in a map.
type memory struct {
	events map[string]tracking.Event
	fail   error // what every call returns, if not nil
}

func newMemory() *memory { return &memory{events: map[string]tracking.Event{}} }

func (m *memory) Count(_ context.Context, campaignID string) (int, error) {
	n := 0
	for _, e := range m.events {
		if e.CampaignID() == campaignID {
			n++
		}
	}
	return n, m.fail
}

func (m *memory) Add(_ context.Context, e tracking.Event) error {
	if m.fail != nil {
		return m.fail
	}
	if _, taken := m.events[e.ID()]; taken {
		return tracking.ErrExists
	}
	m.events[e.ID()] = e
	return nil
}

func (m *memory) Get(_ context.Context, id string) (tracking.Event, error) {
	if m.fail != nil {
		return tracking.Event{}, m.fail
	}
	e, found := m.events[id]
	if !found {
		return e, tracking.ErrNotFound
	}
	return e, nil
}

func (m *memory) Remove(ctx context.Context, id string) (tracking.Event, error) {
	e, err := m.Get(ctx, id)
	delete(m.events, id)
	return e, err
}

// failing fails in Count or Add alone, after Get has found nothing.
type failing struct {
	*memory
	count, add error
}

func (f failing) Count(context.Context, string) (int, error) { return 0, f.count }
func (f failing) Add(context.Context, tracking.Event) error  { return f.add }
