package saga_test

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/alpespartners/alpespartners/saga"
)

type (
	Visit struct {
		Guest string `json:"guest"`
		Beds  int    `json:"beds"` // in the golden it is "rooms", a list of names
	}
	BookVisit   struct{ Guest string }
	VisitBooked struct{}
	CancelVisit struct{ Guest string }
	PayVisit    struct{ Guest string }
	VisitPaid   struct{}
)

// bookVisit is the second version. In the first one the booking had 30 seconds, and nothing was to be paid.
func bookVisit() *saga.Definition[Visit] {
	return saga.MustDefine("book-visit",
		saga.Step("book",
			saga.Do(func(v Visit) BookVisit { return BookVisit{Guest: v.Guest} }),
			saga.On(func(*Visit, VisitBooked) {}),
			saga.Undo(func(v Visit) CancelVisit { return CancelVisit{Guest: v.Guest} }),
		).Timeout(time.Minute),
		saga.Step("pay",
			saga.Do(func(v Visit) PayVisit { return PayVisit{Guest: v.Guest} }),
			saga.On(func(*Visit, VisitPaid) {}),
		).Pivot(),
	)
}

// A test of yours compares each definition with the description of the version that is deployed, a file that was written with
// json.MarshalIndent(definition.Describe(), "", "  "). It fails where instances under way could not go on:
//
//	if d := saga.Diff(deployed, bookVisit().Describe()); !d.Compatible() {
//		t.Error(d)
//	}
func ExampleDiff() {
	golden, err := os.ReadFile("testdata/book-visit.v1.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	var deployed saga.Description
	if err := json.Unmarshal(golden, &deployed); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(saga.Diff(deployed, bookVisit().Describe()))
	// Output:
	// book-visit: unsafe: instances under way would break or lose data
	//   unsafe saga_test.Visit.rooms: the field was removed (list of string). Keep the field as it was, or give the type a new name so that the old version keeps the old type; else let the instances end first.
	//   pinned pay: the step was added. Keep the old version registered until its instances have ended.
	//   free   book: timeout 30s → 1m0s. Instances under way use it from their next command or wait on.
	//   free   saga_test.Visit.beds: the field was added (number (int)). What was written before has its zero value.
}

func ExampleDifference_Compatible() {
	old := bookVisit().Describe()
	changed := bookVisit().Describe()
	changed.Nodes[0].Attempts = 10
	fmt.Println(saga.Diff(old, changed).Compatible())
	changed.Nodes = changed.Nodes[:1]
	fmt.Println(saga.Diff(old, changed).Compatible())
	// Output:
	// true
	// false
}
