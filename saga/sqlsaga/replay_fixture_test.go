package sqlsaga_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// What the instances in testdata/replay are instances of. Nothing here is ever changed, nor this package renamed: their hashes are in the rows.
// A new format may bring definitions of its own.
type (
	replayTrip struct {
		Name  string       `json:"name"`
		Seat  string       `json:"seat,omitempty"`
		Rooms []replayRoom `json:"rooms,omitempty"`
	}
	replayRoom struct {
		Name string `json:"name"`
		Ref  string `json:"ref,omitempty"`
	}

	replayDo     struct{ What string }
	replayUndo   struct{ Ref string }
	replayDone   struct{ Ref string }
	replayNo     struct{ Why string }
	replayUndone struct{}
	replayAgreed struct{ By string }
)

func (n replayNo) FailureReason() string { return n.Why }

// replayDefinitions are all that ever were.
func replayDefinitions() []saga.Any { return []saga.Any{replayTripV1(), replayStayV2()} }

// replayTripV1 is the definition of the first format: steps of every class and a fan-out.
func replayTripV1() *saga.Definition[replayTrip] {
	return saga.MustDefine("replay-trip",
		saga.Step("flight",
			saga.Do(func(t replayTrip) replayDo { return replayDo{What: t.Name} }),
			saga.On(func(t *replayTrip, e replayDone) { t.Seat = e.Ref }),
			saga.OnFailure(func(*replayTrip, replayNo) {}),
			saga.Undo(func(t replayTrip) replayUndo { return replayUndo{Ref: t.Seat} }),
		).Attempts(2).Backoff(10*time.Second, time.Minute),
		saga.ForEach("rooms", func(t replayTrip) []replayRoom { return t.Rooms },
			saga.Step("book",
				saga.Do(func(r replayRoom) replayDo { return replayDo{What: r.Name} }),
				saga.On(func(r *replayRoom, e replayDone) { r.Ref = e.Ref }),
				saga.OnFailure(func(*replayRoom, replayNo) {}),
				saga.Undo(func(r replayRoom) replayUndo { return replayUndo{Ref: r.Ref} }),
			).Attempts(2),
			saga.Step("key",
				saga.Do(func(r replayRoom) replayDo { return replayDo{What: r.Name} }),
				saga.On(func(*replayRoom, replayDone) {}),
				saga.Undo(func(r replayRoom) replayUndo { return replayUndo{Ref: r.Ref} }),
			).UndoUnacknowledged(),
		).AtMost(2),
		saga.Step("pay",
			saga.Do(func(t replayTrip) replayDo { return replayDo{What: t.Seat} }),
			saga.On(func(*replayTrip, replayDone) {}),
			saga.OnFailure(func(*replayTrip, replayNo) {}),
		).Attempts(2).Pivot(),
		saga.Step("ticket",
			saga.Do(func(t replayTrip) replayDo { return replayDo{What: t.Seat} }),
			saga.On(func(*replayTrip, replayDone) {}),
			saga.OnFailure(func(*replayTrip, replayNo) {}),
		).Attempts(2).Backoff(10*time.Second, time.Minute).Retriable(),
	)
}

// replayScenario brings an instance to where its format is to be kept.
type replayScenario struct {
	name string
	def  saga.Any
	data any
	play func(*player)
}

func replayScenarios() []replayScenario {
	return append(replayTripScenarios(), replayStayScenarios()...)
}

func replayTripScenarios() []replayScenario {
	rooms := func(p *player) { p.ok("flight") }
	booked := func(p *player) {
		p.ok("flight", "rooms[0]/book", "rooms[1]/book", "rooms[0]/key", "rooms[1]/key", "rooms[2]/book", "rooms[2]/key")
	}
	failing := func(p *player) {
		rooms(p)
		p.ok("rooms[0]/book", "rooms[0]/key")
		p.no("full \"up\" in 東京", "rooms[1]/book")
	}
	var all []replayScenario
	for name, play := range map[string]func(*player){
		"running-at-flight": func(*player) {},
		"running-resent":    func(p *player) { p.tick(31*time.Second, "") },
		"running-in-rooms":  func(p *player) { rooms(p); p.ok("rooms[0]/book"); p.tick(31*time.Second, "rooms[1]") },
		"running-failing":   failing,
		"running-at-pay":    booked,
		"running-again":     func(p *player) { booked(p); p.ok("pay"); p.no("printer on fire", "ticket") },
		"compensating":      func(p *player) { failing(p); p.ok("rooms[2]/book", "rooms[2]/key"); p.undone("rooms[0]/book") },
		"compensating-unknown": func(p *player) {
			p.tick(31*time.Second, "")
			p.tick(31*time.Second, "")
			p.ok("flight") // too late
		},
		"compensating-cancelled": func(p *player) { p.ok("flight"); p.act(saga.Cancel, "") },
		"parked-at-undo":         parkedAtUndo,
		"parked-at-pay":          func(p *player) { booked(p); p.tick(31*time.Second, ""); p.tick(31*time.Second, "") },
		"parked-at-ticket": func(p *player) {
			booked(p)
			p.ok("pay")
			p.no("printer on fire", "ticket")
			p.tick(10*time.Second, "")
			p.no("printer on fire", "ticket")
		},
		"parked-orphan":  func(p *player) { rooms(p); p.orphan() },
		"retried":        func(p *player) { parkedAtUndo(p); p.act(saga.Retry, "") },
		"completed":      func(p *player) { booked(p); p.ok("pay", "ticket") },
		"compensated":    func(p *player) { p.no("no seats", "flight") },
		"given-up":       func(p *player) { parkedAtUndo(p); p.act(saga.Skip, "") },
		"forced":         func(p *player) { parkedAtUndo(p); p.act(saga.Force, "") },
		"forced-at-once": func(p *player) { p.act(saga.Force, "") },
	} {
		all = append(all, replayScenario{name, replayTripV1(), replayTrip{Name: "Reise \"Süd\" — 東京", Rooms: []replayRoom{{Name: "blau"}, {Name: "ré"}, {}}}, play})
	}
	return sortedScenarios(all)
}

