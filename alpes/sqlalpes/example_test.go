package sqlalpes_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/internal/sqldb"
)

// A service's repository joins the transaction of each command; queries read beside them.
func Example() {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, "sqlite::memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := sqlalpes.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}

	campaigns, err := campaign.NewService(sqlalpes.NewCampaigns(nil), campaign.Config{})
	if err != nil {
		log.Fatal(err)
	}
	bus := cqrs.NewBus(cqrs.Config{})
	err = errors.Join(
		campaign.HandleCommands(bus, campaigns),
		campaign.HandleQueries(bus, sqlalpes.NewCampaigns(db.Reader())),
	)
	if err != nil {
		log.Fatal(err)
	}

	register := campaign.Register{Name: "Spring", Budget: "2500.50", Currency: "USD", BrandID: "brand-7"}
	var registered campaign.Registered
	err = db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
		registered, err = cqrs.Send[campaign.Registered](sqlalpes.WithTx(ctx, tx), bus, register)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	view, err := cqrs.Ask[campaign.View](ctx, bus, campaign.Find{ID: registered.ID})
	fmt.Println(view.Name, view.Budget, view.Status, err)

	_, err = cqrs.Send[campaign.Registered](ctx, bus, register)
	fmt.Println("outside of a transaction:", errors.Is(err, sqlalpes.ErrNoTx))
	// Output:
	// Spring 2500.5 pending <nil>
	// outside of a transaction: true
}

// A partner or an event needs the same three lines.
func ExampleNewPartners() {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, "sqlite::memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := sqlalpes.Migrate(ctx, db); err != nil {
		log.Fatal(err)
	}
	_, err = sqlalpes.NewPartners(db.Reader()).Get(ctx, "nobody")
	fmt.Println(err)
	_, err = sqlalpes.NewEvents(db.Reader()).Get(ctx, "nothing")
	fmt.Println(err)
	// Output:
	// partner: not found
	// tracking: not found
}
