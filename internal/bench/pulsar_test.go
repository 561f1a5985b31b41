package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	pulsarlog "github.com/apache/pulsar-client-go/pulsar/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
	"github.com/alpespartners/alpespartners/saga/memsaga"
)

// A bare chain is what the client alone does for one saga of the workload: six messages, each sent when the one before it has come.
const (
	hops        = 6
	payloadSize = 200
)

// rounds is how often each side has its turn; a figure is the median of its turns, and a ratio that of the turns' ratios.
const rounds = 5

// BenchmarkFigures compares sagas over Pulsar, with this module's coordinator and participant, with the same messages through the bare client. The coordinator keeps its sagas in PostgreSQL,
// durable at each step, and in a second system in memory, which shows what the broker and the messages cost. All take turns on one broker.
func BenchmarkFigures(b *testing.B) {
	figures := turnSettings()
	for _, outstanding := range []int{64, 1000} {
		b.Run("outstanding="+strconv.Itoa(outstanding), func(b *testing.B) {
			sides := []side{newBareChains(b, outstanding), newSagas(b, "postgres", outstanding), newSagas(b, "memory", outstanding)}
			rates := make([][]float64, len(sides))
			for range rounds {
				for i, one := range sides {
					rates[i] = append(rates[i], one.turn(b))
				}
			}
			for i, one := range sides {
				name := fmt.Sprintf("pulsar.outstanding%d.%s", outstanding, one.name)
				figures.figure("sagas_per_s."+name, median(rates[i]), "1/s")
				if i == 0 {
					continue
				}
				ratios := make([]float64, rounds)
				for turn := range ratios {
					ratios[turn] = rates[i][turn] / rates[0][turn]
				}
				figures.figure("ratio.sagas."+name+"-to-bare", median(ratios), "x")
			}
		})
	}
}

// side is one of those that are compared.
type side struct {
	name string
	// turn works for some seconds and returns how many sagas, or chains, ended in each.
	turn func(b *testing.B) float64
}

func turnSettings() settings {
	return settings{window: 3 * time.Second, windows: 1, warmUp: time.Second, out: os.Stdout}
}

func newSagas(b *testing.B, name string, outstanding int) side {
	b.Helper()
	env := testenv.Pulsar(b)
	broker, err := pulsarmsg.New(pulsarmsg.Config{
		URL: env.URL, AdminURL: env.AdminURL, Namespace: env.Namespace, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	w := workload{name: "pulsar." + name, outstanding: outstanding, broker: broker}
	var sys *system
	if name == "memory" {
		sys = &system{definition: definition(w)}
		err = sys.start(b.Context(), memsaga.New(), nil, w)
	} else {
		sys, err = newSystem(b.Context(), testenv.Postgres(b).URL, w)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sys.stop)
	return side{name, func(b *testing.B) float64 {
		b.Helper()
		all, err := turnSettings().loop(b.Context(), sys, w, nil)
		if err != nil {
			b.Fatal(err)
		}
		self, _ := all[0].cpu()
		turnSettings().note("pulsar.%s: %.0f sagas/s, CPU %.3f ms of this process for each, p50 %.1f ms", name, all[0].rate(), self, all[0].quantile(0.5))
		return all[0].rate()
	}}
}

// chains is the bare client: one producer and one consumer of commands, and one of each of events.
type chains struct {
	b         *testing.B
	producers [2]pulsar.Producer
	ended     []chan struct{} // by the key of the chain
	count     atomic.Int64
}

// newBareChains is the client with its defaults, but for the keys of batches and a shorter delay of them: a chain would wait 10 ms for each of its messages.
func newBareChains(b *testing.B, outstanding int) side {
	b.Helper()
	env := testenv.Pulsar(b)
	client, err := pulsar.NewClient(pulsar.ClientOptions{
		URL: env.URL, MetricsRegisterer: prometheus.NewRegistry(), Logger: pulsarlog.NewLoggerWithSlog(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	c := &chains{b: b, ended: make([]chan struct{}, outstanding)}
	for i := range c.ended {
		c.ended[i] = make(chan struct{}, 1)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var consumers sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		consumers.Wait()
	})
	for i, topic := range []string{"commands", "events"} {
		topic = "persistent://" + env.Namespace + "/" + topic
		consumer, err := client.Subscribe(pulsar.ConsumerOptions{Topic: topic, SubscriptionName: "s", Type: pulsar.KeyShared})
		if err != nil {
			b.Fatal(err)
		}
		c.producers[i], err = client.CreateProducer(pulsar.ProducerOptions{
			Topic: topic, BatcherBuilderType: pulsar.KeyBasedBatchBuilder, BatchingMaxPublishDelay: time.Millisecond, SendTimeout: -1,
		})
		if err != nil {
			b.Fatal(err)
		}
		consumers.Go(func() { c.passOn(ctx, consumer) })
	}
	return side{"bare", c.turn}
}

// turn keeps all chains going for a while.
func (c *chains) turn(b *testing.B) float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var clients sync.WaitGroup
	for key := range c.ended {
		clients.Go(func() {
			for ctx.Err() == nil {
				c.send(key, 0, func() {})
				<-c.ended[key]
				c.count.Add(1)
			}
		})
	}
	s := turnSettings()
	err := sleep(ctx, s.warmUp)
	began, before := time.Now(), c.count.Load()
	err = cmp.Or(err, sleep(ctx, s.window))
	rate := float64(c.count.Load()-before) / time.Since(began).Seconds()
	cancel()
	clients.Wait()
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// send sends the hop of a chain, and calls kept once the broker has it.
func (c *chains) send(key, hop int, kept func()) {
	m := &pulsar.ProducerMessage{Payload: make([]byte, payloadSize), Key: strconv.Itoa(key), Properties: map[string]string{"hop": strconv.Itoa(hop)}}
	c.producers[hop%len(c.producers)].SendAsync(context.Background(), m, func(_ pulsar.MessageID, _ *pulsar.ProducerMessage, err error) {
		if err != nil {
			c.b.Error(err)
		}
		kept()
	})
}

// passOn answers each message with the next of its chain, and acknowledges it once the broker has that.
func (c *chains) passOn(ctx context.Context, consumer pulsar.Consumer) {
	for {
		m, err := consumer.Receive(ctx)
		if err != nil {
			return
		}
		key, keyFault := strconv.Atoi(m.Key())
		hop, hopFault := strconv.Atoi(m.Properties()["hop"])
		if err := errors.Join(keyFault, hopFault); err != nil {
			c.b.Error(err)
			continue
		}
		acknowledge := func() {
			if err := consumer.Ack(m); err != nil {
				c.b.Error(err)
			}
		}
		if hop == hops-1 {
			acknowledge()
			c.ended[key] <- struct{}{}
			continue
		}
		c.send(key, hop+1, acknowledge)
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
