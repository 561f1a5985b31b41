package cqrs_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/alpespartners/alpespartners/cqrs"
)

// registerPartner and partnerView are of the usual size: 112 and 96 bytes.
type registerPartner struct {
	ID, CampaignID, Name, Type, Profile, Brand string
	Budget                                     int64
	Priority                                   int64
}

type partnerView struct {
	ID, CampaignID, Name, Type, Profile string
	Budget, Version                     int64
}

func (c registerPartner) Validate() error { return nil }

func answer(_ context.Context, c registerPartner) (partnerView, error) {
	return partnerView{ID: c.ID, CampaignID: c.CampaignID, Name: c.Name, Type: c.Type, Profile: c.Profile, Budget: c.Budget}, nil
}

func benchmarkSend(b *testing.B, middleware ...cqrs.Middleware) {
	b.Helper()
	bus := cqrs.NewBus(cqrs.Config{Middleware: middleware})
	if err := cqrs.Handle(bus, answer); err != nil {
		b.Fatal(err)
	}
	registerOthers(b, bus)
	ctx := b.Context()
	command := registerPartner{ID: "p-1", CampaignID: "c-1", Name: "Ana", Type: "influencer", Budget: 100}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cqrs.Send[partnerView](ctx, bus, command); err != nil {
			b.Fatal(err)
		}
	}
}

// registerOthers makes the registry as large as a service's, so that the lookup is not a special case.
func registerOthers(tb testing.TB, bus *cqrs.Bus) {
	tb.Helper()
	add := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	add(cqrs.Handle(bus, sized[[1]byte]))
	add(cqrs.Handle(bus, sized[[2]byte]))
	add(cqrs.Handle(bus, sized[[3]byte]))
	add(cqrs.Handle(bus, sized[[4]byte]))
	add(cqrs.Handle(bus, sized[[5]byte]))
	add(cqrs.Handle(bus, sized[[6]byte]))
	add(cqrs.Handle(bus, sized[[7]byte]))
	add(cqrs.Handle(bus, sized[[8]byte]))
	add(cqrs.Handle(bus, sized[[9]byte]))
}

func sized[C any](context.Context, C) (cqrs.None, error) { return cqrs.None{}, nil }

func pass(next cqrs.Handler) cqrs.Handler {
	return func(ctx context.Context, call *cqrs.Call) error { return next(ctx, call) }
}

func BenchmarkDispatch(b *testing.B) {
	b.Run("direct call", func(b *testing.B) {
		fn := answer
		command := registerPartner{ID: "p-1"}
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := fn(ctx, command); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("no middleware", func(b *testing.B) { benchmarkSend(b) })
	b.Run("one middleware", func(b *testing.B) { benchmarkSend(b, pass) })
	b.Run("three middlewares", func(b *testing.B) { benchmarkSend(b, slices.Repeat([]cqrs.Middleware{pass}, 3)...) })
	b.Run("validation", func(b *testing.B) { benchmarkSend(b, cqrs.Validation()) })
	b.Run("all four", func(b *testing.B) {
		begin := func(ctx context.Context, _ *cqrs.Call) (context.Context, func(error)) { return ctx, nil }
		do := func(ctx context.Context, handle func(context.Context) error) error { return handle(ctx) }
		quiet := slog.New(slog.DiscardHandler)
		benchmarkSend(b, cqrs.Logging(quiet), cqrs.Validation(), cqrs.Observe(begin), cqrs.UnitOfWork(do))
	})
	b.Run("parallel", func(b *testing.B) {
		bus := &cqrs.Bus{}
		if err := cqrs.Handle(bus, answer); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := cqrs.Send[partnerView](context.Background(), bus, registerPartner{ID: "p-1"}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
