package saga_test

import (
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

// BenchmarkFanOut is one reply to one item's step, with as many items as its name says and the records that it needs.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := drive(b, fan("rooms", undoable("book")), bare("pay").Pivot())
			d.once = true
			d.start(items(n, "rooms"))
			d.pass(0)
			last := fmt.Sprintf("rooms[%d]", n-1)
			s := d.load([]string{last})
			in := saga.Reply{Node: last + "/book", Direction: saga.DoDirection, Outcome: saga.Success, Event: done{Ref: "R7"}}
			if n == 1 {
				s.Root.Data = d.records[""].Data // the last item's success goes on to the next step
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				if _, _, err := saga.Decide(d.def, s, in, epoch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
