package saga_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

// by is a step that the service carries out, with an undo that all can see acknowledged.
func by(service, name string) *saga.StepNode[data] {
	return undoable(name, saga.Undone(func(*data, undone) {})).Service(service)
}

// partyOf starts the instance as the service follows it, or as the watcher with "".
func partyOf(t *testing.T, service string, root data, nodes ...saga.Node[data]) *driver {
	t.Helper()
	def, err := saga.Choreograph(saga.MustDefine("trip", nodes...), service)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{t, newWorld(def)}
	d.start(root)
	return d
}

// tripOfThree is a choreography of three services.
func tripOfThree() []saga.Node[data] {
	return []saga.Node[data]{by("air", "flight"), by("inn", "hotel"), by("air", "seat"), bare("pay").Service("bank").Pivot(), bare("mail").Retriable().Service("inn")}
}

// R1: each party follows all events and sends the commands of its own steps only; the watcher sends nothing.
func TestR1EachPartySendsItsOwnCommands(t *testing.T) {
	t.Parallel()
	sent := map[string][]string{
		"":     {"", "", "", "", "", ""},
		"air":  {"do flight", "", "do seat", "", "", ""},
		"inn":  {"", "do hotel", "", "", "do mail", ""},
		"bank": {"", "", "", "do pay", "", ""},
	}
	for service, want := range sent {
		def, err := saga.Choreograph(saga.MustDefine("trip", tripOfThree()...), service)
		if err != nil {
			t.Fatal(err)
		}
		d := &driver{t, newWorld(def)}
		d.want(d.start(data{}), want[0])
		for i, step := range []string{"flight", "hotel", "seat", "pay", "mail"} {
			d.want(d.ok(step), want[i+1])
		}
		d.is(saga.Completed)
	}
}

// R4: each party undoes its own steps once those that came later are undone, whoever did that.
func TestR4EachPartyUndoesItsOwnSteps(t *testing.T) {
	t.Parallel()
	sent := map[string][]string{
		"":     {"", "", "", ""},
		"air":  {"undo seat", "", "undo flight", ""},
		"inn":  {"", "undo hotel", "", ""},
		"bank": {"", "", "", ""},
	}
	for service, want := range sent {
		d := partyOf(t, service, data{}, tripOfThree()...)
		for _, step := range []string{"flight", "hotel", "seat"} {
			d.ok(step)
		}
		d.want(d.no("pay"), want[0])
		for i, step := range []string{"seat", "hotel", "flight"} {
			d.is(saga.Compensating)
			d.want(d.undone(step), want[i+1])
		}
		d.is(saga.Compensated)
		equal(t, "reason", d.header.Reason, "pay: full")
	}
}

// R1, R11: an event that reaches a party before those that it follows is kept and taken in its turn, so that choices, item lists and
// sequences of On functions come out alike everywhere.
func TestR1EarlyEventsAreTakenInTheirTurn(t *testing.T) {
	t.Parallel()
	last := func(name, service string) saga.Node[data] {
		return saga.Step(name, do, saga.On(func(d *data, e done) {
			d.note("all", d.Refs["all"]+name)
			d.note(name, e.Ref)
		}), undo, undid).Service(service)
	}
	nodes := []saga.Node[data]{
		last("a", "air"),
		saga.If("seated", func(d data) bool { return d.Refs["b"] == "" && d.Refs["c"] == "" }, last("b", "inn")).Else(last("never", "inn")),
		last("c", "bank"),
		bare("pay").Service("air").Pivot(),
	}
	taken := ""
	for _, order := range [][]string{
		{"a", "seated/then/b", "c"}, {"a", "c", "seated/then/b"}, {"c", "a", "seated/then/b"},
		{"c", "seated/then/b", "a"}, {"seated/then/b", "c", "a"}, {"seated/then/b", "a", "c"},
	} {
		for _, service := range []string{"", "air"} {
			d := partyOf(t, service, data{}, nodes...)
			var sent []string
			for _, step := range order {
				reply := saga.Reply{Node: step, Direction: saga.DoDirection, Event: done{Ref: "ref"}}
				sent = append(sent, d.do(reply)...)
				d.same(reply)
			}
			d.phase("pay", saga.PhaseDoing)
			if service == "air" {
				d.want(sent, "do pay")
			}
			d.phase("seated/then/b", saga.PhaseDone)
			if taken == "" {
				taken = string(d.records[""].Data)
			}
			equal(t, strings.Join(order, ", ")+": data", string(d.records[""].Data), taken)
		}
	}
	if !strings.Contains(taken, `"all":"abc"`) {
		t.Errorf("data %s", taken)
	}
}

