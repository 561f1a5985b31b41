package pulsarmsg

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/backoff"

	"github.com/alpespartners/alpespartners/internal/pace"
)

// A producer lets messages gather for as long as their publishers probably need to send as many as were settled last: fewer and larger batches are cheaper for
// the client and the broker. One that sends now and then does not wait at all.
const (
	lingerEach  = 2 * time.Microsecond
	lingerLeast = 100 * time.Microsecond
	lingerMost  = 2 * time.Millisecond
)

// maxBatchDelay is after what time the client sends a batch that nobody flushed, because one flush waits for another partition for example.
const maxBatchDelay = 10 * time.Millisecond

// session is one producer of an outlet.
type session struct {
	producer pulsar.Producer
	outlet   *outlet
	cancel   context.CancelFunc // ends flush
	unsent   chan struct{}      // wakes flush; holds at most one signal
	flushed  chan struct{}      // closed when flush has ended
	closed   chan struct{}      // closed when the producer is, or was waited for in vain
	lost     bool               // its connection was; guarded by the outlet's lock

	// using keeps the producer from being closed while it is called: the client closes channels that it sends on.
	using sync.RWMutex
	over  bool
}

// errDisconnected is why a session is given up whose producer lost its connection, or was closed by the broker.
var errDisconnected = errors.New("pulsarmsg: producer disconnected")

// newSession opens a producer for the outlet's topic. It takes up to the operation time-out.
func (b *Broker) newSession(o *outlet) (*session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &session{outlet: o, cancel: cancel, unsent: make(chan struct{}, 1), flushed: make(chan struct{}), closed: make(chan struct{})}
	options := pulsar.ProducerOptions{
		Topic:                           b.config.fullTopic(o.topic),
		SendTimeout:                     -1,   // the outlet has the alarm; the client's own lives on for that time after Close
		DisableBlockIfQueueFull:         true, // the outlet waits for room, with its publisher's context
		MaxPendingMessages:              b.config.MaxPending + 1,
		BatchingMaxPublishDelay:         maxBatchDelay,
		PartitionsAutoDiscoveryInterval: b.config.Discovery,
		BackOffPolicyFunc:               s.reconnects,
		// Batching is always on: without it the client sends no schema version.
		BatcherBuilderType: pulsar.DefaultBatchBuilder,
	}
	if o.keyed && !b.config.MixKeys(o.topic) {
		// The broker serves KeyShared subscriptions by the batch, as its first message has the key.
		options.BatcherBuilderType = pulsar.KeyBasedBatchBuilder
	}
	if b.config.Schemas != nil {
		if text, ok := b.config.Schemas.Schema(o.topic); ok {
			options.Schema = newRegistered(o.topic, text)
		}
	}
	producer, err := b.client.CreateProducer(options)
	if err != nil {
		cancel()
		close(s.closed)
		if serverError(err, "IncompatibleSchema") {
			return nil, fmt.Errorf("%w: topic %s: %w", ErrSchemaRefused, o.topic, b.writers.explain(b.ctx, o.topic, err))
		}
		return nil, fmt.Errorf("pulsarmsg: open a producer for topic %s: %w", o.topic, b.config.explain(o.topic, err))
	}
	s.producer = producer
	go s.flush(ctx)
	return s, nil
}

// reconnects is called by the client on a goroutine of the producer's, before it connects again. It returns when that is too late: a producer that is closed does
// not. One whose closing takes too long does, and nobody listens to it.
func (s *session) reconnects() backoff.Policy {
	s.outlet.lose(s)
	timer := time.NewTimer(s.outlet.broker.config.OperationTimeout)
	defer timer.Stop()
	select {
	case <-s.closed:
	case <-timer.C:
	}
	return backoff.NewDefaultBackoff()
}

// send hands a publication to the client, which calls back with its outcome, sooner or later or never.
func (s *session) send(p *publication) {
	if err := s.use(func() {
		s.producer.SendAsync(context.Background(), &p.message, p.callback)
	}); err != nil {
		s.outlet.settle(p, err)
		return
	}
	select {
	case s.unsent <- struct{}{}:
	default:
	}
}

// sent is the client's callback, the last that it does with a message. It must not block.
func (p *publication) sent(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
	b := p.outlet.broker
	if p.outlet.settle(p, err) && err == nil { // after an error, send may still have it
		b.release(p)
	}
}

// use calls f unless the session is over, and makes an error of the client's panic that comes when it closes a producer by itself at that moment.
func (s *session) use(f func()) (err error) {
	s.using.RLock()
	defer s.using.RUnlock()
	if s.over {
		return pulsar.ErrProducerClosed
	}
	defer func() {
		if value := recover(); value != nil {
			s.outlet.broker.config.Logger.Warn("the client panicked", "topic", s.outlet.topic, "value", fmt.Sprint(value), "stack", string(debug.Stack()))
			err = pulsar.ErrProducerClosed
		}
	}()
	f()
	return nil
}

// flush sends what has gathered as soon as what was sent before has reached the broker: a message alone is sent at once, and of many messages as many
// as came meanwhile make a batch. The client alone would wait for a fixed time, or not gather at all.
func (s *session) flush(ctx context.Context) {
	defer close(s.flushed)
	settled := s.outlet.progress()
	for {
		select {
		case <-s.unsent:
		case <-ctx.Done():
			return
		}
		now := s.outlet.progress()
		if linger := min(time.Duration(now-settled)*lingerEach, lingerMost); linger >= lingerLeast && !pace.Rest(ctx, linger) {
			return
		}
		settled = now
		once, cancel := context.WithTimeout(ctx, s.outlet.broker.config.SendTimeout)
		// An error says that messages have failed, which their callbacks say too, or that the time is up.
		_ = s.use(func() { _ = s.producer.FlushWithCtx(once) })
		cancel()
	}
}

// close closes the producer, and waits for that until ctx ends. Messages that it has not sent are lost without a callback.
func (s *session) close(ctx context.Context) {
	s.cancel()
	<-s.flushed
	s.using.Lock()
	over := s.over
	s.over = true
	s.using.Unlock()
	if over {
		return
	}
	defer close(s.closed)
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		s.producer.Close()
	}()
	select {
	case <-returned:
	case <-ctx.Done():
	}
}
