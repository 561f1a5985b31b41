package messagingtest_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

// brokenEnv names the broken driver that a child process is to run the suite on.
const brokenEnv = "MESSAGINGTEST_BROKEN"

// mustFail runs one case of the suite in a child process, on the broken driver, and wants it to fail.
func mustFail(t *testing.T, test, promise, broken string) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+test+"$/^"+promise+"$", "-test.v", "-test.timeout=60s")
	command.Env = append(os.Environ(), brokenEnv+"="+broken)
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: "+test+"/"+promise+" ") {
		t.Errorf("%s does not fail for a driver that %s (%v):\n%s", promise, broken, err, out)
	}
}

// brokenBrokers break one promise each of a working one; fails is the case that must notice.
func brokenBrokers() map[string]struct {
	fails string
	make  func(messaging.Broker) messaging.Broker
} {
	type broken = struct {
		fails string
		make  func(messaging.Broker) messaging.Broker
	}
	messages := func(change func([]messaging.Message) []messaging.Message) func(messaging.Broker) messaging.Broker {
		return func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, receiver: func(r messaging.Receiver) messaging.Receiver {
				return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
					return r(ctx, change(batch))
				}
			}}
		}
	}
	dispositions := func(change func([]messaging.Disposition)) func(messaging.Broker) messaging.Broker {
		return func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, receiver: func(r messaging.Receiver) messaging.Receiver {
				return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
					all := r(ctx, batch)
					change(all)
					return all
				}
			}}
		}
	}
	subscription := func(change func(*messaging.Subscription)) func(messaging.Broker) messaging.Broker {
		return func(b messaging.Broker) messaging.Broker { return wrapped{Broker: b, subscription: change} }
	}
	return map[string]broken{
		"loses every seventh message": {"ConcurrentPublishesAllArriveOnce", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, publish: func(ctx context.Context, m messaging.Message, done func(error)) {
				if strings.HasSuffix(m.ID, "7") {
					done(nil)
					return
				}
				b.Publish(ctx, m, done)
			}}
		}},
		"publishes twice": {"ConcurrentPublishesAllArriveOnce", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, publish: func(ctx context.Context, m messaging.Message, done func(error)) {
				b.Publish(ctx, m, func(error) {})
				b.Publish(ctx, m, done)
			}}
		}},
		"calls done twice": {"PublishedMessageArrivesWithAllItsFields", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, publish: func(ctx context.Context, m messaging.Message, done func(error)) {
				done(nil) // both before the case can have ended, or the second might go unnoticed
				done(nil)
				b.Publish(ctx, m, func(error) {})
			}}
		}},
		"calls done before the acknowledgement": {"DoneComesAfterTheAcknowledgementOfEverySubscription", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, publish: func(ctx context.Context, m messaging.Message, done func(error)) {
				b.Publish(ctx, m, func(error) {})
				done(nil)
			}}
		}},
		"ignores the publisher's context": {"PublishWithAnEndedContextCallsDoneOnceWithItsError", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, publish: func(ctx context.Context, m messaging.Message, done func(error)) {
				b.Publish(context.WithoutCancel(ctx), m, done)
			}}
		}},
		"drops headers": {"EmptyAndBinaryPayloadsAndHeadersArriveUnchanged", messages(func(batch []messaging.Message) []messaging.Message {
			for i := range batch {
				batch[i].Headers = nil
			}
			return batch
		})},
		"takes payloads for text": {"EmptyAndBinaryPayloadsAndHeadersArriveUnchanged", messages(func(batch []messaging.Message) []messaging.Message {
			for i := range batch {
				batch[i].Payload = bytes.ToValidUTF8(batch[i].Payload, []byte("?"))
			}
			return batch
		})},
		"does not count deliveries": {"RedeliveryComesAfterItsTimeAndCounts", messages(func(batch []messaging.Message) []messaging.Message {
			for i := range batch {
				batch[i].Delivery = 1
			}
			return batch
		})},
		"has one broker id for all": {"BrokerIDsAreUniqueWithinTheTopic", messages(func(batch []messaging.Message) []messaging.Message {
			for i := range batch {
				batch[i].BrokerID = "1"
			}
			return batch
		})},
		"turns batches round": {"ExclusiveKeepsOrder", messages(func(batch []messaging.Message) []messaging.Message {
			turned := make([]messaging.Message, len(batch))
			for i, m := range batch {
				turned[len(batch)-1-i] = m
			}
			return turned
		})},
		"acknowledges what is to be redelivered": {"RedeliveryComesAfterItsTimeAndCounts", dispositions(func(all []messaging.Disposition) { clear(all) })},
		"redelivers at once": {"RedeliveryComesAfterItsTimeAndCounts", dispositions(func(all []messaging.Disposition) {
			for i := range all {
				all[i].After = 0
			}
		})},
		"settles a batch by its first message": {"EachMessageOfABatchHasItsOwnDisposition", dispositions(func(all []messaging.Disposition) {
			for i := range all {
				all[i] = all[0]
			}
		})},
		"ignores keys":     {"KeySharedKeepsTheOrderOfEachKeyAcrossConsumers", subscription(func(s *messaging.Subscription) { s.Type = messaging.Shared })},
		"ignores MaxBatch": {"BatchesAreNeverLargerThanMaxBatch", subscription(func(s *messaging.Subscription) { s.MaxBatch = 0 })},
		"lets everybody in": {"ASecondConsumerOfAnExclusiveSubscriptionIsBusy", subscription(func(s *messaging.Subscription) {
			if s.Type == messaging.Exclusive {
				s.Type = messaging.Failover
			}
		})},
		"has failover consumers compete": {"FailoverKeepsOrderAndTheNextConsumerTakesOver", subscription(func(s *messaging.Subscription) {
			if s.Type == messaging.Failover {
				s.Type, s.MaxBatch = messaging.KeyShared, 1
			}
		})},
		"gives each consumer everything": {"ConsumersOfASharedSubscriptionShareIt", func(b messaging.Broker) messaging.Broker {
			names := make(chan string, 1000)
			for i := range cap(names) {
				names <- strings.Repeat("x", i)
			}
			return wrapped{Broker: b, subscription: func(s *messaging.Subscription) {
				if s.Type == messaging.Shared {
					s.Name += <-names
				}
			}}
		}},
		"is ready before it subscribes": {"MessagesPublishedAfterReadyArrive", func(b messaging.Broker) messaging.Broker { return hasty{b} }},
		"returns before its receiver":   {"SubscribeReturnsOnlyWhenTheReceiverHasReturnedAndIsSettled", func(b messaging.Broker) messaging.Broker { return leaving{b} }},
		"forgets the unacknowledged": {"UnacknowledgedMessagesGoToTheNextConsumer", func(b messaging.Broker) messaging.Broker {
			return wrapped{Broker: b, receiver: func(r messaging.Receiver) messaging.Receiver {
				return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
					all := r(ctx, batch)
					if ctx.Err() != nil {
						clear(all)
					}
					return all
				}
			}}
		}},
		"lets later messages overtake": {"ARedeliveredMessageIsNotOvertakenWithinItsKey", subscription(func(s *messaging.Subscription) {
			if s.Type == messaging.KeyShared {
				s.Type = messaging.Shared
			}
		})},
		"does not close": {"AClosedBrokerSaysErrClosed", func(b messaging.Broker) messaging.Broker { return open{b} }},
	}
}

