package memmsg_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/messagingtest"
)

func TestBroker(t *testing.T) {
	t.Parallel()
	messagingtest.RunBroker(t, messagingtest.Features{DoneAfterAck: true}, func(t *testing.T) messaging.Broker {
		broker := memmsg.New(memmsg.Config{})
		t.Cleanup(func() { broker.Close() })
		return broker
	})
}
