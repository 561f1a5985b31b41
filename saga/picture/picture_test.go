package picture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/picture"
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	golden(t, "trip.mmd", picture.Mermaid(trip()))
}

// Names may hold whatever means something to Mermaid, Markdown or HTML.
func TestNamesThatMeanSomething(t *testing.T) {
	t.Parallel()
	d := saga.Description{Name: `Reise "Süd" — 東京 🚆`}
	for i, name := range nasty() {
		kinds := []saga.Kind{saga.KindStep, saga.KindWait, saga.KindSequence, saga.KindIf, saga.KindParallel, saga.KindForEach, saga.KindSleep}
		d.Nodes = append(d.Nodes, saga.NodeDescription{
			Kind: kinds[i%len(kinds)], Name: name, Path: name, Service: name, Command: name, Undo: name, Item: name, Signal: name,
			Nodes: []saga.NodeDescription{{Kind: saga.KindStep, Name: name}, {Kind: saga.KindSequence, Name: name}},
		})
	}
	golden(t, "names.mmd", picture.Flowchart(d))
}

func nasty() []string {
	return []string{
		`"`, `a"]`, "a{b}c", "a(b)c", "<b>bold</b>", "a & b", "#quot;", "a#35;b", "%%{init: {}}%%", "`code`", "**strong**", "__low__", "1. one", "- item",
		"+ plus", "style a:b#c;", "classDef x:y#z;", "a|b", "a-->b", "end", "graph", "subgraph", "default", "fa:fa-car", "$$x$$", "back\\slash", "日本 🚆 ñ",
		"http:..example.org", "a;b", ":::class", "@{ shape: fork }", "[a](b)", "[1]: b", "rooms[3]/bed", "~~gone~~", "a  b", "",
	}
}

func TestInstances(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]func(*testing.T) *instance{
		"running":     running,
		"parked":      parked,
		"asleep":      asleep,
		"held":        held,
		"again":       again,
		"unknown":     unknown,
		"left":        left,
		"skipped":     skipped,
		"completed":   completed,
		"compensated": compensated,
		"undoing":     undoing,
		"forced":      forced,
		"many":        many,
		"orphaned": func(t *testing.T) *instance {
			t.Helper()
			in := running(t)
			in.state, _ = saga.ParkOrphan(in.state, "no definition with its hash", in.now)
			return in
		},
		"foreign": func(t *testing.T) *instance {
			t.Helper()
			in := running(t)
			in.state.Hash = "an older one"
			return in
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := in(t)
			golden(t, name+".mmd", picture.Instance(i.def, i.state))
		})
	}
}

// running has steps side by side, an item that was tolerated, and an item's items.
func running(t *testing.T) *instance {
	t.Helper()
	in := start(t, trip(), Trip{Rooms: []Room{{Guests: make([]Guest, 2)}, {}, {}}})
	in.ok("flight")
	in.ok("ground/hotel/rooms[0]/room")
	in.no("full", "ground/hotel/rooms[1]/room")
	in.ok("ground/hotel/rooms[0]/guests[1]/card")
	in.tick(saga.DefaultTimeout, "ground/hotel/rooms[2]")
	return in
}

// parked waits for an operator at the undo of the flight, and at a room's.
func parked(t *testing.T) *instance {
	t.Helper()
	in := running(t)
	in.no("no car", "ground/car")
	in.ok("ground/hotel/rooms[2]/room")
	in.no("lost", "ground/hotel/rooms[0]/guests[0]/card")
	in.undo(saga.Success, "ground/hotel/rooms[0]/guests[1]/card")
	in.undo(saga.Failure, "ground/hotel/rooms[2]/room")
	in.tick(time.Minute, "ground/hotel/rooms[2]")
	in.undo(saga.Failure, "ground/hotel/rooms[2]/room")
	return in
}

func toTheChoice(t *testing.T, vip bool) *instance {
	t.Helper()
	in := start(t, trip(), Trip{VIP: vip})
	in.ok("flight", "ground/car", "ground/hotel/breakfast")
	return in
}

// asleep sleeps on the other way of the choice.
func asleep(t *testing.T) *instance {
	t.Helper()
	in := toTheChoice(t, false)
	in.ok("vip/else/mail")
	return in
}

func toThePivot(t *testing.T) *instance {
	t.Helper()
	in := toTheChoice(t, true)
	in.ok("vip/then/lounge")
	in.take(saga.Signal{Node: "approval", Event: Approval{By: "bo"}})
	in.tick(time.Minute, "")
	return in
}

func completed(t *testing.T) *instance {
	t.Helper()
	in := toThePivot(t)
	in.ok("pay")
	in.no("printer on fire", "ticket")
	in.tick(time.Minute, "")
	in.ok("ticket")
	return in
}

// compensated gave up its wait; of one step a late reply came.
func compensated(t *testing.T) *instance {
	t.Helper()
	in := start(t, trip(), Trip{VIP: true})
	in.tick(saga.DefaultTimeout, "")
	in.tick(saga.DefaultTimeout, "")
	in.ok("flight")
	in.undo(saga.Nothing, "flight")
	return in
}

