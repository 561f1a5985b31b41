package messagingtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/outbox"
)

// OutboxHarness is what [RunOutbox] needs to know about a store.
type OutboxHarness struct {
	// New returns both sides of an empty store of its own: that which adds messages, and that which reads them. Required.
	New func(t *testing.T) (inbox.Store, outbox.Store)
	// OneWriter says that a second transaction waits until the first has ended.
	OneWriter bool
	// OneConnection says that reading, too, waits until a transaction has ended.
	OneConnection bool
}

// RunOutbox tests a store against the contract of [outbox.Store], and of those methods of [inbox.Tx] that fill it.
func RunOutbox(t *testing.T, h OutboxHarness) {
	if h.New == nil {
		t.Fatal("messagingtest: OutboxHarness needs New")
	}
	for _, c := range outboxCases() {
		t.Run(c.promise, func(t *testing.T) {
			t.Parallel()
			if c.skip != nil {
				if reason := c.skip(h); reason != "" {
					t.Skip("switched off: " + reason)
				}
			}
			writer, reader := h.New(t)
			c.run(&outboxStage{t: t, writer: writer, reader: reader})
		})
	}
}

type outboxCase struct {
	promise string
	skip    func(OutboxHarness) string
	run     func(*outboxStage)
}

func outboxCases() []outboxCase {
	return []outboxCase{
		{"CommittedMessagesArePendingWithAllTheirFields", nil, outboxFields},
		{"MessagesOfAFailedTransactionAreNeverPending", nil, outboxRollback},
		{"MessagesAreNotPendingBeforeTheirCommit", func(h OutboxHarness) string {
			if h.OneConnection {
				return "nothing can be read during a transaction (OutboxHarness.OneConnection)"
			}
			return ""
		}, outboxUncommitted},
		{"MessagesOfAFailedSavepointAreNeverPending", nil, outboxSavepoint},
		{"PendingIsInTheOrderOfAppending", nil, outboxOrder},
		{"PendingReadsPages", nil, outboxPages},
		{"MessagesStayPendingUntilTheyAreDeleted", nil, outboxStays},
		{"DeleteRemovesWhatItNamesAndNothingElse", nil, outboxDelete},
		{"AMessageThatIsCommittedLateIsFoundByTheNextReading", func(h OutboxHarness) string {
			if h.OneWriter || h.OneConnection {
				return "no transaction commits while another one is open (OutboxHarness.OneWriter)"
			}
			return ""
		}, outboxLateCommit},
		{"AppendingAnIDThatIsThereLeavesItAsItIs", nil, outboxDuplicate},
		{"ADeletedIDCanBeAppendedAgain", nil, outboxAgain},
		{"AMessageWithoutAnIDIsErrNoID", nil, outboxNoID},
		{"ThousandsOfMessagesGoInAndOutAtOnce", nil, outboxMany},
		{"ConcurrentTransactionsLoseNothing", nil, outboxConcurrent},
		{"AnEndedContextIsAnError", nil, outboxContext},
	}
}

// outboxStage is one case's store.
type outboxStage struct {
	t      *testing.T
	writer inbox.Store
	reader outbox.Store
}

var errOnPurpose = errors.New("messagingtest: failed on purpose")

func numbered(from, to int) []messaging.Message {
	var all []messaging.Message
	for i := from; i < to; i++ {
		all = append(all, messaging.Message{ID: fmt.Sprintf("id-%05d", i), Topic: "topic", Key: "key", Type: "type", Payload: []byte{1}})
	}
	return all
}

func (s *outboxStage) append(messages ...messaging.Message) {
	s.t.Helper()
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error { return tx.Append(ctx, messages) })
	if err != nil {
		s.t.Fatalf("Append of %d messages: %v", len(messages), err)
	}
}

func (s *outboxStage) delete(ids ...string) {
	s.t.Helper()
	if err := s.reader.Delete(s.t.Context(), ids); err != nil {
		s.t.Fatalf("Delete of %d messages: %v", len(ids), err)
	}
}

