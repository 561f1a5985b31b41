package sim

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// The limits of a run, in things that happen: up to the first it goes as wrong as the seed says, after the second it will
// never end.
const (
	wild  = 2_000
	limit = 20_000
)

// hop is how long a message takes.
const hop = 5 * time.Millisecond

// What a run may have reached.
const (
	reachedParked  = "parked on the way"
	reachedUnknown = "with a step that was never answered"
	reachedCrash   = "with a crash"
)

// instance is the id of the one instance of a run.
const instance saga.ID = "s1"

// run is one schedule: an instance, the coordinator with its store, the participants, and the messages between them.
type run struct {
	*schedule
	x        *Explorer
	world    World
	now      time.Duration // since the beginning
	queue    []happening   // in the order of their times
	order    int
	events   int // so many have happened
	counts   map[string]int
	header   saga.State // the store: without records
	records  map[string]saga.Record
	down     time.Duration            // the coordinator is down until then
	paused   time.Duration            // the definition is paused until then
	snooze   map[string]time.Duration // the record is not ticked before then
	parties  map[string]*party
	expected map[string]string // the key of the event that the node at a path waits for
	audit    *audit
	story    *story
	reached  map[string]bool
	found    *violation
}

// happening is something that is going to happen.
type happening struct {
	at    time.Duration
	order int
	act   func() error
}

// run plays the schedule with the seed. only names the points at which anything may go otherwise than well; nil: wherever the seed says.
func (x *Explorer) run(seed uint64, only []string, tell bool) (*run, error) {
	world, err := x.world()
	if err != nil {
		return nil, err
	}
	r := &run{
		schedule: newSchedule(seed, x.Off, only), x: x, world: world, counts: map[string]int{}, records: map[string]saga.Record{},
		parties: map[string]*party{}, expected: map[string]string{}, snooze: map[string]time.Duration{}, audit: newAudit(x.tree),
		reached: map[string]bool{},
	}
	if tell {
		r.story = &story{}
	}
	if err := r.play(); err != nil && !errors.As(err, &r.found) {
		return nil, err
	}
	return r, nil
}

// after lets something happen in a while.
func (r *run) after(wait time.Duration, act func() error) {
	h := happening{at: r.now + wait, order: r.order, act: act}
	r.order++
	i, _ := slices.BinarySearchFunc(r.queue, h, func(a, b happening) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
	})
	r.queue = slices.Insert(r.queue, i, h)
}

// nth makes the name of a point that comes several times.
func (r *run) nth(point string) string {
	r.counts[point]++
	return point + " #" + strconv.Itoa(r.counts[point])
}

// play lets everything happen until the instance has ended and nothing is under way any more.
func (r *run) play() error {
	if err := r.begin(); err != nil {
		return err
	}
	for r.events < limit {
		if r.events++; r.events == wild {
			r.heal()
		}
		key, wake, wakes := r.nextWake()
		var err error
		switch {
		case len(r.queue) > 0 && (!wakes || r.queue[0].at <= wake):
			h := r.queue[0]
			r.queue = slices.Delete(r.queue, 0, 1)
			r.now = max(r.now, h.at)
			err = h.act()
		case wakes:
			r.now = max(r.now, wake)
			err = r.tick(key)
		case r.header.Status.Terminal():
			return r.end()
		default:
			return breaks(End, "nothing is under way any more, no record wants to wake, and the instance is %s", r.header.Status)
		}
		if err != nil {
			return err
		}
	}
	return breaks(End, "the instance does not come to its end: it is %s (%s)", r.header.Status, r.header.Reason)
}

// tick gives a record the tick that it wants, or lets it wait for it.
func (r *run) tick(key string) error {
	if fault, h := r.strike(r.nth("timer "+key), Delays); fault != "" {
		r.snooze[key] = r.now + []time.Duration{hop, time.Second, time.Hour}[h%3]
		return nil
	}
	return r.input("tick "+key, saga.Tick{Record: key})
}

// begin starts the instance.
func (r *run) begin() error {
	var data any
	if r.world.Start == nil {
		data = r.value(r.x.Data, "data")
	} else if err := guard("the Start function", func() { data = r.world.Start(r.source("start")) }); err != nil {
		return err
	}
	start := func() error { return r.input("start", saga.Start{ID: instance, Key: "key", Data: data}) }
	r.after(0, start)
	for _, s := range r.x.tree.waits {
		switch fansAround(s) {
		case 0:
			r.signalEarly(s.Path, hop)
		case 1: // perhaps before there are items, perhaps for one that there will not be
			r.signalEarly(r.x.tree.path(site{s, []int{0}}), hop)
		}
	}
	if fault, h := r.strike("start again", Duplicates); fault != "" {
		r.after([]time.Duration{hop, 20 * time.Millisecond, time.Hour}[h%3], start)
	}
	return nil
}

