package sim

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// input takes something in as a coordinator does: decide, commit, publish, acknowledge. It may crash before each of the last three.
func (r *run) input(name string, in saga.Input) error {
	again := func() error { return r.input(name, in) }
	if r.now < r.down {
		r.after(r.down-r.now, again)
		return nil
	}
	crash, h := r.strike(r.nth("take "+name), Crashes)
	moment := h % 3
	before, next, effects, err := r.decide(in)
	if errors.Is(err, saga.ErrEarly) {
		r.after(time.Second<<min(r.counts["take "+name], 16), again)
		return nil
	}
	if err != nil {
		return r.rejected(in, err)
	}
	if crash == "" {
		return r.take(in, before, next, effects, true)
	}
	r.reached[reachedCrash] = true
	r.down = r.now + []time.Duration{200 * time.Millisecond, 10 * time.Second, 5 * time.Minute}[h/3%3]
	if moment == 0 {
		r.tellInput(in, true)
		r.tell("the coordinator crashes before it commits what comes of this")
		r.after(r.down-r.now, again)
		return nil
	}
	if err := r.take(in, before, next, effects, moment == 2); err != nil {
		return err
	}
	r.tell("%s", []string{
		1: "the coordinator crashes before it publishes this",
		2: "the coordinator crashes after it published this, before it acknowledges what it took",
	}[moment])
	r.after(r.down-r.now, func() error {
		r.tell("the coordinator is back, publishes what it had committed, and takes again what it had not acknowledged")
		r.publish(effects)
		return r.input(name, in)
	})
	return nil
}

// take commits a transition and has it judged.
func (r *run) take(in saga.Input, before, next saga.State, effects []saga.Effect, publish bool) error {
	changes := next.Version > before.Version
	r.tellInput(in, changes)
	r.audit.now = r.clock()
	r.audit.hear(in, changes)
	if err := r.commit(in, before, next, effects); err != nil {
		return err
	}
	if publish {
		r.publish(effects)
	}
	return nil
}

// rejected judges an input that could not be decided.
func (r *run) rejected(in saga.Input, err error) error {
	var v *violation
	_, isAct := in.(saga.Act)
	_, isSignal := in.(saga.Signal)
	switch {
	case errors.As(err, &v):
		r.tellInput(in, true)
		return err
	case isAct && (errors.Is(err, saga.ErrNotAllowed) || errors.Is(err, saga.ErrConflict)),
		isSignal && errors.Is(err, saga.ErrNotFound): // for an item that is not there
		return nil
	case errors.Is(err, saga.ErrData):
		r.tellInput(in, true)
		return breaks(Data, "%v", err)
	default:
		r.tellInput(in, true)
		return breaks(Reply, "%s cannot be taken: %v", inputText(in), err)
	}
}

// decide decides as a store would have it: with no more records than were asked for.
func (r *run) decide(in saga.Input) (before, next saga.State, effects []saga.Effect, err error) {
	var keys []string
	if r.now < r.paused {
		in = saga.Hold{Input: in}
	}
	for {
		s := r.load(keys)
		next, effects, err := r.x.Decide(r.x.Definition, s, in, r.clock())
		if need, ok := errors.AsType[*saga.NeedError](err); ok {
			if err := r.needed(need.Keys, keys); err != nil {
				return s, s, nil, err
			}
			keys = append(keys, need.Keys...)
			continue
		}
		if err != nil {
			return s, next, nil, err
		}
		return s, next, effects, r.decideAgain(s, in, next, effects)
	}
}

// needed checks what is asked for: records that exist and were not given.
func (r *run) needed(wanted, given []string) error {
	if len(wanted) == 0 {
		return breaks(Transition, "records are needed, but none is named")
	}
	for _, key := range wanted {
		if _, exists := r.records[key]; !exists || slices.Contains(given, key) {
			return breaks(Transition, "record %q is needed, which does not exist or was given", key)
		}
	}
	return nil
}

// load reads the instance: its header and root record without its data, and what else was asked for.
func (r *run) load(keys []string) saga.State {
	s := r.header
	s.Root = r.records[""]
	s.Root.Data = nil
	for _, key := range keys {
		if key == "" {
			s.Root.Data = r.records[""].Data
			continue
		}
		if s.Items == nil {
			s.Items = map[string]saga.Record{}
		}
		s.Items[key] = r.records[key]
	}
	return s
}

// whole is the instance with all its records.
func (r *run) whole() saga.State { return r.load(slices.Sorted(maps.Keys(r.records))) }

// decideAgain finds functions that depend on more than what they are given: the same transition, decided a second time, must be the same.
func (r *run) decideAgain(s saga.State, in saga.Input, next saga.State, effects []saga.Effect) error {
	again, effectsAgain, err := r.x.Decide(r.x.Definition, s, in, r.clock())
	if err != nil {
		return breaks(Purity, "%s is decided once, and gives an error the second time: %v", inputText(in), err)
	}
	for i := range min(len(effects), len(effectsAgain)) {
		one, isSend := effects[i].(saga.Send)
		two, isSendAgain := effectsAgain[i].(saga.Send)
		if isSend && isSendAgain && !reflect.DeepEqual(one, two) {
			return breaks(Purity, "from the same data the command to %s %s is made as %s, and then as %s: %s",
				one.Direction, one.Node, show(one.Command), show(two.Command), impure)
		}
	}
	if !reflect.DeepEqual(effects, effectsAgain) || !reflect.DeepEqual(next, again) && !reflect.DeepEqual(r.legible(next), r.legible(again)) {
		return breaks(Purity, "from the same state and input %s leads to one thing, and then to another%s: %s",
			inputText(in), whereDifferent(r.legible(next), r.legible(again)), impure)
	}
	return nil
}

