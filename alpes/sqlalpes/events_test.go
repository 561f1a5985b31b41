package sqlalpes_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
)

var events = sqlalpes.NewEvents(nil)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("COT", -5*3600))

func newEvent(t *testing.T, campaignID string) tracking.Event {
	t.Helper()
	e, err := tracking.New(tracking.Register{ID: uuid.NewString(), PartnerID: "1huhaskjhasd", CampaignID: campaignID, OccurredAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvents(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		views := sqlalpes.NewEvents(db.Reader())
		e, second := newEvent(t, "c-1"), newEvent(t, "c-2")
		must(t, db, func(ctx context.Context) error { return errors.Join(events.Add(ctx, e), events.Add(ctx, second)) })
		must(t, db, func(ctx context.Context) error {
			if err := events.Add(ctx, e); !errors.Is(err, tracking.ErrExists) {
				t.Errorf("Add() of a taken id = %v, want ErrExists", err)
			}
			got, err := events.Get(ctx, e.ID())
			if !got.Equal(e) {
				t.Errorf("Get() = %+v, want %+v", got, e)
			}
			return err
		})
		want := tracking.View{ID: e.ID(), PartnerID: "1huhaskjhasd", CampaignID: "c-1", OccurredAt: time.Date(2026, 3, 1, 17, 0, 0, 123_000_000, time.UTC)}
		if got, err := views.Find(t.Context(), tracking.Find{ID: e.ID()}); err != nil || got != want {
			t.Errorf("Find() = %+v, %v, want %+v", got, err, want)
		}
		first, err := views.List(t.Context(), tracking.List{Limit: 1})
		if err != nil || len(first.Events) != 1 || first.Events[0] != want || first.Next == "" {
			t.Fatalf("List() = %+v, %v, want the first event and a cursor", first, err)
		}
		last, err := views.List(t.Context(), tracking.List{After: first.Next})
		if err != nil || len(last.Events) != 1 || last.Events[0].CampaignID != "c-2" || last.Next != "" {
			t.Errorf("List() = %+v, %v, want the second event and no cursor", last, err)
		}
		if _, err := views.List(t.Context(), tracking.List{After: "?"}); !errors.Is(err, tracking.ErrCursor) {
			t.Errorf("List() = %v, want ErrCursor", err)
		}
		must(t, db, func(ctx context.Context) error {
			if got, err := events.Remove(ctx, e.ID()); err != nil || !got.Equal(e) {
				t.Errorf("Remove() = %+v, %v, want %+v", got, err, e)
			}
			if _, err := events.Remove(ctx, e.ID()); !errors.Is(err, tracking.ErrNotFound) {
				t.Errorf("Remove() again = %v, want ErrNotFound", err)
			}
			return nil
		})
		if _, err := views.Find(t.Context(), tracking.Find{ID: e.ID()}); !errors.Is(err, tracking.ErrNotFound) {
			t.Errorf("Find() = %v, want ErrNotFound", err)
		}
	})
}

func TestEventsCount(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		count := func(ctx context.Context, want int) {
			t.Helper()
			if n, err := events.Count(ctx, "c-1"); err != nil || n != want {
				t.Errorf("Count() = %d, %v, want %d", n, err, want)
			}
		}
		e := newEvent(t, "c-1")
		must(t, db, func(ctx context.Context) error {
			count(ctx, 0)
			count(ctx, 0)
			err := errors.Join(events.Add(ctx, e), events.Add(ctx, newEvent(t, "c-1")), events.Add(ctx, newEvent(t, "c-2")))
			count(ctx, 2)
			return err
		})
		boom := errors.New("boom")
		err := inTx(t.Context(), db, func(ctx context.Context) error {
			err := events.Add(ctx, newEvent(t, "c-1"))
			count(ctx, 3)
			return errors.Join(err, boom)
		})
		if !errors.Is(err, boom) {
			t.Error(err)
		}
		must(t, db, func(ctx context.Context) error {
			count(ctx, 2) // the rollback took the third one back
			_, err := events.Remove(ctx, e.ID())
			count(ctx, 1)
			return err
		})
	})
}

func TestLimitHoldsInParallel(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		const limit = 5
		service, err := tracking.NewService(events, tracking.Config{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		var registered, refused atomic.Int32
		var wg sync.WaitGroup
		for range 4 * limit {
			wg.Go(func() {
				err := inTx(t.Context(), db, func(ctx context.Context) error {
					_, err := service.Register(ctx, tracking.Register{PartnerID: "p-1", CampaignID: "c-1", OccurredAt: noon})
					return err
				})
				var refusal *messaging.Refusal
				switch {
				case err == nil:
					registered.Add(1)
				case errors.As(err, &refusal):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if registered.Load() != limit || refused.Load() != 3*limit {
			t.Errorf("%d registered and %d refused, want %d and %d", registered.Load(), refused.Load(), limit, 3*limit)
		}
	})
}
