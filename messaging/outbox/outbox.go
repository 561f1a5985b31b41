package outbox

import (
	"context"

	"github.com/alpespartners/alpespartners/messaging"
)

// Store is the relay's view of an outbox: rows were added by a transaction of the service
// and stay until their message is published. Implementations are safe for concurrent use.
type Store interface {
	// Pending returns up to limit messages that are in the outbox, oldest first, skipping the first offset of
	// them. It reads by state, never by cursor: a row that was committed late is found by the next call.
	Pending(ctx context.Context, offset, limit int) ([]messaging.Message, error)
	// Delete removes the rows of published messages by their IDs. An unknown ID is no error.
	Delete(ctx context.Context, ids []string) error
}
