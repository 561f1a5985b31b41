package pulsarmsg_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(testenv.Leftovers(),
		// The client leaves it behind when it closes a producer by itself, because its topic was terminated for example.
		goleak.IgnoreAnyFunction("github.com/apache/pulsar-client-go/pulsar.(*partitionProducer).runEventsLoop.func1"))...)
}
