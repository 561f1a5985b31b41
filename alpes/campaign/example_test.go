package campaign_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

// A campaign tells all that is wrong with it at once.
func ExampleNew() {
	_, err := campaign.New(campaign.Register{
		ID:       "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
		Budget:   "99.999",
		Currency: "USD",
		BrandID:  "brand-7",
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, campaign.ErrInvalid))
	// Output:
	// campaign: invalid: name is empty: give 1 to 100 characters; budget has 3 decimals: USD has 2
	// true
}

func ExampleCampaign_Approve() {
	c, err := campaign.New(campaign.Register{
		ID: "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", Name: "Spring", Budget: "2500.50", Currency: "USD", BrandID: "brand-7",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(c.Budget(), c.Currency(), c.Status())
	c.Approve()
	fmt.Println(c.Status())
	// Output:
	// 2500.5 USD pending
	// active
}

// A repository brings back what New once made; it checks nothing.
func ExampleRestore() {
	c := campaign.Restore(campaign.Snapshot{ID: "1", Name: "Spring", Budget: "10", Currency: "DEM", Status: campaign.Active})
	fmt.Println(c.Name(), c.Budget(), c.Currency(), c.Status())
	// Output:
	// Spring 10 DEM active
}

// A service handles each command with one event, or with a refusal that carries one.
func ExampleService() {
	ctx := context.Background()
	campaigns, err := campaign.NewService(newMemory(), campaign.Config{
		NewID: func() (string, error) { return "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	registered, err := campaigns.Register(ctx, campaign.Register{Name: "Spring", Budget: "2500.50", Currency: "USD", BrandID: "brand-7"})
	fmt.Println(registered.ID, err)

	_, err = campaigns.Register(ctx, campaign.Register{Name: "Summer", Budget: "lots", Currency: "USD", BrandID: "brand-7"})
	if refusal, ok := errors.AsType[*messaging.Refusal](err); ok {
		fmt.Println(refusal.Event.(campaign.RegistrationFailed).Reason)
	}

	cancelled, err := campaigns.Cancel(ctx, campaign.Cancel{ID: registered.ID})
	fmt.Println(cancelled.Name, cancelled.Reason, err)
	// Output:
	// 0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b <nil>
	// budget is not a plain decimal number: write it like 10000.50, with at most 30 characters
	// Spring cancelled <nil>
}

func ExampleHandleCommands() {
	campaigns, err := campaign.NewService(newMemory(), campaign.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	bus := cqrs.NewBus(cqrs.Config{})
	if err := campaign.HandleCommands(bus, campaigns); err != nil {
		fmt.Println(err)
		return
	}
	registered, err := cqrs.Send[campaign.Registered](context.Background(), bus,
		campaign.Register{Name: "Spring", Budget: "2500.50", Currency: "USD", BrandID: "brand-7"})
	fmt.Println(registered.Name, err)
	// Output:
	// Spring <nil>
}
