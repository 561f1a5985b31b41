package pulsarmsg_test

import (
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
)

// TestIntegrationANamespaceThatIsNotThere: the broker says only that there is no topic.
func TestIntegrationANamespaceThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	nowhere := s.namespace + "-nowhere"
	elsewhere := s.config(t)
	elsewhere.Namespace = nowhere
	for topic, b := range map[string]messaging.Broker{
		"t":                              open(t, elsewhere),
		nowhere + "/t":                   open(t, s.config(t)),
		"persistent://" + nowhere + "/t": open(t, s.config(t)),
		"persistent://nobody/none/t":     open(t, s.config(t)),
	} {
		want := nowhere
		if strings.Contains(topic, "nobody") {
			want = "nobody/none"
		}
		for what, err := range map[string]error{
			"subscribe": b.Subscribe(t.Context(), subscription(topic, messaging.Shared), nil, newInbox().receive),
			"publish":   messaging.Publish(t.Context(), b, messaging.Message{ID: "1", Topic: topic}),
		} {
			if err == nil || !strings.Contains(err.Error(), "the namespace "+want+" does not exist") || !strings.Contains(err.Error(), "namespaces create "+want+")") {
				t.Errorf("%s on %s: %v", what, topic, err)
			}
		}
	}
}
