package saga_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// nod is the signal that every wait of these tests waits for.
type nod struct{ By string }

// wait is a wait that notes who nodded.
func wait(name string, parts ...saga.Part[data]) *saga.WaitNode[data] {
	return saga.Wait(name, func(d *data, s nod) { d.note(name, s.By) }, parts...)
}

// sleep is a sleep of always the same length.
func sleep(name string, length time.Duration) *saga.SleepNode[data] {
	return saga.Sleep(name, func(data) time.Duration { return length })
}

// choice is an If whose condition is what the data says under its name.
func choice(name string, nodes ...saga.Node[data]) *saga.IfNode[data] {
	return saga.If(name, func(d data) bool { return d.Yes[name] }, nodes...)
}

// branch is a sequence, as a branch of a parallel mostly is.
func branch(name string, nodes ...saga.Node[data]) *saga.SequenceNode[data] {
	return saga.Sequence(name, nodes...)
}

// yes is data with which the named conditions hold.
func yes(conditions ...string) data {
	d := data{Yes: map[string]bool{}}
	for _, c := range conditions {
		d.Yes[c] = true
	}
	return d
}

func (d *data) note(name, ref string) {
	if d.Refs == nil {
		d.Refs = map[string]string{}
	}
	d.Refs[name] = ref
}

// signal gives the wait its signal.
func (d *driver) signal(node string) []string {
	d.Helper()
	return d.do(saga.Signal{Node: node, Event: nod{By: "ana"}})
}

// logs applies the input and returns the kinds of what was logged.
func (d *driver) logs(in saga.Input) []saga.LogKind {
	d.Helper()
	effects, err := d.apply(in)
	if err != nil {
		d.Fatalf("%#v: %v", in, err)
	}
	kinds := []saga.LogKind{}
	for _, e := range effects {
		if l, ok := e.(saga.Log); ok {
			kinds = append(kinds, l.Kind)
		}
	}
	return kinds
}

// countsAddUp checks the counts of every fan-out against its items' records, as no transition looks at all of them (R9).
func (w *world) countsAddUp() error {
	if len(w.records) > 60 {
		return nil
	}
	for _, v := range saga.View(w.def, w.whole()) {
		f := v.State.Fan
		if f == nil {
			continue
		}
		if f.Resting < 0 || f.Resting > f.Active || f.Active > f.Started || f.Started > f.Created || f.Created > f.Total ||
			f.Failed < 0 || f.Failed > f.Started || f.Undoing < 0 || f.Undoing > f.Reversing || f.Reversing > f.Started {
			return fmt.Errorf("R9: the counts of %s are impossible: %+v", v.Path, *f)
		}
		if err := w.fanAddsUp(v.Path, v.State); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) fanAddsUp(path string, st saga.NodeState) error {
	phases := map[saga.Phase]int{}
	told, rests := 0, 0
	for i := range st.Fan.Created {
		key := fmt.Sprintf("%s[%d]", path, i)
		own := w.records[key].Nodes[0]
		phases[own.Phase]++
		if i < st.Fan.Reversing && own.Phase == saga.PhaseUndoing {
			told++
		}
		if own.Resting {
			rests++
		}
		if own.Phase == saga.PhaseDoing && !w.header.Pivoted && !saga.CoordinationOf(w.def).Choreographed && !w.unwinds(key) && own.Resting == w.inFlight(key) {
			return fmt.Errorf("R9: %s rests: %t, although in flight: %t", key, own.Resting, w.inFlight(key))
		}
	}
	f := st.Fan
	switch st.Phase {
	case saga.PhaseUndoing, saga.PhaseUndone:
		if f.Undoing != told || f.Alone != phases[saga.PhaseUndoing]-told {
			return fmt.Errorf("R9: %s counts %+v, and there are %d items that are being undone, %d of them by its word", path, *f, phases[saga.PhaseUndoing], told)
		}
	case saga.PhaseDoing, saga.PhaseDone:
		failed := phases[saga.PhaseRefused] + phases[saga.PhaseUndoing] + phases[saga.PhaseUndone]
		if f.Active != phases[saga.PhaseDoing]+phases[saga.PhaseUndoing] || f.Failed != failed || f.Resting != rests {
			return fmt.Errorf("R9: %s counts %+v, its items are %v, and %d rest", path, *f, phases, rests)
		}
	default:
	}
	return nil
}

// unwinds reports whether what the item lies in is compensated.
func (w *world) unwinds(key string) bool {
	if w.header.Reversing {
		return true
	}
	for r, record := range w.records {
		if r != "" && strings.HasPrefix(key, r+"/") && record.Nodes[0].Phase != saga.PhaseDoing {
			return true
		}
	}
	return false
}

// inFlight reports whether a command of the item, or of an item within it, is in flight, or a page is due.
func (w *world) inFlight(key string) bool {
	for r, record := range w.records {
		if r != key && !strings.HasPrefix(r, key+"/") || record.Nodes[0].Phase != saga.PhaseDoing || w.unwinds(r) {
			continue // what is compensated does not matter to the outcome
		}
		for _, v := range saga.View(w.def, saga.State{Items: map[string]saga.Record{r: record}}) {
			switch {
			case v.Kind == saga.KindStep && v.State.Phase == saga.PhaseDoing && !v.State.Stuck,
				v.Kind == saga.KindForEach && v.State.Phase == saga.PhaseDoing && v.State.Due != 0:
				return true
			}
		}
	}
	return false
}
