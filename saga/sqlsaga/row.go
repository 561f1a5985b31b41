package sqlsaga

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

const headerColumns = "id, definition, hash, saga_key, status, version, flags, stuck, reason, actions, started_at, updated_at"

// The bits of the column flags.
const (
	flagReversing = 1 << iota
	flagPivoted
	flagOrphaned
)

type sagaRow struct {
	Seq        int64  `db:"seq"`
	ID         string `db:"id"`
	Definition string `db:"definition"`
	Hash       string `db:"hash"`
	Key        string `db:"saga_key"`
	Status     string `db:"status"`
	Version    int64  `db:"version"`
	Flags      int64  `db:"flags"`
	Stuck      int    `db:"stuck"`
	Reason     string `db:"reason"`
	Actions    string `db:"actions"`
	StartedAt  int64  `db:"started_at"`
	UpdatedAt  int64  `db:"updated_at"`
	Nodes      []byte `db:"nodes"`
	Data       []byte `db:"data"`
	WakeAt     *int64 `db:"wake_at"`
}

// state reads the row; its records are there as far as their columns were selected.
func (r sagaRow) state() (saga.State, error) {
	s := saga.State{
		ID: saga.ID(r.ID), Definition: r.Definition, Hash: r.Hash, Key: r.Key, Status: saga.Status(r.Status), Version: r.Version,
		Reversing: r.Flags&flagReversing != 0, Pivoted: r.Flags&flagPivoted != 0, Orphaned: r.Flags&flagOrphaned != 0,
		Stuck: r.Stuck, Reason: r.Reason, Started: time.UnixMicro(r.StartedAt).UTC(), Updated: time.UnixMicro(r.UpdatedAt).UTC(),
		Root: saga.Record{Data: r.Data, Wake: fromWake(r.WakeAt)},
	}
	if r.Actions != "" {
		if err := json.Unmarshal([]byte(r.Actions), &s.Actions); err != nil {
			return s, fmt.Errorf("saga %s: actions: %w", r.ID, err)
		}
	}
	if r.Nodes != nil {
		if err := json.Unmarshal(r.Nodes, &s.Root.Nodes); err != nil {
			return s, fmt.Errorf("saga %s: nodes: %w", r.ID, err)
		}
	}
	return s, nil
}

// header returns the values of the columns from status to updated_at, live included, in the order of the update.
func header(s saga.State) ([]any, error) {
	flags := 0
	if s.Reversing {
		flags |= flagReversing
	}
	if s.Pivoted {
		flags |= flagPivoted
	}
	if s.Orphaned {
		flags |= flagOrphaned
	}
	live := 1
	if s.Status.Terminal() || s.Orphaned {
		live = 0
	}
	actions := ""
	if len(s.Actions) > 0 {
		encoded, err := json.Marshal(s.Actions)
		if err != nil {
			return nil, err
		}
		actions = string(encoded)
	}
	return []any{string(s.Status), live, s.Version, flags, s.Stuck, s.Reason, actions, s.Started.UnixMicro(), s.Updated.UnixMicro()}, nil
}

type itemRow struct {
	Saga   string `db:"saga_id"`
	Item   string `db:"item"`
	Nodes  []byte `db:"nodes"`
	Data   []byte `db:"data"`
	WakeAt *int64 `db:"wake_at"`
}

func (r itemRow) record() (saga.Record, error) {
	record := saga.Record{Key: r.Item, Data: r.Data, Wake: fromWake(r.WakeAt)}
	if err := json.Unmarshal(r.Nodes, &record.Nodes); err != nil {
		return record, fmt.Errorf("saga %s: item %s: nodes: %w", r.Saga, r.Item, err)
	}
	return record, nil
}

// toWake is the column of a wake-up time, rounded up so that a tick never comes early.
func toWake(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.Add(time.Millisecond - 1).UnixMilli()
	return &ms
}

func fromWake(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}
