package saga_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// The events of participants that know nothing of sagas, and of one that starts them.
type (
	shipped  struct{ Order string }
	lost     struct{ Order string }
	returned struct{ Order string }
	approved struct{ Order string }
	ordered  struct{ Order string }
)

// shipment is data whose order's number its participants' events have.
type shipment struct {
	Order   string
	Parcels []shipment `json:",omitempty"`
}

func orderOf(s shipment) string {
	if s.Order == "panic" {
		panic("no order")
	}
	return s.Order
}

func keysOfShip() []saga.EventKey {
	return []saga.EventKey{
		saga.KeyOf(func(e shipped) string { return e.Order }),
		saga.KeyOf(func(e lost) string { return e.Order }),
		saga.KeyOf(func(e returned) string { return e.Order }),
	}
}

func ship(name string) *saga.StepNode[shipment] {
	return saga.Step(name,
		saga.Do(func(shipment) doIt { return doIt{} }),
		saga.On(func(*shipment, shipped) {}),
		saga.OnFailure(func(*shipment, lost) {}),
		saga.Undo(func(shipment) undoIt { return undoIt{} }),
		saga.Undone(func(*shipment, returned) {}),
		saga.Matching(orderOf, keysOfShip()...))
}

func awaited(name string) *saga.WaitNode[shipment] {
	return saga.Wait(name, func(s *shipment, e approved) { s.Order += "-approved" }, saga.Matching(orderOf, saga.KeyOf(func(e approved) string { return e.Order })))
}

func parcels(nodes ...saga.Node[shipment]) *saga.ForEachNode[shipment] {
	return saga.ForEach("parcels", func(s shipment) []shipment { return s.Parcels }, nodes...)
}

// expects returns what the input makes the instance wait for, such as "do ship" or "undo ship e1", followed by
// the event's key if it is none of those that [saga.MatchKeys] finds for one of the events.
func (d *driver) expects(in saga.Input, events ...any) []string {
	d.Helper()
	effects, err := d.apply(in)
	if err != nil {
		d.Fatalf("%#v: %v", in, err)
	}
	known := map[string]bool{}
	for _, e := range events {
		keys, err := saga.MatchKeys(d.def, e)
		if err != nil {
			d.Fatal(err)
		}
		for _, k := range keys {
			known[k] = true
		}
	}
	texts := []string{}
	for _, e := range effects {
		x, ok := e.(saga.Expect)
		if !ok {
			continue
		}
		text := string(x.Direction) + " " + x.Node
		if x.Epoch > 0 {
			text += fmt.Sprintf(" e%d", x.Epoch)
		}
		if !known[x.Key] {
			text += " " + x.Key
		}
		texts = append(texts, text)
	}
	return texts
}

// R11: what an instance waits for is told with each command, under the key that the events have: to do, to undo, sent again or anew.
func TestR11ExpectTellsWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := &driver{t, newWorld(saga.MustDefine("trade", ship("ship").Attempts(2), ship("pay"), bareShip("bill").Pivot()))}
	answer := func(node string, event any) saga.Reply {
		return saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: saga.AnyEpoch, Event: event}
	}
	d.want(d.expects(saga.Start{ID: "s1", Data: shipment{Order: "o1"}}, shipped{"o1"}), "do ship")
	d.now = d.now.Add(30 * time.Second)
	d.want(d.expects(saga.Tick{}, lost{"o1"}), "do ship") // again
	d.want(d.expects(answer("ship", shipped{"o1"}), shipped{"o1"}), "do pay")
	d.want(d.expects(answer("pay", shipped{"o1"})), "") // bill has no key
	d.want(d.expects(answer("bill", refused{}), returned{"o1"}), "undo pay")
	d.undoFailed("pay")
	d.now = d.now.Add(time.Second)
	d.want(d.expects(saga.Tick{}, returned{"o1"}), "undo pay e1")
	d.want(d.expects(saga.Reply{Node: "pay", Direction: saga.UndoDirection, Epoch: saga.AnyEpoch, Event: returned{"o1"}}, returned{"o1"}), "undo ship")
	d.want(d.expects(saga.Act{ID: "r", Action: saga.Retry, Node: "ship", By: "ana", Why: "x"}, returned{"o1"}), "undo ship")
}

// bareShip is a step that is told by its headers only.
func bareShip(name string) *saga.StepNode[shipment] {
	return saga.Step(name, saga.Do(func(shipment) doIt { return doIt{} }), saga.On(func(*shipment, done) {}), saga.OnFailure(func(*shipment, refused) {}))
}

