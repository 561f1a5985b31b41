package inbox

import (
	"context"

	"github.com/alpespartners/alpespartners/messaging"
)

// Divert has h take the messages on topic that belong to no saga, such as commands of the outside that are to start one;
// those of sagas still go to their handlers. h does its own work, outside of the service's transactions, and may see
// a message twice. It must be called before [Service.Run], for a topic that has a handler.
func (s *Service) Divert(topic string, h messaging.BatchHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.diverted[topic] = h
}

// divide splits a batch between h, for what belongs to no saga, and the service.
func (s *Service) divide(h messaging.BatchHandler) messaging.BatchHandler {
	return func(ctx context.Context, batch []messaging.Message) []error {
		var parts [2][]messaging.Message
		var places [2][]int
		for i, m := range batch {
			part := 0
			if m.Header(messaging.HeaderSaga) != "" {
				part = 1
			}
			parts[part] = append(parts[part], m)
			places[part] = append(places[part], i)
		}
		errs := make([]error, len(batch))
		for part, handle := range []messaging.BatchHandler{h, s.handleBatch} {
			if len(parts[part]) == 0 {
				continue
			}
			for j, err := range handle(ctx, parts[part]) {
				errs[places[part][j]] = err
			}
		}
		return errs
	}
}
