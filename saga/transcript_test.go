package saga_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

var rewrite = flag.Bool("rewrite", false, "write what the transcripts print now into testdata/saga")

// tripSaga is what the transcripts tell of.
func tripSaga() saga.Any {
	return saga.MustDefine("trip",
		undoable("flight").Attempts(2).Timeout(30*time.Second).Backoff(10*time.Second, time.Minute),
		fan("rooms", undoable("book").Attempts(2).Timeout(time.Minute), undoable("garage").UndoUnacknowledged()).AtMost(3),
		undoable("car").UndoNeedsReply().Attempts(1).Timeout(time.Minute),
		bare("pay").Attempts(2).Timeout(20*time.Second).Pivot(),
		bare("ticket").Retriable().Attempts(2).Backoff(5*time.Second, time.Minute),
	)
}

// sagas are what the transcripts tell of, by the name that the command saga takes; without it they tell of the trip.
func sagas() map[string][]saga.Node[data] {
	return map[string][]saga.Node[data]{
		"parallel": {
			undoable("flight"),
			saga.Parallel("stay",
				saga.Sequence("hotel", undoable("room"), undoable("breakfast")),
				undoable("car").Attempts(1).Timeout(time.Minute),
				fan("tours", undoable("tour"))),
			bare("pay").Pivot(),
		},
		"choice": {
			undoable("flight"),
			choice("vip", undoable("suite"), undoable("limousine")).Else(undoable("room")),
			bare("pay").Pivot(),
		},
		"approval": {
			undoable("flight"),
			wait("approval").Deadline(24 * time.Hour),
			bare("pay").Pivot(),
			sleep("holidays", 48*time.Hour),
			wait("rating").Deadline(time.Hour).OnDeadline(func(d *data) { d.note("rating", "none") }),
			wait("keys").Deadline(time.Hour),
			bare("refund").Retriable(),
		},
		"tolerant": {
			undoable("flight"),
			fan("tours", undoable("tour"), undoable("guide")).Tolerate(1),
			bare("pay").Pivot(),
		},
		"shop": {
			undoable("order"),
			saga.Step("parcel", saga.Do(func(d data) doIt {
				if d.Refs["address"] == "" {
					panic("no address")
				}
				return doIt{Step: "parcel"}
			}), on, failure).Pivot(),
		},
		"choreography": {
			by("air", "flight"),
			saga.Parallel("stay", by("inn", "room"), by("cars", "car")),
			bare("pay").Service("air").Pivot(),
		},
	}
}

// TestTranscripts plays the scripts in testdata/saga: each line is an input, and what became of it stands below, indented.
// Lines that begin with # are comments. The commands are
//
//	saga NAME               tell of another saga than the trip; of "choreography" by all its parties
//	start [FAN=N] [yes=IF]  begin, with N items of each fan-out, and with conditions that hold
//	ok NODE, no NODE        the reply to the node's command
//	undone NODE, nothing NODE, unable NODE
//	                        the reply to its undo
//	signal NODE             what a wait waits for
//	tick DURATION           let the time go by
//	act ACTION [NODE]       an operator's action: retry, skip, force, cancel
//	edit [ITEM] JSON        an operator's edit
//	pause, resume           of the definition: nobody ticks what is paused
//	to PARTY COMMAND        an input that only this party of a choreography sees
//
// Run with -rewrite to bring the files up to date, then read the difference.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/saga/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d transcripts, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			played := play(t, string(script))
			if *rewrite {
				if err := os.WriteFile(file, played, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if !bytes.Equal(played, script) {
				t.Errorf("the transcript differs; it is now:\n%s", played)
			}
		})
	}
}

func play(t *testing.T, script string) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &stage{out: &out, parties: []*player{{driver: &driver{t, newWorld(tripSaga())}}}}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "    "):
			continue // what was printed the last time
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		default:
			fmt.Fprintln(&out, line)
			s.line(t, strings.Fields(line))
		}
	}
	return out.Bytes()
}

// stage plays the lines of a script on an instance, as one coordinator or as each party of a choreography sees it.
type stage struct {
	out     *bytes.Buffer
	parties []*player
	paused  bool
}

// player is one of those.
type player struct {
	*driver
	*stage
	name string
}

func (s *stage) line(t *testing.T, words []string) {
	t.Helper()
	only := ""
	if words[0] == "to" {
		only, words = words[1], words[2:]
	}
	switch words[0] {
	case "saga":
		s.choose(t, words[1])
	case "pause", "resume":
		s.paused = words[0] == "pause"
	default:
		for _, a := range s.parties {
			if only == "" || only == a.name {
				a.stage = s
				a.command(words)
			}
		}
	}
}

