package rule

import (
	"fmt"

	"github.com/google/uuid"
)

// NewID makes the id of an entity that comes without one: a version 7 UUID (RFC 9562). It fails only if the system has
// no randomness, and is safe for concurrent use.
func NewID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("rule: make an id: %w", err)
	}
	return id.String(), nil
}
