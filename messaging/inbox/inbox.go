package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrConfig says that a service's configuration or one of its handlers is at fault.
	ErrConfig = errors.New("inbox: bad configuration")
	// ErrTx says that a transaction cannot go on: nothing of it will be committed.
	ErrTx = errors.New("inbox: transaction failed")
	// ErrRace says that a transaction put an entry which it had not found, and another was faster: nothing of it will be committed, and it may be tried again.
	ErrRace = errors.New("inbox: another transaction put the entry first")
	// ErrForgotten says that a message is so old that its entry may have been removed, and so is not handled: its effect may be there or not.
	ErrForgotten = errors.New("inbox: older than what is remembered")
	// ErrOutdated says that a command is of an instance that was removed and whose id another instance has now.
	ErrOutdated = errors.New("inbox: command of an earlier instance with the saga's id")
)

// Entry is one remembered message of a consumer: for commands of a saga one for each (saga,
// node, direction), for all others one for each message identity.
type Entry struct {
	// Consumer is the participant's name; two participants on one database do not see each other's entries.
	Consumer string
	// Key is "saga/node/direction", or the message's identity.
	Key string
	// Epoch is the epoch of the command that was handled last.
	Epoch int
	// Started is when the command's instance was started, to the microsecond; see [messaging.Correlation]. Zero is unknown, or none.
	Started time.Time
	// Outcome is how it ended. Empty for messages of no saga.
	Outcome messaging.Outcome
	// Reply is the answer that was given, to be given again; its ID is empty where there was none.
	Reply messaging.Message
}

// Tx is one transaction of a participant: inbox entries, the domain's own changes and outbox rows
// are committed together or not at all.
type Tx interface {
	// Entries returns those of the consumer's entries with the given keys that exist. It must see its own writes.
	// Transactions that ask for one key of a consumer take effect one after the other if it exists, or if they put it: the
	// later one waits, or fails as a whole, with [ErrRace] perhaps, but never decides by what the earlier one is about to change. What to do about a key that does not exist is
	// only certain once it is put, therefore.
	Entries(ctx context.Context, consumer string, keys []string) (map[string]Entry, error)
	// Put inserts entries or replaces those with the same consumer and key.
	Put(ctx context.Context, entries []Entry) error
	// Horizon returns the time before which entries of the consumer may have been removed; zero if none ever was. In a transaction that missed an
	// entry because it was removed, it returns a time after that at which the entry was handled.
	Horizon(ctx context.Context, consumer string) (time.Time, error)
	// Append adds messages to the outbox. One whose ID is already there is left as it is; one without an ID: outbox.ErrNoID.
	Append(ctx context.Context, messages []messaging.Message) error
	// Savepoint runs fn so that, if fn fails, its changes alone are undone; it returns fn's error.
	// A failure of the savepoint itself is returned as [ErrTx] and dooms the transaction.
	Savepoint(ctx context.Context, fn func(ctx context.Context) error) error
}

// Store opens transactions. Implementations are safe for concurrent use.
type Store interface {
	// InTx runs fn in a transaction and commits it if fn returns nil.
	InTx(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error
}

// Forgetter is what a [Store] implements besides that can remove old entries; see [Config].Keep.
type Forgetter interface {
	// Forget removes up to limit of the consumer's entries that were handled last before the time, the oldest first, and returns how many:
	// less than the limit says that nothing is left. In the same transaction it moves the consumer's horizon to the time, unless there was nothing to remove or the horizon is later.
	Forget(ctx context.Context, consumer string, before time.Time, limit int) (int, error)
}
