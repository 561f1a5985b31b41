package inbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// storeRetry is when messages are tried again after the store could not even begin. It is not their fault, and
// is not counted as a failed attempt: an outage must not make dead letters.
const storeRetry = time.Second

// errHeld is the outcome of a message that an earlier one of its key keeps waiting; the router redelivers it behind that.
var errHeld = errors.New("inbox: held behind an earlier message of its key")

// unit is one message of a batch.
type unit struct {
	message     messaging.Message
	command     any
	handler     handler
	correlation messaging.Correlation
	saga        bool   // it is a command of a saga, with a correlation
	do, undo    string // the keys of its entries; a message of no saga has only do
	decoding    error  // why it cannot be handled at all
	err         error  // how it ended
}

// handleBatch is the service's [messaging.BatchHandler]: one transaction for all that arrived together.
func (s *Service) handleBatch(ctx context.Context, messages []messaging.Message) []error {
	all := make([]*unit, len(messages))
	var units []*unit
	for i, m := range messages {
		u, wanted := s.decode(m)
		all[i] = u
		if wanted {
			units = append(units, u)
		}
	}
	if len(units) > 0 {
		if began, err := s.attempt(ctx, units); err != nil {
			s.isolate(ctx, units, began, err)
		}
	}
	errs := make([]error, len(all))
	for i, u := range all {
		errs[i] = u.err
	}
	return errs
}

// decode reads a message. It is not wanted if it is of a type that has no handler here: it
// shares its topic with others and is acknowledged.
func (s *Service) decode(m messaging.Message) (u *unit, wanted bool) {
	u = &unit{message: m, do: m.Identity()}
	if u.command, u.decoding = s.config.Bus.Codec.Decode(m); u.decoding != nil {
		u.decoding = fmt.Errorf("inbox: decode: %w", u.decoding)
		return u, true
	}
	if u.handler, wanted = s.handlerOf(u.command); !wanted {
		return u, false
	}
	// What has an outcome is somebody's reply, an event to everyone else: only commands pass the barrier.
	if m.Header(messaging.HeaderSaga) == "" || m.Header(messaging.HeaderOutcome) != "" {
		return u, true
	}
	if u.correlation, u.saga = messaging.CorrelationOf(m); !u.saga {
		u.decoding = messaging.Permanent(errors.New("inbox: the headers of the saga are incomplete or malformed"))
		return u, true
	}
	u.do, u.undo = key(u.correlation, messaging.Do), key(u.correlation, messaging.Undo)
	return u, true
}

// key is unambiguous whatever the saga's id holds; a node's path has slashes of its own.
func key(c messaging.Correlation, d messaging.Direction) string {
	return url.PathEscape(c.Saga) + "/" + c.Node + "/" + string(d)
}

// isolate handles each message in a transaction of its own after the common one failed, so that what dooms a
// transaction spoils no other message.
func (s *Service) isolate(ctx context.Context, units []*unit, began bool, err error) {
	if len(units) == 1 || !began || ctx.Err() != nil {
		fail(units, began, err)
		return
	}
	s.config.Logger.WarnContext(ctx, "inbox: transaction failed, handling its messages one by one", "messages", len(units), "error", err)
	held := map[string]bool{}
	for i, u := range units {
		if held[u.message.Key] {
			u.err = errHeld
			continue
		}
		began, err := s.attempt(ctx, units[i:i+1])
		if err != nil {
			fail(units[i:i+1], began, err)
		}
		if err != nil && !began {
			fail(units[i:], began, err)
			return
		}
		s.hold(held, u)
	}
}

func fail(units []*unit, began bool, err error) {
	err = fmt.Errorf("inbox: transaction: %w", err)
	if !began {
		err = messaging.RetryAfter(storeRetry, err)
	}
	for _, u := range units {
		u.err = err
	}
}

// hold notes that later messages of the unit's key have to wait for it.
func (s *Service) hold(held map[string]bool, u *unit) {
	if u.err == nil || u.message.Key == "" || s.config.SubscriptionType == messaging.Shared {
		return
	}
	if class, _ := messaging.Classify(u.err); class != messaging.Terminal {
		held[u.message.Key] = true
	}
}