// wrapped is a broker with some of its behaviour replaced.
type wrapped struct {
	messaging.Broker
	publish      func(context.Context, messaging.Message, func(error))
	subscription func(*messaging.Subscription)
	receiver     func(messaging.Receiver) messaging.Receiver
}

func (w wrapped) Publish(ctx context.Context, m messaging.Message, done func(error)) {
	if w.publish == nil {
		w.Broker.Publish(ctx, m, done)
		return
	}
	w.publish(ctx, m, done)
}

func (w wrapped) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	if w.subscription != nil {
		w.subscription(&s)
	}
	if w.receiver != nil {
		r = w.receiver(r)
	}
	return w.Broker.Subscribe(ctx, s, ready, r)
}

type hasty struct{ messaging.Broker }

func (h hasty) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	if ready != nil {
		ready()
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
	}
	return h.Broker.Subscribe(ctx, s, nil, r)
}

type leaving struct{ messaging.Broker }

func (l leaving) Subscribe(ctx context.Context, s messaging.Subscription, ready func(), r messaging.Receiver) error {
	ended := make(chan error, 1)
	go func() { ended <- l.Broker.Subscribe(ctx, s, ready, r) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

type open struct{ messaging.Broker }

func (open) Close() error { return nil }

// TestSuiteOnBrokenBroker runs in the child processes of TestRunBrokerFailsOnBrokenBrokers.
func TestSuiteOnBrokenBroker(t *testing.T) {
	broken, ok := brokenBrokers()[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("runs only as the child of TestRunBrokerFailsOnBrokenBrokers")
	}
	features := messagingtest.Features{DoneAfterAck: true, Patience: 500 * time.Millisecond}
	messagingtest.RunBroker(t, features, func(t *testing.T) messaging.Broker {
		broker := memmsg.New(memmsg.Config{})
		t.Cleanup(func() { broker.Close() })
		return broken.make(broker)
	})
}

func TestRunBrokerFailsOnBrokenBrokers(t *testing.T) {
	t.Parallel()
	for name, broken := range brokenBrokers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustFail(t, "TestSuiteOnBrokenBroker", broken.fails, name)
		})
	}
}

// A broker that promises less than memmsg passes with what it cannot do switched off.
func TestRunBrokerSwitchesOff(t *testing.T) {
	t.Parallel()
	messagingtest.RunBroker(t, messagingtest.Features{NoDeliveryCount: true, NoPublished: true, NoOrderedRedelivery: true},
		func(t *testing.T) messaging.Broker {
			broker := memmsg.New(memmsg.Config{})
			t.Cleanup(func() { broker.Close() })
			return wrapped{
				Broker: broker,
				publish: func(ctx context.Context, m messaging.Message, done func(error)) {
					if err := ctx.Err(); err != nil {
						done(err)
						return
					}
					broker.Publish(ctx, m, func(error) {})
					done(nil)
				},
				receiver: func(r messaging.Receiver) messaging.Receiver {
					return func(ctx context.Context, batch []messaging.Message) []messaging.Disposition {
						for i := range batch {
							batch[i].Delivery, batch[i].Published = 0, time.Time{}
						}
						return r(ctx, batch)
					}
				},
			}
		})
}
