package saga

import (
	"errors"
	"fmt"
	"strings"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrInvalid says that a definition has faults; the error lists all of them.
	ErrInvalid = errors.New("saga: invalid definition")
	// ErrNotFound says that there is no such instance, or no such node in its definition.
	ErrNotFound = errors.New("saga: not found")
	// ErrConflict says that the instance is at another version than the caller expects.
	ErrConflict = errors.New("saga: version conflict")
	// ErrUnexpectedReply says that a reply's event is none that the step declares.
	ErrUnexpectedReply = errors.New("saga: unexpected reply")
	// ErrUnknownDefinition says that no definition with the instance's name and hash is registered.
	ErrUnknownDefinition = errors.New("saga: unknown definition")
	// ErrNotAllowed says that an operator's action does not fit the state that the instance is in.
	ErrNotAllowed = errors.New("saga: action not allowed")
	// ErrData says that the instance's data could not be read or written as the definition's type.
	ErrData = errors.New("saga: unusable data")
)

// NeedError is what [Decide] returns when the transition touches records that the given state does
// not hold. The caller loads them into the state and calls again; nothing was decided.
type NeedError struct {
	// Keys are the records' keys, without duplicates. "" is the root's data.
	Keys []string
}

// Error names the records.
func (e *NeedError) Error() string {
	return fmt.Sprintf("saga: needs records %q", strings.Join(e.Keys, ", "))
}
