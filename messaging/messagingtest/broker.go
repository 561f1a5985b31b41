package messagingtest

import (
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// Features says what a broker promises. The zero value is the whole contract of [messaging.Broker], for a
// broker that keeps messages outside of the process.
type Features struct {
	// DoneAfterAck says that the outcome of a publish is known only when every subscription has acknowledged:
	// the promise of in-process brokers.
	DoneAfterAck bool
	// NoDeliveryCount says that Message.Delivery does not count.
	NoDeliveryCount bool
	// NoPublished says that Message.Published stays zero.
	NoPublished bool
	// NoOrderedRedelivery says that a message that waits for its redelivery is overtaken by later ones of its
	// key.
	NoOrderedRedelivery bool
	// Patience is how long a case waits for what must happen. Zero means 10 seconds.
	Patience time.Duration
	// Glance is how long a case watches for what must not happen. Zero means 50 ms.
	Glance time.Duration
}

func (f Features) withDefaults() Features {
	if f.Patience <= 0 {
		f.Patience = 10 * time.Second
	}
	if f.Glance <= 0 {
		f.Glance = 50 * time.Millisecond
	}
	return f
}

// RunBroker tests the brokers that newBroker makes against the contract of [messaging.Broker]. Each case calls
// newBroker once, with its own t, on which to register what ends the broker. A broker without a Close method is
// not tested for [messaging.ErrClosed]; subscription types that it answers with [messaging.ErrUnsupported] are
// skipped.
func RunBroker(t *testing.T, features Features, newBroker func(t *testing.T) messaging.Broker) {
	features = features.withDefaults()
	for _, c := range brokerCases() {
		if c.skip != nil {
			if reason := c.skip(features); reason != "" {
				t.Logf("not run: %s: switched off: %s", c.promise, reason)
				continue
			}
		}
		t.Run(c.promise, func(t *testing.T) {
			t.Parallel()
			c.run(newStage(t, features, newBroker(t)))
		})
	}
}

// brokerCase is one promise of the contract.
type brokerCase struct {
	promise string
	skip    func(Features) string
	run     func(*stage)
}

func brokerCases() []brokerCase {
	return []brokerCase{
		{"PublishedMessageArrivesWithAllItsFields", nil, arrivesWhole},
		{"EmptyAndBinaryPayloadsAndHeadersArriveUnchanged", nil, arrivesUnchanged},
		{"BrokerIDsAreUniqueWithinTheTopic", nil, brokerIDsAreUnique},
		{"PublishToATopicWithoutSubscriptionsSucceeds", nil, publishToNobody},
		{"PublishWithAnEndedContextCallsDoneOnceWithItsError", nil, publishWithEndedContext},
		{"ConcurrentPublishesAllArriveOnce", nil, concurrentPublishes},
		{"DoneComesAfterTheAcknowledgementOfEverySubscription", func(f Features) string {
			if !f.DoneAfterAck {
				return "the broker keeps messages itself (Features.DoneAfterAck is false)"
			}
			return ""
		}, doneAfterAck},
		{"EverySubscriptionGetsEachMessage", nil, everySubscription},
		{"MessagesPublishedAfterReadyArrive", nil, readyMeansReady},
		{"ASubscriptionKeepsMessagesWhileItHasNoConsumer", nil, keepsPosition},
		{"ConsumersOfASharedSubscriptionShareIt", nil, sharedShares},
		{"KeySharedKeepsTheOrderOfEachKeyAcrossConsumers", nil, keySharedOrder},
		{"FailoverKeepsOrderAndTheNextConsumerTakesOver", nil, failoverTakesOver},
		{"ExclusiveKeepsOrder", nil, exclusiveOrder},
		{"ASecondConsumerOfAnExclusiveSubscriptionIsBusy", nil, exclusiveIsBusy},
		{"BatchesAreNeverLargerThanMaxBatch", nil, batchesAreBounded},
		{"ABatchIsNeverWaitedFor", nil, batchesAreNatural},
		{"EachMessageOfABatchHasItsOwnDisposition", nil, ownDisposition},
		{"RedeliveryComesAfterItsTimeAndCounts", nil, redeliveryWaits},
		{"ARedeliveredMessageIsNotOvertakenWithinItsKey", func(f Features) string {
			if f.NoOrderedRedelivery {
				return "the broker does not hold back the later messages of a key (Features.NoOrderedRedelivery)"
			}
			return ""
		}, redeliveryKeepsOrder},
		{"SubscribeReturnsOnlyWhenTheReceiverHasReturnedAndIsSettled", nil, subscribeSettles},
		{"UnacknowledgedMessagesGoToTheNextConsumer", nil, unacknowledgedGoOn},
		{"AClosedBrokerSaysErrClosed", nil, closedSaysSo},
	}
}
