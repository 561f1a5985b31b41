package cqrs_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/cqrs"
)

func TestMiddlewareOrder(t *testing.T) {
	t.Parallel()
	var seen []string
	built := 0
	named := func(name string) cqrs.Middleware {
		return func(next cqrs.Handler) cqrs.Handler {
			built++
			return func(ctx context.Context, call *cqrs.Call) error {
				seen = append(seen, name+" in")
				defer func() { seen = append(seen, name+" out") }()
				return next(ctx, call)
			}
		}
	}
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{named("outer"), named("inner")}})
	must(t, cqrs.Handle(bus, doRename))
	if built != 2 {
		t.Errorf("%d middlewares built at registration, want 2", built)
	}
	for range 3 {
		seen = nil
		_, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"})
		must(t, err)
	}
	if want := []string{"outer in", "inner in", "inner out", "outer out"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	if built != 2 {
		t.Errorf("%d middlewares built while dispatching, want none", built-2)
	}
}

func TestCallShowsMessageAndResult(t *testing.T) {
	t.Parallel()
	spy := func(next cqrs.Handler) cqrs.Handler {
		return func(ctx context.Context, call *cqrs.Call) error {
			if m, ok := call.Message().(*rename); !ok || m.Name != "n" {
				t.Errorf("message = %v", call.Message())
			}
			err := next(ctx, call)
			if r, ok := call.Result().(*renamed); !ok || r.Name != "n" {
				t.Errorf("result = %v", call.Result())
			}
			if call.Name() != "cqrs_test.rename" || call.Kind() != cqrs.Command {
				t.Errorf("call is %v %s", call.Kind(), call.Name())
			}
			return err
		}
	}
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{spy}})
	must(t, cqrs.Handle(bus, doRename))
	_, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"})
	must(t, err)
}

func TestMiddlewareMayAnswerItself(t *testing.T) {
	t.Parallel()
	cached := func(cqrs.Handler) cqrs.Handler {
		return func(_ context.Context, call *cqrs.Call) error {
			if r, ok := call.Result().(*renamed); ok {
				r.Name = "cached"
			}
			return nil
		}
	}
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{cached}})
	must(t, cqrs.Handle(bus, explode))
	got, err := cqrs.Send[renamed](t.Context(), bus, rename{})
	if err != nil || got.Name != "cached" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestForeignCallHasNoHandler(t *testing.T) {
	t.Parallel()
	swap := func(next cqrs.Handler) cqrs.Handler {
		return func(ctx context.Context, _ *cqrs.Call) error { return next(ctx, &cqrs.Call{}) }
	}
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{swap}})
	must(t, cqrs.Handle(bus, doRename))
	if _, err := cqrs.Send[renamed](t.Context(), bus, rename{}); !errors.Is(err, cqrs.ErrNoHandler) {
		t.Errorf("got %v", err)
	}
}

// A middleware that stops waiting leaves the handler running: no later dispatch may share its frame.
func TestAbandonedHandlerKeepsItsFrame(t *testing.T) {
	t.Parallel()
	errLate := errors.New("too late")
	release, finished := make(chan struct{}), make(chan error, 1)
	giveUp := func(next cqrs.Handler) cqrs.Handler {
		return func(ctx context.Context, call *cqrs.Call) error {
			if m, _ := call.Message().(*rename); m.Name != "slow" {
				return next(ctx, call)
			}
			go func() {
				<-release
				finished <- next(ctx, call)
			}()
			return errLate
		}
	}
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{giveUp}})
	must(t, cqrs.Handle(bus, doRename))
	if _, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "slow"}); !errors.Is(err, errLate) {
		t.Fatalf("got %v", err)
	}
	close(release)
	for range 100 {
		got, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "fast"})
		if err != nil || got.Name != "fast" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	must(t, <-finished)
}

type checked struct{ Name string }

var errEmpty = errors.New("name is empty")

// The pointer receiver shows that both kinds of method are found.
func (c *checked) Validate() error {
	if c.Name == "" {
		return errEmpty
	}
	return nil
}

func TestValidation(t *testing.T) {
	t.Parallel()
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{cqrs.Validation()}})
	must(t, cqrs.Handle(bus, sized[checked]))
	must(t, cqrs.Handle(bus, doRename))
	_, err := cqrs.Send[cqrs.None](t.Context(), bus, checked{})
	var detail *cqrs.MessageError
	if !errors.Is(err, cqrs.ErrInvalid) || !errors.Is(err, errEmpty) || !errors.As(err, &detail) {
		t.Errorf("got %v", err)
	}
	if _, err := cqrs.Send[cqrs.None](t.Context(), bus, checked{Name: "n"}); err != nil {
		t.Errorf("valid: %v", err)
	}
	if _, err := cqrs.Send[renamed](t.Context(), bus, rename{}); err != nil {
		t.Errorf("without Validate: %v", err)
	}
}

func TestLoggingShowsNoPayload(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{cqrs.Logging(logger)}})
	must(t, cqrs.Handle(bus, doRename))
	_, err := cqrs.Send[renamed](t.Context(), bus, rename{ID: "secret-id", Name: "secret-name"})
	must(t, err)
	_, err = cqrs.Send[renamed](t.Context(), bus, rename{ID: "secret-id", Name: "taken"})
	if !errors.Is(err, errTaken) {
		t.Errorf("got %v", err)
	}
	log := out.String()
	if strings.Contains(log, "secret") {
		t.Errorf("the log shows a payload:\n%s", log)
	}
	for _, want := range []string{"level=DEBUG msg=handled", `level=WARN msg="not handled"`, `error="name is taken"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestLoggingWithoutLogger(t *testing.T) {
	t.Parallel()
	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{cqrs.Logging(nil)}})
	must(t, cqrs.Handle(bus, doRename))
	_, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"})
	must(t, err)
}

func TestUnitOfWork(t *testing.T) {
	t.Parallel()
	errCommit := errors.New("commit failed")
	type work = func(ctx context.Context, handle func(context.Context) error) error
	tests := []struct {
		name    string
		do      work
		handler func(context.Context, rename) (renamed, error)
		want    string // the error; empty means none
	}{
		{"commits", func(ctx context.Context, handle func(context.Context) error) error {
			return handle(ctx)
		}, doRename, ""},
		{"fails to commit", func(ctx context.Context, handle func(context.Context) error) error {
			return errors.Join(handle(ctx), errCommit)
		}, doRename, "commit failed"},
		{"sees a panic as an error", func(ctx context.Context, handle func(context.Context) error) error {
			if handle(ctx) == nil {
				t.Error("the handler's panic was not an error")
			}
			return nil
		}, explode, "cqrs: panic in command cqrs_test.rename: name is taken"},
		{"tries again", func(ctx context.Context, handle func(context.Context) error) error {
			return errors.Join(handle(ctx), handle(ctx))
		}, doRename, ""},
		{"does nothing", func(context.Context, func(context.Context) error) error {
			return nil
		}, doRename, "cqrs: the unit of work did not call its function"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{cqrs.UnitOfWork(tc.do)}})
			must(t, cqrs.Handle(bus, tc.handler))
			_, err := cqrs.Send[renamed](t.Context(), bus, rename{Name: "n"})
			if (err == nil) != (tc.want == "") || err != nil && err.Error() != tc.want {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
