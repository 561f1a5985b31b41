package saga_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/internal/legible"
	"github.com/alpespartners/alpespartners/saga"
)

// foul is text from outside that not every database can keep.
func foul() string { return "no stock\x00of \xff this" + strings.Repeat("!", 5000) }

// fouls are the texts within v that not every database can keep.
func fouls(v reflect.Value) []string {
	var found []string
	switch v.Kind() {
	case reflect.String:
		if !legible.Is(v.String()) || len(v.String()) > 1200 {
			found = append(found, v.String())
		}
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			return fouls(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, fouls(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Name != "Actions" { // whose texts are stored as JSON
				found = append(found, fouls(v.Field(i))...)
			}
		}
	}
	return found
}

// TestTextsFromOutsideAreLegible: whatever participants, panics and codecs say, every database can keep what is told of it.
func TestTextsFromOutsideAreLegible(t *testing.T) {
	t.Parallel()
	reply := func(node string, d saga.Direction, o saga.Outcome, event any) saga.Input {
		return saga.Reply{Node: node, Direction: d, Outcome: o, Event: event}
	}
	for name, ins := range map[string][]saga.Input{
		"refusal":     {reply("book", saga.DoDirection, saga.Failure, refused{Why: foul()})},
		"failed undo": {reply("book", saga.DoDirection, saga.Success, done{}), reply("pay", saga.DoDirection, saga.Failure, refused{}), reply("book", saga.UndoDirection, saga.Failure, rejected{Why: foul()})},
		"panic":       {reply("book", saga.DoDirection, saga.Success, done{}), reply("pay", saga.DoDirection, saga.Success, done{})},
	} {
		d := drive(t, undoable("book"), saga.Step("pay",
			saga.Do(func(data) doIt { return doIt{} }), saga.On(func(*data, done) { panic(errors.New(foul())) }),
			saga.OnFailure(func(*data, refused) {})).Pivot())
		d.start(data{})
		for _, in := range ins {
			effects, err := d.apply(in)
			if err != nil {
				t.Fatal(err)
			}
			if found := fouls(reflect.ValueOf([]any{effects, d.whole()})); len(found) > 0 {
				t.Errorf("%s: %q", name, found)
			}
		}
	}
	d := drive(t, bare("pay").Pivot())
	d.start(data{})
	parked, effects := saga.ParkOrphan(d.whole(), foul(), d.now)
	if found := fouls(reflect.ValueOf([]any{effects, parked})); len(found) > 0 {
		t.Errorf("orphan: %q", found)
	}
}

// R6: what an operator says is refused where not every database can keep it, with the field's name.
func TestR6ActionsAreLegible(t *testing.T) {
	t.Parallel()
	d := parked(t)
	good := saga.Act{ID: "a1", Action: saga.Retry, By: "ana", Why: "mail is back"}
	for field, spoil := range map[string]func(*saga.Act){
		"field id": func(a *saga.Act) { a.ID = "a\x00" }, "255": func(a *saga.Act) { a.ID = strings.Repeat("a", 256) },
		"field by": func(a *saga.Act) { a.By = "\xff" }, "field why": func(a *saga.Act) { a.Why = "a\x00" },
	} {
		act := good
		spoil(&act)
		if err := d.fails(act, saga.ErrNotAllowed); !strings.Contains(err.Error(), field) {
			t.Errorf("the error %q does not name the %s", err, field)
		}
	}
	good.ID = strings.Repeat("a", 255)
	d.do(good)
}

// TestKeysHaveOneBound: what a start may have as its key and id does not depend on the store.
func TestKeysHaveOneBound(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("k", saga.MaxKey)
	d := drive(t, bare("pay").Pivot())
	for what, in := range map[string]saga.Start{
		"key has 256 bytes": {ID: "s1", Key: longest + "k"}, "id has 65 bytes": {ID: saga.ID(strings.Repeat("i", 65))},
		"key \"k\\x00\"": {ID: "s1", Key: "k\x00"}, "key \"\\xff\"": {ID: "s1", Key: "\xff"}, "id \"\\x00\"": {ID: "\x00"},
	} {
		in.Data = data{}
		if err := d.fails(in, saga.ErrKey); !strings.Contains(err.Error(), what) {
			t.Errorf("the error %q does not say: %s", err, what)
		}
	}
	d.do(saga.Start{ID: saga.ID(strings.Repeat("i", 64)), Key: longest, Data: data{}})
	d.same(saga.Start{Key: longest + "k"}) // it is there
}
