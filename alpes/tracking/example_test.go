package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

// An event tells all that is wrong with it at once.
func ExampleNew() {
	_, err := tracking.New(tracking.Register{ID: "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", PartnerID: "p-1"})
	fmt.Println(err)
	// Output:
	// tracking: invalid: campaignId is empty: give 1 to 100 characters; occurredAt is missing: give the time of the conversion
}

// A repository brings back what New once made; it checks nothing.
func ExampleRestore() {
	e := tracking.Restore(tracking.Snapshot{ID: "1", PartnerID: "p-1", OccurredAt: time.UnixMilli(1_795_495_941_532)})
	fmt.Println(e.PartnerID(), e.OccurredAt())
	// Output:
	// p-1 2026-11-24 04:52:21.532 +0000 UTC
}

// A campaign has at most as many events as the service's limit says.
func ExampleService() {
	ctx := context.Background()
	events, err := tracking.NewService(newMemory(), tracking.Config{Limit: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	cmd := tracking.Register{PartnerID: "p-1", CampaignID: "c-1", OccurredAt: time.UnixMilli(1_795_495_941_532)}
	registered, err := events.Register(ctx, cmd)
	fmt.Println(registered.PartnerID, err)

	_, err = events.Register(ctx, cmd)
	if refusal, ok := errors.AsType[*messaging.Refusal](err); ok {
		fmt.Println(refusal.Event.(tracking.RegistrationFailed).Reason)
	}

	cancelled, err := events.Cancel(ctx, tracking.Cancel{ID: registered.ID})
	fmt.Println(cancelled.PartnerID, cancelled.Reason, err)
	// Output:
	// p-1 <nil>
	// campaignId is that of a campaign with all the events it may have: raise the limit
	// p-1 cancelled <nil>
}

func ExampleHandleCommands() {
	events, err := tracking.NewService(newMemory(), tracking.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	bus := cqrs.NewBus(cqrs.Config{})
	if err := tracking.HandleCommands(bus, events); err != nil {
		fmt.Println(err)
		return
	}
	registered, err := cqrs.Send[tracking.Registered](context.Background(), bus,
		tracking.Register{PartnerID: "p-1", CampaignID: "c-1", OccurredAt: time.UnixMilli(1_795_495_941_532)})
	fmt.Println(registered.PartnerID, err)
	// Output:
	// p-1 <nil>
}
