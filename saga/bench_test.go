package saga_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/alpespartners/alpespartners/saga"
)

// BenchmarkDecide is the whole success path of a saga with three steps: four transitions.
func BenchmarkDecide(b *testing.B) {
	def := saga.MustDefine("trip", undoable("flight"), undoable("hotel"), bare("pay").Pivot())
	inputs := []saga.Input{
		saga.Start{ID: "s1", Key: "k1", Data: data{}},
		saga.Reply{Node: "flight", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "F7"}},
		saga.Reply{Node: "hotel", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "H7"}},
		saga.Reply{Node: "pay", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "P7"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		var s saga.State
		for _, in := range inputs {
			next, _, err := saga.Decide(def, s, in, epoch)
			if err != nil {
				b.Fatal(err)
			}
			s = next
		}
		if s.Status != saga.Completed {
			b.Fatal(s.Status)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(inputs)), "ns/transition")
}

// BenchmarkFanOut is a reply to a step of one item in the middle of a fan-out, with as many items as its name says: in a plain one, in
// one beside a branch, and in one within an item. It loads what Decide asks for, as a coordinator does. The records loaded and written do not
// depend on the number of items, and the time should not.
func BenchmarkFanOut(b *testing.B) {
	for _, shape := range []struct {
		name, item string
		nodes      []saga.Node[data]
	}{
		{"plain", "rooms[%d]", []saga.Node[data]{fan("rooms", undoable("book"), undoable("clean")), bare("pay").Pivot()}},
		{"parallel", "all/rooms[%d]", []saga.Node[data]{
			saga.Parallel("all", fan("rooms", undoable("book"), undoable("clean")).Tolerate(1), undoable("car")), bare("pay").Pivot(),
		}},
		{"nested", "rooms[%d]/beds[%[1]d]", []saga.Node[data]{
			fan("rooms", fan("beds", undoable("book"), undoable("clean")), undoable("lock")), bare("pay").Pivot(),
		}},
	} {
		for _, n := range []int{1, 100, 10_000} {
			b.Run(fmt.Sprintf("%s/%d", shape.name, n), func(b *testing.B) {
				d := drive(b, shape.nodes...)
				d.once = true
				root := items(n, "rooms")
				if shape.name == "nested" {
					root.Items["rooms"][n/2].Items = items(n, "beds").Items
				}
				d.start(root)
				d.pass(0)
				in := saga.Reply{Node: fmt.Sprintf(shape.item, n/2) + "/book", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "R7"}}
				_, _, err := saga.Decide(d.def, d.load(nil), in, epoch)
				need, ok := errors.AsType[*saga.NeedError](err)
				if !ok {
					b.Fatal(err)
				}
				keys := need.Keys
				if len(keys) == 1 && shape.name == "nested" { // the item's own comes after that of what contains it
					_, _, err := saga.Decide(d.def, d.load(keys), in, epoch)
					if need, ok := errors.AsType[*saga.NeedError](err); ok {
						keys = append(keys, need.Keys...)
					}
				}
				s, changed := d.load(keys), 0
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					next, _, err := saga.Decide(d.def, s, in, epoch)
					if err != nil {
						b.Fatal(err)
					}
					changed = len(saga.Changed(s, next))
				}
				b.ReportMetric(float64(len(keys)), "loaded/op")
				b.ReportMetric(float64(changed), "changed/op")
			})
		}
	}
}