// parkedAtUndo waits for an operator, as the undo of the flight failed for good.
func parkedAtUndo(p *player) {
	p.ok("flight")
	p.act(saga.Cancel, "")
	for _, room := range []string{"rooms[0]/book", "rooms[1]/book"} {
		p.undone(room)
	}
	p.undoFailed("flight")
	p.tick(10*time.Second, "")
	p.undoFailed("flight")
}

func replayEpoch() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC) }

// player takes one instance through its inputs, as a coordinator does, but with all its records: load, decide, commit.
type player struct {
	*testing.T
	store *sqlsaga.Store
	defs  []saga.Any // replayDefinitions
	id    saga.ID
	now   time.Time
}

func (p *player) take(in saga.Input) {
	p.Helper()
	p.decide(p.whole(), in)
}

// decide takes the input on the instance, which it was given whole, and reports whether anything changed.
func (p *player) decide(before saga.State, in saga.Input) (changed bool) {
	p.Helper()
	next, effects, err := saga.Decide(p.definition(before), before, in, p.now)
	if err != nil {
		p.Fatalf("%s: %#v: %v", p.id, in, err)
	}
	if next.Version == before.Version {
		return false
	}
	p.commit(before, next, effects)
	return true
}

// whole is the instance with all its records.
func (p *player) whole() saga.State {
	p.Helper()
	items, err := p.store.Items(p.Context(), p.id, 0, 1000)
	if err != nil {
		p.Fatal(err)
	}
	return loadWhole(p.T, p.store, p.id, items)
}

// begin starts the player's instance.
func (p *player) begin(def saga.Any, data any) {
	p.Helper()
	next, effects, err := saga.Decide(def, saga.State{}, saga.Start{ID: p.id, Key: "key of " + string(p.id), Data: data}, p.now)
	if err != nil {
		p.Fatal(err)
	}
	p.commit(saga.State{}, next, effects)
}

func (p *player) definition(s saga.State) saga.Any {
	p.Helper()
	for _, def := range p.defs {
		if def.Name() == s.Definition && def.Hash() == s.Hash {
			return def
		}
	}
	p.Fatalf("%s: no definition %s at %s: its hash must never change", p.id, s.Definition, s.Hash)
	return nil
}

func (p *player) commit(before, next saga.State, effects []saga.Effect) {
	p.Helper()
	change := coordinator.Change{Before: before.Version, State: next, Records: saga.Changed(before, next)}
	for _, e := range effects {
		switch e := e.(type) {
		case saga.Log:
			change.Log = append(change.Log, coordinator.LogEntry{Version: next.Version, Line: len(change.Log), At: p.now, Log: e})
		case saga.Audit:
			change.Audit = append(change.Audit, coordinator.AuditEntry{Version: next.Version, At: p.now, Audit: e})
		case saga.Expect:
			change.Expect = append(change.Expect, coordinator.Expectation{Node: e.Node, Direction: e.Direction, Epoch: e.Epoch, Key: e.Key})
		}
	}
	conflicts, err := p.store.Commit(p.Context(), []coordinator.Change{change})
	if err != nil || len(conflicts) > 0 {
		p.Fatalf("%s: conflicts %v, error %v", p.id, conflicts, err)
	}
	p.now = p.now.Add(1234567 * time.Microsecond)
}

// epochOf is the epoch of the node's present command.
func (p *player) epochOf(node string) int {
	p.Helper()
	state := p.whole()
	for _, view := range saga.View(p.definition(state), state) {
		if view.Path == node {
			return view.State.Epoch
		}
	}
	p.Fatalf("%s has no node %s", p.id, node)
	return 0
}

func (p *player) ok(nodes ...string) {
	p.Helper()
	for _, node := range nodes {
		p.take(saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: p.epochOf(node), Outcome: saga.Success, Event: replayDone{Ref: "ref of " + node}})
	}
}

func (p *player) no(why, node string) {
	p.Helper()
	p.take(saga.Reply{Node: node, Direction: saga.DoDirection, Epoch: p.epochOf(node), Outcome: saga.Failure, Event: replayNo{Why: why}})
}

func (p *player) undone(node string) {
	p.Helper()
	p.take(saga.Reply{Node: node, Direction: saga.UndoDirection, Epoch: p.epochOf(node), Outcome: saga.Success, Event: replayUndone{}})
}

func (p *player) undoFailed(node string) {
	p.Helper()
	p.take(saga.Reply{Node: node, Direction: saga.UndoDirection, Epoch: p.epochOf(node), Outcome: saga.Failure, Event: replayNo{Why: "closed"}})
}

func (p *player) tick(wait time.Duration, record string) {
	p.Helper()
	p.now = p.now.Add(wait)
	p.take(saga.Tick{Record: record})
}

func (p *player) act(a saga.Action, node string) {
	p.Helper()
	p.take(saga.Act{ID: fmt.Sprintf("%s-%s", p.id, a), Action: a, Node: node, By: "ana ñ", Why: "the customer's \"wish\""})
}

func (p *player) orphan() {
	p.Helper()
	before := p.whole()
	next, effects := saga.ParkOrphan(before, "no definition with this hash is registered", p.now)
	p.commit(before, next, effects)
}

// sortedScenarios are in the order of their names.
func sortedScenarios(all []replayScenario) []replayScenario {
	slices.SortFunc(all, func(a, b replayScenario) int { return strings.Compare(a.name, b.name) })
	return all
}
