package sagatest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// TestExploreSoundDefinitions shows that sound definitions give no finding.
func TestExploreSoundDefinitions(t *testing.T) {
	t.Parallel()
	t.Run("four steps", func(t *testing.T) {
		t.Parallel()
		sagatest.Explore(t, fourSteps())
	})
	t.Run("every shape", func(t *testing.T) {
		t.Parallel()
		sagatest.Explore(t, everyShape(), sagatest.Schedules(100))
	})
	t.Run("a codec that never writes the same twice", func(t *testing.T) {
		t.Parallel()
		sagatest.Explore(t, fourSteps().WithCodec(&saltedCodec{}), sagatest.Schedules(100))
	})
}

// planted is a mistake that users make in a definition, and what is to be said about it.
type planted struct {
	explore func() error
	rule    sagatest.Rule
	words   []string
}

// check explores the definition that define makes anew.
func check[D any](define func() *saga.Definition[D], options ...sagatest.Option) func() error {
	return func() error { return sagatest.Check(define(), options...) }
}

func trips(nodes ...saga.Node[trip]) func() *saga.Definition[trip] {
	return func() *saga.Definition[trip] { return saga.MustDefine("trip", nodes...) }
}

func mistakes() map[string]planted {
	all := map[string]planted{}
	for _, some := range []map[string]planted{impureMistakes(), panics(), dataMistakes(), undoMistakes(), participantMistakes()} {
		maps.Copy(all, some)
	}
	return all
}

func impureMistakes() map[string]planted {
	return map[string]planted{
		"a Do that reads a counter": {
			check(func() *saga.Definition[trip] {
				calls := 0
				return saga.MustDefine("trip", saga.Step("flight",
					saga.Do(func(trip) bookFlight { calls++; return bookFlight{Trip: fmt.Sprint("trip-", calls)} }),
					seated(),
				).NothingToUndo())
			}),
			sagatest.RulePurity, []string{"the command to do flight is made as bookFlight", "a clock, a counter or the order of a map"},
		},
		"an On that reads the clock": {
			check(trips(saga.Step("flight",
				saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
				saga.On(func(t *trip, _ flightBooked) { t.Seat = time.Now().String() }),
			).NothingToUndo())),
			sagatest.RulePurity, []string{"the reply to do flight", "leads to one thing, and then to another (data"},
		},
		"items that come in the order of chance": {
			check(func() *saga.Definition[order] {
				calls := 0
				return saga.MustDefine("order", saga.ForEach("lines", func(o order) []line {
					calls++
					return o.Lines[:min(len(o.Lines), calls%2)]
				}, reserveStep()))
			}),
			sagatest.RulePurity, []string{"start with order"},
		},
		"a condition that depends on the day": {
			check(func() *saga.Definition[trip] {
				calls := 0
				return saga.MustDefine("trip", saga.If("today", func(trip) bool { calls++; return calls%2 == 0 }, room()))
			}),
			sagatest.RulePurity, nil,
		},
		"a command that another branch changes before it is sent again": {
			check(trips(saga.Parallel("both",
				flight(seated()),
				saga.Step("ticket",
					saga.Do(func(t trip) sendTicket { return sendTicket{Trip: t.ID, Seat: t.Seat} }),
					saga.On(func(*trip, ticketSent) {}),
				).NothingToUndo(),
			)), sagatest.Schedules(2000)),
			"R1", []string{"the command to do both/ticket is sent again with the same id and another content"},
		},
		"items that another branch changes while they are made": {
			check(func() *saga.Definition[order] {
				return saga.MustDefine("order", saga.Parallel("both",
					saga.Step("label",
						saga.Do(func(o order) printLabel { return printLabel{Order: o.ID} }),
						saga.On(func(o *order, _ printed) { o.Label = "printed" }),
					).NothingToUndo(),
					saga.ForEach("lines", func(o order) []line {
						if o.Label != "" {
							return o.Lines
						}
						return make([]line, 120)
					}, reserveStep()),
				))
			}, sagatest.Start(func(*rand.Rand) order { return order{} }), sagatest.Without(
				sagatest.Losses, sagatest.Duplicates, sagatest.Outages, sagatest.Operators, sagatest.EmptyReplies)),
			sagatest.RuleDefinition, []string{"both/lines waits for an operator", "the items changed from 120 to 0"},
		},
	}
}

