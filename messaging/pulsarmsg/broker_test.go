package pulsarmsg_test

import (
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

func TestIntegrationBroker(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	messagingtest.RunBroker(t, messagingtest.Features{Patience: 30 * time.Second}, func(t *testing.T) messaging.Broker {
		return open(t, s.config(t))
	})
}
