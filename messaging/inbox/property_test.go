package inbox

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/messaging"
)

// Whatever the network does to the commands of a step, and whatever its handlers answer, the step takes effect at
// most once, is undone at most as often, and has no effect once its undo was acknowledged.
func TestBarrierHoldsUnderAnyDelivery(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(t, func(c *Config) {
			c.SubscriptionType = messaging.SubscriptionType(rapid.IntRange(0, 1).Draw(rt, "type"))
		})
		answer := func(name string) func() error {
			return func() error {
				switch rapid.IntRange(0, 4).Draw(rt, name) {
				case 0:
					return messaging.Refuse(refused{})
				case 1:
					return errors.New("try again")
				}
				return nil
			}
		}
		s.do, s.undo = answer("do"), answer("undo")
		settled := false // an undo has succeeded or barred
		replies := map[string]string{}
		for range rapid.IntRange(1, 12).Draw(rt, "batches") {
			var batch []messaging.Message
			for range rapid.IntRange(1, 5).Draw(rt, "size") {
				epoch := rapid.IntRange(0, 3).Draw(rt, "epoch")
				if rapid.Bool().Draw(rt, "forward") {
					batch = append(batch, s.book(epoch))
				} else {
					batch = append(batch, s.cancel(epoch))
				}
			}
			barred := settled
			s.deliver(batch...)
			for _, r := range s.replies() {
				text := r.Type + string(r.Payload) + r.Header(messaging.HeaderOutcome)
				if before, ok := replies[r.ID]; ok && before != text {
					rt.Fatalf("two different replies share an ID: %s and %s", before, text)
				}
				replies[r.ID] = text
				c, _ := messaging.CorrelationOf(r)
				if barred && c.Direction == messaging.Do {
					rt.Fatalf("a do was answered after its undo was acknowledged")
				}
				outcome := messaging.Outcome(r.Header(messaging.HeaderOutcome))
				settled = settled || c.Direction == messaging.Undo && outcome != messaging.Failure
			}
			if s.applied > 1 || s.undone > s.applied {
				rt.Fatalf("applied %d times and undone %d times", s.applied, s.undone)
			}
			if settled && s.applied != s.undone {
				rt.Fatalf("the undo was acknowledged, but applied %d times and undone %d times", s.applied, s.undone)
			}
		}
	})
}
