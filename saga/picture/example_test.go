package picture_test

import (
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/picture"
)

type (
	Stay   struct{ Beds []Bed }
	Bed    struct{ Number int }
	Make   struct{ Number int }
	Made   struct{}
	NoBed  struct{}
	Unmake struct{ Number int }
	Pay    struct{}
	Paid   struct{}
)

func bookStay() *saga.Definition[Stay] {
	return saga.MustDefine("book-stay",
		saga.ForEach("beds", func(s Stay) []Bed { return s.Beds },
			saga.Step("make",
				saga.Do(func(b Bed) Make { return Make(b) }),
				saga.On(func(*Bed, Made) {}),
				saga.OnFailure(func(*Bed, NoBed) {}),
				saga.Undo(func(b Bed) Unmake { return Unmake(b) })),
		).AtMost(20),
		saga.Step("pay", saga.Do(func(Stay) Pay { return Pay{} }), saga.On(func(*Stay, Paid) {})).Pivot())
}

// A definition as a flowchart.
func ExampleMermaid() {
	fmt.Print(picture.Mermaid(bookStay()))
	// Output:
	// flowchart TD
	//     n0(["book-stay"])
	//     subgraph n1["beds<br/>each picture_test.Bed, at most 20 at once"]
	//         n2["make<br/>picture_test.Make"]
	//         n3("picture_test.Unmake")
	//     end
	//     n4{{"pay<br/>picture_test.Pay<br/>pivot"}}
	//     n5(["completed"])
	//     n2 -.->|"undo"| n3
	//     n0 --> n1
	//     n1 --> n4
	//     n4 --> n5
	//     classDef step fill:#e7f0fb,stroke:#2f6db3,color:#102a43
	//     class n2 step
	//     classDef pivot fill:#fdeccb,stroke:#a15c00,color:#3d2400,stroke-width:3px
	//     class n4 pivot
	//     classDef undo fill:#f6f6f6,stroke:#777777,color:#444444,stroke-dasharray:4 3
	//     class n3 undo
	//     classDef control fill:#ffffff,stroke:#555555,color:#222222
	//     class n0,n5 control
	//     classDef frame fill:#fbfbfb,stroke:#999999,color:#222222
	//     class n1 frame
}

// An instance as the same flowchart with the state of its nodes.
func ExampleInstance() {
	stay, now := bookStay(), time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	state, _, err := saga.Decide(stay, saga.State{}, saga.Start{ID: "stay-1", Data: Stay{Beds: make([]Bed, 2)}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	state, _, err = saga.Decide(stay, state, saga.Reply{Node: "beds[1]/make", Direction: saga.DoDirection, Event: NoBed{}}, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(picture.Instance(stay, state))
	// Output:
	// flowchart TD
	//     n0(["book-stay<br/>stay-1<br/>running<br/>beds[1]/make: picture_test.NoBed"])
	//     subgraph n1["beds<br/>each picture_test.Bed, at most 20 at once<br/>… doing, 2 items: 2 started, 1 under way, 1 failed"]
	//         n2["make<br/>picture_test.Make"]
	//         n3("picture_test.Unmake")
	//         n4["beds[1]<br/>✗ make<br/>picture_test.NoBed"]
	//         n5["beds[0]<br/>… make"]
	//     end
	//     n6{{"pay<br/>picture_test.Pay<br/>pivot"}}
	//     n7(["completed"])
	//     n2 -.->|"undo"| n3
	//     n4 ~~~ n5
	//     n0 --> n1
	//     n1 --> n6
	//     n6 --> n7
	//     classDef idle fill:#ffffff,stroke:#a3a3a3,color:#6b6b6b
	//     class n2,n3,n6,n7 idle
	//     classDef doing fill:#dbeafe,stroke:#1d4ed8,color:#10245c,stroke-width:2px
	//     class n0,n5,n1 doing
	//     classDef failed fill:#fee2e2,stroke:#b91c1c,color:#5c0f0f
	//     class n4 failed
}

// A description that was kept as a file is drawn without its definition.
func ExampleFlowchart() {
	fmt.Print(picture.Flowchart(saga.Description{
		Name:  "greet",
		Nodes: []saga.NodeDescription{{Kind: saga.KindStep, Name: "hello", Path: "hello", Class: saga.Compensable, Command: "SayHello"}},
	}))
	// Output:
	// flowchart TD
	//     n0(["greet"])
	//     n1["hello<br/>SayHello"]
	//     n2(["completed"])
	//     n0 --> n1
	//     n1 --> n2
	//     classDef step fill:#e7f0fb,stroke:#2f6db3,color:#102a43
	//     class n1 step
	//     classDef control fill:#ffffff,stroke:#555555,color:#222222
	//     class n0,n2 control
}

// The log of an instance, as coordinator.Reader's History returns it.
func ExampleTimeline() {
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	fmt.Print(picture.Timeline([]picture.Line{
		{At: start, Version: 1, Log: saga.Log{Kind: saga.LogStarted}},
		{At: start, Version: 1, Log: saga.Log{Kind: saga.LogSent, Node: "flight", Direction: saga.DoDirection, Attempt: 1}},
		{At: start.Add(30 * time.Second), Version: 2, Log: saga.Log{Kind: saga.LogSent, Node: "flight", Direction: saga.DoDirection, Attempt: 2}},
		{At: start.Add(31 * time.Second), Version: 3, Log: saga.Log{
			Kind: saga.LogRefused, Node: "flight", Direction: saga.DoDirection, Attempt: 2, Detail: "no seats",
		}},
		{At: start.Add(31 * time.Second), Version: 3, Log: saga.Log{Kind: saga.LogAborted, Detail: "flight: no seats"}},
		{At: start.Add(31 * time.Second), Version: 3, Log: saga.Log{Kind: saga.LogCompensated}},
	}))
	// Output:
	// from 2026-03-01T09:00:00Z
	// TIME  VERSION  NODE    WHAT         ATTEMPT  DETAIL
	//  +0s        1          started
	//  +0s        1  flight  sent               1
	// +30s        2  flight  sent               2
	// +31s        3  flight  refused            2  no seats
	// +31s        3          aborted               flight: no seats
	// +31s        3          compensated
}
