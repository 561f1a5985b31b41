package messaging_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// deliver gives one message to h through a router with the middleware.
func deliver(t *testing.T, m messaging.Message, h messaging.Handler, middleware ...messaging.Middleware) messaging.Disposition {
	t.Helper()
	d := newDriver()
	r := newRouter(t, messaging.RouterConfig{Subscriber: d, DeadLetters: &letters{}, Middleware: middleware})
	must(t, r.Handle(messaging.Subscription{Topic: "orders", Name: "billing"}, h))
	stop := start(t, r)
	defer stop()
	return (<-d.receiver)(t.Context(), []messaging.Message{m})[0]
}

func TestMiddlewareOrder(t *testing.T) {
	t.Parallel()
	var trace []string
	named := func(name string) messaging.Middleware {
		return func(next messaging.Handler) messaging.Handler {
			return func(ctx context.Context, m messaging.Message) error {
				trace = append(trace, name)
				return next(ctx, m)
			}
		}
	}
	deliver(t, messaging.Message{}, func(context.Context, messaging.Message) error {
		trace = append(trace, "handler")
		return nil
	}, named("first"), named("second"))
	if want := []string{"first", "second", "handler"}; !slices.Equal(trace, want) {
		t.Errorf("%q, want %q", trace, want)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		d := deliver(t, messaging.Message{ID: "m"}, func(ctx context.Context, _ messaging.Message) error {
			<-ctx.Done()
			return ctx.Err()
		}, messaging.Timeout(time.Minute), messaging.Timeout(0))
		if took := time.Since(begin); took != time.Minute || d.After != (messaging.Backoff{}).Delay(1, "m") {
			t.Errorf("%s after %v, want the first backoff after a minute", verdict(d), took)
		}
	})
}

func TestObserve(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		handler messaging.Handler
		class   messaging.Class
		failed  bool
	}{
		{func(context.Context, messaging.Message) error { return nil }, messaging.Transient, false},
		{func(context.Context, messaging.Message) error { return errors.New("down") }, messaging.Transient, true},
		{func(context.Context, messaging.Message) error { panic("boom") }, messaging.Transient, true},
		{func(context.Context, messaging.Message) error { return messaging.Refuse(1) }, messaging.Terminal, true},
		{func(context.Context, messaging.Message) error { return messaging.RetryAfter(1, errors.New("later")) }, messaging.Delayed, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var got messaging.Observation
			deliver(t, messaging.Message{ID: "m", Topic: "orders", Type: "placed"}, func(ctx context.Context, m messaging.Message) error {
				<-time.After(time.Second)
				return test.handler(ctx, m)
			}, messaging.Observe(func(o messaging.Observation) { got = o }))
			failed := got.Err != nil
			got.Err = nil
			want := messaging.Observation{Topic: "orders", Subscription: "billing", Type: "placed", Class: test.class, Duration: time.Second}
			if got != want || failed != test.failed {
				t.Errorf("%+v, failed %t; want %+v, failed %t", got, failed, want, test.failed)
			}
		})
	}
}

func TestLoggingHasNoPayloads(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	m := messaging.Message{ID: "id-1", Topic: "orders", Type: "placed", Payload: []byte("secret"), Headers: map[string]string{"h": "secret"}}
	deliver(t, m, func(context.Context, messaging.Message) error { return errors.New("down") }, messaging.Logging(logger))
	deliver(t, m, func(context.Context, messaging.Message) error { return nil }, messaging.Logging(logger))
	for _, part := range []string{"id=id-1", "type=placed", "subscription=billing", "outcome=transient", "outcome=handled"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in:\n%s", part, &out)
		}
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("the log has payloads:\n%s", &out)
	}
}

func TestFromContext(t *testing.T) {
	t.Parallel()
	if _, ok := messaging.FromContext(t.Context()); ok {
		t.Error("a message outside of a handler")
	}
	deliver(t, messaging.Message{ID: "m", Headers: map[string]string{messaging.HeaderTraceparent: "00-x"}}, func(ctx context.Context, _ messaging.Message) error {
		if m, ok := messaging.FromContext(ctx); !ok || m.ID != "m" || m.Header(messaging.HeaderTraceparent) != "00-x" {
			t.Errorf("FromContext: %+v, %t", m, ok)
		}
		return nil
	})
}

func TestRecover(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	err := messaging.Recover(func(context.Context, messaging.Message) error { panic(cause) })(t.Context(), messaging.Message{})
	var fault *messaging.PanicError
	if !errors.As(err, &fault) || !errors.Is(err, cause) || !bytes.Contains(fault.Stack, []byte("TestRecover")) {
		t.Errorf("%v is no PanicError with cause and stack", err)
	}
}
