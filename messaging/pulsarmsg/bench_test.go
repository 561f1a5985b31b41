package pulsarmsg_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/avromsg"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
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

// traffic publishes n messages, with so many at a time whose outcome is open, and returns when all are consumed and acknowledged.
type traffic func(b *testing.B, n, outstanding int)

// BenchmarkThroughput compares typed messages through this module's packages with bytes through the bare client, in turns, on the same broker:
// ratio is the median of ours/bare.
func BenchmarkThroughput(b *testing.B) {
	s := newServer(b)
	for _, keys := range []int{0, 100} {
		for _, outstanding := range []int{64, 1000} {
			b.Run(fmt.Sprintf("keys=%d/outstanding=%d", keys, outstanding), func(b *testing.B) {
				n := 40 * outstanding
				bare, typed := bareLoad(b, s, keys), typedLoad(b, s, keys)
				bare(b, outstanding, outstanding)
				typed(b, outstanding, outstanding)
				var ratios []float64
				var total [2]measured
				for b.Loop() {
					var rates [2]float64
					for i, l := range []traffic{bare, typed} {
						m := measure(func() { l(b, n, outstanding) })
						rates[i] = float64(n) / m.took.Seconds()
						total[i].add(m, n)
					}
					ratios = append(ratios, rates[1]/rates[0])
				}
				slices.Sort(ratios)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(ratios[len(ratios)/2], "ratio")
				for i, who := range []string{"bare", "typed"} {
					b.ReportMetric(float64(total[i].messages)/total[i].took.Seconds(), who+"-msg/s")
					b.ReportMetric(float64(total[i].allocs)/float64(total[i].messages), who+"-allocs/msg")
					b.ReportMetric(float64(total[i].bytes)/float64(total[i].messages), who+"-B/msg")
				}
			})
		}
	}
}

type measured struct {
	took          time.Duration
	allocs, bytes uint64
	messages      int
}

func (m *measured) add(other measured, messages int) {
	m.took += other.took
	m.allocs += other.allocs
	m.bytes += other.bytes
	m.messages += messages
}

func measure(f func()) measured {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	f()
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	return measured{took: took, allocs: after.Mallocs - before.Mallocs, bytes: after.TotalAlloc - before.TotalAlloc}
}

func keyOf(i, keys int) string {
	if keys == 0 {
		return ""
	}
	return "key-" + strconv.Itoa(i%keys)
}

// bareLoad is the client alone, with its own defaults but for the batches' keys.
func bareLoad(b *testing.B, s server, keys int) traffic {
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: s.url, MetricsRegisterer: prometheus.NewRegistry(), Logger: pulsarlog.NewLoggerWithSlog(discard()),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	topic := topicName(b) + "-bare"
	consumer, err := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: pulsar.KeyShared})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(consumer.Close)
	builder := pulsar.DefaultBatchBuilder
	if keys > 0 {
		builder = pulsar.KeyBasedBatchBuilder
	}
	producer, err := client.CreateProducer(pulsar.ProducerOptions{Topic: topic, BatcherBuilderType: builder})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(producer.Close)
	payload := []byte(strings.Repeat("x", 300))
	return func(b *testing.B, n, outstanding int) {
		ctx := b.Context()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range n {
				m, err := consumer.Receive(ctx)
				if err != nil {
					b.Error(err)
					return
				}
				if err := consumer.Ack(m); err != nil {
					b.Error(err)
				}
			}
		}()
		room := make(chan struct{}, outstanding)
		for i := range n {
			room <- struct{}{}
			producer.SendAsync(ctx, &pulsar.ProducerMessage{Payload: payload, Key: keyOf(i, keys)}, func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
				if err != nil {
					b.Error(err)
				}
				<-room
			})
		}
		<-done
	}
}

// typedLoad is the codec, the driver and the router.
func typedLoad(b *testing.B, s server, keys int) traffic {
	topic := topicName(b) + "-typed"
	codec := newTestCodec(b, topic)
	c := s.config(b)
	c.Logger = discard()
	c.Schemas = codec
	broker, err := pulsarmsg.New(c)
	if err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	done := make(chan struct{}, 1)
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
		if left.Add(-int64(len(batch))) == 0 {
			done <- struct{}{}
		}
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
		if err := broker.Close(); err != nil {
			b.Error(err)
		}
	})
	<-router.Ready()
	return func(b *testing.B, n, outstanding int) {
		left.Store(int64(n))
		room := make(chan struct{}, outstanding)
		told := func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-room
		}
		for i := range n {
			room <- struct{}{}
			m, err := codec.Encode(newBooked(i))
			if err != nil {
				b.Fatal(err)
			}
			m.ID, m.Key = "0190-"+strconv.Itoa(i), keyOf(i, keys)
			broker.Publish(ctx, m, told)
		}
		<-done
	}
}

// testCodec is an avromsg codec that tells its schemas.
type testCodec struct {
	*avromsg.Codec
	schemas map[string]string
}

func newTestCodec(t testing.TB, topic string, writers ...string) testCodec {
	t.Helper()
	codec, err := avromsg.NewCodec(avromsg.Record[booked]("booked", topic, bookedSchema).WithWriters(writers...))
	if err != nil {
		t.Fatal(err)
	}
	return testCodec{codec, map[string]string{topic: bookedSchema}}
}

func (c testCodec) Schema(topic string) (string, bool) {
	text, ok := c.schemas[topic]
	return text, ok
}
