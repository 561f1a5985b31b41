package sim

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alpespartners/alpespartners/saga"
)

// remember keeps the data around a step's success, from which its undo is judged.
func (r *run) remember(in saga.Input, before, after saga.State) {
	reply, ok := in.(saga.Reply)
	if !ok || reply.Direction != saga.DoDirection {
		return
	}
	f, key := r.audit.of(reply.Node), recordOf(reply.Node)
	if f != nil && f.event == nil && f.Undo != "" && reflect.TypeOf(reply.Event) == f.success && dataOf(before, key) != nil {
		f.event, f.dataBefore, f.dataAfter = reply.Event, dataOf(before, key), dataOf(after, key)
	}
}

// judgeUndos judges what the undos among the effects say: each must name what its command made, as far as the definition
// would have it named. The answer to the command brings it, or else an undo must wait for that ([saga.StepNode.UndoNeedsReply]);
// and what later steps do to the data must leave it there.
func (r *run) judgeUndos(effects []saga.Effect) error {
	if slices.Contains(r.x.Allowed, Undo) {
		return nil
	}
	for _, e := range effects {
		c, ok := e.(saga.Send)
		if !ok || c.Direction != saga.UndoDirection {
			continue
		}
		f := r.audit.of(c.Node)
		if f.judged {
			continue
		}
		f.judged = true
		judge := r.judgeBlind
		if f.event != nil {
			judge = r.judgeNamed
		}
		if err := judge(f, c); err != nil {
			return err
		}
	}
	return nil
}

// judgeBlind judges an undo that was made without the reply, although the command took effect.
func (r *run) judgeBlind(f *fact, c saga.Send) error {
	p := r.parties[f.path]
	if p == nil || p.applied == 0 {
		return nil
	}
	event := p.sides[saga.DoDirection].event
	data := r.dataWith(f.path, event)
	informed := r.undoFrom(f.path, data)
	if informed == nil {
		return nil
	}
	field := differs(reflect.ValueOf(c.Command), reflect.ValueOf(informed))
	if field == "" {
		return nil
	}
	return breaks(Undo, "%s took effect, but its reply did not come, and its undo is %s; with the reply it would be %s: "+
		"say UndoNeedsReply, or make %s from what the command named", f.path, show(c.Command), show(informed), field)
}

// judgeNamed judges an undo that was made after the reply had come.
func (r *run) judgeNamed(f *fact, c saga.Send) error {
	before, after := r.undoFrom(f.path, f.dataBefore), r.undoFrom(f.path, f.dataAfter)
	if before == nil || after == nil {
		return nil
	}
	was, is, brought := reflect.ValueOf(c.Command), reflect.ValueOf(after), reflect.ValueOf(before)
	if was.Type() != is.Type() {
		return nil
	}
	for _, index := range reflect.VisibleFields(is.Type()) {
		if !index.IsExported() || index.Anonymous {
			continue
		}
		b, a, u := brought.FieldByIndex(index.Index), is.FieldByIndex(index.Index), was.FieldByIndex(index.Index)
		if !same(b, a) && !same(a, u) {
			return breaks(Undo, "when %s had succeeded, its undo was %s; by now it is %s: a later step has overwritten what %s is made from",
				f.path, show(after), show(c.Command), index.Name)
		}
	}
	return nil
}

// differs names a field in which two values of one struct type differ.
func differs(a, b reflect.Value) string {
	if a.Type() != b.Type() {
		return ""
	}
	for _, f := range reflect.VisibleFields(a.Type()) {
		if f.IsExported() && !f.Anonymous && !same(a.FieldByIndex(f.Index), b.FieldByIndex(f.Index)) {
			return f.Name
		}
	}
	return ""
}

func same(a, b reflect.Value) bool { return reflect.DeepEqual(a.Interface(), b.Interface()) }

// undoFrom is the step's undo as the definition makes it from the data; nil where it makes none.
func (r *run) undoFrom(path string, data []byte) any {
	s := r.imagine(path, data, saga.NodeState{Phase: saga.PhaseUndoing, Again: true, Due: 1})
	_, effects := r.decideImagined(s, saga.Tick{Record: recordOf(path)})
	for _, e := range effects {
		if c, ok := e.(saga.Send); ok && c.Node == path && c.Direction == saga.UndoDirection {
			return c.Command
		}
	}
	return nil
}

// dataWith is the data of the step's record after its success with the event.
func (r *run) dataWith(path string, event any) []byte {
	key := recordOf(path)
	s := r.imagine(path, r.records[key].Data, saga.NodeState{Phase: saga.PhaseDoing})
	next, _ := r.decideImagined(s, saga.Reply{Node: path, Direction: saga.DoDirection, Outcome: saga.Success, Event: event})
	return dataOf(next, key)
}

// imagine is the instance as it would be if the step stood elsewhere and its record had other data.
func (r *run) imagine(path string, data []byte, node saga.NodeState) saga.State {
	key := recordOf(path)
	s := r.load([]string{key})
	s.Status, s.Reversing = saga.Compensating, true
	record := r.records[key]
	record.Data, record.Nodes = data, slices.Clone(record.Nodes)
	for i := range record.Nodes {
		record.Nodes[i].Due = 0
	}
	record.Nodes[r.placeOf(path)] = node
	if key == "" {
		s.Root = record
		return s
	}
	record.Nodes[0].Phase = saga.PhaseUndoing
	s.Items[key] = record
	return s
}

// decideImagined decides about an instance that is not there. What a function of the definition makes of it is no finding.
func (r *run) decideImagined(s saga.State, in saga.Input) (next saga.State, effects []saga.Effect) {
	next = s
	for {
		var err error
		if guard("", func() { next, effects, err = saga.Decide(r.x.Definition, s, in, r.clock()) }) != nil {
			return s, nil
		}
		need, more := errors.AsType[*saga.NeedError](err)
		if !more {
			return next, effects
		}
		given := r.load(need.Keys)
		s.Items = maps.Clone(s.Items)
		if s.Items == nil {
			s.Items = map[string]saga.Record{}
		}
		maps.Copy(s.Items, given.Items)
		if slices.Contains(need.Keys, "") {
			s.Root.Data = given.Root.Data
		}
	}
}

// placeOf is where the state of the step stands among its record's nodes, which only [saga.View] knows.
func (r *run) placeOf(path string) int {
	of, _ := r.x.tree.site(path)
	if place, known := r.x.tree.places[of.Path]; known {
		return place
	}
	const mark = -1
	key := recordOf(path)
	for i := range r.records[key].Nodes {
		s := r.load([]string{key})
		record := r.records[key]
		record.Nodes = make([]saga.NodeState, len(record.Nodes))
		record.Nodes[i].Attempt = mark
		if key == "" {
			s.Root = record
		} else {
			s.Items[key] = record
		}
		for _, v := range saga.View(r.x.Definition, s) {
			if v.Path == path && v.State.Attempt == mark {
				r.x.tree.places[of.Path] = i
				return i
			}
		}
	}
	return 0
}

// recordOf is the key of the record that the node at the path lies in.
func recordOf(path string) string { return path[:strings.LastIndexByte(path, ']')+1] }

// dataOf is the data of the record with the key.
func dataOf(s saga.State, key string) []byte {
	if key == "" {
		return s.Root.Data
	}
	return s.Items[key].Data
}