func reserveStep() *saga.StepNode[line] {
	return saga.Step("reserve",
		saga.Do(func(l line) reserve { return reserve{SKU: l.SKU} }),
		saga.On(func(*line, reserved) {}),
		saga.Undo(func(l line) unreserve { return unreserve{SKU: l.SKU} }))
}

func panics() map[string]planted {
	return map[string]planted{
		"an On that panics on zero values": {
			check(trips(flight(saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat[:1] })))),
			sagatest.RulePanic, []string{"flight: the function for sagatest_test.flightBooked panicked", "slice bounds out of range"},
		},
		"an On that writes into a map that nobody made": {
			check(func() *saga.Definition[order] {
				return saga.MustDefine("order", saga.Step("label",
					saga.Do(func(o order) printLabel { return printLabel{Order: o.ID} }),
					saga.On(func(o *order, e printed) { o.Notes["label"] = e.Label }),
				).NothingToUndo())
			}),
			sagatest.RulePanic, []string{"assignment to entry in nil map"},
		},
		"a Do that takes the first of none": {
			check(func() *saga.Definition[order] {
				return saga.MustDefine("order", saga.Step("reserve",
					saga.Do(func(o order) reserve { return reserve{SKU: o.Lines[0].SKU} }),
					saga.On(func(*order, reserved) {}),
				).NothingToUndo())
			}),
			sagatest.RulePanic, []string{"reserve: the Do function panicked", "index out of range"},
		},
		"an undo that counts on the reply": {
			check(trips(
				saga.Step("flight",
					saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
					saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat }),
					saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.Seat[:1]} })),
				room(),
			), sagatest.Start(func(*rand.Rand) trip { return trip{ID: "t"} })),
			sagatest.RulePanic, []string{"the Undo function panicked"},
		},
		"a reason that cannot be said": {
			check(trips(saga.Step("flight",
				saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
				saga.On(func(*trip, flightBooked) {}),
				saga.OnFailure(func(*trip, unspeakable) {}),
			).NothingToUndo())),
			sagatest.RulePanic, []string{"FailureReason panicked"},
		},
		"a Sleep, an OnDeadline and a condition of one that is not there": {
			check(trips(
				saga.Wait("seat", func(*trip, flightBooked) {}).Deadline(time.Hour).OnDeadline(func(t *trip) { t.Seat = t.Seat[:100] }),
			)),
			sagatest.RulePanic, []string{"the OnDeadline function panicked"},
		},
		"a participant that panics": {
			check(fourSteps, sagatest.Handle(func(bookRoom) (roomBooked, error) {
				var none []string
				return roomBooked{Room: none[0]}, nil
			})),
			sagatest.RulePanic, []string{"the handler of sagatest_test.bookRoom panicked"},
		},
	}
}

type unspeakable struct{ Reason *string }

func (u unspeakable) FailureReason() string { return *u.Reason }

func dataMistakes() map[string]planted {
	type hidden struct {
		ID   string
		Seat struct{ number string }
	}
	type untold struct {
		ID   string
		Seat []string `json:"-"`
	}
	type number struct{ Price float64 }
	book := func(any) bookFlight { return bookFlight{} }
	return map[string]planted{
		"data that is not exported": {
			check(func() *saga.Definition[hidden] {
				return saga.MustDefine("trip", saga.Step("flight",
					saga.Do(func(h hidden) bookFlight { return book(h) }),
					saga.On(func(h *hidden, e flightBooked) { h.Seat.number = e.Seat })).NothingToUndo())
			}),
			sagatest.RuleData, []string{"hidden.Seat.number is not exported"},
		},
		"data that is left out": {
			check(func() *saga.Definition[untold] {
				return saga.MustDefine("trip", saga.Step("flight",
					saga.Do(func(u untold) bookFlight { return book(u) }),
					saga.On(func(u *untold, e flightBooked) { u.Seat = append(u.Seat, e.Seat) })).NothingToUndo())
			}),
			sagatest.RuleData, []string{`untold.Seat is tagged json:"-"`},
		},
		"data that cannot be written": {
			check(func() *saga.Definition[number] {
				return saga.MustDefine("trip", saga.Step("flight",
					saga.Do(func(n number) bookFlight { return book(n) }),
					saga.On(func(n *number, _ flightBooked) { n.Price = math.Inf(1) })).NothingToUndo())
			}),
			sagatest.RuleData, []string{"unsupported value: +Inf"},
		},
		"data that grows too large": {
			check(func() *saga.Definition[trip] {
				return saga.MustDefine("trip", flight(saga.On(func(t *trip, _ flightBooked) { t.Seat = strings.Repeat("x", 2000) }))).WithMaxData(1000)
			}),
			sagatest.RuleData, []string{"at most 1000"},
		},
	}
}

