package coordinator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// The fourth saga of the tests has every shape. All its steps reserve something at one agency.
type (
	journey struct {
		ID       string
		VIP      bool
		Nap      time.Duration
		Stays    []stay
		Passport string
		Gate     string
	}
	stay        struct{ Name, Note string }
	reserve     struct{ What string }
	reserved    struct{}
	unavailable struct{}
	release     struct{ What string }
	released    struct{}
	passport    struct{ Number string } // signals
	boarding    struct{ Gate string }
	checked     struct{ Note string }
)

func reserving[D any](name string, what func(D) string) *saga.StepNode[D] {
	return saga.Step(name,
		saga.Do(func(d D) reserve { return reserve{what(d) + " " + name} }),
		saga.On(func(*D, reserved) {}),
		saga.OnFailure(func(*D, unavailable) {}),
		saga.Undo(func(d D) release { return release{what(d) + " " + name} }))
}

// last reserves what cannot be released again.
func last(name string) *saga.StepNode[journey] {
	return saga.Step(name,
		saga.Do(func(j journey) reserve { return reserve{j.ID + " " + name} }),
		saga.On(func(*journey, reserved) {}),
		saga.OnFailure(func(*journey, unavailable) {}))
}

func takeJourney() *saga.Definition[journey] {
	id := func(j journey) string { return j.ID }
	return saga.MustDefine("journey",
		reserving("flight", id),
		saga.Parallel("prepare",
			saga.Sequence("papers",
				saga.Wait("passport", func(j *journey, s passport) { j.Passport = s.Number }).Deadline(2*time.Hour),
				reserving("visa", id)),
			saga.Sequence("rest",
				saga.Sleep("nap", func(j journey) time.Duration { return j.Nap }),
				reserving("taxi", id))),
		saga.ForEach("stays", func(j journey) []stay { return j.Stays },
			reserving("bed", func(s stay) string { return s.Name }),
			saga.Wait("checked", func(s *stay, e checked) { s.Note = e.Note }).Deadline(time.Hour).OnDeadline(func(s *stay) { s.Note = "nobody looked" }),
			reserving("breakfast", func(s stay) string { return s.Name }),
		).AtMost(2).Tolerate(1),
		saga.If("vip", func(j journey) bool { return j.VIP }, reserving("lounge", id)).Else(reserving("bench", id)),
		last("pay").Pivot(),
		saga.Wait("boarding", func(j *journey, s boarding) { j.Gate = s.Gate }).Deadline(time.Hour).OnDeadline(func(j *journey) { j.Gate = "any" }),
		last("seat").Retriable())
}

// travelling is a world of journeys, whose agency has everything but what is named.
type travelling struct {
	*world
	def    *saga.Definition[journey]
	agency *inbox.Service
	none   []string
}

func newTravelling(t *testing.T, none ...string) *travelling {
	t.Helper()
	w := &travelling{world: newWorld(t), def: takeJourney(), none: none}
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[reserve]("reserve", "agency"), messaging.JSON[release]("release", "agency"),
		messaging.JSON[reserved]("reserved", "events"), messaging.JSON[unavailable]("unavailable", "events"),
		messaging.JSON[released]("released", "events"), messaging.JSON[passport]("passport", "desk"),
		messaging.JSON[boarding]("boarding", "desk"), messaging.JSON[checked]("checked", "desk"))
	if err != nil {
		t.Fatal(err)
	}
	w.codec = codec
	w.agency = w.service("agency")
	inbox.Handle(w.agency, func(_ context.Context, _ inbox.Tx, c reserve) (reserved, error) {
		if slices.Contains(w.none, c.What) {
			return reserved{}, messaging.Refuse(unavailable{})
		}
		w.effect(c.What, "", 1)
		return reserved{}, nil
	})
	inbox.Handle(w.agency, func(_ context.Context, _ inbox.Tx, c release) (released, error) {
		w.effect(c.What, "", -1)
		return released{}, nil
	})
	return w
}

func (w *travelling) journeys(config coordinator.Config) (c *coordinator.Coordinator, stop func()) {
	w.Helper()
	config.Definitions = []saga.Any{w.def}
	return w.coordinator(config)
}

func (w *travelling) begin(c *coordinator.Coordinator, j journey) saga.ID {
	w.Helper()
	id, err := coordinator.Start(context.Background(), c, w.def, j, coordinator.Key(j.ID))
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// has returns what is reserved.
func (w *travelling) has() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for what, n := range w.effects {
		if n != 0 {
			all = append(all, fmt.Sprintf("%s: %d", strings.TrimSpace(what), n))
		}
	}
	slices.Sort(all)
	return all
}

func stays(n int) []stay {
	all := make([]stay, n)
	for i := range all {
		all[i].Name = fmt.Sprint("s", i)
	}
	return all
}

