package coordinator

import (
	"context"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
)

// Store keeps instances, their log and the outbox, and commits a batch of transitions at once.
// Implementations are safe for concurrent use, by several coordinators too.
type Store interface {
	// Load returns those instances that exist, each with its root record and those of the wanted item records that
	// exist. The root's data is loaded where the want names the key "", else it is nil.
	// It is one query for instances and one for items, however many are wanted.
	Load(ctx context.Context, wants []Want) (map[saga.ID]saga.State, error)
	// Commit writes all changes in one transaction, except those whose instance is not at version Before any more
	// (or, with Before 0, exists already): their ids are returned and nothing of them is written.
	// On an error it is unknown whether the transaction was committed.
	Commit(ctx context.Context, changes []Change) (conflicts []saga.ID, err error)
	// Due returns up to limit records whose wake-up time is at or before now, earliest first, and the earliest wake-up time after
	// now, or zero. Instances that are terminal or orphaned are passed over.
	Due(ctx context.Context, now time.Time, limit int) (due []Wake, next time.Time, err error)
	// Adopt clears the orphan mark of instances with one of the hashes, so that Due finds them again. Their version and status stay.
	Adopt(ctx context.Context, hashes []string) error
}

// Want names the records of one instance to load. The root record comes in any case.
type Want struct {
	ID saga.ID
	// Keys are item record keys; "" asks for the root's data.
	Keys []string
}

// Wake is a record that wants a tick.
type Wake struct {
	ID     saga.ID
	Record string // "" is the root
}

// Change is what became of one instance.
type Change struct {
	// Before is the version that the change is based on; 0 creates the instance.
	Before int64
	// State has the instance's new header. Its records are not to be written.
	State saga.State
	// Records are the records to insert or update; nil data is left as it is stored. See [saga.Changed].
	Records []saga.Record
	Log     []LogEntry
	Audit   []AuditEntry
	// Outbox are the messages to send.
	Outbox []messaging.Message
}

// LogEntry is a line of an instance's stored story.
type LogEntry struct {
	// Version is the version of the instance that the line belongs to, and Line its number within it, from 0.
	Version int64
	Line    int
	At      time.Time
	saga.Log
}

// AuditEntry is a stored operator action.
type AuditEntry struct {
	// Version is the version that the action led to.
	Version int64
	At      time.Time
	saga.Audit
}

// Reader is what consoles and APIs need of a store. Its answers are read from committed state.
type Reader interface {
	// Get returns the instance with its root record and data, without items. Unknown: [saga.ErrNotFound].
	Get(ctx context.Context, id saga.ID) (saga.State, error)
	// Items returns up to limit item records with their data, in the order of their creation, after skipping offset.
	Items(ctx context.Context, id saga.ID, offset, limit int) ([]saga.Record, error)
	// List returns up to q.Limit instances without records, newest first, and the cursor of the next page or "".
	List(ctx context.Context, q ListQuery) (page []saga.State, next string, err error)
	// History returns up to limit log lines in order, after skipping offset.
	History(ctx context.Context, id saga.ID, offset, limit int) ([]LogEntry, error)
	// Audits returns the operator actions on the instance in order.
	Audits(ctx context.Context, id saga.ID) ([]AuditEntry, error)
}

// ListQuery selects instances. Zero fields select everything.
type ListQuery struct {
	Definition string
	Status     saga.Status
	Key        string
	// Cursor is where the page begins; "" is the newest. A malformed one: [ErrCursor].
	Cursor string
	// Limit is the page's size. Zero means 50; the most is 500.
	Limit int
}
