package sagatest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// TestExploreOptions shows that options which do not fit are refused, with what to do.
func TestExploreOptions(t *testing.T) {
	t.Parallel()
	inner := func(o sagatest.Option) sagatest.Option {
		return sagatest.World(func() []sagatest.Option { return []sagatest.Option{o} })
	}
	for want, options := range map[string][]sagatest.Option{
		"Schedules(0): at least 1":                        {sagatest.Schedules(0)},
		`no such class`:                                   {sagatest.Without("rain")},
		"zero Option":                                     {{}},
		"Start makes sagatest_test.order":                 {sagatest.Start(func(*rand.Rand) order { return order{} })},
		"Start without":                                   {sagatest.Start[trip](nil)},
		"Finally takes sagatest_test.order":               {sagatest.Finally(func(saga.State, order) error { return nil })},
		"Finally without":                                 {sagatest.Finally[trip](nil)},
		"Always without":                                  {sagatest.Always(nil)},
		"Signal without":                                  {sagatest.Signal[approval](nil)},
		"no wait takes":                                   {sagatest.Signal(func(*rand.Rand) approval { return approval{} })},
		"no step sends sagatest_test.reserve":             {sagatest.Handle(func(reserve) (reserved, error) { return reserved{}, nil })},
		"but what handles sagatest_test.bookRoom answers": {sagatest.Handle(func(bookRoom) (flightBooked, error) { return flightBooked{}, nil })},
		"without a function":                              {sagatest.Handle[bookRoom, roomBooked](nil)},
		"two Handles":                                     {sagatest.Handle(bookIt), sagatest.Handle(bookIt)},
		"World takes one function":                        {sagatest.World(nil)},
		"do not belong into a World":                      {inner(sagatest.Seed(1))},
		"only undo and data can be allowed":               {sagatest.Allow("R1")},
	} {
		if err := sagatest.Check(fourSteps(), options...); !errors.Is(err, sagatest.ErrOption) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := sagatest.Check[trip](nil); !errors.Is(err, sagatest.ErrOption) {
		t.Errorf("no definition: %v", err)
	}
}

func bookIt(bookRoom) (roomBooked, error) { return roomBooked{}, nil }

// TestExploreTakesFaultsAway shows that without faults there are none.
func TestExploreTakesFaultsAway(t *testing.T) {
	t.Parallel()
	calls := 0
	err := sagatest.Check(fourSteps(), sagatest.Schedules(20),
		sagatest.Without(sagatest.Crashes, sagatest.Losses, sagatest.Duplicates, sagatest.Delays, sagatest.Outages, sagatest.Refusals,
			sagatest.FailedUndos, sagatest.EmptyReplies, sagatest.Operators),
		sagatest.Handle(func(bookRoom) (roomBooked, error) { calls++; return roomBooked{Room: "7"}, nil }),
		sagatest.Start(func(r *rand.Rand) trip { return trip{ID: fmt.Sprint(r.IntN(1000))} }),
		sagatest.Finally(func(end saga.State, data trip) error {
			if end.Status != saga.Completed || data.Room != "7" || end.Version != 5 {
				return fmt.Errorf("%s at %d with %+v", end.Status, end.Version, data)
			}
			return nil
		}))
	if err != nil || calls != 20 {
		t.Errorf("%d calls: %v", calls, err)
	}
}

// TestExploreParticipantsOfTheUser shows what a user's handlers get: each command once, whatever happens to it, and no undo of what
// was not done.
func TestExploreParticipantsOfTheUser(t *testing.T) {
	t.Parallel()
	refusals := 0
	world := func() []sagatest.Option {
		var rooms []string
		tries := 0
		return []sagatest.Option{
			sagatest.Handle(func(c bookRoom) (roomBooked, error) {
				if tries++; tries == 1 {
					return roomBooked{}, errors.New("the database is away")
				}
				if strings.HasSuffix(c.Trip, "7") {
					refusals++
					return roomBooked{}, messaging.Refuse(roomsTaken{Reason: "full"})
				}
				rooms = append(rooms, c.Trip)
				return roomBooked{Room: c.Trip}, nil
			}),
			sagatest.Handle(func(c cancelRoom) (struct{}, error) {
				i := slices.Index(rooms, c.Room)
				if i < 0 {
					return struct{}{}, fmt.Errorf("no room %q to cancel", c.Room)
				}
				rooms = slices.Delete(rooms, i, i+1)
				return struct{}{}, nil
			}),
			sagatest.Finally(func(end saga.State, _ trip) error {
				if want := map[saga.Status]int{saga.Completed: 1}[end.Status]; len(rooms) != want {
					return fmt.Errorf("%s with the rooms %v", end.Status, rooms)
				}
				return nil
			}),
		}
	}
	sagatest.Explore(t, fourSteps(), sagatest.World(world), sagatest.Schedules(200))
	if refusals == 0 {
		t.Error("nothing was refused")
	}
}

// recorder is a test that notes how it ends.
type recorder struct {
	testing.TB
	logs   []string
	failed []string
}

func (*recorder) Helper()             {}
func (r *recorder) Log(args ...any)   { r.logs = append(r.logs, fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any) { r.failed = append(r.failed, fmt.Sprint(args...)); panic(r) }

func explore(def *saga.Definition[trip], options ...sagatest.Option) *recorder {
	r := &recorder{}
	func() {
		defer func() { _ = recover() }() // from Fatal
		sagatest.Explore(r, def, options...)
	}()
	return r
}

// TestExploreTellsItsTest shows what a test sees: a failure, or what the schedules reached.
func TestExploreTellsItsTest(t *testing.T) {
	t.Parallel()
	never := saga.MustDefine("trip", flight(seated()), saga.If("never", func(trip) bool { return false }, room()))
	for want, r := range map[string]*recorder{
		"never came to never/then/room":      explore(never, sagatest.Schedules(50)),
		`trip breaks the rule "yours"`:       explore(fourSteps(), sagatest.Always(func(saga.State) error { return errors.New("no") })),
		"sagatest: bad option: Schedules(0)": explore(fourSteps(), sagatest.Schedules(0)),
	} {
		all := slices.Concat(r.logs, r.failed)
		if len(all) != 1 || !strings.Contains(all[0], want) || (len(r.failed) > 0) != !strings.HasPrefix(want, "never") {
			t.Errorf("want %q, got %+v", want, r)
		}
	}
}

// TestExploreRefusesDefinitions shows which definitions cannot be explored.
func TestExploreRefusesDefinitions(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", saga.Step("pay",
		saga.Do(func(t trip) payTrip { return payTrip{Trip: t.ID} }),
		saga.On(func(*trip, tripPaid) {}),
	).NothingToUndo().Service("bank"))
	party, err := saga.Choreograph(def, "bank")
	if err != nil {
		t.Fatal(err)
	}
	if err := sagatest.Check(party); !errors.Is(err, sagatest.ErrOption) || !strings.Contains(err.Error(), "one party's part") {
		t.Errorf("a party of a choreography: %v", err)
	}
	type tripPaid struct{ Amount int }
	twins := saga.MustDefine("trip", pay(), saga.Step("again",
		saga.Do(func(t trip) sendTicket { return sendTicket{Trip: t.ID} }),
		saga.On(func(*trip, tripPaid) {}),
	).Retriable())
	if err := sagatest.Check(twins); !errors.Is(err, sagatest.ErrOption) || !strings.Contains(err.Error(), "two types of trip are called sagatest_test.tripPaid") {
		t.Errorf("two types of one name: %v", err)
	}
}

