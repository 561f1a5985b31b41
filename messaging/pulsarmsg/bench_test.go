package pulsarmsg_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
)

// booked is a message of 300 bytes.
type booked struct {
	Seat  string  `avro:"seat"`
	Price int64   `avro:"price"`
	Note  *string `avro:"note"`
}

const bookedSchema = `{"type":"record","name":"Booked","fields":[{"name":"seat","type":"string"},{"name":"price","type":"long"},{"name":"note","type":["null","string"]}]}`

func newBooked(i int) booked {
	note := strings.Repeat("x", 285)
	return booked{Seat: "12A", Price: int64(i), Note: &note}
}

// side is one of the two that are compared.
type side struct {
	name string
	// send publishes the i-th message and calls done once, when the broker has confirmed it.
	send func(i int, done func(error))
	// received is called with the number of messages that were received, decoded and acknowledged.
	received func(n int)
}

// rounds is how often each side has its turn; the figures are medians.
const rounds = 9

// BenchmarkFigures compares typed messages through this module's packages, with IDs, schemas, and a router, with the same bytes through the bare client. Both
// confirm each message and acknowledge each. They take turns on one broker, and each turn is a ratio of its own, so that what else the
// machine does weighs on both. A figure is a line "figure NAME VALUE UNIT".
func BenchmarkFigures(b *testing.B) {
	s := newServer(b)
	for _, keys := range []int{0, 100} {
		for _, outstanding := range []int{64, 1000} {
			b.Run(fmt.Sprintf("keys=%d/outstanding=%d", keys, outstanding), func(b *testing.B) {
				sides := []*side{newTyped(b, s, keys), newBare(b, s, keys, bare{}), newBare(b, s, keys, bare{delay: time.Millisecond}), newBare(b, s, keys, bare{typed: true})}
				n := 40 * outstanding
				measured := make([][]measured, len(sides))
				for _, one := range sides {
					one.pass(b, n/4, outstanding)
				}
				for range rounds {
					for i, one := range sides {
						measured[i] = append(measured[i], one.pass(b, n, outstanding))
					}
				}
				report(fmt.Sprintf("pulsar.keys%d.outstanding%d", keys, outstanding), sides, measured)
			})
		}
	}
}

// measured is one turn.
type measured struct{ rate, published, allocs, bytes, cpu float64 }

