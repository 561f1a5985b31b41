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
	// (or, with Before 0, exists already), and those that would be the second to give an Answer, which is for one expectation only: their ids are
	// returned, in any order, and nothing of them is written.
	// On an error it is unknown whether the transaction was committed.
	Commit(ctx context.Context, changes []Change) (conflicts []saga.ID, err error)
	// Due returns up to q.Limit records whose wake-up time is at or before q.Now, earliest first, and the earliest wake-up time after
	// it, or zero. Instances that are terminal or orphaned are passed over, as are those that q leaves out.
	Due(ctx context.Context, q DueQuery) (due []Wake, next time.Time, err error)
	// Match returns the expectations with one of the keys that were answered by one of the messages and, of those that are not
	// answered, the first [MaxMatches], all in the order in which they were committed.
	Match(ctx context.Context, keys, messages []string) ([]Expected, error)
	// Pauses returns the pauses that are not done, in the order of their beginning, those of one moment by definition.
	Pauses(ctx context.Context) ([]Pause, error)
	// SetPause creates or replaces the pause of the definition that began at the time.
	SetPause(ctx context.Context, p Pause) error
	// Adopt clears the orphan mark of instances with one of the hashes, so that Due finds them again. Their version and status stay.
	Adopt(ctx context.Context, hashes []string) error
}

// Remover is what a [Store] implements besides that can remove instances which ended, and old pauses; see [Retention].
type Remover interface {
	// Ended looks at up to limit instances in the order of their creation, from the cursor on, "" being the oldest, and returns those that are
	// terminal since before the time, and the cursor of the next page: "" where no instance behind was started before the time.
	Ended(ctx context.Context, before time.Time, cursor string, limit int) (ids []saga.ID, next string, err error)
	// Remove removes those of the instances that are terminal since before the time, as it finds them in the transaction that removes
	// them, each as a whole: records, log, audit and expectations. It returns how many, and may use several transactions to keep each short.
	Remove(ctx context.Context, before time.Time, ids []saga.ID) (int, error)
	// RemovePauses removes the pauses that are done and have neither begun nor been released since the time. It returns how many.
	RemovePauses(ctx context.Context, before time.Time) (int, error)
}

// Clock is a [Store] with a clock that all its coordinators share, such as its database's. They then go by it, so that
// it does not matter how their hosts' clocks are set.
type Clock interface {
	// Time returns the clock's time.
	Time(ctx context.Context) (time.Time, error)
}

// MaxMatches bounds the open expectations that one [Store.Match] returns.
const MaxMatches = 1000

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

// DueQuery selects records that want a tick.
type DueQuery struct {
	Now   time.Time
	Limit int
	// Skip are the names of definitions whose instances are passed over.
	Skip []string
	// Only, where not empty, is the name of the one definition whose instances are looked at.
	Only string
}

// Expectation says that an instance waits for an event with a key; see [saga.Expect]. Node, direction and epoch identify it within its instance.
type Expectation struct {
	Node      string
	Direction saga.Direction
	Epoch     int
	Key       string
}

// Expected is a stored expectation.
type Expected struct {
	ID saga.ID
	Expectation
	// Answer identifies the message that answered it; "" while it is open.
	Answer string
}

// Pause is a definition whose instances send nothing, or are being released again. What arrives for them is recorded.
type Pause struct {
	// Definition is the definition's name; "" is all of them.
	Definition string
	// At is when it began, By whom and Why.
	At      time.Time
	By, Why string
	// Released is when it was ended, by whom and why; zero while it lasts.
	Released                time.Time
	ReleasedBy, ReleasedWhy string
	// Rate is how many held records are released in a second.
	Rate int
	// Done says that everything was released.
	Done bool
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
	// Expect are the expectations to keep; those that are there already stay as they are.
	Expect []Expectation
	// Answered are expectations of this instance, stored or among Expect, with the Answer that they got.
	Answered []Expected
	// Forget removes the instance's expectations that are still open after that.
	Forget bool
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
	// PauseHistory returns up to limit pauses, newest first, those of one moment by definition, after skipping offset.
	PauseHistory(ctx context.Context, offset, limit int) ([]Pause, error)
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