// R7: early refusals of a retriable step are taken in their turn too, and an early refusal aborts when it is its turn.
func TestR7EarlyRefusals(t *testing.T) {
	t.Parallel()
	d := partyOf(t, "", data{}, by("air", "a"), bare("pay").Service("bank").Pivot(), bare("mail").Retriable().Service("inn").Attempts(2))
	refuse := func(node string, epoch int) { d.want(d.do(refusal(node, epoch)), "") }
	refuse("mail", 0)
	refuse("mail", 1)
	d.do(saga.Reply{Node: "mail", Direction: saga.DoDirection, Epoch: 2, Event: done{Ref: "m"}})
	d.ok("a")
	d.phase("mail", saga.PhaseIdle)
	equal(t, "kept", len(d.node("mail").Early), 3)
	d.ok("pay")
	d.is(saga.Completed)
	equal(t, "reason", d.header.Reason, "")

	d = partyOf(t, "", data{}, by("air", "a"), by("inn", "b"), by("bank", "c"))
	d.do(saga.Reply{Node: "c", Direction: saga.DoDirection, Outcome: saga.Failure, Event: rejected{Why: "closed"}}) // not declared: the outcome says it
	d.ok("b")
	d.is(saga.Running)
	d.ok("a")
	d.is(saga.Compensating)
	equal(t, "reason", d.header.Reason, "c: closed")
	d.undone("b")
	d.undone("a")
	d.is(saga.Compensated)
}

// R4: a party that sees an undo before the refusal that is its reason comes to the same end.
func TestR4UndoneBeforeItsReason(t *testing.T) {
	t.Parallel()
	nodes := []saga.Node[data]{by("air", "a"), saga.Parallel("all", by("inn", "b"), branch("x", by("bank", "c"), by("bank", "d"))), bare("pay").Service("air").Pivot()}
	undo := func(node string) saga.Reply {
		return saga.Reply{Node: node, Direction: saga.UndoDirection, Outcome: saga.Success, Event: undone{}}
	}
	yes := func(node string) saga.Reply {
		return saga.Reply{Node: node, Direction: saga.DoDirection, Event: done{}}
	}
	// Each topic keeps its order: air's, inn's, bank's.
	topics := [][]saga.Input{
		{yes("a"), undo("a")},
		{refusal("all/b", 0)},
		{yes("all/x/c"), yes("all/x/d"), undo("all/x/d"), undo("all/x/c")},
	}
	interleave(topics, nil, func(inputs []saga.Input) {
		d := partyOf(t, "", data{}, nodes...)
		for _, in := range inputs {
			d.do(in)
		}
		d.is(saga.Compensated)
	})
}

// interleave visits every order that keeps that of each list.
func interleave(lists [][]saga.Input, before []saga.Input, visit func([]saga.Input)) {
	left := false
	for i, list := range lists {
		if len(list) == 0 {
			continue
		}
		left = true
		rest := slices.Clone(lists)
		rest[i] = list[1:]
		interleave(rest, append(slices.Clip(before), list[0]), visit)
	}
	if !left {
		visit(before)
	}
}