// full has a field of every kind that can be made up.
type full struct {
	Text    string
	Number  int
	Small   int8
	Count   uint32
	Byte    uint8
	Price   float64
	At      time.Time
	For     time.Duration
	Pointer *int
	Array   [2]string
	Key     [16]byte
	List    []string
	Map     map[string]int
	Inner   struct{ Text string }
	Next    *full
	Any     any
}

// TestExploreMakesUpData shows that all fields of data, events and signals are filled, that lists have 0 to 3 elements, and that every
// schedule has its own.
func TestExploreMakesUpData(t *testing.T) {
	t.Parallel()
	type taken struct{ Full full }
	lists, texts := map[int]bool{}, map[string]bool{}
	judge := func(f full) error {
		v := reflect.ValueOf(f)
		for _, field := range reflect.VisibleFields(v.Type()) {
			switch field.Name {
			case "List", "Map", "Any":
			default:
				if v.FieldByIndex(field.Index).IsZero() {
					return fmt.Errorf("%s is not set: %+v", field.Name, f)
				}
			}
		}
		lists[len(f.List)], lists[len(f.Map)] = true, true
		texts[f.Text] = true
		return nil
	}
	var found error
	def := saga.MustDefine("full", saga.Wait("signal", func(f *full, s taken) { found = errors.Join(found, judge(*f), judge(s.Full)) }))
	err := sagatest.Check(def, sagatest.Schedules(50), sagatest.Without(sagatest.EmptyReplies, sagatest.Operators))
	if err != nil || found != nil {
		t.Fatal(err, found)
	}
	if len(lists) != 4 || len(texts) < 90 {
		t.Errorf("lists of %v elements, %d texts", lists, len(texts))
	}
}

