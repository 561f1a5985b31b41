package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
	"github.com/alpespartners/alpespartners/server/web"
)

// Operators race with live replies: many sagas are under way over participants that are slow enough for time-outs, late replies and
// stuck nodes, while several operators act on what they see.

// parcel is the data: what its steps heard, and how often it was edited.
type parcel struct {
	Key    string
	Edits  int            `json:",omitempty"`
	Heard  map[string]int `json:",omitempty"`
	Pieces []piece        `json:",omitempty"`
	Refuse bool           `json:",omitempty"` // the pivot is refused
	Asks   bool           `json:",omitempty"` // somebody has to skip a wait
}

type piece struct {
	Key   string
	Edits int            `json:",omitempty"`
	Heard map[string]int `json:",omitempty"`
}

type (
	carry       struct{ Key, Step string }
	carryBack   struct{ Key, Step string }
	decide      struct{ Key, Step, Refuse string }
	carried     struct{ Step string }
	broughtBack struct{}
	decided     struct{ Step string }
	rejected    struct{}
	approval    struct{}
)

// hear notes an answer in the data; a second one would show.
func hear(heard *map[string]int, step string) {
	if *heard == nil {
		*heard = map[string]int{}
	}
	(*heard)[step]++
}

func shipment() *saga.Definition[parcel] {
	const timeout, attempts = 40 * time.Millisecond, 2
	back := 5 * time.Millisecond
	return saga.MustDefine("shipment",
		saga.Step("fetch",
			saga.Do(func(p parcel) carry { return carry{p.Key, "fetch"} }),
			saga.On(func(p *parcel, e carried) { hear(&p.Heard, e.Step) }),
			saga.Undo(func(p parcel) carryBack { return carryBack{p.Key, "fetch"} }),
		).Timeout(timeout).Attempts(attempts).Backoff(back, back),
		saga.ForEach("pieces", func(p parcel) []piece { return p.Pieces },
			saga.Step("load",
				saga.Do(func(p piece) carry { return carry{p.Key, "load"} }),
				saga.On(func(p *piece, e carried) { hear(&p.Heard, e.Step) }),
				saga.Undo(func(p piece) carryBack { return carryBack{p.Key, "load"} }),
			).Timeout(timeout).Attempts(attempts).Backoff(back, back)),
		saga.If("asks", func(p parcel) bool { return p.Asks }, saga.Wait("approval", func(*parcel, approval) {})),
		saga.Step("leave",
			saga.Do(func(p parcel) decide {
				if p.Refuse {
					return decide{p.Key, "leave", "yes"}
				}
				return decide{p.Key, "leave", ""}
			}),
			saga.On(func(p *parcel, e decided) { hear(&p.Heard, e.Step) }),
			saga.OnFailure(func(*parcel, rejected) {}),
		).Pivot().Timeout(timeout).Attempts(attempts),
		saga.Step("tell",
			saga.Do(func(p parcel) decide { return decide{p.Key, "tell", ""} }),
			saga.On(func(p *parcel, e decided) { hear(&p.Heard, e.Step) }),
		).Retriable().Timeout(timeout).Attempts(attempts).Backoff(back, back),
	)
}

// yard is the system around the sagas.
type yard struct {
	*testing.T

	site  *site
	store *memsaga.Store
	c     *coordinator.Coordinator
	ids   []saga.ID
	calm  atomic.Bool // the participants answer at once

	mu       sync.Mutex
	effects  map[string]int              // net, by key and step
	accepted map[saga.ID]map[string]bool // the ids of actions that were answered 200
}

// slow keeps two of three commands waiting, some so long that they time out.
func (y *yard) slow(what string) error {
	if y.calm.Load() {
		return nil
	}
	h := fnv.New32a()
	h.Write([]byte(what))
	if h.Sum32()%3 == 0 || rand.IntN(4) == 0 {
		return nil
	}
	return messaging.RetryAfter(time.Duration(rand.IntN(40))*time.Millisecond, errors.New("slow"))
}

func (y *yard) effect(key string, by int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.effects[key] += by
}

