package tracking

import (
	"context"
	"errors"
)

// The sentinels of [Repository] and [Views]; test for them with [errors.Is].
var (
	// ErrNotFound says that there is no event with that id.
	ErrNotFound = errors.New("tracking: not found")
	// ErrExists says that there already is an event with that id.
	ErrExists = errors.New("tracking: already exists")
	// ErrCursor says that a cursor is not one that a list returned.
	ErrCursor = errors.New("tracking: bad cursor")
)

// Repository keeps events for the commands. Calls belong to the transaction of their context, if there is
// one; see the implementation. Implementations are safe for concurrent use.
type Repository interface {
	// Count returns the number of the campaign's events. Until the transaction ends no other one can add an event
	// to the campaign or remove one: it waits, or it fails and may be tried again as a whole.
	Count(ctx context.Context, campaignID string) (int, error)
	// Add stores a new event. If its id is taken: [ErrExists], or, when two add it at the same moment, another error
	// for one of them.
	Add(ctx context.Context, e Event) error
	// Get returns the event, or [ErrNotFound].
	Get(ctx context.Context, id string) (Event, error)
	// Remove deletes the event and returns what it was, or [ErrNotFound].
	Remove(ctx context.Context, id string) (Event, error)
}
