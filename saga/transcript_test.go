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

// TestTranscripts plays the scripts in testdata/saga: each line is an input, and what became of it stands below, indented.
// Lines that begin with # are comments. The commands are
//
//	start rooms=N           begin the trip
//	ok NODE, no NODE        the reply to the node's command
//	undone NODE, nothing NODE, unable NODE
//	                        the reply to its undo
//	tick DURATION           let the time go by
//	act ACTION [NODE]       an operator's action: retry, skip, force, cancel
//
// Run with -rewrite to bring the files up to date, then read the difference.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/saga/*.txt")
	if err != nil || len(files) < 8 {
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
	s := &stage{driver: &driver{t, newWorld(tripSaga())}, out: &out}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "    "):
			continue // what was printed the last time
		case line == "" || strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
		default:
			fmt.Fprintln(&out, line)
			s.command(strings.Fields(line))
		}
	}
	return out.Bytes()
}

// stage plays the lines of a script on an instance.
type stage struct {
	*driver
	out *bytes.Buffer
}

func (s *stage) command(words []string) {
	verb, arg := words[0], ""
	if len(words) > 1 {
		arg = words[1]
	}
	reply := func(direction saga.Direction, outcome saga.Outcome, event any) {
		s.input(saga.Reply{Node: arg, Direction: direction, Epoch: s.node(arg).Epoch, Outcome: outcome, Event: event})
	}
	switch verb {
	case "start":
		n, err := strconv.Atoi(strings.TrimPrefix(arg, "rooms="))
		if err != nil {
			s.Fatal(err)
		}
		s.input(saga.Start{ID: "trip-1", Data: items(n, "rooms")})
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
	default:
		s.Fatalf("no command %q", verb)
	}
}

func (s *stage) tick(wait time.Duration) {
	ticked := false
	for end := s.now.Add(wait); ; {
		keys, next := s.due()
		for _, key := range keys {
			ticked = true
			s.input(saga.Tick{Record: key})
		}
		switch {
		case len(keys) > 0:
		case next.IsZero() || next.After(end):
			s.now = end
			if !ticked {
				s.print("nothing is due")
			}
			return
		default:
			s.now = next
		}
	}
}

func (s *stage) input(in saga.Input) {
	version, status := s.header.Version, s.header.Status
	effects, err := s.apply(in)
	if err != nil {
		s.print("error: " + err.Error())
		return
	}
	if s.header.Version == version {
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

func (s *stage) effect(e saga.Effect) {
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
		if e.Kind == saga.LogSent {
			return // its Send is printed
		}
		s.print(strings.TrimRight(strings.Join([]string{string(e.Kind), e.Node, e.Detail}, " "), " "))
	}
}

// print writes a line with the time since the start.
func (s *stage) print(text string) {
	fmt.Fprintf(s.out, "    %6s  %s\n", s.now.Sub(epoch), strings.Join(strings.Fields(text), " "))
}
