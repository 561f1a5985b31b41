package saga

import (
	"crypto/sha1" //nolint:gosec // RFC 9562 defines version 5 UUIDs over SHA-1; nothing here is a secret.
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
)

// The sentinels of this package; test for them with [errors.Is].
var (
	// ErrInvalid says that a definition has faults; the error lists all of them.
	ErrInvalid = errors.New("saga: invalid definition")
	// ErrNotFound says that there is no such instance, or no such node in its definition.
	ErrNotFound = errors.New("saga: not found")
	// ErrKey says that no instance can have the business key, or the id, of a [Start]: see [MaxKey].
	ErrKey = errors.New("saga: unusable key")
	// ErrConflict says that the instance is at another version than the caller expects.
	ErrConflict = errors.New("saga: version conflict")
	// ErrUnexpectedReply says that a reply's event is none that the step declares.
	ErrUnexpectedReply = errors.New("saga: unexpected reply")
	// ErrUnknownDefinition says that no definition with the instance's name and hash is registered.
	ErrUnknownDefinition = errors.New("saga: unknown definition")
	// ErrNotAllowed says that an operator's action does not fit the state that the instance is in.
	ErrNotAllowed = errors.New("saga: action not allowed")
	// ErrEarly says that the input is about a part of the instance that is not there yet: give it again later.
	ErrEarly = errors.New("saga: too early")
	// ErrTooLarge says that the data is larger than the definition allows; it comes with [ErrData].
	ErrTooLarge = errors.New("saga: data too large")
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

// ID identifies an instance. Any non-empty text up to 64 bytes will do, in UTF-8 without NUL; the coordinator makes UUIDs.
type ID string

const (
	// MaxKey bounds a business key, in bytes. It is UTF-8 without NUL, or empty, so that every store can keep it.
	MaxKey = 255
	maxID  = 64
)

// usable says what no store could be asked to keep.
func (in Start) usable() error {
	switch {
	case len(in.Key) > MaxKey:
		return fmt.Errorf("%w: the business key has %d bytes: use at most %d, such as a digest of it", ErrKey, len(in.Key), MaxKey)
	case !legible.Is(in.Key):
		return fmt.Errorf("%w: the business key %q is not UTF-8 without NUL: use text", ErrKey, in.Key)
	case len(in.ID) > maxID:
		return fmt.Errorf("%w: the id has %d bytes: use at most %d", ErrKey, len(in.ID), maxID)
	case !legible.Is(string(in.ID)):
		return fmt.Errorf("%w: the id %q is not UTF-8 without NUL: use text", ErrKey, in.ID)
	default:
		return nil
	}
}

// Status is what an instance is doing, as operators and APIs see it.
type Status string

// The statuses. Completed, Compensated and Forced are terminal and never change (R8).
const (
	Running      Status = "running"
	Compensating Status = "compensating"
	Parked       Status = "parked"
	Completed    Status = "completed"
	Compensated  Status = "compensated"
	Forced       Status = "forced"
)

// Terminal reports whether an instance in this status never changes again.
func (s Status) Terminal() bool { return s == Completed || s == Compensated || s == Forced }

// Direction says whether a message is about doing a step, about undoing it, or a signal.
type Direction string

// The directions.
const (
	DoDirection   Direction = "do"
	UndoDirection Direction = "undo"
	// SignalDirection is that of signals to a [Wait], which answer no command.
	SignalDirection Direction = "signal"
)

// Phase is where one node of one record stands.
type Phase string

// The phases of a node. Sequences have none. A fan-out, a parallel and an If are doing, done or refused going forward; a fan-out is undoing and
// undone going back. A wait and a sleep are waiting, then done, refused (its deadline passed) or undone (given up).
const (
	PhaseIdle    Phase = ""
	PhaseDoing   Phase = "doing"   // sent, not answered
	PhaseWaiting Phase = "waiting" // for a signal or a time
	PhaseDone    Phase = "done"    // answered with success
	PhaseRefused Phase = "refused" // answered with failure: no effect (R2)
	PhaseUnknown Phase = "unknown" // never answered: it may have an effect (R2)
	PhaseUndoing Phase = "undoing" // compensation sent, not acknowledged
	PhaseUndone  Phase = "undone"  // compensation acknowledged
	PhaseSkipped Phase = "skipped" // an operator declared it done without effect
	PhaseLeft    Phase = "left"    // an operator gave up its compensation: its effect stays
)

// NodeState is the state of one node in one record.
type NodeState struct {
	// Phase is where the node stands.
	Phase Phase `json:"p,omitempty"`
	// Attempt counts the sendings in the present direction and epoch series.
	Attempt int `json:"a,omitempty"`
	// Epoch is the present command's epoch; see [MessageID].
	Epoch int `json:"e,omitempty"`
	// Due is when a tick is to look at the node again, in Unix milliseconds; 0 is never.
	Due int64 `json:"d,omitempty"`
	// Again says that Due is when to issue the command, anew or for the first time, not a deadline of its reply.
	Again bool `json:"g,omitempty"`
	// Stuck says that the node waits for an operator.
	Stuck bool `json:"s,omitempty"`
	// Reason is why the node was refused, is unknown or is stuck; of the root's own, why the instance was aborted.
	Reason string `json:"r,omitempty"`
	// Unanswered says that the step was given up as unknown: from then on a reply to its command is late.
	Unanswered bool `json:"u,omitempty"`
	// Late says that such a reply came; it is logged once.
	Late bool `json:"l,omitempty"`
	// Taken is which sequence an If has chosen: 1 for then, 2 for else, 0 before.
	Taken int `json:"k,omitempty"`
	// Signal is one that came before its wait began, encoded like data.
	Signal []byte `json:"m,omitempty"`
	// Early holds, in a choreography, replies that came before those that they follow.
	Early []EarlyReply `json:"y,omitempty"`
	// Kept are signals to items that the fan-out is still to make.
	Kept []KeptSignal `json:"x,omitempty"`
	// Resting says of an item's own node that the item is under way with no command of its steps in flight.
	Resting bool `json:"w,omitempty"`
	// Fan counts the items of a fan-out; nil for every other node.
	Fan *Fan `json:"f,omitempty"`
}

// KeptSignal is a signal that came before the item that it is for.
type KeptSignal struct {
	// Node is the path of its wait.
	Node string `json:"n"`
	// Event is the signal, encoded like data.
	Event []byte `json:"m"`
}

// Fan counts the items of one fan-out, so that a transition of one item need not look at the others.
type Fan struct {
	Total     int `json:"t"`            // items in all
	Created   int `json:"c,omitempty"`  // records made
	Started   int `json:"n,omitempty"`  // items 0..Started-1 were started
	Active    int `json:"a,omitempty"`  // started and not settled
	Resting   int `json:"w,omitempty"`  // of these, with no command in flight that matters to the outcome
	Failed    int `json:"x,omitempty"`  // failed, those that are tolerated included
	Reversing int `json:"b,omitempty"`  // items 0..Reversing-1 were told to compensate
	Undoing   int `json:"ba,omitempty"` // told to compensate and not settled
	Alone     int `json:"l,omitempty"`  // tolerated ones that are compensated on their own
}

// Record is the state of one scope: the root's, or one item's of a fan-out.
type Record struct {
	// Key is "" for the root, else the item's path, such as "rooms[3]".
	Key string
	// Data is the scope's data as the definition's [DataCodec] writes it. Nil means not loaded (in a state) or unchanged (in a [Change] of a store).
	Data []byte
	// Nodes has one entry for each node of the scope, in the order of the definition. The first is
	// the scope's own: of an item, whether it is under way, settled or compensated.
	Nodes []NodeState
	// Wake is when the record wants a [Tick]; zero is never.
	Wake time.Time
}

// State is an instance. It is a plain value; [Decide] never modifies the one it is given.
type State struct {
	ID         ID
	Definition string // the definition's name
	Hash       string // the definition's hash: the instance is pinned to it
	Key        string // business key; unique for a definition where not empty
	Status     Status
	// Version counts the transitions; 0 is an instance that does not exist.
	Version int64
	// Reversing says that the abort decision was made (R3). It is never taken back.
	Reversing bool
	// Pivoted says that the pivot succeeded: nothing is compensated any more (R7).
	Pivoted bool
	// Stuck counts the nodes that wait for an operator; the instance is parked while there are any.
	Stuck int
	// Orphaned says that the instance could not be decided, as no registered definition has its hash (R8) or its
	// data is unusable. It is parked until it can.
	Orphaned bool
	// Reason says why the instance was aborted, parked or forced.
	Reason string
	// Actions are the ids of the operator actions that were applied, so that each is applied once.
	Actions []string
	Started time.Time
	Updated time.Time
	// Root is the root record. Its Data may be nil: see [NeedError].
	Root Record
	// Items holds those item records that are loaded, by key.
	Items map[string]Record
}

// Exists reports whether the instance was ever started.
func (s *State) Exists() bool { return s.Version > 0 }

// clone copies what a transition may modify; item records are copied when they are touched.
func (s *State) clone() State {
	c := *s
	c.Root.Nodes = cloneNodes(s.Root.Nodes)
	c.Items = maps.Clone(s.Items)
	c.Actions = slices.Clone(s.Actions)
	return c
}

func cloneNodes(nodes []NodeState) []NodeState {
	c := slices.Clone(nodes)
	for i := range c {
		if c[i].Fan != nil {
			fan := *c[i].Fan
			c[i].Fan = &fan
		}
	}
	return c
}

// namespace is the UUID namespace of message ids, itself a random version 4 UUID.
var namespace = [16]byte{0x9d, 0x1c, 0x6f, 0x52, 0x0b, 0x5e, 0x4a, 0x0b, 0x8e, 0x5a, 0x33, 0x0f, 0x77, 0x21, 0xc4, 0x9e}

// MessageID returns the id of a command: a version 5 UUID (RFC 9562) of the saga, the node's path, the direction
// and the epoch, and of nothing else, so that a resend is the same message (R1).
func MessageID(id ID, path string, direction Direction, epoch int) string {
	h := sha1.New() //nolint:gosec // see the import
	h.Write(namespace[:])
	h.Write([]byte(string(id) + "\x00" + path + "\x00" + string(direction) + "\x00" + strconv.Itoa(epoch)))
	var u [16]byte
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], u[0:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:36], u[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// itemKey is the record key of item i of the fan-out at path.
func itemKey(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// splitPath divides a node's path into the key of its record and its path within that record:
// "rooms[3]/room" is "rooms[3]" and "room". A path that no node can have is its own local path in the root.
func splitPath(path string) (record, local string) {
	end := strings.LastIndexByte(path, ']')
	if end < 0 {
		return "", path
	}
	record, local = path[:end+1], path[end+1:]
	if local == "" {
		return record, ""
	}
	if local, ok := strings.CutPrefix(local, "/"); ok && local != "" {
		return record, local
	}
	return "", path
}

// splitItem divides an item's record key into the path of its fan-out and its number. Only the way [itemKey] writes
// the number will do: a record has one key.
func splitItem(key string) (fan string, index int, ok bool) {
	open := strings.LastIndexByte(key, '[')
	if open < 0 || !strings.HasSuffix(key, "]") {
		return "", 0, false
	}
	index, err := strconv.Atoi(key[open+1 : len(key)-1])
	if err != nil || index < 0 || itemKey(key[:open], index) != key {
		return "", 0, false
	}
	return key[:open], index, true
}

// joinPath is the full path of a node in the record with the given key.
func joinPath(record, local string) string {
	if record == "" || local == "" {
		return record + local
	}
	return record + "/" + local
}