const impure = "a function of the definition depends on more than its arguments, such as a clock, a counter or the order of a map"

// legible is the state with its data as JSON: a codec may write the same data in many ways.
func (r *run) legible(s saga.State) saga.State {
	read := func(record saga.Record) saga.Record {
		if data, err := saga.DataJSON(r.x.Definition, record); err == nil && record.Data != nil {
			record.Data = data
		}
		record.Nodes = slices.Clone(record.Nodes)
		for i := range record.Nodes {
			record.Nodes[i].Signal = nil
		}
		return record
	}
	s.Root, s.Items = read(s.Root), maps.Clone(s.Items)
	for key, record := range s.Items {
		s.Items[key] = read(record)
	}
	return s
}

// whereDifferent names a record whose data differs.
func whereDifferent(a, b saga.State) string {
	if !bytes.Equal(a.Root.Data, b.Root.Data) {
		return fmt.Sprintf(" (data %s, then %s)", a.Root.Data, b.Root.Data)
	}
	for _, key := range slices.Sorted(maps.Keys(a.Items)) {
		if one, two := a.Items[key].Data, b.Items[key].Data; !bytes.Equal(one, two) {
			return fmt.Sprintf(" (data of %s: %s, then %s)", key, cmp.Or(string(one), "none"), cmp.Or(string(two), "none"))
		}
	}
	return ""
}

// commit stores what was decided and has it judged.
func (r *run) commit(in saga.Input, before, after saga.State, effects []saga.Effect) error {
	if after.Version == before.Version {
		if len(effects) > 0 || !reflect.DeepEqual(before, after) {
			return breaks(Transition, "%s changes the instance, but not its version", inputText(in))
		}
		return nil
	}
	if after.Version != before.Version+1 {
		return breaks(Transition, "version %d follows version %d", after.Version, before.Version)
	}
	for _, record := range saga.Changed(before, after) {
		if record.Data == nil {
			record.Data = r.records[record.Key].Data
		}
		r.records[record.Key] = record
	}
	r.header = after
	r.header.Root, r.header.Items = saga.Record{}, nil
	r.notice(after, effects)
	r.remember(in, before, after)
	if err := r.audit.see(before, after, effects); err != nil {
		return err
	}
	if err := r.stuckAddUp(after); err != nil {
		return err
	}
	if err := r.judgeUndos(effects); err != nil {
		return err
	}
	for _, judge := range r.world.Always {
		if err := yours("Always", func() error { return judge(r.whole()) }); err != nil {
			return err
		}
	}
	r.operators(after)
	return nil
}

// notice tells the transition, and has operators look after what it parked.
func (r *run) notice(after saga.State, effects []saga.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case saga.Send:
			again := ""
			if e.Attempt > 1 {
				again = attemptMark + strconv.Itoa(e.Attempt)
			}
			r.tell("→ %s %s: %s%s", e.Direction, e.Node, r.show(e.Command), again)
		case saga.Log:
			r.noticeLog(e, after)
		case saga.Expect:
			r.expected[e.Node] = e.Key
		}
	}
}

func (r *run) noticeLog(l saga.Log, after saga.State) {
	switch l.Kind {
	case saga.LogTimedOut:
		if l.Direction == saga.DoDirection {
			r.reached[reachedUnknown] = true
		}
		r.tell("%s: %s", l.Node, cmp.Or(l.Detail, "given up"))
	case saga.LogAborted:
		r.tell("the saga is aborted: %s", l.Detail)
	case saga.LogCompleted, saga.LogCompensated:
		r.tell("the saga is %s", l.Kind)
	case saga.LogChosen:
		r.tell("%s chooses %s", l.Node, l.Detail)
	case saga.LogTolerated:
		r.tell("%s has failed, which is tolerated", l.Node)
	case saga.LogHeld:
		r.tell("%s %s is held back, as the definition is paused", l.Direction, l.Node)
	case saga.LogFannedOut:
		if st := r.node(after, l.Node); st.Fan != nil {
			r.audit.fans[l.Node] = st.Fan.Total
			r.signalItemsEarly(l.Node, st.Fan.Total)
		}
	case saga.LogWaiting:
		r.tell("%s waits %s", l.Node, l.Detail)
		if of, _ := r.x.tree.site(l.Node); of.Kind == saga.KindWait {
			r.signal(of.spot, l.Node)
		}
	case saga.LogParked:
		r.reached[reachedParked] = true
		r.tell("%s waits for an operator: %s", l.Node, l.Detail)
		r.repair(l.Node)
	default:
	}
}

// node is the state of the node at the path.
func (r *run) node(s saga.State, path string) saga.NodeState {
	for _, v := range saga.View(r.x.Definition, s) {
		if v.Path == path {
			return v.State
		}
	}
	return saga.NodeState{}
}

// stuckAddUp checks the header's count of stuck nodes.
func (r *run) stuckAddUp(after saga.State) error {
	if after.Status.Terminal() {
		return nil
	}
	stuck := 0
	for _, record := range r.records {
		for _, n := range record.Nodes {
			if n.Stuck {
				stuck++
			}
		}
	}
	if stuck != after.Stuck || stuck > 0 != (after.Status == saga.Parked) {
		return breaks("R6", "%d nodes wait for an operator, but the %s instance counts %d", stuck, after.Status, after.Stuck)
	}
	return nil
}