func undoMistakes() map[string]planted {
	seat := func(t trip) cancelRoom { return cancelRoom{Trip: t.ID, Room: t.Seat} }
	book := saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} })
	return map[string]planted{
		"an undo that needs the reply and does not say so": {
			check(trips(saga.Step("flight", book, seated(), saga.Undo(seat)), room(), pay())),
			sagatest.RuleUndo, []string{"flight took effect, but its reply did not come", "say UndoNeedsReply, or make Room from"},
		},
		"a field that two steps write": {
			check(trips(
				saga.Step("flight", book, seated(), saga.Undo(seat)).UndoNeedsReply(),
				saga.Step("seat",
					saga.Do(func(t trip) bookRoom { return bookRoom{Trip: t.ID} }),
					saga.On(func(t *trip, e roomBooked) { t.Seat = e.Room }),
					saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.ID} })),
				pay(),
			)),
			sagatest.RuleUndo, []string{"when flight had succeeded, its undo was cancelRoom", "a later step has overwritten what Room is made from"},
		},
		"a refusal that clears what the undo needs": {
			check(trips(
				saga.Step("flight", book, seated(), saga.Undo(seat)).UndoNeedsReply(),
				saga.Step("pay",
					saga.Do(func(t trip) payTrip { return payTrip{Trip: t.ID} }),
					saga.On(func(*trip, tripPaid) {}),
					saga.OnFailure(func(t *trip, _ declined) { *t = trip{ID: t.ID} }),
				).Pivot(),
			)),
			sagatest.RuleUndo, []string{"when flight had succeeded", `by now it is cancelRoom {"Trip":`},
		},
		"an undo that needs the reply, in an item": {
			check(func() *saga.Definition[order] {
				return saga.MustDefine("order", saga.ForEach("lines", func(o order) []line { return o.Lines }, saga.Step("reserve",
					saga.Do(func(l line) reserve { return reserve{SKU: l.SKU} }),
					saga.On(func(l *line, e reserved) { l.Reservation = e.Reservation }),
					saga.OnFailure(func(*line, outOfStock) {}),
					saga.Undo(func(l line) unreserve { return unreserve{SKU: l.Reservation} }))))
			}),
			sagatest.RuleUndo, []string{"]/reserve took effect", "make SKU from"},
		},
	}
}

// hotel is a participant of the tests' own, with its rooms.
type hotel struct{ taken []string }

func (h *hotel) options() []sagatest.Option {
	return []sagatest.Option{
		sagatest.Handle(func(c bookRoom) (roomBooked, error) {
			h.taken = append(h.taken, c.Trip)
			return roomBooked{Room: c.Trip}, nil
		}),
		sagatest.Finally(func(end saga.State, _ trip) error {
			if end.Status == saga.Compensated && len(h.taken) > 0 {
				return fmt.Errorf("the hotel keeps a room for %s", h.taken[0])
			}
			return nil
		}),
	}
}

