package cqrs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/alpespartners/alpespartners/cqrs"
)

type rename struct{ ID, Name string }

type renamed struct{ Name string }

var errTaken = errors.New("name is taken")

func doRename(_ context.Context, c rename) (renamed, error) {
	if c.Name == "taken" {
		return renamed{}, errTaken
	}
	return renamed{Name: c.Name}, nil
}

func explode(context.Context, rename) (renamed, error) { panic(errTaken) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newBuses returns an empty bus without middleware and one with: most promises hold for both.
func newBuses() map[string]*cqrs.Bus {
	return map[string]*cqrs.Bus{
		"zero bus":   {},
		"middleware": cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{nil, pass, pass}}),
	}
}

func TestDispatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler func(context.Context, rename) (renamed, error)
		message rename
		want    renamed
		err     error
	}{
		{"returns the result", doRename, rename{Name: "new"}, renamed{Name: "new"}, nil},
		{"returns the handler's error", doRename, rename{Name: "taken"}, renamed{}, errTaken},
		{"finds no handler", nil, rename{}, renamed{}, cqrs.ErrNoHandler},
		{"turns a panic into an error", explode, rename{}, renamed{}, errTaken},
	}
	for _, tc := range tests {
		for kind, bus := range newBuses() {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				if tc.handler != nil {
					must(t, cqrs.Handle(bus, tc.handler))
					must(t, cqrs.HandleQuery(bus, tc.handler))
				}
				got, err := cqrs.Send[renamed](t.Context(), bus, tc.message)
				if got != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("Send = %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
				}
				got, err = cqrs.Ask[renamed](t.Context(), bus, tc.message)
				if got != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("Ask = %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
				}
			})
		}
	}
}

func TestCommandsAndQueriesAreApart(t *testing.T) {
	t.Parallel()
	bus := &cqrs.Bus{}
	must(t, cqrs.Handle(bus, doRename))
	_, err := cqrs.Ask[renamed](t.Context(), bus, rename{})
	want := cqrs.MessageError{Kind: cqrs.Query, Message: "cqrs_test.rename", Err: cqrs.ErrNoHandler}
	var detail *cqrs.MessageError
	if !errors.As(err, &detail) || *detail != want {
		t.Errorf("asking a command gave %v, want %v", err, &want)
	}
}

func TestRegistrationErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		register func(*cqrs.Bus) error
		err      error
		text     string
	}{
		{
			"second handler",
			func(b *cqrs.Bus) error { return cqrs.Handle(b, explode) },
			cqrs.ErrDuplicateHandler, "cqrs: duplicate handler: command cqrs_test.rename",
		},
		{
			"second handler with another result",
			func(b *cqrs.Bus) error { return cqrs.Handle(b, sized[rename]) },
			cqrs.ErrDuplicateHandler, "cqrs: duplicate handler: command cqrs_test.rename",
		},
		{
			"nil handler",
			func(b *cqrs.Bus) error { return cqrs.HandleQuery[rename, renamed](b, nil) },
			cqrs.ErrBadHandler, "cqrs: bad handler: query cqrs_test.rename",
		},
		{
			"pointer",
			func(b *cqrs.Bus) error { return cqrs.Handle(b, sized[*rename]) },
			cqrs.ErrBadHandler, "cqrs: bad handler: command *cqrs_test.rename",
		},
		{
			"interface",
			func(b *cqrs.Bus) error { return cqrs.Handle(b, sized[error]) },
			cqrs.ErrBadHandler, "cqrs: bad handler: command error",
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			bus := &cqrs.Bus{}
			must(t, cqrs.Handle(bus, doRename))
			err := tc.register(bus)
			if !errors.Is(err, tc.err) || err.Error() != tc.text {
				t.Errorf("got %v, want %v", err, tc.text)
			}
			if got, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"}); err != nil || got.Name != "n" {
				t.Errorf("the first handler is no longer there: %v, %v", got, err)
			}
		})
	}
}

func TestWrongResultType(t *testing.T) {
	t.Parallel()
	for kind, bus := range newBuses() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			must(t, cqrs.Handle(bus, explode)) // it must not be called
			_, err := cqrs.Send[string](t.Context(), bus, rename{})
			want := cqrs.ResultTypeError{
				Kind: cqrs.Command, Message: "cqrs_test.rename", Handler: "cqrs_test.renamed", Caller: "string",
			}
			var detail *cqrs.ResultTypeError
			if !errors.Is(err, cqrs.ErrResultType) || !errors.As(err, &detail) || *detail != want {
				t.Errorf("got %v, want %v", err, &want)
			}
		})
	}
}

func TestPanicCarriesTheStack(t *testing.T) {
	t.Parallel()
	guard := func(cqrs.Handler) cqrs.Handler {
		return func(context.Context, *cqrs.Call) error { panic("no way") }
	}
	bad := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{guard}})
	must(t, cqrs.HandleQuery(bad, doRename))
	_, err := cqrs.Ask[renamed](t.Context(), bad, rename{})
	var p *cqrs.PanicError
	if !errors.As(err, &p) || p.Value != "no way" || p.Unwrap() != nil || p.Kind != cqrs.Query {
		t.Errorf("a middleware's panic became %v", err)
	}

	bus := &cqrs.Bus{}
	must(t, cqrs.Handle(bus, explode))
	_, err = cqrs.Send[renamed](t.Context(), bus, rename{})
	if !errors.As(err, &p) || !strings.Contains(string(p.Stack), "cqrs_test.explode") {
		t.Errorf("the stack does not show where: %v", err)
	}
	if want := "cqrs: panic in command cqrs_test.rename: name is taken"; err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRegistrationDuringDispatch(t *testing.T) {
	t.Parallel()
	for kind, bus := range newBuses() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			must(t, cqrs.Handle(bus, doRename))
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 500 {
						got, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"})
						if err != nil || got.Name != "n" {
							t.Errorf("got %v, %v", got, err)
							return
						}
					}
				})
			}
			registerOthers(t, bus)
			wg.Wait()
			if _, err := cqrs.Send[cqrs.None](t.Context(), bus, [9]byte{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Not parallel: AllocsPerRun counts the allocations of the whole process.
func TestDispatchDoesNotAllocate(t *testing.T) {
	bus := &cqrs.Bus{}
	must(t, cqrs.Handle(bus, answer))
	ctx, command := t.Context(), registerPartner{ID: "p-1"}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := cqrs.Send[partnerView](ctx, bus, command); err != nil {
			t.Error(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for one dispatch, want 0", allocs)
	}
}
