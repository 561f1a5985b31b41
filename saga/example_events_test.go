package saga_test

import (
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

type (
	Purchase struct{ Order, Parcel string }

	OrderPlaced  struct{ Order string }
	ShipParcel   struct{ Order string }
	ParcelSent   struct{ Order, Parcel string }
	ParcelLost   struct{ Order string }
	RecallParcel struct{ Parcel string }
	ParcelBack   struct{ Order string }
)

// purchase is carried out by a participant that echoes no headers: its events name the order.
func purchase() *saga.Definition[Purchase] {
	return saga.MustDefine("purchase",
		saga.StartOn(func(e OrderPlaced) (string, Purchase) { return e.Order, Purchase{Order: e.Order} }),
		saga.Step("ship",
			saga.Do(func(p Purchase) ShipParcel { return ShipParcel{Order: p.Order} }),
			saga.On(func(p *Purchase, e ParcelSent) { p.Parcel = e.Parcel }),
			saga.OnFailure(func(*Purchase, ParcelLost) {}),
			saga.Undo(func(p Purchase) RecallParcel { return RecallParcel{Parcel: p.Parcel} }),
			saga.Undone(func(*Purchase, ParcelBack) {}),
			saga.Matching(func(p Purchase) string { return p.Order },
				saga.KeyOf(func(e ParcelSent) string { return e.Order }),
				saga.KeyOf(func(e ParcelLost) string { return e.Order }),
				saga.KeyOf(func(e ParcelBack) string { return e.Order }))))
}

// An instance tells under which key it waits for an event, and an event under which keys it may be waited for.
func ExampleMatching() {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	_, effects, err := saga.Decide(purchase(), saga.State{}, saga.Start{ID: "p-1", Data: Purchase{Order: "o-17"}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range effects {
		expected, ok := e.(saga.Expect)
		if !ok {
			continue
		}
		for _, event := range []any{ParcelSent{Order: "o-17", Parcel: "x"}, ParcelSent{Order: "o-18"}, OrderPlaced{Order: "o-17"}} {
			keys, err := saga.MatchKeys(purchase(), event)
			if err != nil {
				fmt.Println(err)
				return
			}
			mine := len(keys) > 0 && keys[0] == expected.Key && saga.Accepts(purchase(), expected.Node, expected.Direction, event)
			fmt.Printf("%+v answers %s %s: %t\n", event, expected.Direction, expected.Node, mine)
		}
	}
	// Output:
	// {Order:o-17 Parcel:x} answers do ship: true
	// {Order:o-18 Parcel:} answers do ship: false
	// {Order:o-17} answers do ship: false
}

// An event starts an instance; its key makes a second one with the same start nothing.
func ExampleStartOn() {
	for _, event := range []any{OrderPlaced{Order: "o-17"}, ParcelLost{Order: "o-17"}} {
		start, ok, err := saga.StartedBy(purchase(), event)
		fmt.Println(ok, start.Key, start.Data, err)
	}
	// Output:
	// true o-17 {o-17 } <nil>
	// false  <nil> <nil>
}
