package inbox

import (
	"testing"

	"github.com/alpespartners/alpespartners/messaging"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	entry := func(epoch int, o messaging.Outcome) *Entry { return &Entry{Epoch: epoch, Outcome: o} }
	for _, c := range []struct {
		name      string
		direction messaging.Direction
		epoch     int
		do, undo  *Entry
		want      Verdict
	}{
		{"do that is new", messaging.Do, 0, nil, nil, Run},
		{"do that is new, in a later epoch", messaging.Do, 3, nil, nil, Run},
		{"do again after success", messaging.Do, 0, entry(0, messaging.Success), nil, Repeat},
		{"do again after failure", messaging.Do, 0, entry(0, messaging.Failure), nil, Repeat},
		{"older do after a newer success", messaging.Do, 0, entry(1, messaging.Success), nil, Repeat},
		{"older do after a newer failure", messaging.Do, 0, entry(1, messaging.Failure), nil, Repeat},
		{"newer do after failure", messaging.Do, 1, entry(0, messaging.Failure), nil, Run},
		{"newer do after success", messaging.Do, 1, entry(0, messaging.Success), nil, Renew},
		{"do after a tombstone", messaging.Do, 0, entry(0, messaging.Nothing), entry(0, messaging.Nothing), Ignore},
		{"newer do after a tombstone", messaging.Do, 9, entry(0, messaging.Nothing), entry(0, messaging.Nothing), Ignore},
		{"do after a tombstone whose undo was forgotten", messaging.Do, 9, entry(0, messaging.Nothing), nil, Ignore},
		{"do after its undo", messaging.Do, 0, entry(0, messaging.Success), entry(0, messaging.Success), Ignore},
		{"newer do after its undo", messaging.Do, 1, entry(0, messaging.Success), entry(0, messaging.Success), Ignore},
		{"do after an undo that was refused", messaging.Do, 0, entry(0, messaging.Success), entry(0, messaging.Failure), Ignore},

		{"undo of a do that never came", messaging.Undo, 0, nil, nil, Bar},
		{"undo of a do that was refused", messaging.Undo, 0, entry(0, messaging.Failure), nil, Bar},
		{"undo of a do that took effect", messaging.Undo, 0, entry(0, messaging.Success), nil, Run},
		{"undo of a do that took effect in a later epoch", messaging.Undo, 0, entry(4, messaging.Success), nil, Run},
		{"undo of a tombstone whose undo was forgotten", messaging.Undo, 0, entry(0, messaging.Nothing), nil, Bar},
		{"undo again", messaging.Undo, 0, entry(0, messaging.Success), entry(0, messaging.Success), Repeat},
		{"undo again after it barred", messaging.Undo, 0, entry(0, messaging.Nothing), entry(0, messaging.Nothing), Repeat},
		{"newer undo", messaging.Undo, 1, entry(0, messaging.Success), entry(0, messaging.Success), Renew},
		{"newer undo after it barred", messaging.Undo, 1, entry(0, messaging.Nothing), entry(0, messaging.Nothing), Renew},
		{"undo again after it was refused", messaging.Undo, 0, entry(0, messaging.Success), entry(0, messaging.Failure), Repeat},
		{"newer undo after it was refused", messaging.Undo, 1, entry(0, messaging.Success), entry(0, messaging.Failure), Run},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			command := messaging.Correlation{Saga: "s", Node: "n", Direction: c.direction, Epoch: c.epoch}
			if got := Decide(command, c.do, c.undo); got != c.want {
				t.Errorf("Decide returned %v, want %v", got, c.want)
			}
		})
	}
}

func TestKeysOfDifferentCommandsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]messaging.Correlation{}
	for _, c := range []messaging.Correlation{
		{Saga: "a", Node: "b/c"}, {Saga: "a/b", Node: "c"}, {Saga: "a%2Fb", Node: "c"}, {Saga: "a", Node: "b"},
	} {
		for _, d := range []messaging.Direction{messaging.Do, messaging.Undo} {
			if other, twice := seen[key(c, d)]; twice {
				t.Errorf("%v and %v share a key", c, other)
			}
			seen[key(c, d)] = c
		}
	}
}
