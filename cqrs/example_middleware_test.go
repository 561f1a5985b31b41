package cqrs_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/alpespartners/alpespartners/cqrs"
)

type OpenAccount struct{ Owner string }

// Validate makes OpenAccount known to the Validation middleware.
func (c OpenAccount) Validate() error {
	if c.Owner == "" {
		return errors.New("owner is required")
	}
	return nil
}

type CountAccounts struct{}

// accounts returns a bus with two handlers behind the middleware.
func accounts(middleware ...cqrs.Middleware) *cqrs.Bus {
	bus := cqrs.NewBus(cqrs.Config{Middleware: middleware})
	err := errors.Join(
		cqrs.Handle(bus, func(_ context.Context, c OpenAccount) (cqrs.None, error) {
			if c.Owner == "nobody" {
				return cqrs.None{}, errors.New("owner is unknown")
			}
			return cqrs.None{}, nil
		}),
		cqrs.HandleQuery(bus, func(context.Context, CountAccounts) (int, error) { return 3, nil }),
	)
	if err != nil {
		fmt.Println(err)
	}
	return bus
}

func ExampleMiddleware() {
	admins := func(next cqrs.Handler) cqrs.Handler {
		return func(ctx context.Context, call *cqrs.Call) error {
			if call.Kind() == cqrs.Command {
				return fmt.Errorf("%s: read-only user", call.Name())
			}
			return next(ctx, call)
		}
	}
	bus := accounts(admins)
	ctx := context.Background()
	_, err := cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: "Ana"})
	fmt.Println(err)
	n, err := cqrs.Ask[int](ctx, bus, CountAccounts{})
	fmt.Println(n, err)
	// Output:
	// cqrs_test.OpenAccount: read-only user
	// 3 <nil>
}

func ExampleLogging() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	bus := accounts(cqrs.Logging(logger))
	ctx := context.Background()
	_, err1 := cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: "Ana"})
	_, err2 := cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: "nobody"})
	fmt.Println(err1, err2)
	// Output:
	// level=DEBUG msg=handled kind=command message=cqrs_test.OpenAccount
	// level=WARN msg="not handled" kind=command message=cqrs_test.OpenAccount error="owner is unknown"
	// <nil> owner is unknown
}

func ExampleValidation() {
	bus := accounts(cqrs.Validation())
	_, err := cqrs.Send[cqrs.None](context.Background(), bus, OpenAccount{})
	fmt.Println(err)
	fmt.Println(errors.Is(err, cqrs.ErrInvalid))
	// Output:
	// cqrs: invalid message: owner is required: command cqrs_test.OpenAccount
	// true
}

func ExampleObserve() {
	failures := map[string]int{}
	bus := accounts(cqrs.Observe(func(ctx context.Context, call *cqrs.Call) (context.Context, func(error)) {
		name := call.Name() // start a span or read a clock here
		return ctx, func(err error) {
			if err != nil {
				failures[name]++
			}
		}
	}))
	ctx := context.Background()
	for _, owner := range []string{"Ana", "nobody", "nobody"} {
		_, err := cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: owner})
		fmt.Println(err)
	}
	fmt.Println(failures)
	// Output:
	// <nil>
	// owner is unknown
	// owner is unknown
	// map[cqrs_test.OpenAccount:2]
}

func ExampleUnitOfWork() {
	inTransaction := func(ctx context.Context, handle func(context.Context) error) error {
		fmt.Println("begin")
		if err := handle(ctx); err != nil {
			fmt.Println("roll back")
			return err
		}
		fmt.Println("commit")
		return nil
	}
	bus := accounts(cqrs.UnitOfWork(inTransaction))
	ctx := context.Background()
	_, err := cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: "Ana"})
	fmt.Println(err)
	_, err = cqrs.Send[cqrs.None](ctx, bus, OpenAccount{Owner: "nobody"})
	fmt.Println(err)
	n, err := cqrs.Ask[int](ctx, bus, CountAccounts{}) // queries have no transaction
	fmt.Println(n, err)
	// Output:
	// begin
	// commit
	// <nil>
	// begin
	// roll back
	// owner is unknown
	// 3 <nil>
}