func (s *stage) choose(t *testing.T, name string) {
	t.Helper()
	def, err := saga.Define(name, sagas()[name]...)
	if err != nil {
		t.Fatal(err)
	}
	if name != "choreography" {
		s.parties[0].def = def
		return
	}
	s.parties = nil
	for _, service := range []string{"air", "inn", "cars", ""} {
		part, err := saga.Choreograph(def, service)
		if err != nil {
			t.Fatal(err)
		}
		a := &player{driver: &driver{t, newWorld(part)}, name: service}
		if service == "" {
			a.name = "watcher"
		}
		s.parties = append(s.parties, a)
	}
}

func (s *player) command(words []string) {
	verb, arg := words[0], ""
	if len(words) > 1 {
		arg = words[1]
	}
	reply := func(direction saga.Direction, outcome saga.Outcome, event any) {
		s.input(saga.Reply{Node: arg, Direction: direction, Epoch: s.node(arg).Epoch, Outcome: outcome, Event: event})
	}
	switch verb {
	case "start":
		s.input(saga.Start{ID: "trip-1", Data: s.dataOf(words[1:])})
	case "ok":
		reply(saga.DoDirection, saga.Success, done{Ref: "r"})
	case "no":
		reply(saga.DoDirection, saga.Failure, refused{Why: "full"})
	case "undone":
		reply(saga.UndoDirection, saga.Success, undone{})
	case "nothing":
		reply(saga.UndoDirection, saga.Nothing, nil)
	case "unable":
		reply(saga.UndoDirection, saga.Failure, rejected{Why: "office closed"})
	case "signal":
		s.input(saga.Signal{Node: arg, Event: nod{By: "ben"}})
	case "tick":
		wait, err := time.ParseDuration(arg)
		if err != nil {
			s.Fatal(err)
		}
		s.tick(wait)
	case "act":
		act := saga.Act{ID: fmt.Sprintf("act-%d", s.header.Version), Action: saga.Action(arg), By: "ana", Why: operatorActs[saga.Action(arg)]}
		if len(words) > 2 {
			act.Node = words[2]
		}
		s.input(act)
	case "edit":
		act := saga.Act{ID: fmt.Sprintf("act-%d", s.header.Version), Action: saga.Edit, By: "ana", Why: "a wrong number", Data: words[len(words)-1]}
		if len(words) > 2 {
			act.Node = arg
		}
		s.input(act)
	default:
		s.Fatalf("no command %q", verb)
	}
}

// dataOf reads the words of a start.
func (s *player) dataOf(words []string) data {
	d := data{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		if name == "yes" {
			d.Yes = yes(value).Yes
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			s.Fatal(err)
		}
		d.Items = items(n, name).Items
	}
	return d
}

func (s *player) tick(wait time.Duration) {
	ticked := false
	for end := s.now.Add(wait); ; {
		keys, next := s.due()
		if s.paused {
			keys, next = nil, time.Time{}
		}
		for _, key := range keys {
			ticked = true
			s.input(saga.Tick{Record: key})
		}
		switch {
		case len(keys) > 0:
		case next.IsZero() || next.After(end):
			s.now = end
			if !ticked && len(s.parties) == 1 {
				s.print("nothing is due")
			}
			return
		default:
			s.now = next
		}
	}
}

func (s *player) input(in saga.Input) {
	version, status := s.header.Version, s.header.Status
	if s.paused {
		in = saga.Hold{Input: in}
	}
	effects, err := s.apply(in)
	if err != nil {
		s.print("error: " + err.Error())
		return
	}
	switch {
	case s.header.Version > version:
	case len(s.parties) > 1:
		return // most inputs do not concern most parties
	default:
		s.print("nothing changes")
		return
	}
	for _, e := range effects {
		s.effect(e)
	}
	if s.header.Status != status {
		text := "= " + string(s.header.Status)
		if s.header.Reason != "" {
			text += " (" + s.header.Reason + ")"
		}
		s.print(text)
	}
}

func (s *player) effect(e saga.Effect) {
	switch e := e.(type) {
	case saga.Send:
		text := "→ " + sendText(e)
		if u, ok := e.Command.(undoIt); ok && u.Ref != "" {
			text += " of " + u.Ref
		}
		s.print(text)
	case saga.Audit:
		s.print(fmt.Sprintf("audit %s by %s: %s → %s", e.Act.Action, e.Act.By, e.Before, e.After))
	case saga.Log:
		if e.Kind == saga.LogSent || s.name != "" && s.name != "watcher" {
			return // its Send is printed; of a choreography the watcher tells the story
		}
		s.print(strings.TrimRight(strings.Join([]string{string(e.Kind), e.Node, e.Detail}, " "), " "))
	}
}

// print writes a line with the time since the start.
func (s *player) print(text string) {
	if s.name != "" {
		text = s.name + ": " + text
	}
	fmt.Fprintf(s.out, "    %6s  %s\n", s.now.Sub(epoch), strings.Join(strings.Fields(text), " "))
}