// R11: a step's key is that of the data when its command is sent; an empty one is none.
func TestR11KeyIsTakenWhenTheCommandIsSent(t *testing.T) {
	t.Parallel()
	numbered := saga.Step("number", saga.Do(func(shipment) doIt { return doIt{} }), saga.On(func(s *shipment, e done) { s.Order = e.Ref })).NothingToUndo()
	d := &driver{t, newWorld(saga.MustDefine("trade", ship("first"), numbered, ship("second")))}
	d.want(d.expects(saga.Start{ID: "s1", Data: shipment{}}, shipped{""}), "")
	d.do(saga.Reply{Node: "first", Direction: saga.DoDirection, Event: shipped{}})
	d.want(d.expects(saga.Reply{Node: "number", Direction: saga.DoDirection, Event: done{Ref: "o7"}}, shipped{"o7"}), "do second")
}

// R11: what waits wait for is told when their record is made, long before they begin, so that early signals find them.
func TestR11WaitsAreExpectedFromTheStart(t *testing.T) {
	t.Parallel()
	d := &driver{t, newWorld(saga.MustDefine("trade",
		ship("ship"), saga.If("more", func(s shipment) bool { return false }, awaited("never")),
		parcels(ship("pack"), awaited("check")).AtMost(1), awaited("last")))}
	start := shipment{Order: "o1", Parcels: []shipment{{Order: "p1"}, {}, {Order: "p3"}}}
	d.want(d.expects(saga.Start{ID: "s1", Data: start}, shipped{"o1"}, approved{"o1"}), "signal more/then/never, signal last, do ship")
	d.want(d.expects(saga.Reply{Node: "ship", Direction: saga.DoDirection, Event: shipped{}}, shipped{"p1"}, approved{"p1"}, approved{"p3"}),
		"signal parcels[0]/check, signal parcels[2]/check, do parcels[0]/pack")
	d.want(d.expects(saga.Signal{Node: "last", Event: approved{"o1"}}), "") // kept
	equal(t, "kept", string(d.node("last").Signal), `{"Order":"o1"}`)
}

// R11: an event has a key for each node that may wait for it; the definition's version does not matter.
func TestR11MatchKeys(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trade", ship("a"), parcels(ship("b"), awaited("c")), saga.If("i", func(shipment) bool { return true }, ship("d")), bareShip("bill").Pivot())
	newer := saga.MustDefine("trade", ship("a"), bareShip("bill").Pivot())
	other := saga.MustDefine("barter", ship("a"), bareShip("bill").Pivot())
	keys := func(def saga.Any, event any) []string {
		t.Helper()
		keys, err := saga.MatchKeys(def, event)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	equal(t, "nodes that take it", len(keys(def, shipped{"o1"})), 3)
	equal(t, "only a wait takes it", len(keys(def, approved{"o1"})), 1)
	for _, nobodys := range []any{shipped{}, done{}, ordered{"o1"}, &shipped{"o1"}, nil, 7, undoIt{}} {
		equal(t, fmt.Sprintf("keys of %#v", nobodys), len(keys(def, nobodys)), 0)
	}
	equal(t, "another version", keys(newer, shipped{"o1"})[0], keys(def, shipped{"o1"})[0])
	all := map[string]bool{}
	for _, k := range append(append(keys(def, shipped{"o1"}), keys(def, shipped{"o2"})...), keys(other, shipped{"o1"})...) {
		if all[k] || len(k) != 64 || strings.Trim(k, "0123456789abcdef") != "" {
			t.Errorf("%q comes twice or is not made of 64 digits", k)
		}
		all[k] = true
	}
	equal(t, "one event means the same whatever its type", keys(def, lost{"o1"}), keys(def, shipped{"o1"}))
}

// R11: a KeyOf function that panics makes the event nobody's.
func TestR11PanickingKeyOf(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trade", saga.Wait("nod", func(*shipment, approved) {},
		saga.Matching(orderOf, saga.KeyOf(func(approved) string { panic("odd event") }))), ship("ship"))
	keys, err := saga.MatchKeys(def, approved{})
	if keys != nil || !errors.Is(err, saga.ErrUnexpectedReply) || !strings.Contains(err.Error(), "nod: the KeyOf function for saga_test.approved panicked: odd event") {
		t.Errorf("keys %v, error %v", keys, err)
	}
	if _, err := saga.MatchKeys(def, shipped{"o1"}); err != nil {
		t.Errorf("another event: %v", err)
	}
}