// TestEveryShape takes a saga of all shapes through its ways, on each store.
func TestEveryShape(t *testing.T) {
	t.Parallel()
	type way struct {
		journey  journey
		none     []string
		passport bool
		want     saga.Status
		has      string
		data     journey // but for the ID and the stays
		took     time.Duration
	}
	const beds = "s0 bed: 1, s0 breakfast: 1, s2 bed: 1, s2 breakfast: 1, "
	for name, w := range map[string]way{
		"a VIP with a nap, one stay of which is not to be had": {
			journey: journey{VIP: true, Nap: 3 * time.Hour, Stays: stays(3)}, none: []string{"s1 bed"}, passport: true, want: saga.Completed,
			has:  "j flight: 1, j lounge: 1, j pay: 1, j seat: 1, j taxi: 1, j visa: 1, " + beds,
			data: journey{VIP: true, Nap: 3 * time.Hour, Passport: "p1", Gate: "any"}, took: 5 * time.Hour,
		},
		"neither VIP nor nap, and one breakfast missing": {
			journey: journey{Stays: stays(3)}, none: []string{"s1 breakfast"}, passport: true, want: saga.Completed,
			has:  "j bench: 1, j flight: 1, j pay: 1, j seat: 1, j taxi: 1, j visa: 1, " + beds,
			data: journey{Passport: "p1", Gate: "any"}, took: 3 * time.Hour,
		},
		"two stays too few": {
			journey: journey{Stays: stays(4)}, none: []string{"s1 bed", "s2 breakfast"}, passport: true, want: saga.Compensated,
			data: journey{Passport: "p1"}, took: time.Hour,
		},
		"no passport in time": {
			journey: journey{Nap: time.Minute}, want: saga.Compensated, data: journey{Nap: time.Minute}, took: 2 * time.Hour,
		},
		"no visa, while the nap goes on": {
			journey: journey{Nap: time.Hour}, none: []string{"j visa"}, passport: true, want: saga.Compensated,
			data: journey{Nap: time.Hour, Passport: "p1"},
		},
		"no lounge": {
			journey: journey{VIP: true, Stays: stays(1)}, none: []string{"j lounge"}, passport: true, want: saga.Compensated,
			data: journey{VIP: true, Passport: "p1"}, took: time.Hour,
		},
		"no money": {
			journey: journey{Stays: stays(2)}, none: []string{"j pay"}, passport: true, want: saga.Compensated,
			data: journey{Passport: "p1"}, took: time.Hour,
		},
		"no stays at all": {
			passport: true, want: saga.Completed, has: "j bench: 1, j flight: 1, j pay: 1, j seat: 1, j taxi: 1, j visa: 1, ",
			data: journey{Passport: "p1", Gate: "any"}, took: time.Hour,
		},
	} {
		for store, open := range map[string]func(*travelling) coordinator.Store{
			"memory": func(w *travelling) coordinator.Store { return w.store },
			"sqlite": func(w *travelling) coordinator.Store { _, s := sqlStore(w, inMemory); return s },
		} {
			t.Run(name+"/"+store, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					world := newTravelling(t, w.none...)
					world.run(world.agency.Run, world.agency.Ready())
					c, _ := world.journeys(coordinator.Config{Store: open(world)})
					begun := w.journey
					begun.ID = "j"
					id := world.begin(c, begun)
					if w.passport {
						if err := c.Signal(t.Context(), id, "prepare/papers/passport", passport{"p1"}); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(w.took)
					s := world.ends(c, id, w.want)
					if took := s.Updated.Sub(s.Started).Truncate(time.Minute); took != w.took {
						t.Errorf("it took %s, want %s", took, w.took)
					}
					if got := strings.Join(append(world.has(), ""), ", "); got != w.has {
						t.Errorf("reserved are %s want %s", got, w.has)
					}
					var data journey
					decode(world.world, s, &data)
					data.ID, data.Stays = "", nil
					if fmt.Sprint(data) != fmt.Sprint(w.data) {
						t.Errorf("it ended with %+v, want %+v", data, w.data)
					}
				})
			})
		}
	}
}

// TestEveryShapeSurvivesRestarts stops the coordinator after each transition in turn: timers, choices and kept signals live on in the store.
func TestEveryShapeSurvivesRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTravelling(t, "s1 bed")
		w.run(w.agency.Run, w.agency.Ready())
		relay, err := outbox.NewRelay(outbox.Config{Store: w.store, Publisher: w.broker, Logger: quiet()}) // of all lives
		if err != nil {
			t.Fatal(err)
		}
		w.run(relay.Run, nil)
		moved := make(chan struct{}, 1)
		live := func() (c *coordinator.Coordinator, stop func()) {
			return w.journeys(coordinator.Config{Relay: relay, Observe: func(coordinator.Transition) {
				select {
				case moved <- struct{}{}:
				default:
				}
			}})
		}
		c, stop := live()
		id := w.begin(c, journey{ID: "j", Nap: time.Hour, Stays: stays(3)})
		if err := c.Signal(t.Context(), id, "boarding", boarding{"B7"}); err != nil { // kept until the end
			t.Fatal(err)
		}
		if err := c.Signal(t.Context(), id, "prepare/papers/passport", passport{"p1"}); err != nil {
			t.Fatal(err)
		}
		lives := 1
		for ; !w.loaded(id).Status.Terminal(); lives++ {
			<-moved
			stop()
			_, stop = live()
		}
		stop()
		var data journey
		if decode(w.world, w.loaded(id), &data); data.Gate != "B7" || data.Passport != "p1" {
			t.Errorf("it ended with %+v", data)
		}
		if got, want := len(w.has()), 10; got != want {
			t.Errorf("reserved are %q, want %d", w.has(), want)
		}
		if lives < 8 {
			t.Errorf("only %d lives", lives)
		}
		w.story(id)
	})
}
