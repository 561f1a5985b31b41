package messagingtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

func readyMeansReady(s *stage) {
	for i := range 10 {
		s := s.fork(strconv.Itoa(i))
		got := collect()
		s.subscribe(s.on(messaging.Shared, "one"), got.receive)
		p := s.publish(s.message("k", i))
		got.next(s, 1)
		p.succeeds()
	}
}

func keepsPosition(s *stage) {
	got := collect()
	sub := s.on(messaging.Failover, "one")
	c := s.subscribe(sub, got.receive)
	s.publish(s.message("k", 0)).succeeds()
	got.next(s, 1)
	c.stop()
	all := s.messages("k", 6)[1:]
	p := s.keep(all...)
	s.subscribe(sub, got.receive)
	if have := ids(got.next(s, len(all))); !slices.Equal(have, ids(all)) {
		s.Errorf("the next consumer got %q, want %q", have, ids(all))
	}
	p.succeeds()
	got.silent(s)
}

func sharedShares(s *stage) {
	const n = 50
	first, second := collect(), collect()
	sub := s.on(messaging.Shared, "one")
	a := s.subscribe(sub, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		first.receive(ctx, batch)
		return second.receive(ctx, batch)
	})
	s.subscribe(sub, second.receive)
	p := s.publish(s.messages("both", n)...)
	have := ids(second.next(s, n))
	p.succeeds()
	second.silent(s)
	slices.Sort(have)
	if distinct := slices.Compact(have); len(distinct) != n {
		s.Errorf("two consumers got %d of %d messages, the others were repeated", len(distinct), n)
	}
	a.stop()
	for len(first) > 0 {
		<-first
	}
	p = s.publish(s.messages("rest", n)...)
	second.next(s, n)
	p.succeeds()
	if len(first) > 0 {
		s.Error("a consumer got messages after its Subscribe had returned")
	}
}

// sequence checks that the messages of each key are acknowledged in order and by one receiver call at a time.
type sequence struct {
	mu    sync.Mutex
	stage *stage
	next  map[string]int
	busy  map[string]bool
	left  int
	all   chan struct{}
}

func newSequence(s *stage, total int) *sequence {
	return &sequence{stage: s, next: make(map[string]int), busy: make(map[string]bool), left: total, all: make(chan struct{})}
}

// begin marks the keys of the batch as being handled.
func (q *sequence) begin(batch []messaging.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	mine := make(map[string]bool)
	for _, m := range batch {
		if q.busy[m.Key] && !mine[m.Key] {
			q.stage.Errorf("messages of key %s are in two receiver calls at once", m.Key)
		}
		q.busy[m.Key], mine[m.Key] = true, true
	}
}

// end settles the batch: retry says which messages are to come again.
func (q *sequence) end(batch []messaging.Message, retry func(messaging.Message) bool, after time.Duration) []messaging.Disposition {
	q.mu.Lock()
	defer q.mu.Unlock()
	dispositions := make([]messaging.Disposition, len(batch))
	held := make(map[string]bool)
	for i, m := range batch {
		q.busy[m.Key] = false
		if held[m.Key] || retry(m) {
			held[m.Key] = true
			dispositions[i] = messaging.Disposition{Redeliver: true, After: after}
			continue
		}
		if want := fmt.Sprintf("%s-%d", m.Key, q.next[m.Key]); m.ID != want {
			q.stage.Errorf("key %s: got %s, want %s", m.Key, m.ID, want)
		}
		q.next[m.Key]++
		if q.left--; q.left == 0 {
			close(q.all)
		}
	}
	return dispositions
}

func (q *sequence) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	q.begin(batch)
	return q.end(batch, func(messaging.Message) bool { return false }, 0)
}

// interleave returns n messages of each key, in turn.
func (s *stage) interleave(keys, n int) []messaging.Message {
	all := make([]messaging.Message, 0, keys*n)
	for i := range n {
		for k := range keys {
			all = append(all, s.message(fmt.Sprintf("key%d", k), i))
		}
	}
	return all
}

func keySharedOrder(s *stage) {
	const keys, n = 8, 50
	q := newSequence(s, keys*n)
	sub := s.on(messaging.KeyShared, "one")
	sub.MaxBatch = 7
	receiver := s.holdFirst(q.receive)
	for range 3 {
		s.subscribe(sub, receiver)
	}
	p := s.publish(s.interleave(keys, n)...)
	receive(s, q.all, "acknowledgement of all messages")
	p.succeeds()
}

