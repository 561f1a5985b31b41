package picture_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

var update = flag.Bool("update", false, "write what is drawn now into testdata/picture")

// golden compares the text with the file in testdata/picture.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("..", "..", "testdata", "picture", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, text, want)
	}
}

type (
	Trip struct {
		Rooms  []Room
		VIP    bool
		Agreed string
	}
	Room  struct{ Guests []Guest }
	Guest struct{ Name string }

	Book     struct{ What string }
	Booked   struct{}
	Refused  struct{ Why string }
	Cancel   struct{ What string }
	Approval struct{ By string }
)

func (r Refused) FailureReason() string { return r.Why }

// once is a step without an undo.
func once[D any](name string) *saga.StepNode[D] {
	return saga.Step(name,
		saga.Do(func(D) Book { return Book{What: name} }),
		saga.On(func(*D, Booked) {}),
		saga.OnFailure(func(*D, Refused) {}))
}

// book is a step with an undo.
func book[D any](name string) *saga.StepNode[D] {
	return saga.Step(name,
		saga.Do(func(D) Book { return Book{What: name} }),
		saga.On(func(*D, Booked) {}),
		saga.OnFailure(func(*D, Refused) {}),
		saga.Undo(func(D) Cancel { return Cancel{What: name} }))
}

// trip has a node of every kind.
func trip() *saga.Definition[Trip] {
	return saga.MustDefine("trip",
		saga.StartOn(func(Booked) (string, Trip) { return "", Trip{} }),
		book[Trip]("flight").Service("airline").Attempts(2).Backoff(time.Minute, time.Minute),
		saga.Parallel("ground",
			book[Trip]("car").UndoUnacknowledged(),
			saga.Sequence("hotel", rooms(), once[Trip]("breakfast").NothingToUndo())),
		saga.If("vip", func(t Trip) bool { return t.VIP },
			book[Trip]("lounge")).Else(once[Trip]("mail").NothingToUndo(), saga.Sleep("calm", func(Trip) time.Duration { return time.Hour })),
		saga.If("late", func(Trip) bool { return false }, once[Trip]("fee").NothingToUndo()),
		saga.Wait("approval", func(t *Trip, a Approval) { t.Agreed = a.By }).Deadline(24*time.Hour),
		saga.Wait("survey", func(*Trip, Approval) {}).Deadline(time.Minute).OnDeadline(func(*Trip) {}),
		once[Trip]("pay").Pivot(),
		once[Trip]("ticket").Retriable().Backoff(time.Minute, time.Minute),
	)
}

func rooms() *saga.ForEachNode[Trip] {
	return saga.ForEach("rooms", func(t Trip) []Room { return t.Rooms },
		book[Room]("room").Attempts(2),
		saga.ForEach("guests", func(r Room) []Guest { return r.Guests }, book[Guest]("card")),
	).AtMost(20).Tolerate(1)
}

// instance takes inputs with all its records loaded, and keeps the log.
type instance struct {
	*testing.T
	def   saga.Any
	state saga.State
	now   time.Time
	log   []saga.Log
}

func epoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func start(t *testing.T, def saga.Any, data any) *instance {
	t.Helper()
	in := &instance{T: t, def: def, now: epoch()}
	in.take(saga.Start{ID: "5e1f", Key: "trip-7", Data: data})
	return in
}

func (in *instance) take(input saga.Input) {
	in.Helper()
	next, effects, err := saga.Decide(in.def, in.state, input, in.now)
	if err != nil {
		in.Fatalf("%#v: %v", input, err)
	}
	if next.Version == in.state.Version {
		in.Fatalf("%#v changed nothing", input)
	}
	in.state = next
	for _, e := range effects {
		if l, ok := e.(saga.Log); ok {
			in.log = append(in.log, l)
		}
	}
}

// ok answers the commands of the nodes with success.
func (in *instance) ok(nodes ...string) {
	in.Helper()
	for _, node := range nodes {
		in.take(saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: saga.AnyEpoch, Event: Booked{}})
	}
}

// no answers them with failure.
func (in *instance) no(why string, nodes ...string) {
	in.Helper()
	for _, node := range nodes {
		in.take(saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: saga.AnyEpoch, Event: Refused{Why: why}})
	}
}

// undo acknowledges the undos of the nodes, with the outcome.
func (in *instance) undo(outcome saga.Outcome, nodes ...string) {
	in.Helper()
	for _, node := range nodes {
		in.take(saga.Reply{Node: node, Direction: saga.UndoDirection, Epoch: saga.AnyEpoch, Outcome: outcome, Event: Refused{Why: "closed"}})
	}
}

// tick lets the time go by and looks at the record.
func (in *instance) tick(d time.Duration, record string) {
	in.Helper()
	in.now = in.now.Add(d)
	in.take(saga.Tick{Record: record})
}

func (in *instance) act(a saga.Action, node string) {
	in.Helper()
	in.take(saga.Act{ID: string(a) + node, Action: a, Node: node, By: "ana", Why: "a \"reason\" [of] <hers>; #1"})
}
