package inbox

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/messaging"
)

func (s *Service) handlerOf(command any) (handler, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.handlers[reflect.TypeOf(command)]
	return h, ok
}

// encode returns the reply to u that carries event, ready for the outbox: the zero message where
// the handler does not answer.
func (s *Service) encode(u *unit, event any, outcome messaging.Outcome) (messaging.Message, error) {
	if u.handler.zero == nil && outcome != messaging.Failure {
		return messaging.Message{}, nil
	}
	reply, err := s.config.Bus.Codec.Encode(event)
	if err != nil {
		return messaging.Message{}, fmt.Errorf("inbox: encode the reply: %w", err)
	}
	if u.saga {
		reply.Key = u.correlation.Saga
	}
	reply = reply.WithHeader(messaging.HeaderOutcome, string(outcome)) // also where no saga asked: that is how others can tell
	return u.restamp(reply, s.config.Name), nil
}

// restamp makes m the answer to u.
func (u *unit) restamp(m messaging.Message, consumer string) messaging.Message {
	if m.Topic == "" {
		return m // nothing was answered
	}
	m.ID = u.replyID(consumer)
	if u.saga {
		c := u.correlation
		c.Since = time.Time{}
		m = c.Stamp(m)
	}
	if trace := u.message.Header(messaging.HeaderTraceparent); trace != "" {
		m = m.WithHeader(messaging.HeaderTraceparent, trace)
	}
	return m
}

// replyID is a function of the command alone: whoever answers it again, after whatever crash, gives the same
// ID. An event, unlike a command, may be answered by several consumers.
func (u *unit) replyID(consumer string) string {
	parts := []string{u.message.Identity(), consumer, "reply"}
	if u.saga {
		c := u.correlation
		parts = []string{c.Saga, c.Node, string(c.Direction), strconv.Itoa(c.Epoch), "reply"}
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(strings.Join(parts, "\x00"))).String()
}
