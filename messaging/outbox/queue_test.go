package outbox

import (
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
)

func TestHeldMessagesGoBeforeThoseThatCameLater(t *testing.T) {
	t.Parallel()
	q := newQueue()
	next := func(id string) *task {
		t.Helper()
		got := q.next()
		if got == nil || got.message.ID != id {
			t.Fatalf("next is %v, want %s", got, id)
		}
		return got
	}
	for _, id := range []string{"1", "2"} {
		q.add(messaging.Message{ID: id, Topic: "topic", Key: "key"})
	}
	first := next("1")
	q.failed(first)
	if got := q.next(); got != nil {
		t.Fatalf("%s is next although its key has failed", got.message.ID)
	}
	if n := q.retryable(first.lane); n != 1 {
		t.Fatalf("attempt %d is to be scheduled, want the first", n)
	}
	q.retry(first.lane)
	probe := next("1")
	q.add(messaging.Message{ID: "3", Topic: "topic", Key: "key"})
	q.succeeded(probe)
	q.succeeded(next("2"))
	q.succeeded(next("3"))
	if len(q.tasks)+len(q.lanes)+q.inFlight+q.held+q.failing != 0 {
		t.Errorf("the queue is not empty: %+v", q)
	}
}