// R9: parties that see two failures in different orders, of which one is tolerated, undo both and come to the same end.
func TestR9PartiesAgreeWhatIsTolerated(t *testing.T) {
	t.Parallel()
	nodes := []saga.Node[data]{fan("rooms", by("air", "a"), by("inn", "b"), by("bank", "c"), by("post", "d")).Tolerate(1), bare("pay").Service("post").Pivot()}
	parties := map[string]*driver{}
	for _, service := range []string{"air", "inn", "bank", "post", ""} {
		parties[service] = partyOf(t, service, items(3, "rooms"), nodes...)
	}
	tell := func(in saga.Input, services ...string) (sent []string) {
		t.Helper()
		for _, service := range services {
			sent = append(sent, parties[service].do(in)...)
		}
		return sent
	}
	all := []string{"air", "inn", "bank", "post", ""}
	for i := range 3 {
		for _, step := range []string{"a", "b"} {
			tell(saga.Reply{Node: at("rooms", i, step), Direction: saga.DoDirection, Event: done{}}, all...)
		}
	}
	tell(saga.Reply{Node: "rooms[1]/c", Direction: saga.DoDirection, Event: done{}}, all...)
	// Room 0 fails at c, room 1 at d; the parties see these in both orders.
	inTwo := map[bool][]string{true: {"air", "post"}, false: {"inn", "bank", ""}}
	sent := tell(refusal("rooms[0]/c", 0), inTwo[true]...)
	sent = append(sent, tell(refusal("rooms[1]/d", 0), inTwo[false]...)...)
	sent = append(sent, tell(refusal("rooms[1]/d", 0), inTwo[true]...)...)
	sent = append(sent, tell(refusal("rooms[0]/c", 0), inTwo[false]...)...)
	for _, step := range []string{"c", "d"} { // room 2 is well, and goes to its end
		sent = append(sent, tell(saga.Reply{Node: "rooms[2]/" + step, Direction: saga.DoDirection, Event: done{}}, all...)...)
	}
	for len(sent) > 0 {
		node, isUndo := strings.CutPrefix(sent[0], "undo ")
		sent = sent[1:]
		if isUndo {
			sent = append(sent, tell(saga.Reply{Node: node, Direction: saga.UndoDirection, Event: undone{}}, all...)...)
		}
	}
	for service, d := range parties {
		if d.header.Status != saga.Compensated {
			t.Errorf("%q: %s", service, d.header.Status)
		}
	}
}

// R9: in a choreography the branches and items run to their end although one has failed.
func TestR9BranchesOfAChoreographyRunToTheirEnd(t *testing.T) {
	t.Parallel()
	d := partyOf(t, "air", items(3, "rooms"), saga.Parallel("all",
		branch("x", by("air", "x1"), by("air", "x2")), by("inn", "y"), fan("rooms", by("air", "book"), by("air", "clean")).AtMost(1)))
	d.phase("all/rooms[2]/book", saga.PhaseDoing) // AtMost bounds nothing
	d.want(d.no("all/y"), "")
	d.want(d.ok("all/x/x1"), "do all/x/x2")
	d.want(d.no("all/rooms[0]/book"), "")
	d.want(d.ok("all/rooms[1]/book"), "do all/rooms[1]/clean")
	d.no("all/rooms[2]/book")
	d.no("all/x/x2")
	d.is(saga.Running)
	d.want(d.no("all/rooms[1]/clean"), "undo all/x/x1")
	d.want(d.pass(0), "undo all/rooms[1]/book") // going back, AtMost counts again
}

// R9, R11: events of items that a party has not made yet are early; so are all of an instance that it does not know.
func TestR9EventsOfItemsToCome(t *testing.T) {
	t.Parallel()
	d := partyOf(t, "", items(2, "rooms"), by("air", "flight"), fan("rooms", by("inn", "book")))
	d.fails(saga.Reply{Node: "rooms[1]/book", Direction: saga.DoDirection, Event: done{}}, saga.ErrEarly)
	d.fails(saga.Reply{Node: "rooms[1]/book", Direction: saga.UndoDirection, Event: undone{}}, saga.ErrEarly)
	d.ok("flight")
	d.ok("rooms[1]/book")
	d.fails(saga.Reply{Node: "rooms[2]/book", Direction: saga.DoDirection, Event: done{}}, saga.ErrNotFound)
	d.ok("rooms[0]/book")
	d.is(saga.Completed)
	stranger := &driver{t, newWorld(d.def)}
	stranger.fails(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}}, saga.ErrNotFound)
}

// R2, R6: a missing answer aborts nothing: its service sends again, then parks; the watcher parks what is overdue; the answer resolves both.
func TestR6SilenceParksAChoreography(t *testing.T) {
	t.Parallel()
	nodes := []saga.Node[data]{by("air", "flight").Attempts(2).Timeout(time.Minute), bare("pay").Service("bank").Pivot()}
	service := partyOf(t, "air", data{}, nodes...)
	service.want(service.pass(time.Hour), "do flight a2")
	service.is(saga.Parked)
	equal(t, "reason", service.header.Reason, "flight: no reply to 2 sendings")
	watcher := partyOf(t, "", data{}, nodes...)
	watcher.want(watcher.pass(time.Hour), "")
	watcher.is(saga.Parked)
	equal(t, "reason", watcher.header.Reason, `flight: no reply seen within 1m0s: look at the service "air"`)
	other := partyOf(t, "bank", data{}, nodes...)
	other.want(other.pass(time.Hour), "")
	other.is(saga.Running)
	for _, d := range []*driver{service, watcher, other} {
		for _, action := range []saga.Action{saga.Skip, saga.Cancel} {
			d.fails(saga.Act{ID: "x", Action: action, Node: "flight", By: "ana", Why: "no"}, saga.ErrNotAllowed)
		}
	}
	service.want(service.act(saga.Retry, ""), "do flight")
	watcher.want(watcher.act(saga.Retry, ""), "")
	watcher.is(saga.Running)
	for _, d := range []*driver{service, watcher, other} {
		d.ok("flight")
		d.is(saga.Running)
	}
	service.want(service.no("pay"), "undo flight")
	service.pass(time.Hour)
	service.is(saga.Parked) // an undo that is not answered either
	watcher.no("pay")
	watcher.pass(time.Hour)
	watcher.is(saga.Parked)
	for _, d := range []*driver{service, watcher} {
		d.undone("flight")
		d.is(saga.Compensated)
	}
	other.act(saga.Force, "")
	other.is(saga.Forced)
}