// TestExploreRepliesEcho shows that made-up participants say again what the command said, such as an id.
func TestExploreRepliesEcho(t *testing.T) {
	t.Parallel()
	type booked struct{ Trip, Seat string }
	def := saga.MustDefine("trip", saga.Step("flight",
		saga.Do(func(t trip) bookFlight { return bookFlight{Trip: t.ID} }),
		saga.On(func(t *trip, e booked) { t.ID, t.Seat = e.Trip, e.Seat }),
		saga.Undo(func(t trip) cancelFlight { return cancelFlight{Trip: t.ID} }),
	), pay())
	sagatest.Explore(t, def, sagatest.Schedules(200), sagatest.Without(sagatest.EmptyReplies))
}

// TestExploreSignals shows the signals of a test's own: early, in time, twice, late and never.
func TestExploreSignals(t *testing.T) {
	t.Parallel()
	ends := map[string]int{}
	def := saga.MustDefine("order", heldMoney(),
		saga.Wait("approval", func(o *order, a approval) { o.Approved = a.By }).Deadline(time.Hour))
	err := sagatest.Check(def,
		sagatest.Signal(func(r *rand.Rand) approval { return approval{By: fmt.Sprint("ana-", r.IntN(10))} }),
		sagatest.Start(func(*rand.Rand) order { return order{ID: "o1"} }),
		sagatest.Finally(func(end saga.State, o order) error {
			by, _, _ := strings.Cut(o.Approved, "-")
			ends[string(end.Status)+" "+by]++
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	if ends["completed ana"] < 100 || ends["compensated "] == 0 || ends["completed "] > 0 {
		t.Errorf("the ends are %v", ends)
	}
}

func heldMoney() *saga.StepNode[order] {
	return saga.Step("money",
		saga.Do(func(o order) holdMoney { return holdMoney{Order: o.ID} }),
		saga.On(func(*order, moneyHeld) {}),
		saga.Undo(func(o order) releaseMoney { return releaseMoney{Hold: o.ID} }))
}

// TestExploreMatching shows replies that echo nothing and are recognised by their payload.
func TestExploreMatching(t *testing.T) {
	t.Parallel()
	def := saga.MustDefine("trip", saga.Step("room",
		saga.Do(func(t trip) bookRoom { return bookRoom{Trip: t.ID} }),
		saga.On(func(t *trip, e roomBooked) { t.Room = e.Room }),
		saga.Matching(func(t trip) string { return t.ID }, saga.KeyOf(func(e roomBooked) string { return e.Room })),
	).NothingToUndo())
	sagatest.Explore(t, def, sagatest.Schedules(200),
		sagatest.Handle(func(c bookRoom) (roomBooked, error) { return roomBooked{Room: c.Trip}, nil }),
		sagatest.Finally(func(end saga.State, data trip) error {
			if end.Status == saga.Completed && data.Room != data.ID && data.Room != "" {
				return fmt.Errorf("the room is %q", data.Room)
			}
			return nil
		}))
}
