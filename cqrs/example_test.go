package cqrs_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/alpespartners/alpespartners/cqrs"
)

type RegisterCampaign struct{ Name string }

type CampaignID string

type FindCampaign struct{ ID CampaignID }

type Campaign struct {
	ID   CampaignID
	Name string
}

func registerCampaign(_ context.Context, c RegisterCampaign) (CampaignID, error) {
	return CampaignID("campaign-" + c.Name), nil
}

func Example() {
	var stored Campaign // a repository, in a real service
	bus := cqrs.NewBus(cqrs.Config{})
	err := errors.Join(
		cqrs.Handle(bus, func(_ context.Context, c RegisterCampaign) (CampaignID, error) {
			stored = Campaign{ID: "c-1", Name: c.Name}
			return stored.ID, nil
		}),
		cqrs.HandleQuery(bus, func(_ context.Context, q FindCampaign) (Campaign, error) {
			if q.ID != stored.ID {
				return Campaign{}, errors.New("no such campaign")
			}
			return stored, nil
		}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	id, err := cqrs.Send[CampaignID](ctx, bus, RegisterCampaign{Name: "spring"})
	fmt.Println(id, err)
	campaign, err := cqrs.Ask[Campaign](ctx, bus, FindCampaign{ID: id})
	fmt.Println(campaign.Name, err)
	// Output:
	// c-1 <nil>
	// spring <nil>
}

func ExampleHandle() {
	var bus cqrs.Bus // ready for use
	fmt.Println(cqrs.Handle(&bus, registerCampaign))
	fmt.Println(cqrs.Handle(&bus, registerCampaign))
	// Output:
	// <nil>
	// cqrs: duplicate handler: command cqrs_test.RegisterCampaign
}

func ExampleHandleQuery() {
	var bus cqrs.Bus
	err := cqrs.HandleQuery(&bus, func(context.Context, FindCampaign) (Campaign, error) { return Campaign{Name: "spring"}, nil })
	fmt.Println(err)
	campaign, err := cqrs.Ask[Campaign](context.Background(), &bus, FindCampaign{ID: "c-1"})
	fmt.Println(campaign.Name, err)
	// Output:
	// <nil>
	// spring <nil>
}

func ExampleSend() {
	var bus cqrs.Bus
	ctx := context.Background()
	_, err := cqrs.Send[CampaignID](ctx, &bus, RegisterCampaign{})
	fmt.Println(err, errors.Is(err, cqrs.ErrNoHandler))

	if err := cqrs.Handle(&bus, registerCampaign); err != nil {
		fmt.Println(err)
	}
	_, err = cqrs.Send[string](ctx, &bus, RegisterCampaign{})
	fmt.Println(err)
	id, err := cqrs.Send[CampaignID](ctx, &bus, RegisterCampaign{Name: "spring"})
	fmt.Println(id, err)
	// Output:
	// cqrs: no handler: command cqrs_test.RegisterCampaign true
	// cqrs: wrong result type: the handler of command cqrs_test.RegisterCampaign returns cqrs_test.CampaignID, the caller wants string
	// campaign-spring <nil>
}

func ExampleAsk() {
	var bus cqrs.Bus
	// A command's handler does not answer queries, even of the same type.
	if err := cqrs.Handle(&bus, registerCampaign); err != nil {
		fmt.Println(err)
	}
	_, err := cqrs.Ask[CampaignID](context.Background(), &bus, RegisterCampaign{})
	fmt.Println(err)
	// Output: cqrs: no handler: query cqrs_test.RegisterCampaign
}

func ExampleNone() {
	type Touch struct{ ID string }
	var bus cqrs.Bus
	err := cqrs.Handle(&bus, func(context.Context, Touch) (cqrs.None, error) { return cqrs.None{}, nil })
	fmt.Println(err)
	_, err = cqrs.Send[cqrs.None](context.Background(), &bus, Touch{ID: "c-1"})
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
}

func ExamplePanicError() {
	var bus cqrs.Bus
	err := cqrs.Handle(&bus, func(_ context.Context, c RegisterCampaign) (CampaignID, error) {
		return CampaignID([]string{}[len(c.Name)]), nil
	})
	fmt.Println(err)
	_, err = cqrs.Send[CampaignID](context.Background(), &bus, RegisterCampaign{})
	var p *cqrs.PanicError
	fmt.Println(errors.As(err, &p) && len(p.Stack) > 0)
	fmt.Println(err)
	// Output:
	// <nil>
	// true
	// cqrs: panic in command cqrs_test.RegisterCampaign: runtime error: index out of range [0] with length 0
}
