package partner

import (
	"context"
	"errors"
)

// The sentinels of [Repository] and [Views]; test for them with [errors.Is].
var (
	// ErrNotFound says that there is no partner with that id.
	ErrNotFound = errors.New("partner: not found")
	// ErrExists says that there already is a partner with that id.
	ErrExists = errors.New("partner: already exists")
	// ErrCursor says that a cursor is not one that a list returned.
	ErrCursor = errors.New("partner: bad cursor")
)

// Repository keeps partners for the commands. Calls belong to the transaction of their context, if
// there is one; see the implementation. Implementations are safe for concurrent use.
type Repository interface {
	// Add stores a new partner. If its id is taken: [ErrExists], or, when two add it at the same moment, another
	// error for one of them.
	Add(ctx context.Context, p Partner) error
	// Get returns the partner, or [ErrNotFound].
	Get(ctx context.Context, id string) (Partner, error)
	// Remove deletes the partner and returns what it was, or [ErrNotFound].
	Remove(ctx context.Context, id string) (Partner, error)
}