// R6: an answer of another service whose function panics is kept, as nobody gives it again: a retry takes it.
func TestR6PanicOverAnothersAnswer(t *testing.T) {
	t.Parallel()
	broken := true
	odd := saga.Step("odd", do, saga.On(func(d *data, e done) {
		if broken {
			panic("bad reply")
		}
		d.note("odd", e.Ref)
	}), undo, undid).Service("air")
	for _, early := range []bool{false, true} {
		broken = true
		d := partyOf(t, "inn", data{}, by("air", "flight"), odd, by("inn", "hotel"))
		if !early {
			d.ok("flight")
		}
		reply := saga.Reply{Node: "odd", Direction: saga.DoDirection, Event: done{Ref: "kept"}}
		d.do(reply)
		if early {
			d.ok("flight")
		}
		d.is(saga.Parked)
		equal(t, "reason", d.header.Reason, "odd: the function for saga_test.done panicked: bad reply")
		d.same(reply)
		d.act(saga.Retry, "")
		d.is(saga.Parked)
		broken = false
		d.want(d.act(saga.Retry, ""), "do hotel")
		if got := string(d.records[""].Data); !strings.Contains(got, `"odd":"kept"`) {
			t.Errorf("the reply is not in the data %s", got)
		}
	}
}

// R11: every party expects the events that carry no headers, whoever sends the command.
func TestR11EveryPartyExpectsEvents(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trade", ship("ship").Service("post"), ship("again").Service("shop"))
	for _, service := range []string{"", "post", "shop"} {
		part, err := saga.Choreograph(def, service)
		if err != nil {
			t.Fatal(err)
		}
		d := &driver{t, newWorld(part)}
		d.want(d.expects(saga.Start{ID: "s1", Data: shipment{Order: "o1"}}, shipped{"o1"}), "do ship")
		d.want(d.expects(saga.Reply{Node: "ship", Direction: saga.DoDirection, Event: shipped{}}, shipped{"o1"}), "do again")
		d.want(d.expects(saga.Reply{Node: "again", Direction: saga.DoDirection, Event: lost{}}, shipped{"o1"}), "undo ship")
	}
}

// R1: a pause holds what the party itself sends; what others do is seen all the same.
func TestR1PausedParty(t *testing.T) {
	t.Parallel()
	d := partyOf(t, "inn", data{}, tripOfThree()...)
	d.held(saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: done{}})
	d.phase("hotel", saga.PhaseIdle)
	d.want(d.pass(0), "do hotel")
	d.held(saga.Reply{Node: "hotel", Direction: saga.DoDirection, Event: done{}})
	d.phase("seat", saga.PhaseDoing)
	d.held(refusal("seat", 0))
	d.want(d.pass(0), "undo hotel")
}

