package saga_test

import (
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// A party that sees an undo before the refusal that led to it waits for more undos; the refused step's service, which knew of no abort,
// has nothing to undo and sends none. The refusal itself, coming late, is the answer.
func TestAPartyThatLearnsOfARefusalLast(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("two-services",
		undoable("first").UndoneByFailure().Service("one"),
		undoable("second").UndoneByFailure().Service("two"))
	for _, service := range []string{"", "one"} {
		party, err := saga.Choreograph(def, service)
		if err != nil {
			t.Fatal(err)
		}
		now := time.UnixMilli(1_000_000).UTC()
		var s saga.State
		reply := func(node string, d saga.Direction, event any) saga.Reply {
			return saga.Reply{Node: node, Direction: d, Event: event}
		}
		for _, in := range []saga.Input{
			saga.Start{ID: "s", Data: data{}},
			reply("first", saga.DoDirection, done{}),
			reply("first", saga.UndoDirection, refused{Why: "undone"}), // its service has seen the refusal of the second
			reply("second", saga.DoDirection, refused{Why: "no"}),
		} {
			next, _, err := saga.Decide(party, s, in, now)
			if err != nil {
				t.Fatalf("%+v: %v", in, err)
			}
			s = next
		}
		if s.Status != saga.Compensated {
			t.Errorf("service %q: it is %s: %+v", service, s.Status, saga.View(party, s))
		}
	}
}