func participantMistakes() map[string]planted {
	roomWithout := func() *saga.StepNode[trip] {
		return saga.Step("room",
			saga.Do(func(t trip) bookRoom { return bookRoom{Trip: t.ID} }),
			saga.On(func(*trip, roomBooked) {}))
	}
	return map[string]planted{
		"something to undo, although the step says there is nothing": {
			check(trips(roomWithout().NothingToUndo(), pay()), sagatest.World(func() []sagatest.Option { return new(hotel).options() })),
			sagatest.RuleUser, []string{"Finally: the hotel keeps a room for id-"},
		},
		"an undo that nobody carries out": {
			check(trips(flight(seated()).UndoUnacknowledged(), pay()), sagatest.Handle(func(cancelFlight) (struct{}, error) {
				return struct{}{}, messaging.Permanent(errors.New("there is no such command"))
			})),
			sagatest.RuleEffect, []string{"the effect of flight is still there"},
		},
		"a participant that refuses with another event": {
			check(fourSteps, sagatest.Handle(func(bookRoom) (roomBooked, error) {
				return roomBooked{}, messaging.Refuse(declined{Reason: "full"})
			})),
			sagatest.RuleReply, []string{`room is refused with declined {"Reason":"full"}`, "roomsTaken"},
		},
		"a key that the event does not have": {
			check(trips(saga.Step("room",
				saga.Do(func(t trip) bookRoom { return bookRoom{Trip: t.ID} }),
				saga.On(func(*trip, roomBooked) {}),
				saga.Matching(func(t trip) string { return t.ID }, saga.KeyOf(func(e roomBooked) string { return e.Room })),
			).NothingToUndo()), sagatest.Handle(func(bookRoom) (roomBooked, error) { return roomBooked{Room: "7"}, nil })),
			sagatest.RuleReply, []string{`room answers roomBooked {"Room":"7"}`, "Matching"},
		},
		"an invariant of the user's own": {
			check(fourSteps, sagatest.Always(func(s saga.State) error {
				if s.Status == saga.Completed {
					return errors.New("too good to be true")
				}
				return nil
			})),
			sagatest.RuleUser, []string{"Always: too good to be true"},
		},
		"a test that is not the same twice": {
			check(fourSteps, sagatest.Finally(func() func(saga.State, trip) error {
				var once sync.Once
				return func(saga.State, trip) (err error) {
					once.Do(func() { err = errors.New("only once") })
					return err
				}
			}())),
			sagatest.RulePurity, []string{`broke the rule "yours" once (Finally: only once), and not when it was run again`},
		},
	}
}

// TestExploreFindsMistakesInDefinitions shows that what users do wrong is found and said in words that help.
func TestExploreFindsMistakesInDefinitions(t *testing.T) {
	t.Parallel()
	for name, p := range mistakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := p.explore()
			finding, ok := errors.AsType[*sagatest.Finding](err)
			if !ok || finding.Rule != p.rule {
				t.Fatalf("want a finding by the rule %q, got: %v", p.rule, err)
			}
			for _, words := range p.words {
				if !strings.Contains(finding.What, words) {
					t.Errorf("want the words %q in: %v", words, err)
				}
			}
			t.Log(err)
		})
	}
}

// TestExploreRepeatsTheSeed shows that the finding's seed leads to the same finding.
func TestExploreRepeatsTheSeed(t *testing.T) {
	t.Parallel()
	for name, p := range undoMistakes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := p.explore(), p.explore()
			if fmt.Sprint(first) != fmt.Sprint(second) {
				t.Errorf("two findings:\n%v\n%v", first, second)
			}
		})
	}
	def := trips(flight(saga.On(func(t *trip, e flightBooked) { t.Seat = e.Seat[:1] })))()
	found, ok := errors.AsType[*sagatest.Finding](sagatest.Check(def))
	if !ok {
		t.Fatal("no finding")
	}
	again, ok := errors.AsType[*sagatest.Finding](sagatest.Check(def, sagatest.Seed(found.Seed)))
	if !ok || !reflect.DeepEqual(found, again) {
		t.Errorf("the seed %d gives %v, not %v", found.Seed, again, found)
	}
	if err := sagatest.Check(def, sagatest.Without(sagatest.EmptyReplies)); err != nil {
		t.Errorf("without empty replies: %v", err)
	}
}

// TestExploreAllows shows the rules that a user may waive.
func TestExploreAllows(t *testing.T) {
	t.Parallel()
	blind := trips(saga.Step("flight",
		saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
		seated(),
		saga.Undo(func(t trip) cancelRoom { return cancelRoom{Room: t.Seat} }),
	), pay())()
	sagatest.Explore(t, blind, sagatest.Allow(sagatest.RuleUndo), sagatest.Schedules(100))
}

// saltedCodec is a codec that never writes the same twice, as one that encrypts.
type saltedCodec struct{ salt byte }

func (c *saltedCodec) Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	c.salt++
	return append([]byte{c.salt}, b...), err
}

func (c *saltedCodec) Decode(data []byte, v any) error { return json.Unmarshal(data[1:], v) }