// R10: a party joins an instance by the events that it says, with the data that it finds in them.
func TestR10JoinedByAnEvent(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", append(tripOfThree(), saga.StartOn(func(ordered) (string, data) { return "", data{} }))...)
	part, err := saga.Choreograph(def, "inn", saga.Join[data]{}, saga.JoinOn(func(e done) data {
		if e.Ref == "panic" {
			panic("odd reply")
		}
		return data{Refs: map[string]string{"from": e.Ref}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	start, ok, err := saga.JoinedBy(part, done{Ref: "air"})
	equal(t, "join", []any{start, ok, err}, []any{saga.Start{Data: data{Refs: map[string]string{"from": "air"}}}, true, nil})
	start.ID = "s1"
	d := &driver{t, newWorld(part)}
	d.do(start)
	d.want(d.ok("flight"), "do hotel")
	for _, c := range []struct {
		def   saga.Any
		event any
	}{{part, refused{}}, {part, nil}, {def, done{}}} {
		if _, ok, err := saga.JoinedBy(c.def, c.event); ok || err != nil {
			t.Errorf("%#v joins: %t, %v", c.event, ok, err)
		}
	}
	if _, ok, err := saga.JoinedBy(part, done{Ref: "panic"}); ok || !errors.Is(err, saga.ErrUnexpectedReply) {
		t.Errorf("a panic: %t, %v", ok, err)
	}
	if _, ok, _ := saga.StartedBy(part, ordered{}); !ok {
		t.Error("the party does not start on the definition's event")
	}
	equal(t, "events", part.Events(), []any{ordered{}, done{}, refused{}, undone{}})
}

// A choreographed definition is another one than the orchestrated, and knows its family.
func TestCoordinationOf(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", tripOfThree()...)
	equal(t, "orchestrated", saga.CoordinationOf(def), saga.Coordination{Family: def.Hash()})
	hashes := map[string]bool{def.Hash(): true}
	for _, service := range []string{"", "air", "inn", "bank"} {
		part, err := saga.Choreograph(def.WithMaxData(1000), service)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "party", saga.CoordinationOf(part), saga.Coordination{Choreographed: true, Service: service, Family: def.Hash()})
		equal(t, "party with a codec", saga.CoordinationOf(part.WithCodec(newSealed())), saga.CoordinationOf(part))
		equal(t, "name", part.Name(), "trip")
		if hashes[part.Hash()] {
			t.Errorf("%q has the hash of another", service)
		}
		hashes[part.Hash()] = true
	}
}

// An early event is encoded like data.
func TestCodecWritesEarlyEvents(t *testing.T) {
	t.Parallel()
	part, err := saga.Choreograph(saga.MustDefine("trip", by("air", "a"), by("inn", "b")).WithCodec(newSealed()), "")
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{t, newWorld(part)}
	d.start(data{})
	d.do(saga.Reply{Node: "b", Direction: saga.DoDirection, Event: done{Ref: "secret"}})
	kept := d.node("b").Early
	if len(kept) != 1 || strings.Contains(string(kept[0].Event), "secret") {
		t.Fatalf("kept: %v", kept)
	}
	d.ok("a")
	got, err := saga.DataJSON(part, d.records[""])
	if err != nil || !strings.Contains(string(got), `"b":"secret"`) {
		t.Errorf("data %s, error %v", got, err)
	}
	d.is(saga.Completed)
}

// What cannot be choreographed is refused, each fault with its path.
func TestEveryFaultOfAChoreographyIsNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault, service string
		nodes          []saga.Node[data]
	}{
		{"a: has no Service: say who carries it out", "", []saga.Node[data]{undoable("a", undid)}},
		{"rooms/a: has no Service: say who carries it out", "", []saga.Node[data]{fan("rooms", bare("a").NothingToUndo())}},
		{
			"a: has an undo that no declared event acknowledges, so that the others cannot see it: say Undone or UndoneByFailure", "air",
			[]saga.Node[data]{undoable("a").Service("air")},
		},
		{
			"a: has an undo that no declared event acknowledges, so that the others cannot see it: say Undone or UndoneByFailure", "air",
			[]saga.Node[data]{undoable("a").Service("air").UndoUnacknowledged()},
		},
		{
			"w: has a deadline: parties of a choreography cannot agree whether it or the signal came first", "air",
			[]saga.Node[data]{by("air", "a"), wait("w").Deadline(time.Hour)},
		},
		{`no step has the service "inn"`, "inn", []saga.Node[data]{by("air", "a")}},
	} {
		def := saga.MustDefine("trip", test.nodes...)
		part, err := saga.Choreograph(def, test.service)
		_, listErr := saga.Reactions(def, test.service)
		for _, err := range []error{err, listErr} {
			if !errors.Is(err, saga.ErrInvalid) || !strings.Contains(fmt.Sprint(err), test.fault) || part != nil || len(faults(err)) != 1 {
				t.Errorf("error %v, want %q", err, test.fault)
			}
		}
	}
	if _, err := saga.Choreograph[data](nil, "air"); !errors.Is(err, saga.ErrInvalid) {
		t.Errorf("no definition: %v", err)
	}
}
