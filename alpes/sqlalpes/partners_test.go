package sqlalpes_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/internal/sqldb"
)

var partners = sqlalpes.NewPartners(nil)

func newPartner(t *testing.T, name string) partner.Partner {
	t.Helper()
	p, err := partner.New(partner.Register{ID: uuid.NewString(), CampaignID: "123213312", Name: name, Type: "afiliado", Profile: "cupones"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPartners(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		views := sqlalpes.NewPartners(db.Reader())
		p, second := newPartner(t, "Carla"), newPartner(t, "Alice")
		must(t, db, func(ctx context.Context) error { return errors.Join(partners.Add(ctx, p), partners.Add(ctx, second)) })
		must(t, db, func(ctx context.Context) error {
			if err := partners.Add(ctx, p); !errors.Is(err, partner.ErrExists) {
				t.Errorf("Add() of a taken id = %v, want ErrExists", err)
			}
			got, err := partners.Get(ctx, p.ID())
			if got != p {
				t.Errorf("Get() = %+v, want %+v", got, p)
			}
			return err
		})
		want := partner.View{ID: p.ID(), CampaignID: "123213312", Name: "Carla", Type: partner.Affiliate, Profile: "cupones"}
		if got, err := views.Find(t.Context(), partner.Find{ID: p.ID()}); err != nil || got != want {
			t.Errorf("Find() = %+v, %v, want %+v", got, err, want)
		}
		first, err := views.List(t.Context(), partner.List{Limit: 1})
		if err != nil || len(first.Partners) != 1 || first.Partners[0] != want || first.Next == "" {
			t.Fatalf("List() = %+v, %v, want the first partner and a cursor", first, err)
		}
		last, err := views.List(t.Context(), partner.List{After: first.Next, Limit: 1})
		if err != nil || len(last.Partners) != 1 || last.Partners[0].Name != "Alice" || last.Next != "" {
			t.Errorf("List() = %+v, %v, want the second partner and no cursor", last, err)
		}
		if _, err := views.List(t.Context(), partner.List{After: "?"}); !errors.Is(err, partner.ErrCursor) {
			t.Errorf("List() = %v, want ErrCursor", err)
		}
		boom := errors.New("boom")
		err = inTx(t.Context(), db, func(ctx context.Context) error {
			_, err := partners.Remove(ctx, p.ID())
			return errors.Join(err, boom)
		})
		if _, missing := views.Find(t.Context(), partner.Find{ID: p.ID()}); !errors.Is(err, boom) || missing != nil {
			t.Errorf("after a rollback: %v, %v", err, missing)
		}
		must(t, db, func(ctx context.Context) error {
			if got, err := partners.Remove(ctx, p.ID()); err != nil || got != p {
				t.Errorf("Remove() = %+v, %v, want %+v", got, err, p)
			}
			if _, err := partners.Remove(ctx, p.ID()); !errors.Is(err, partner.ErrNotFound) {
				t.Errorf("Remove() again = %v, want ErrNotFound", err)
			}
			return nil
		})
		if _, err := views.Find(t.Context(), partner.Find{ID: p.ID()}); !errors.Is(err, partner.ErrNotFound) {
			t.Errorf("Find() = %v, want ErrNotFound", err)
		}
	})
}
