package pulsarmsg_test

import (
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

func TestMain(m *testing.M) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics log to the process's output
	goleak.VerifyTestMain(m,
		// The client leaves it behind when it closes a producer by itself, because its topic was terminated for example.
		goleak.IgnoreAnyFunction("github.com/apache/pulsar-client-go/pulsar.(*partitionProducer).runEventsLoop.func1"),
		// And this one in the proxy, of connections that were reset.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"))
}
