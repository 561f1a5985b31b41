package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// A customer and the saga that welcomes them are committed together, or neither is.
func ExampleWithin() {
	type (
		Customer struct{ Name string }
		Greet    struct{ Name string }
		Greeted  struct{}
	)
	welcome := saga.MustDefine("welcome", saga.Step("greet",
		saga.Do(func(c Customer) Greet { return Greet(c) }),
		saga.On(func(*Customer, Greeted) {})).NothingToUndo())
	codec, _ := messaging.NewJSONCodec(messaging.JSON[Greet]("greet", "commands"), messaging.JSON[Greeted]("greeted", "events"))
	bus := messaging.Bus{Broker: memmsg.New(memmsg.Config{}), Codec: codec}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := sqlmsg.Open(ctx, "sqlite::memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = db.Close() }()
	messages, _ := sqlmsg.NewStore(db, sqlmsg.Config{})
	store, _ := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err := errors.Join(messages.Migrate(ctx), store.Migrate(ctx)); err != nil {
		fmt.Println(err)
		return
	}
	mailer, _ := inbox.NewService(inbox.Config{Name: "mailer", Bus: bus, Store: inbox.NewMemory()})
	inbox.Handle(mailer, func(_ context.Context, _ inbox.Tx, c Greet) (Greeted, error) {
		fmt.Println("dear", c.Name)
		return Greeted{}, nil
	})
	c, _ := coordinator.New(coordinator.Config{Store: store, Bus: bus, Definitions: []saga.Any{welcome}})
	var running sync.WaitGroup
	running.Go(func() { _ = mailer.Run(ctx) })
	running.Go(func() { _ = c.Run(ctx) })
	<-mailer.Ready()
	<-c.Ready()

	var id saga.ID
	register := func(name string, end error) error {
		return db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) (err error) {
			if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS customers (name TEXT)"); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO customers (name) VALUES (?)", name); err != nil {
				return err
			}
			id, err = coordinator.Start(ctx, c, welcome, Customer{name}, coordinator.Key(name), coordinator.Within(store.Within(tx)))
			return errors.Join(err, end)
		})
	}
	fmt.Println(register("Eve", errors.New("rolled back")))
	_, err = c.Await(ctx, id)
	fmt.Println(err != nil)

	err = register("Ana", nil)
	if err == nil {
		err = c.Wake(ctx)
	}
	end, err2 := c.Await(ctx, id)
	fmt.Println(end.Status, err, err2)
	stop()
	running.Wait()
	// Output:
	// rolled back
	// true
	// dear Ana
	// completed <nil> <nil>
}