// held is of a definition that is paused.
func held(t *testing.T) *instance {
	t.Helper()
	in := start(t, trip(), Trip{})
	in.take(saga.Hold{Input: saga.Reply{Node: "flight", Direction: saga.DoDirection, Event: Booked{}}})
	return in
}

// again waits to send its last command once more.
func again(t *testing.T) *instance {
	t.Helper()
	in := toThePivot(t)
	in.ok("pay")
	in.no("printer on fire", "ticket")
	return in
}

// unknown is stuck at a step that was never answered, as its undo needs the answer.
func unknown(t *testing.T) *instance {
	t.Helper()
	in := start(t, saga.MustDefine("short", book[Trip]("flight").UndoNeedsReply().Attempts(1)), Trip{})
	in.tick(saga.DefaultTimeout, "")
	return in
}

// left kept the flight, whose undo failed.
func left(t *testing.T) *instance {
	t.Helper()
	in := start(t, trip(), Trip{})
	in.ok("flight")
	in.act(saga.Cancel, "")
	in.undo(saga.Failure, "flight")
	in.tick(time.Minute, "")
	in.undo(saga.Failure, "flight")
	in.act(saga.Skip, "flight")
	return in
}

// skipped went on without its approval.
func skipped(t *testing.T) *instance {
	t.Helper()
	in := toTheChoice(t, true)
	in.ok("vip/then/lounge")
	in.act(saga.Skip, "approval")
	return in
}

// undoing was cancelled while it waited.
func undoing(t *testing.T) *instance {
	t.Helper()
	in := toTheChoice(t, true)
	in.ok("vip/then/lounge")
	in.act(saga.Cancel, "")
	return in
}

// forced was given up while its last step was stuck.
func forced(t *testing.T) *instance {
	t.Helper()
	in := toThePivot(t)
	in.ok("pay")
	for range saga.DefaultAttempts - 1 {
		in.no("printer on fire", "ticket")
		in.tick(time.Minute, "")
	}
	in.no("printer on fire", "ticket")
	in.act(saga.Force, "")
	return in
}

// many has more items than are drawn: those that need attention come first.
func many(t *testing.T) *instance {
	t.Helper()
	in := start(t, trip(), Trip{Rooms: make([]Room, 30)})
	in.ok("flight")
	for i := range 14 {
		in.ok(fmt.Sprintf("ground/hotel/rooms[%d]/room", i))
	}
	in.tick(saga.DefaultTimeout, "ground/hotel/rooms[19]")
	in.no("full", "ground/hotel/rooms[15]/room")
	return in
}

// Without its items an instance is drawn with their counts.
func TestItemsThatAreNotLoaded(t *testing.T) {
	t.Parallel()
	in := many(t)
	in.state.Items = nil
	text := picture.Instance(in.def, in.state)
	if !strings.Contains(text, "30 items: 30 started, 15 under way, 1 failed") || strings.Contains(text, "rooms[0]") {
		t.Error(text)
	}
}

func TestInstanceThatWasNeverStarted(t *testing.T) {
	t.Parallel()
	if text := picture.Instance(trip(), saga.State{}); !strings.Contains(text, "not started") {
		t.Error(text)
	}
}

// A long reason is cut, so that the diagram can be looked at.
func TestLongReasons(t *testing.T) {
	t.Parallel()
	in := start(t, trip(), Trip{})
	in.no(strings.Repeat("é", 500), "flight")
	text := picture.Instance(in.def, in.state)
	if !strings.Contains(text, "é…\"") || strings.Contains(text, strings.Repeat("é", 101)) {
		t.Error(text)
	}
}

// The same arguments give the same text.
func TestSameEveryTime(t *testing.T) {
	t.Parallel()
	in := many(t)
	first := picture.Instance(in.def, in.state)
	for range 20 {
		if picture.Instance(in.def, in.state) != first {
			t.Fatal("another text")
		}
	}
}

// A description that was kept as a file is drawn as its definition is.
func TestFlowchartOfADescription(t *testing.T) {
	t.Parallel()
	if picture.Flowchart(trip().Describe()) != picture.Mermaid(trip()) {
		t.Error("another text")
	}
	if text := picture.Flowchart(saga.Description{}); !strings.HasPrefix(text, "flowchart TD\n") {
		t.Error(text)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	in := parked(t)
	lines := make([]picture.Line, len(in.log))
	for i, l := range in.log {
		lines[i] = picture.Line{At: epoch().Add(time.Duration(i) * 700 * time.Millisecond), Version: int64(i/2 + 1), Log: l}
	}
	lines[3].Detail = "two\nlines\tand 東京"
	golden(t, "timeline.txt", picture.Timeline(lines))
	if text := picture.Timeline(nil); text != "" {
		t.Errorf("%q", text)
	}
}