func (s *outboxStage) pending(offset, limit int) []messaging.Message {
	s.t.Helper()
	all, err := s.reader.Pending(s.t.Context(), offset, limit)
	if err != nil {
		s.t.Fatalf("Pending: %v", err)
	}
	return all
}

// want checks the IDs of all that is pending, in order.
func (s *outboxStage) want(messages ...messaging.Message) {
	s.t.Helper()
	if got, want := messageIDs(s.pending(0, 100_000)), messageIDs(messages); !slices.Equal(got, want) {
		s.t.Fatalf("pending are %q, want %q", got, want)
	}
}

func messageIDs(messages []messaging.Message) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = m.ID
	}
	return all
}

func sameMessage(a, b messaging.Message) bool {
	return a.ID == b.ID && a.Topic == b.Topic && a.Key == b.Key && a.Type == b.Type &&
		maps.Equal(a.Headers, b.Headers) && bytes.Equal(a.Payload, b.Payload)
}

// awkward are messages whose fields a store may mistreat.
func awkward() []messaging.Message {
	return []messaging.Message{
		{
			ID: "whole", Topic: "tópico", Key: "clave/ñ", Type: "Tipo",
			Headers: map[string]string{"traceparent": "00-1-2-03", "": "empty name", "quote": `"'\{}?:x$1`},
			Payload: []byte{0, 1, 0xff, '\'', '?', 0},
		},
		{ID: "empty", Topic: "topic"},
		{ID: "large", Topic: "topic", Payload: bytes.Repeat([]byte{7}, 1<<20)},
	}
}

func outboxFields(s *outboxStage) {
	s.append(awkward()...)
	got := s.pending(0, 10)
	if len(got) != len(awkward()) {
		s.t.Fatalf("%d messages are pending, want %d", len(got), len(awkward()))
	}
	for i, want := range awkward() {
		if !sameMessage(got[i], want) {
			s.t.Errorf("message %q is pending with other fields: topic %q, key %q, type %q, headers %q, %d bytes",
				want.ID, got[i].Topic, got[i].Key, got[i].Type, got[i].Headers, len(got[i].Payload))
		}
	}
}

func outboxRollback(s *outboxStage) {
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		if err := tx.Append(ctx, numbered(0, 3)); err != nil {
			s.t.Errorf("Append: %v", err)
		}
		return errOnPurpose
	})
	if !errors.Is(err, errOnPurpose) {
		s.t.Errorf("InTx returned %v, want the function's error", err)
	}
	s.want()
}

func outboxUncommitted(s *outboxStage) {
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		if err := tx.Append(ctx, numbered(0, 3)); err != nil {
			return err
		}
		s.want()
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(numbered(0, 3)...)
}

func outboxSavepoint(s *outboxStage) {
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		err := errors.Join(
			tx.Append(ctx, numbered(0, 1)),
			tx.Savepoint(ctx, func(ctx context.Context) error { return tx.Append(ctx, numbered(1, 2)) }),
		)
		failed := tx.Savepoint(ctx, func(ctx context.Context) error {
			return errors.Join(tx.Append(ctx, numbered(2, 3)), errOnPurpose)
		})
		if !errors.Is(failed, errOnPurpose) {
			s.t.Errorf("Savepoint returned %v, want the function's error", failed)
		}
		return errors.Join(err, tx.Append(ctx, numbered(3, 4)))
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(numbered(0, 1)[0], numbered(1, 2)[0], numbered(3, 4)[0])
}

func outboxOrder(s *outboxStage) {
	all := numbered(0, 20)
	slices.Reverse(all) // the order of the IDs must not matter
	for chunk := range slices.Chunk(all, 3) {
		s.append(chunk...)
	}
	s.want(all...)
}