// R11, R6: a Matching function that panics parks the instance; a retry calls it again, and then the event is expected.
func TestR11PanickingMatching(t *testing.T) {
	t.Parallel()
	bad := true
	of := func(s shipment) string {
		if bad {
			panic("no order")
		}
		return s.Order
	}
	step := saga.Step("ship", saga.Do(func(shipment) doIt { return doIt{} }), saga.On(func(*shipment, shipped) {}),
		saga.Matching(of, saga.KeyOf(func(e shipped) string { return e.Order }))).NothingToUndo()
	nod := saga.Wait("nod", func(*shipment, approved) {}, saga.Matching(of, saga.KeyOf(func(e approved) string { return e.Order })))
	retry := func(id, node string) saga.Act {
		return saga.Act{ID: id, Action: saga.Retry, Node: node, By: "ana", Why: "mended"}
	}

	d := &driver{t, newWorld(saga.MustDefine("trade", step, bareShip("bill").Pivot()))}
	d.want(d.expects(saga.Start{ID: "s1", Data: shipment{Order: "o1"}}), "")
	d.is(saga.Parked)
	d.phase("ship", saga.PhaseDoing) // the command is out
	equal(t, "reason", d.header.Reason, "ship: the Matching function panicked: no order")
	bad = false
	d.want(d.expects(retry("1", "ship"), shipped{"o1"}), "do ship")
	d.is(saga.Running)

	bad = true
	d = &driver{t, newWorld(saga.MustDefine("trade", ship("first"), nod, parcels(nod)))}
	d.want(d.expects(saga.Start{ID: "s1", Data: shipment{Order: "o1", Parcels: make([]shipment, 1)}}, shipped{"o1"}), "do first")
	d.is(saga.Parked)
	equal(t, "reason", d.header.Reason, "nod: the Matching function panicked: no order")
	d.want(d.expects(retry("1", "nod")), "") // not mended
	d.is(saga.Parked)
	bad = false
	d.want(d.expects(retry("2", "nod"), approved{"o1"}), "signal nod")
	d.is(saga.Running)
	d.do(saga.Reply{Node: "first", Direction: saga.DoDirection, Event: shipped{}})
	bad = true
	d.do(saga.Signal{Node: "nod", Event: approved{}})
	equal(t, "reason", d.header.Reason, "parcels[0]/nod: the Matching function panicked: no order")
	d.do(saga.Act{ID: "3", Action: saga.Skip, Node: "parcels[0]/nod", By: "ana", Why: "no need"})
	d.is(saga.Completed)
}

// R11: a reply that echoes no epoch answers the present command.
func TestR11ReplyWithoutAnEpoch(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("flight"), bare("pay").Pivot(), bare("mail").Retriable().Backoff(time.Second, time.Second))
	d.start(data{})
	d.ok("flight")
	d.ok("pay")
	d.no("mail")
	d.pass(time.Second)
	d.same(refusal("mail", 0))
	d.do(refusal("mail", saga.AnyEpoch))
	equal(t, "epoch", d.node("mail").Epoch, 2)
	d.pass(time.Second)
	d.do(saga.Reply{Node: "mail", Direction: saga.DoDirection, Epoch: saga.AnyEpoch, Event: done{}})
	d.is(saga.Completed)
}

// R11: Accepts tells which events a node takes in which direction.
func TestR11Accepts(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trade", ship("ship"), parcels(parcels(bareFailing("pack")), awaited("nod")), bareShip("bill").Pivot())
	for _, test := range []struct {
		path      string
		direction saga.Direction
		event     any
		want      bool
	}{
		{"ship", saga.DoDirection, shipped{}, true},
		{"ship", saga.DoDirection, lost{}, true},
		{"ship", saga.DoDirection, returned{}, false},
		{"ship", saga.DoDirection, nil, false},
		{"ship", saga.DoDirection, &shipped{}, false},
		{"ship", saga.UndoDirection, returned{}, true},
		{"ship", saga.UndoDirection, lost{}, false},
		{"ship", saga.UndoDirection, shipped{}, false},
		{"ship", saga.SignalDirection, shipped{}, false},
		{"ship", "", shipped{}, false},
		{"bill", saga.UndoDirection, refused{}, false},
		{"parcels[3]/nod", saga.SignalDirection, approved{}, true},
		{"parcels[3]/nod", saga.DoDirection, approved{}, false},
		{"parcels/nod", saga.SignalDirection, approved{}, false},
		{"parcels[0]/parcels[1]/pack", saga.DoDirection, done{}, true},
		{"parcels[0]/parcels[1]/pack", saga.UndoDirection, refused{}, true}, // undone by failure
		{"parcels[0]/parcels[1]/pack", saga.UndoDirection, done{}, false},
		{"parcels[0]", saga.DoDirection, done{}, false},
		{"parcels", saga.DoDirection, done{}, false},
		{"", saga.DoDirection, done{}, false},
		{"x", saga.DoDirection, done{}, false},
		{"x[0]/y", saga.DoDirection, done{}, false},
	} {
		if got := saga.Accepts(def, test.path, test.direction, test.event); got != test.want {
			t.Errorf("%s %s %#v: %t", test.direction, test.path, test.event, got)
		}
	}
}

