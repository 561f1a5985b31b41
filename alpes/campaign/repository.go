package campaign

import (
	"context"
	"errors"
)

// The sentinels of [Repository] and [Views]; test for them with [errors.Is].
var (
	// ErrNotFound says that there is no campaign with that id.
	ErrNotFound = errors.New("campaign: not found")
	// ErrExists says that there already is a campaign with that id.
	ErrExists = errors.New("campaign: already exists")
	// ErrConflict says that somebody else changed the campaign meanwhile; the whole command may be tried again.
	ErrConflict = errors.New("campaign: changed concurrently")
	// ErrCursor says that a cursor is not one that a list returned.
	ErrCursor = errors.New("campaign: bad cursor")
)

// Repository keeps campaigns for the commands. Calls belong to the transaction of their context, if
// there is one; see the implementation. Implementations are safe for concurrent use.
type Repository interface {
	// Add stores a new campaign. If its id is taken: [ErrExists], or, when two add it at the same moment,
	// another error for one of them.
	Add(ctx context.Context, c Campaign) error
	// Get returns the campaign, or [ErrNotFound].
	Get(ctx context.Context, id string) (Campaign, error)
	// Update loads the campaign, calls change once and stores what has become of it. With an error of change, which is
	// returned as it is, nothing is stored. No such campaign: [ErrNotFound], and change is not called. Changed by
	// somebody else meanwhile: [ErrConflict], and nothing is stored.
	Update(ctx context.Context, id string, change func(c *Campaign) error) error
	// Remove deletes the campaign and returns what it was, or [ErrNotFound].
	Remove(ctx context.Context, id string) (Campaign, error)
}