func outboxPages(s *outboxStage) {
	s.append(numbered(0, 10)...)
	for _, c := range []struct{ offset, limit, from, to int }{
		{0, 4, 0, 4}, {4, 4, 4, 8}, {8, 4, 8, 10}, {10, 4, 10, 10}, {12, 4, 10, 10}, {0, 10, 0, 10},
	} {
		if got, want := messageIDs(s.pending(c.offset, c.limit)), messageIDs(numbered(c.from, c.to)); !slices.Equal(got, want) {
			s.t.Errorf("Pending(%d, %d) returned %q, want %q", c.offset, c.limit, got, want)
		}
	}
}

func outboxStays(s *outboxStage) {
	s.append(numbered(0, 3)...)
	s.want(numbered(0, 3)...)
	s.append(numbered(3, 4)...)
	s.want(numbered(0, 4)...)
	s.want(numbered(0, 4)...)
}

func outboxDelete(s *outboxStage) {
	s.append(numbered(0, 5)...)
	s.delete()
	s.delete("unknown")
	s.delete(numbered(1, 2)[0].ID, "unknown", numbered(3, 4)[0].ID)
	s.delete(numbered(1, 2)[0].ID)
	s.want(numbered(0, 1)[0], numbered(2, 3)[0], numbered(4, 5)[0])
}

func outboxLateCommit(s *outboxStage) {
	early, late := numbered(0, 1), numbered(1, 2)
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		if err := tx.Append(ctx, early); err != nil { // a sequence is taken now
			return err
		}
		s.append(late...)
		s.want(late...)
		s.delete(late[0].ID)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(early...)
}

func outboxDuplicate(s *outboxStage) {
	first, second := numbered(0, 1)[0], numbered(0, 1)[0]
	second.Payload = []byte("another")
	s.append(first)
	s.append(second, numbered(1, 2)[0])
	s.want(first, numbered(1, 2)[0])
	if got := s.pending(0, 1)[0]; !sameMessage(got, first) {
		s.t.Errorf("the second message with the ID replaced the first")
	}
	s.append(numbered(2, 3)[0], numbered(2, 3)[0])
	s.want(numbered(0, 3)...)
}

func outboxAgain(s *outboxStage) {
	s.append(numbered(0, 1)...)
	s.delete(numbered(0, 1)[0].ID)
	s.append(numbered(0, 1)...)
	s.want(numbered(0, 1)...)
}

func outboxNoID(s *outboxStage) {
	err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error {
		return tx.Append(ctx, []messaging.Message{{ID: "fine", Topic: "topic"}, {Topic: "topic"}})
	})
	if !errors.Is(err, outbox.ErrNoID) {
		s.t.Errorf("Append of a message without an ID returned %v, want outbox.ErrNoID", err)
	}
	s.want()
}

func outboxMany(s *outboxStage) {
	all := numbered(0, 6_000)
	s.append(all...)
	s.want(all...)
	s.delete(messageIDs(all[:5_999])...)
	s.want(all[5_999])
}

func outboxConcurrent(s *outboxStage) {
	const writers, each = 6, 20
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := range each {
				n := w*each + i
				err := s.writer.InTx(s.t.Context(), func(ctx context.Context, tx inbox.Tx) error { return tx.Append(ctx, numbered(n, n+1)) })
				if err != nil {
					s.t.Errorf("InTx: %v", err)
				}
			}
		})
	}
	done.Wait()
	got := messageIDs(s.pending(0, 1000))
	slices.Sort(got)
	if want := messageIDs(numbered(0, writers*each)); !slices.Equal(got, want) {
		s.t.Errorf("%d messages are pending, want %d, each once", len(got), len(want))
	}
}

func outboxContext(s *outboxStage) {
	s.append(numbered(0, 1)...)
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	if _, err := s.reader.Pending(ctx, 0, 1); err == nil {
		s.t.Error("Pending with an ended context succeeded")
	}
	if err := s.reader.Delete(ctx, messageIDs(numbered(0, 1))); err == nil {
		s.t.Error("Delete with an ended context succeeded")
	}
	s.want(numbered(0, 1)...)
}