// holdFirst returns a receiver that keeps its first batch for a glance and fails the test if another call gets a message
// of one of the batch's keys meanwhile.
func (s *stage) holdFirst(next messaging.Receiver) messaging.Receiver {
	var mu sync.Mutex
	var held map[string]bool
	first := make(chan struct{}, 1)
	first <- struct{}{}
	overtaken := make(chan struct{})
	overtake := sync.OnceFunc(func() { close(overtaken) })
	hold := func(keys map[string]bool) {
		mu.Lock()
		defer mu.Unlock()
		held = keys
	}
	return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		select {
		case <-first:
			keys := map[string]bool{}
			for _, m := range batch {
				keys[m.Key] = true
			}
			hold(keys)
			select {
			case <-overtaken:
			case <-time.After(s.features.Glance):
			}
			hold(nil)
		default:
			mu.Lock()
			for _, m := range batch {
				if held[m.Key] {
					s.Errorf("a message of key %q was delivered while an earlier one was being handled", m.Key)
					overtake()
				}
			}
			mu.Unlock()
		}
		return next(ctx, batch)
	}
}

func exclusiveOrder(s *stage) {
	const keys, n = 4, 50
	q := newSequence(s, keys*n)
	s.subscribe(s.on(messaging.Exclusive, "one"), q.receive)
	p := s.publish(s.interleave(keys, n)...)
	receive(s, q.all, "acknowledgement of all messages")
	p.succeeds()
}

func failoverTakesOver(s *stage) {
	const keys, n = 4, 20
	sub := s.on(messaging.Failover, "one")
	q := newSequence(s, keys*n)
	active := make(chan int, 10_000)
	watched := make(chan struct{}) // until then whoever has messages keeps them
	receiver := func(who int) messaging.Receiver {
		return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
			for range batch {
				active <- who
			}
			<-watched
			return q.receive(ctx, batch)
		}
	}
	consumers := []*subscribing{s.subscribe(sub, receiver(0)), s.subscribe(sub, receiver(1))}
	release := sync.OnceFunc(func() { close(watched) })
	s.Cleanup(release)
	all := s.interleave(keys, n)
	half := s.publish(all[:len(all)/2]...)
	first := receive(s, active, "message")
	for glance := time.After(s.features.Glance); ; {
		select {
		case who := <-active:
			if who != first {
				s.Fatal("both consumers of a failover subscription got messages")
			}
			continue
		case <-glance:
		}
		break
	}
	release()
	half.succeeds()
	consumers[first].stop()
	for len(active) > 0 {
		<-active
	}
	rest := s.publish(all[len(all)/2:]...)
	receive(s, q.all, "acknowledgement of all messages")
	rest.succeeds()
	for len(active) > 0 {
		if <-active == first {
			s.Fatal("a consumer got messages after its Subscribe had returned")
		}
	}
}

func exclusiveIsBusy(s *stage) {
	got := collect()
	sub := s.on(messaging.Exclusive, "one")
	first := s.subscribe(sub, got.receive)
	second := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { second <- s.broker.Subscribe(ctx, sub, nil, got.receive) }()
	if err := receive(s, second, "return of the second Subscribe"); !errors.Is(err, messaging.ErrBusy) {
		s.Errorf("the second consumer got %v, want ErrBusy", err)
	}
	p := s.publish(s.message("k", 1))
	got.next(s, 1)
	p.succeeds()
	first.stop()
	s.subscribe(sub, got.receive)
	p = s.publish(s.message("k", 2))
	got.next(s, 1)
	p.succeeds()
}

func batchesAreBounded(s *stage) {
	const n, most = 100, 10
	sub := s.on(messaging.Failover, "one")
	c := s.subscribe(sub, collect().receive)
	c.stop()
	p := s.keep(s.messages("k", n)...) // so that there is enough for larger batches
	got := collect()
	sub.MaxBatch = most
	s.subscribe(sub, func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
		if len(batch) == 0 || len(batch) > most {
			s.Errorf("a batch has %d messages, want 1 to %d", len(batch), most)
		}
		return got.receive(ctx, batch)
	})
	got.next(s, n)
	p.succeeds()
}

func batchesAreNatural(s *stage) {
	got := collect()
	sub := s.on(messaging.Failover, "one")
	sub.MaxBatch = 100
	s.subscribe(sub, got.receive)
	for i := range 5 {
		p := s.publish(s.message("k", i))
		got.next(s, 1) // comes although there is nothing more to fill the batch
		p.succeeds()
	}
}