// heal ends all faults.
func (r *run) heal() {
	r.calm = true
	for _, p := range r.parties {
		p.mend()
	}
}

// nextWake returns the record that wants to wake first.
func (r *run) nextWake() (key string, at time.Duration, wakes bool) {
	if r.header.Status.Terminal() {
		return "", 0, false
	}
	for k, record := range r.records {
		if record.Wake.IsZero() {
			continue
		}
		if due := max(record.Wake.Sub(beginning()), r.snooze[k]); !wakes || due < at || due == at && k < key {
			key, at, wakes = k, due, true
		}
	}
	return key, max(at, r.down, r.paused), wakes
}

// beginning is when each schedule begins.
func beginning() time.Time { return time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) }

// clock is the time as the coordinator sees it.
func (r *run) clock() time.Time { return beginning().Add(r.now) }

// operators lets somebody cancel, retry without need or pause the definition, at once or later.
func (r *run) operators(after saga.State) {
	if after.Status.Terminal() {
		return
	}
	point := "operator v" + strconv.FormatInt(after.Version, 10)
	fault, h := r.strike(point, Operators)
	if fault == "" {
		return
	}
	wait := []time.Duration{0, time.Millisecond, 7 * time.Millisecond, 13 * time.Millisecond, 2 * time.Minute}[h/4%5]
	act := saga.Act{ID: point, Action: saga.Cancel, By: "ana", Why: "a test"}
	switch h % 4 {
	case 0:
		r.paused = r.now + []time.Duration{20 * time.Millisecond, time.Minute, 3 * time.Hour}[h/4%3]
		r.tell("the definition is paused for %s", r.paused-r.now)
		return
	case 1:
		act.Action = saga.Retry
	}
	r.after(wait, func() error {
		if act.Action == saga.Retry {
			act.Node = r.underWay(h / 20)
		}
		if act.Action == saga.Retry && act.Node == "" {
			return nil
		}
		return r.operate(act)
	})
}

// operate has an operator act, perhaps twice.
func (r *run) operate(act saga.Act) error {
	once := func() error { return r.input(string(act.Action)+" "+act.Node, act) }
	if fault, _ := r.strike("twice "+act.ID, Duplicates); fault != "" {
		r.after(hop, once)
	}
	return once()
}

// underWay picks a node that was sent and not answered.
func (r *run) underWay(h uint64) string {
	var paths []string
	for _, v := range saga.View(r.x.Definition, r.whole()) {
		if v.Class != "" && (v.State.Phase == saga.PhaseDoing || v.State.Phase == saga.PhaseUndoing) {
			paths = append(paths, v.Path)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return paths[h%uint64(len(paths))]
}

// repair has an operator mend the node's participant and retry: soon, or after a long time.
func (r *run) repair(path string) {
	point := r.nth("repair " + path)
	wait := time.Minute
	if fault, _ := r.strike(point, Delays); fault != "" {
		wait = 6 * time.Hour
	}
	r.after(wait, func() error {
		if p := r.parties[path]; p != nil {
			p.mend()
		}
		if of, _ := r.x.tree.site(path); of.spot != nil && of.Kind == saga.KindWait {
			r.send(of.spot, path, 2*hop)
		}
		return r.operate(saga.Act{ID: point, Action: saga.Retry, Node: path, By: "ben", Why: "mended"})
	})
}

// end judges a run that has come to its end.
func (r *run) end() error {
	for _, f := range r.audit.order {
		if p := r.parties[f.path]; p != nil {
			if err := r.audit.effect(f, p); err != nil {
				return err
			}
		}
	}
	if !r.records[""].Wake.IsZero() {
		return breaks(End, "the instance is %s, and still wants to wake", r.header.Status)
	}
	for _, judge := range r.world.Finally {
		if err := yours("Finally", func() error { return judge(r.whole()) }); err != nil {
			return err
		}
	}
	return nil
}

// yours calls a user's rule.
func yours(what string, judge func() error) error {
	var err error
	if panicked := guard(what, func() { err = judge() }); panicked != nil {
		return panicked
	}
	if err != nil {
		return breaks(User, "%s: %v", what, err)
	}
	return nil
}

// guard turns a panic of a user's function into a finding.
func guard(what string, call func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = breaks(Panic, "%s panicked: %v", what, p)
		}
	}()
	call()
	return nil
}