func newYard(t *testing.T, sagas int) *yard {
	t.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[carry]("carry", "commands"), messaging.JSON[carryBack]("carryBack", "commands"), messaging.JSON[decide]("decide", "commands"),
		messaging.JSON[carried]("carried", "events"), messaging.JSON[broughtBack]("broughtBack", "events"),
		messaging.JSON[decided]("decided", "events"), messaging.JSON[rejected]("rejected", "events"), messaging.JSON[approval]("approval", "events"))
	if err != nil {
		t.Fatal(err)
	}
	broker := memmsg.New(memmsg.Config{})
	bus := messaging.Bus{Broker: broker, Codec: codec}
	quiet := slog.New(slog.DiscardHandler)
	y := &yard{T: t, store: memsaga.New(), effects: map[string]int{}, accepted: map[saga.ID]map[string]bool{}}
	carrier, err := inbox.NewService(inbox.Config{Name: "carrier", Bus: bus, Store: inbox.NewMemory(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	inbox.Handle(carrier, func(_ context.Context, _ inbox.Tx, c carry) (carried, error) {
		if err := y.slow(c.Key + c.Step); err != nil {
			return carried{}, err
		}
		y.effect(c.Key+" "+c.Step, 1)
		return carried{c.Step}, nil
	})
	inbox.Handle(carrier, func(_ context.Context, _ inbox.Tx, c carryBack) (broughtBack, error) {
		if err := y.slow(c.Key + c.Step + "back"); err != nil {
			return broughtBack{}, err
		}
		y.effect(c.Key+" "+c.Step, -1)
		return broughtBack{}, nil
	})
	inbox.Handle(carrier, func(_ context.Context, _ inbox.Tx, c decide) (decided, error) {
		if err := y.slow(c.Key + c.Step); err != nil {
			return decided{}, err
		}
		if c.Refuse != "" {
			return decided{}, messaging.Refuse(rejected{})
		}
		y.effect(c.Key+" "+c.Step, 1)
		return decided{c.Step}, nil
	})
	y.c, err = coordinator.New(coordinator.Config{Store: y.store, Bus: bus, Definitions: []saga.Any{shipment()}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, part := range []struct {
		run   func(context.Context) error
		ready <-chan struct{}
	}{{carrier.Run, carrier.Ready()}, {y.c.Run, y.c.Ready()}} {
		running.Go(func() {
			if err := part.run(ctx); err != nil {
				t.Error(err)
			}
		})
		<-part.ready
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
		_ = broker.Close()
	})
	y.site = newSite(t, func(c *web.Config) {
		c.Sagas, c.Actor, c.Pauser, c.Definitions = y.store, y.c, y.c, []saga.Any{shipment()}
	})
	y.start(sagas)
	return y
}

// start begins the sagas: every fourth is refused, every third has a wait that nobody signals.
func (y *yard) start(sagas int) {
	y.Helper()
	for i := range sagas {
		p := parcel{Key: fmt.Sprint("parcel ", i), Refuse: i%4 == 1, Asks: i%3 == 2}
		for j := range 3 {
			p.Pieces = append(p.Pieces, piece{Key: fmt.Sprintf("%s.%d", p.Key, j)})
		}
		id, err := coordinator.Start(y.Context(), y.c, shipment(), p, coordinator.Key(p.Key))
		if err != nil {
			y.Fatal(err)
		}
		y.ids = append(y.ids, id)
		y.accepted[id] = map[string]bool{}
	}
}

// shown is a saga as an operator sees it.
type shown struct {
	ID      saga.ID
	State   saga.Status
	Version int64
	Data    parcel
	Steps   []node
	Items   []struct {
		Key   string
		Data  piece
		Steps []node
	}
	History []struct{ Version int64 }
	Actions []struct {
		ID, Action, Node string
		Version          int64
	}
}

type node struct {
	Path, Kind, Phase string
	Stuck             bool
}

func (y *yard) look(id saga.ID) (s shown) {
	y.Helper()
	got := y.site.get("/v1/sagas/" + string(id) + "?historyLimit=1000")
	if got.status != http.StatusOK {
		y.Errorf("GET saga: %d %s", got.status, got.body)
		return s
	}
	got.decode(y, &s)
	return s
}

// nodes are all of the saga's.
func (s shown) nodes() []node {
	nodes := slices.Clone(s.Steps)
	for _, i := range s.Items {
		nodes = append(nodes, i.Steps...)
	}
	return nodes
}

// act sends the action, now and then twice at once as a client that hears nothing does, and notes whether it was accepted.
func (y *yard) act(id saga.ID, act map[string]any, twice bool) {
	y.Helper()
	body, err := json.Marshal(act)
	if err != nil {
		y.Error(err)
		return
	}
	send := func() {
		got := y.site.do("POST", "/v1/sagas/"+string(id)+"/actions", string(body))
		switch got.status {
		case http.StatusOK:
			y.mu.Lock()
			defer y.mu.Unlock()
			y.accepted[id][fmt.Sprint(act["id"])] = true
		case http.StatusConflict, http.StatusNotFound: // it does not fit any more, or the item is not there yet
		default:
			y.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if !twice {
		send()
		return
	}
	var both sync.WaitGroup
	both.Go(send)
	both.Go(send)
	both.Wait()
}

// choose makes up an action of the kind for the saga as it was seen, or nil.
func choose(random *rand.Rand, kind string, s shown) map[string]any {
	act := map[string]any{"action": kind, "version": s.Version, "by": "ana", "why": "a test"}
	var candidates []string
	switch kind {
	case "retry", "skip":
		for _, n := range s.nodes() {
			if n.Stuck || n.Phase == "waiting" || kind == "retry" && (n.Phase == "doing" || n.Phase == "undoing") {
				candidates = append(candidates, n.Path)
			}
		}
		if len(candidates) == 0 {
			return nil
		}
		act["node"] = candidates[random.IntN(len(candidates))]
	case "edit":
		if len(s.Items) == 0 || random.IntN(2) == 0 {
			s.Data.Edits++
			act["data"] = s.Data
			return act
		}
		item := s.Items[random.IntN(len(s.Items))]
		item.Data.Edits++
		act["node"], act["data"] = item.Key, item.Data
	}
	return act
}

// operate lets operators do such things until each saga was looked at several times, or nothing is left to be done.
func (y *yard) operate(kinds ...string) {
	y.Helper()
	var operators sync.WaitGroup
	for operator := range 5 {
		random := rand.New(rand.NewPCG(uint64(operator), 7))
		operators.Go(func() {
			for i := range 8 * len(y.ids) / 5 {
				id := y.ids[random.IntN(len(y.ids))]
				s := y.look(id)
				if s.State.Terminal() {
					continue
				}
				act := choose(random, kinds[random.IntN(len(kinds))], s)
				if act == nil {
					continue
				}
				act["id"] = fmt.Sprintf("%d-%d", operator, i)
				y.act(id, act, random.IntN(4) == 0)
			}
		})
	}
	operators.Wait()
}

// settle makes the participants answer at once and does what operators have to until every saga is at its end.
func (y *yard) settle() {
	y.Helper()
	y.calm.Store(true)
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for round := 0; ; round++ {
		open := 0
		for _, id := range y.ids {
			s := y.look(id)
			if s.State.Terminal() {
				continue
			}
			open++
			for i, n := range s.nodes() {
				switch kind := map[bool]string{true: "skip", false: "retry"}[n.Kind == "wait"]; {
				case n.Stuck || n.Phase == "waiting":
					y.act(id, map[string]any{
						"action": kind, "node": n.Path, "by": "eva", "why": "the end", "id": fmt.Sprintf("end-%d-%d", round, i),
					}, false)
				}
			}
		}
		if open == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-late.C:
			y.Fatalf("%d sagas do not come to their end", open)
		}
	}
}

// judge compares each saga with what the operators know of it, and with what the participants did.
func (y *yard) judge(lenient bool) map[saga.Status]int {
	y.Helper()
	ends := map[saga.Status]int{}
	for i, id := range y.ids {
		s := y.look(id)
		ends[s.State]++
		audited, skipped := map[string]bool{}, map[string]bool{}
		edits := map[string]int{}
		for _, a := range s.Actions {
			if audited[a.ID] {
				y.Errorf("saga %d: the action %s was applied twice", i, a.ID)
			}
			audited[a.ID] = true
			if a.Action == "edit" {
				edits[a.Node]++
			}
			if a.Action == "skip" {
				skipped[a.Node] = true
			}
		}
		if !maps.Equal(audited, y.accepted[id]) {
			y.Errorf("saga %d: accepted %v, audited %v", i, y.accepted[id], audited)
		}
		version := int64(0)
		for _, l := range s.History {
			if l.Version != version && l.Version != version+1 {
				y.Errorf("saga %d: its story goes from version %d to %d", i, version, l.Version)
			}
			version = l.Version
		}
		if s.Data.Edits != edits[""] {
			y.Errorf("saga %d: %d edits, of %d that were accepted", i, s.Data.Edits, edits[""])
		}
		for _, item := range s.Items {
			if item.Data.Edits != edits[item.Key] {
				y.Errorf("saga %d, %s: %d edits, of %d that were accepted", i, item.Key, item.Data.Edits, edits[item.Key])
			}
		}
		if s.State == saga.Forced || lenient && len(skipped) > 0 {
			continue // its effects are as they were
		}
		y.judgeEffects(i, s)
	}
	return ends
}

// judgeEffects wants all of a completed saga and nothing of a compensated one, and every answer heard once.
func (y *yard) judgeEffects(i int, s shown) {
	y.Helper()
	key := fmt.Sprint("parcel ", i)
	effects := map[string]int{key + " fetch": 1, key + " leave": 1, key + " tell": 1}
	heard := map[string]int{"fetch": 1, "leave": 1, "tell": 1}
	for j := range 3 {
		effects[fmt.Sprintf("%s.%d load", key, j)] = 1
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	for what, want := range effects {
		if s.State == saga.Compensated {
			want = 0
		}
		if got := y.effects[what]; got != want {
			y.Errorf("saga %d is %s, and %s has the net effect %d", i, s.State, what, got)
		}
	}
	if s.State == saga.Completed && !maps.Equal(s.Data.Heard, heard) {
		y.Errorf("saga %d heard %v", i, s.Data.Heard)
	}
	for _, item := range s.Items {
		if s.State == saga.Completed && !maps.Equal(item.Data.Heard, map[string]int{"load": 1}) {
			y.Errorf("saga %d, %s heard %v", i, item.Key, item.Data.Heard)
		}
	}
}

// TestActionsRaceWithReplies races each action, and all of them.
func TestActionsRaceWithReplies(t *testing.T) {
	t.Parallel()
	for _, kinds := range [][]string{{"retry"}, {"skip"}, {"edit"}, {"force"}, {"cancel"}, {"retry", "skip", "edit", "edit", "force", "cancel"}} {
		t.Run(strings.Join(slices.Compact(slices.Clone(kinds)), "+"), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, 40)
			y.operate(kinds...)
			y.settle()
			ends := y.judge(slices.Contains(kinds, "skip"))
			applied := 0
			for _, all := range y.accepted {
				for id := range all {
					if !strings.HasPrefix(id, "end-") {
						applied++
					}
				}
			}
			t.Logf("%d actions were accepted: %v", applied, ends)
			if applied == 0 {
				t.Error("it has shown nothing")
			}
			if slices.Contains(kinds, "force") != (ends[saga.Forced] > 0) {
				t.Errorf("%d were forced", ends[saga.Forced])
			}
		})
	}
}

// TestPausesRaceWithReplies pauses and releases while sagas are under way and operators act: nothing is lost, and nothing goes out of
// a paused saga.
func TestPausesRaceWithReplies(t *testing.T) {
	t.Parallel()
	y := newYard(t, 40)
	stop, stopped := make(chan struct{}), make(chan struct{})
	var paused, released atomic.Int32
	go func() {
		defer close(stopped)
		random := rand.New(rand.NewPCG(3, 3))
		var all sync.WaitGroup
		for i := 0; ; i++ {
			select {
			case <-stop:
				all.Wait()
				return
			default:
			}
			definition := []string{"", `"definition":"shipment",`}[random.IntN(2)]
			rate := []int{0, 50, 5000}[random.IntN(3)]
			for range 2 { // two operators at once
				all.Go(func() {
					if got := y.site.do("POST", "/v1/pauses", `{`+definition+`"by":"a","why":"w"}`); got.status == http.StatusOK {
						paused.Add(1)
					} else if got.status != http.StatusConflict {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
			for range 2 {
				all.Go(func() {
					got := y.site.do("POST", "/v1/pauses/release", fmt.Sprintf(`{%s"rate":%d,"by":"a","why":"w"}`, definition, rate))
					if got.status == http.StatusOK {
						released.Add(1)
					} else if got.status != http.StatusConflict {
						t.Errorf("%d %s", got.status, got.body)
					}
				})
			}
			all.Wait()
		}
	}()
	y.operate("retry", "cancel")
	close(stop)
	<-stopped
	for _, definition := range []string{"", `"definition":"shipment",`} {
		got := y.site.do("POST", "/v1/pauses/release", `{`+definition+`"by":"a","why":"the end"}`)
		if got.status != http.StatusOK && got.status != http.StatusConflict {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	y.settle()
	ends := y.judge(false)
	t.Logf("%d pauses, %d releases: %v", paused.Load(), released.Load(), ends)
	if paused.Load() == 0 || released.Load() == 0 {
		t.Error("it has shown nothing")
	}
	var history struct{ Items []struct{ State string } }
	y.site.get("/v1/pauses?limit=500").decode(t, &history)
	for _, p := range history.Items {
		if p.State != "released" {
			t.Errorf("a pause is left %s", p.State)
		}
	}
}