// attempt handles the units in one transaction and leaves each one's outcome in it. began says that the store could be read. Who loses a race against a process that
// got the same messages finds its entries the next time.
func (s *Service) attempt(ctx context.Context, units []*unit) (began bool, err error) {
	if began, err = s.once(ctx, units); errors.Is(err, ErrRace) {
		began, err = s.once(ctx, units)
	}
	return began, err
}

func (s *Service) once(ctx context.Context, units []*unit) (began bool, err error) {
	var w *work
	err = s.config.Store.InTx(ctx, func(ctx context.Context, tx Tx) error {
		w = &work{service: s, tx: tx, changed: map[string]struct{}{}}
		if err := w.load(ctx, units); err != nil {
			return err
		}
		began = true
		if err := w.run(ctx, units); err != nil {
			return err
		}
		return w.save(ctx)
	})
	if err != nil {
		return began, err
	}
	if s.config.Relay != nil {
		s.config.Relay.Enqueue(w.outgoing...)
	}
	return began, nil
}

// work is one transaction's.
type work struct {
	service  *Service
	tx       Tx
	entries  map[string]Entry
	horizon  *time.Time          // nil until somebody asks
	changed  map[string]struct{} // the keys of entries to put
	outgoing []messaging.Message // what handlers appended, and the replies
}

func (w *work) load(ctx context.Context, units []*unit) (err error) {
	var keys []string
	seen := map[string]struct{}{}
	for _, u := range units {
		for _, key := range []string{u.do, u.undo} {
			if _, twice := seen[key]; !twice && key != "" && u.decoding == nil {
				seen[key] = struct{}{}
				keys = append(keys, key)
			}
		}
	}
	w.entries, err = w.tx.Entries(ctx, w.service.config.Name, keys)
	return err
}

// run handles the units in order. Its error dooms the transaction; those of handlers stay with their units.
func (w *work) run(ctx context.Context, units []*unit) error {
	held := map[string]bool{}
	for _, u := range units {
		switch {
		case held[u.message.Key]:
			u.err = errHeld
		case u.decoding != nil:
			u.err = u.decoding
		default:
			u.err = w.handle(ctx, u)
		}
		if errors.Is(u.err, ErrTx) {
			return u.err
		}
		w.service.hold(held, u)
	}
	return nil
}

// save writes what all units left, in two statements.
func (w *work) save(ctx context.Context) error {
	if len(w.changed) > 0 {
		entries := make([]Entry, 0, len(w.changed))
		for _, key := range slices.Sorted(maps.Keys(w.changed)) { // a do before its undo, as they are to be forgotten
			entries = append(entries, w.entries[key])
		}
		if err := w.tx.Put(ctx, entries); err != nil {
			return err
		}
	}
	if len(w.outgoing) == 0 {
		return nil
	}
	return w.tx.Append(ctx, w.outgoing)
}

func (w *work) entry(key string) *Entry {
	if e, ok := w.entries[key]; ok && key != "" {
		return &e
	}
	return nil
}

func (w *work) put(key string, e Entry) {
	e.Consumer, e.Key = w.service.config.Name, key
	w.entries[key] = e
	w.changed[key] = struct{}{}
}