func bareFailing(name string) *saga.StepNode[shipment] {
	return saga.Step(name, saga.Do(func(shipment) doIt { return doIt{} }), saga.On(func(*shipment, done) {}), saga.OnFailure(func(*shipment, refused) {}),
		saga.Undo(func(shipment) undoIt { return undoIt{} })).UndoneByFailure()
}

// R10: an event starts an instance with the key and the data that the definition finds in it.
func TestR10StartedByAnEvent(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trade", ship("ship"),
		saga.StartOn(func(e ordered) (string, shipment) {
			if e.Order == "panic" {
				panic("odd order")
			}
			return e.Order, shipment{Order: e.Order}
		}),
		saga.StartOn(func(e approved) (string, shipment) { return "", shipment{Order: e.Order} }))
	start, ok, err := saga.StartedBy(def, ordered{"o1"})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	equal(t, "start", start, saga.Start{Key: "o1", Data: shipment{Order: "o1"}})
	start.ID = "s1"
	d := &driver{t, newWorld(def)}
	d.want(d.do(start), "do ship")
	d.same(start)
	start, ok, err = saga.StartedBy(def, approved{"o2"})
	equal(t, "without a key", []any{start, ok, err}, []any{saga.Start{Data: shipment{Order: "o2"}}, true, nil})
	for _, event := range []any{shipped{"o1"}, &ordered{"o1"}, nil} {
		if start, ok, err := saga.StartedBy(def, event); ok || err != nil || start.Data != nil {
			t.Errorf("%#v starts %v, %t, %v", event, start, ok, err)
		}
	}
	_, ok, err = saga.StartedBy(def, ordered{"panic"})
	if ok || !errors.Is(err, saga.ErrUnexpectedReply) || !strings.Contains(err.Error(), "the function that starts on saga_test.ordered panicked: odd order") {
		t.Errorf("a panic: %t, %v", ok, err)
	}
	equal(t, "events", def.Events(), []any{ordered{}, approved{}, shipped{}, lost{}, returned{}})
	equal(t, "nodes", len(def.Describe().Nodes), 1) // it is no node
}

// R11: what echoes a command's headers and tells no outcome answers it by its type; no other outcome than the three is one.
func TestR11RepliesWithoutAnOutcome(t *testing.T) {
	t.Parallel()
	d := drive(t, undoable("book"), undoable("car", saga.Undone(func(*data, undone) {})), bare("pay").Pivot())
	for _, c := range []struct {
		node  string
		d     saga.Direction
		event any
		want  bool
	}{
		{"book", saga.DoDirection, done{}, true}, {"book", saga.DoDirection, refused{}, true}, {"book", saga.DoDirection, undone{}, false},
		{"book", saga.UndoDirection, undone{}, true}, {"book", saga.UndoDirection, rejected{}, true},
		{"car", saga.UndoDirection, undone{}, true}, {"car", saga.UndoDirection, rejected{}, false},
		{"pay", saga.UndoDirection, undone{}, false}, {"pay", saga.SignalDirection, done{}, false}, {"nowhere", saga.DoDirection, done{}, false}, {"x[1]/y", saga.DoDirection, done{}, false},
	} {
		if got := saga.Answers(d.def, c.node, c.d, c.event); got != c.want {
			t.Errorf("Answers(%s, %s, %T) is %t", c.node, c.d, c.event, got)
		}
	}
	d.start(data{})
	for _, outcome := range []saga.Outcome{"bogus", "Success", "SUCCESS"} {
		d.fails(saga.Reply{Node: "book", Direction: saga.DoDirection, Outcome: outcome, Event: done{}}, saga.ErrUnexpectedReply)
	}
	d.do(saga.Reply{Node: "book", Direction: saga.DoDirection, Event: done{}})
	d.want(d.do(saga.Reply{Node: "car", Direction: saga.DoDirection, Event: refused{}}), "undo book")
	d.do(saga.Reply{Node: "book", Direction: saga.UndoDirection, Event: refused{}}) // its failure event is no acknowledgement
	d.phase("book", saga.PhaseUndoing)
	d.pass(time.Minute)
	d.do(saga.Reply{Node: "book", Direction: saga.UndoDirection, Event: undone{}})
	d.is(saga.Compensated)
}
