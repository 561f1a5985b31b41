package saga_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// reactionTexts writes reactions as "do hotel after flight on done".
func reactionTexts(t *testing.T, def saga.Any, service string) []string {
	t.Helper()
	reactions, err := saga.Reactions(def, service)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, len(reactions))
	for i, r := range reactions {
		texts[i] = strings.ReplaceAll(fmt.Sprintf("%s %s: %s after %v on %v", r.Direction, r.Node, r.Command, r.After, r.On), "saga_test.", "")
	}
	return texts
}

// R1, R4: the reactions of a service are what the definition makes it do, with what it waits for.
func TestReactions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		nodes   []saga.Node[data]
		service string
		want    []string
	}{
		"a trip, the airline": {tripOfThree(), "air", []string{
			"do flight: doIt after [] on []",
			"do seat: doIt after [hotel] on [done]",
			"undo flight: undoIt after [hotel] on [refused undone]",
			"undo seat: undoIt after [] on [refused]",
		}},
		"a trip, the inn": {tripOfThree(), "inn", []string{
			"do hotel: doIt after [flight] on [done]",
			"do mail: doIt after [pay] on [done]",
			"undo hotel: undoIt after [seat] on [refused undone]",
		}},
		"a trip, the bank":    {tripOfThree(), "bank", []string{"do pay: doIt after [seat] on [done]"}},
		"a trip, the watcher": {tripOfThree(), "", []string{}},
		"branches and a join": {
			[]saga.Node[data]{by("air", "a"), saga.Parallel("all", branch("x", by("inn", "x1"), by("air", "x2")), by("inn", "y")), by("air", "z")}, "air",
			[]string{
				"do a: doIt after [] on []",
				"do all/x/x2: doIt after [all/x/x1] on [done]",
				"do z: doIt after [all/x/x2 all/y] on [done]",
				"undo a: undoIt after [all/x/x1 all/y] on [refused undone]",
				"undo all/x/x2: undoIt after [z] on [refused undone]",
				"undo z: undoIt after [] on []",
			},
		},
		"a choice without an else may be passed by": {
			[]saga.Node[data]{by("air", "a"), choice("i", by("inn", "b"), by("inn", "c")), by("air", "z")}, "air",
			[]string{
				"do a: doIt after [] on []",
				"do z: doIt after [i/then/c a] on [done]",
				"undo a: undoIt after [i/then/b z] on [refused undone]",
				"undo z: undoIt after [] on []",
			},
		},
		"a choice with an else may not": {
			[]saga.Node[data]{by("air", "a"), choice("i", by("inn", "b")).Else(by("inn", "c")), by("air", "z")}, "air",
			[]string{
				"do a: doIt after [] on []",
				"do z: doIt after [i/then/b i/else/c] on [done]",
				"undo a: undoIt after [i/then/b i/else/c] on [refused undone]",
				"undo z: undoIt after [] on []",
			},
		},
		"items, waits and sleeps": {
			[]saga.Node[data]{by("air", "a"), wait("w"), fan("rooms", sleep("s", time.Hour), by("inn", "b"), fan("beds", by("inn", "c"))), by("air", "z")}, "inn",
			[]string{
				"do rooms/b: doIt after [a] on [done]",
				"do rooms/beds/c: doIt after [rooms/b] on [done]",
				"undo rooms/b: undoIt after [rooms/beds/c] on [refused undone]",
				"undo rooms/beds/c: undoIt after [z] on [refused undone]",
			},
		},
		"a step with nothing to undo is passed on the way back": {
			[]saga.Node[data]{
				by("air", "a"), bare("look").NothingToUndo().Service("inn"), saga.Parallel("all", undoable("b").UndoneByFailure().Service("inn"), by("inn", "c")),
				bare("pay").Service("bank").Pivot(), bare("mail").Retriable().Service("air"),
			}, "air",
			[]string{
				"do a: doIt after [] on []",
				"do mail: doIt after [pay] on [done]",
				"undo a: undoIt after [all/b all/c] on [refused undone]",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def := saga.MustDefine("trip", test.nodes...)
			equal(t, "reactions", strings.Join(reactionTexts(t, def, test.service), "\n"), strings.Join(test.want, "\n"))
			part, err := saga.Choreograph(def, test.service)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "reactions of the party", reactionTexts(t, part, test.service), reactionTexts(t, def, test.service))
		})
	}
}