// handle decides about one message and does what was decided.
func (w *work) handle(ctx context.Context, u *unit) error {
	do, undo := w.entry(u.do), w.entry(u.undo)
	verdict, mine, entry := Run, u.do, do
	switch {
	case u.saga:
		verdict = Decide(u.correlation, do, undo)
		if u.correlation.Direction == messaging.Undo {
			mine, entry = u.undo, undo
		}
	case do != nil:
		verdict = Repeat
	}
	if do == nil && undo == nil && (verdict == Run || verdict == Bar) {
		if err := w.remembers(ctx, u); err != nil {
			return err
		}
	}
	switch verdict {
	case Ignore:
		return nil
	case Outdated:
		return messaging.Permanent(fmt.Errorf("%w: that of %s was started %v: look whether anything of it is to be undone",
			ErrOutdated, u.correlation.Saga, u.correlation.Started))
	case Repeat:
		w.reply(entry.Reply)
		return nil
	case Renew:
		renewed := *entry
		renewed.Epoch, renewed.Reply = u.correlation.Epoch, u.restamp(entry.Reply, renewed.Consumer)
		w.put(mine, renewed)
		w.reply(renewed.Reply)
		return nil
	case Bar:
		reply, err := w.service.encode(u, u.handler.zero, messaging.Nothing)
		if err != nil {
			return err
		}
		w.put(u.do, Entry{Epoch: u.correlation.Epoch, Started: u.correlation.Started, Outcome: messaging.Nothing})
		w.put(u.undo, Entry{Epoch: u.correlation.Epoch, Started: u.correlation.Started, Outcome: messaging.Nothing, Reply: reply})
		w.reply(reply)
		return nil
	default: // Run
		return w.execute(ctx, u, mine)
	}
}

// execute runs the handler in a savepoint; its refusal is an answer, but has no effect.
func (w *work) execute(ctx context.Context, u *unit, mine string) error {
	recorder := &recordingTx{Tx: w.tx}
	outcome := messaging.Success
	var reply messaging.Message
	err := w.tx.Savepoint(ctx, func(ctx context.Context) error {
		result, err := u.call(ctx, recorder)
		if err != nil {
			return err
		}
		reply, err = w.service.encode(u, result, outcome)
		return err
	})
	var refusal *messaging.Refusal
	if errors.As(err, &refusal) && !errors.Is(err, ErrTx) {
		outcome = messaging.Failure
		reply, err = w.service.encode(u, refusal.Event, outcome)
		recorder.appended = nil
	}
	if err != nil {
		return err
	}
	if !u.saga {
		outcome = ""
	}
	w.put(mine, Entry{Epoch: u.correlation.Epoch, Started: u.correlation.Started, Outcome: outcome, Reply: reply})
	w.outgoing = append(w.outgoing, recorder.appended...)
	w.reply(reply)
	return nil
}

// call runs the handler; a panic is its error.
func (u *unit) call(ctx context.Context, tx Tx) (reply any, err error) {
	run := messaging.Recover(func(ctx context.Context, _ messaging.Message) error {
		var err error
		reply, err = u.handler.run(ctx, tx, u.command)
		return err
	})
	return reply, run(ctx, u.message)
}

func (w *work) reply(m messaging.Message) {
	if m.ID != "" {
		w.outgoing = append(w.outgoing, m)
	}
}

// recordingTx is what a handler gets: it keeps what the handler appends, to be written with everything
// else of the transaction and to be given to the relay.
type recordingTx struct {
	Tx
	appended []messaging.Message
}

// maxID bounds the ID of a message in the outbox, in bytes.
const maxID = 255

// Append adds messages to the outbox. What not every database can keep there is told here: later it would fail the whole batch.
func (r *recordingTx) Append(_ context.Context, messages []messaging.Message) error {
	for _, m := range messages {
		if m.ID == "" {
			return fmt.Errorf("%w: topic %s", outbox.ErrNoID, m.Topic)
		}
		if len(m.ID) > maxID || !legible.Is(m.ID) || !legible.Is(m.Key) {
			return messaging.Permanent(fmt.Errorf("inbox: a message for topic %s: its ID or key is not UTF-8 without NUL, or its ID has more than %d bytes", m.Topic, maxID))
		}
	}
	r.appended = append(r.appended, messages...)
	return nil
}

// Savepoint runs fn and forgets what it appended if it fails.
func (r *recordingTx) Savepoint(ctx context.Context, fn func(ctx context.Context) error) error {
	appended := len(r.appended)
	err := r.Tx.Savepoint(ctx, fn)
	if err != nil {
		r.appended = r.appended[:appended]
	}
	return err
}

// Unwrap returns the store's own transaction.
func (r *recordingTx) Unwrap() Tx { return r.Tx }
