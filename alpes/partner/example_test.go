package partner_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

// A partner tells all that is wrong with it at once.
func ExampleNew() {
	_, err := partner.New(partner.Register{ID: "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", CampaignID: "c-1", Type: "friend"})
	fmt.Println(err)
	// Output:
	// partner: invalid: name is empty: give 1 to 100 characters; type is not a known type: write afiliado, affiliate or influencer
}

func ExampleParseType() {
	fmt.Println(partner.ParseType("afiliado"))
	fmt.Println(partner.ParseType("influencer"))
	// Output:
	// affiliate true
	// influencer true
}

// A repository brings back what New once made; it checks nothing.
func ExampleRestore() {
	p := partner.Restore(partner.Snapshot{ID: "1", CampaignID: "c-1", Name: "Alice", Type: partner.Influencer})
	fmt.Println(p.Name(), p.Type())
	// Output:
	// Alice influencer
}

// A service handles each command with one event, or with a refusal that carries one.
func ExampleService() {
	ctx := context.Background()
	partners, err := partner.NewService(newMemory(), partner.Config{Blocked: []string{"Mallory"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	registered, err := partners.Register(ctx, partner.Register{CampaignID: "c-1", Name: "Alice", Type: "afiliado"})
	fmt.Println(registered.Name, registered.Type, err)

	_, err = partners.Register(ctx, partner.Register{CampaignID: "c-1", Name: "MALLORY", Type: "afiliado"})
	if refusal, ok := errors.AsType[*messaging.Refusal](err); ok {
		fmt.Println(refusal.Event.(partner.RegistrationFailed).Reason)
	}

	cancelled, err := partners.Cancel(ctx, partner.Cancel{ID: registered.ID})
	fmt.Println(cancelled.Name, cancelled.Reason, err)
	// Output:
	// Alice affiliate <nil>
	// name is blocked: ask the operator
	// Alice cancelled <nil>
}

func ExampleHandleCommands() {
	partners, err := partner.NewService(newMemory(), partner.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	bus := cqrs.NewBus(cqrs.Config{})
	if err := partner.HandleCommands(bus, partners); err != nil {
		fmt.Println(err)
		return
	}
	registered, err := cqrs.Send[partner.Registered](context.Background(), bus,
		partner.Register{CampaignID: "c-1", Name: "Alice", Type: "influencer"})
	fmt.Println(registered.Name, err)
	// Output:
	// Alice <nil>
}
