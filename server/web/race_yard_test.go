package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
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
	const timeout, attempts = 60 * time.Millisecond, 2
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

// start begins more sagas: every fourth is refused, every third has a wait that nobody signals.
func (y *yard) start(more int) {
	y.Helper()
	for range more {
		i := len(y.ids) // only start adds to them
		p := parcel{Key: fmt.Sprint("parcel ", i), Refuse: i%4 == 1, Asks: i%3 == 2}
		for j := range 3 {
			p.Pieces = append(p.Pieces, piece{Key: fmt.Sprintf("%s.%d", p.Key, j)})
		}
		id, err := coordinator.Start(y.Context(), y.c, shipment(), p, coordinator.Key(p.Key))
		if err != nil {
			y.Fatal(err)
		}
		y.mu.Lock()
		y.ids = append(y.ids, id)
		y.mu.Unlock()
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

func (y *yard) look(id saga.ID, history int) (s shown) {
	y.Helper()
	got := y.site.get("/v1/sagas/" + string(id) + "?historyLimit=" + strconv.Itoa(history))
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
func (y *yard) act(id saga.ID, act map[string]any, twice bool) (accepted bool) {
	y.Helper()
	body, err := json.Marshal(act)
	if err != nil {
		y.Error(err)
		return false
	}
	send := func() {
		got := y.site.do("POST", "/v1/sagas/"+string(id)+"/actions", string(body))
		switch got.status {
		case http.StatusOK:
			y.mu.Lock()
			defer y.mu.Unlock()
			if y.accepted[id] == nil { // operators see a saga before start hears of it
				y.accepted[id] = map[string]bool{}
			}
			y.accepted[id][fmt.Sprint(act["id"])] = true
			accepted = true
		case http.StatusConflict, http.StatusNotFound: // it does not fit any more, or the item is not there yet
		default:
			y.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if !twice {
		send()
		return accepted
	}
	var both sync.WaitGroup
	both.Go(send)
	both.Go(send)
	both.Wait()
	return accepted
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