// pass publishes n messages, with so many at a time whose outcome is open, and returns when all are received.
func (s *side) pass(b *testing.B, n, outstanding int) measured {
	var left atomic.Int64
	left.Store(int64(n))
	all := make(chan struct{})
	s.received = func(got int) {
		if left.Add(-int64(got)) == 0 {
			close(all)
		}
	}
	room := make(chan struct{}, outstanding)
	var confirmed sync.WaitGroup
	confirmed.Add(n)
	done := func(err error) {
		if err != nil {
			b.Error(err)
		}
		<-room
		confirmed.Done()
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, begin := processTime(), time.Now()
	for i := range n {
		room <- struct{}{}
		s.send(i, done)
	}
	confirmed.Wait()
	published := time.Since(begin)
	<-all
	took := time.Since(begin)
	cpu = processTime() - cpu
	runtime.ReadMemStats(&after)
	count := float64(n)
	return measured{
		rate: count / took.Seconds(), published: count / published.Seconds(), cpu: float64(cpu.Microseconds()) / count,
		allocs: float64(after.Mallocs-before.Mallocs) / count, bytes: float64(after.TotalAlloc-before.TotalAlloc) / count,
	}
}

// report prints the medians of each side, and those of the ratios of its turns, in which the first side is compared with the others.
func report(name string, sides []*side, all [][]measured) {
	figure := func(what string, unit string, values []float64) {
		slices.Sort(values)
		fmt.Fprintf(os.Stdout, "figure %s %.4g %s\n", what, values[len(values)/2], unit)
	}
	for i, one := range sides {
		pick := func(f func(measured) float64) []float64 {
			values := make([]float64, 0, rounds)
			for _, m := range all[i] {
				values = append(values, f(m))
			}
			return values
		}
		figure(name+"."+one.name, "msg/s", pick(func(m measured) float64 { return m.rate }))
		figure(name+"."+one.name+".published", "msg/s", pick(func(m measured) float64 { return m.published }))
		figure(name+"."+one.name+".cpu", "us/msg", pick(func(m measured) float64 { return m.cpu }))
		figure(name+"."+one.name+".allocations", "allocs/msg", pick(func(m measured) float64 { return m.allocs }))
		figure(name+"."+one.name+".allocated", "B/msg", pick(func(m measured) float64 { return m.bytes }))
		if i == 0 {
			continue
		}
		var ratios []float64
		for turn := range all[i] {
			ratios = append(ratios, all[0][turn].rate/all[i][turn].rate)
		}
		figure("ratio."+name+"."+sides[0].name+"-to-"+one.name, "x", ratios)
	}
}

func keyOf(i, keys int) string {
	if keys == 0 {
		return ""
	}
	return "key-" + strconv.Itoa(i%keys)
}

// bare says how the client is used without this package.
type bare struct {
	delay time.Duration // of batches; zero: the client's own, 10 ms
	typed bool          // each message is encoded and decoded, and has an ID: what is left of the difference is the driver's and the router's
}

// newBare is the client alone, with its own defaults but for the batches' keys and what is given.
func newBare(b *testing.B, s server, keys int, how bare) *side {
	one := &side{name: "bare"}
	switch {
	case how.typed:
		one.name += "-typed"
	case how.delay > 0:
		one.name += "-" + how.delay.String()
	}
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: s.url, MetricsRegisterer: prometheus.NewRegistry(), Logger: pulsarlog.NewLoggerWithSlog(discard()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	topic := s.full(topicName(b)) + one.name
	consumer, err := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: pulsar.KeyShared})
	if err != nil {
		b.Fatal(err)
	}
	builder := pulsar.DefaultBatchBuilder
	if keys > 0 {
		builder = pulsar.KeyBasedBatchBuilder
	}
	producer, err := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, BatcherBuilderType: builder, BatchingMaxPublishDelay: how.delay, SendTimeout: -1})
	if err != nil {
		b.Fatal(err)
	}
	codec := newTestCodec(b, topic)
	value := newBooked(1)
	encoded, err := codec.Encode(value)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			m, err := consumer.Receive(ctx)
			if err != nil {
				return
			}
			if how.typed {
				if _, err := codec.Decode(messaging.Message{ID: m.Properties()["id"], Topic: topic, Payload: m.Payload()}); err != nil {
					b.Error(err)
				}
			}
			if err := consumer.Ack(m); err != nil {
				b.Error(err)
			}
			one.received(1)
		}
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
		producer.Close()
		consumer.Close()
	})
	one.send = func(i int, done func(error)) {
		m := &pulsar.ProducerMessage{Payload: encoded.Payload, Key: keyOf(i, keys)}
		if how.typed {
			value.Price = int64(i)
			typed, err := codec.Encode(value)
			if err != nil {
				b.Fatal(err)
			}
			m.Payload, m.Properties = typed.Payload, map[string]string{"id": "0190-" + strconv.Itoa(i)}
		}
		producer.SendAsync(ctx, m, func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
			done(err)
		})
	}
	return one
}

// newTyped is the codec, the driver and the router.
func newTyped(b *testing.B, s server, keys int) *side {
	one := &side{name: "typed"}
	topic := topicName(b)
	codec := newTestCodec(b, topic)
	c := s.config(b)
	c.Logger = discard()
	c.Schemas = codec
	broker := open(b, c)
	router, err := messaging.NewRouter(messaging.RouterConfig{Subscriber: broker, DeadLetters: messaging.DeadLetterTopic(broker), Logger: discard()})
	if err != nil {
		b.Fatal(err)
	}
	if err := router.HandleBatch(messaging.Subscription{Topic: topic, Name: "s", Type: messaging.KeyShared}, func(_ context.Context, batch []messaging.Message) []error {
		for _, m := range batch {
			if _, err := codec.Decode(m); err != nil {
				b.Error(err)
			}
		}
		one.received(len(batch))
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	wait(b, router.Ready(), "router")
	value := newBooked(1)
	one.send = func(i int, done func(error)) {
		value.Price = int64(i)
		m, err := codec.Encode(value)
		if err != nil {
			b.Fatal(err)
		}
		m.ID, m.Key = "0190-"+strconv.Itoa(i), keyOf(i, keys)
		broker.Publish(ctx, m, done)
	}
	return one
}

// newTestCodec returns a codec for booked on the topic.
func newTestCodec(t testing.TB, topic string) *avromsg.Codec {
	t.Helper()
	codec, err := avromsg.NewCodec(avromsg.Record[booked]("booked", topic, bookedSchema))
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// processTime is what this process has used of the processors.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
