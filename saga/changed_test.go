package saga_test

import (
	"reflect"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// TestChangedSeesEachField changes one field of a node at a time: what Changed overlooked would never be stored.
func TestChangedSeesEachField(t *testing.T) {
	t.Parallel()
	for field := range reflect.TypeFor[saga.NodeState]().Fields() {
		before, after := saga.State{Version: 1}, saga.State{Version: 2}
		before.Root.Nodes, after.Root.Nodes = make([]saga.NodeState, 2), make([]saga.NodeState, 2)
		if changed := saga.Changed(before, after); len(changed) > 0 {
			t.Fatalf("nothing changed: %+v", changed)
		}
		value := reflect.ValueOf(&after.Root.Nodes[1]).Elem().FieldByIndex(field.Index)
		switch value.Kind() {
		case reflect.String:
			value.SetString("x")
		case reflect.Int, reflect.Int64:
			value.SetInt(1)
		case reflect.Bool:
			value.SetBool(true)
		case reflect.Slice:
			value.Set(reflect.MakeSlice(value.Type(), 1, 1))
		case reflect.Pointer:
			value.Set(reflect.New(value.Type().Elem()))
		default:
			t.Fatalf("a node's field %s is a %s", field.Name, value.Kind())
		}
		if changed := saga.Changed(before, after); len(changed) != 1 {
			t.Errorf("%s changed: %+v", field.Name, changed)
		}
	}
}
