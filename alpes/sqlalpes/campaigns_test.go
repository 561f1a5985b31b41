package sqlalpes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/internal/sqldb"
)

// campaigns is the repository as the services use it: in the context's transaction only.
var campaigns = sqlalpes.NewCampaigns(nil)

func newCampaign(t *testing.T, name string) campaign.Campaign {
	t.Helper()
	c, err := campaign.New(campaign.Register{
		ID: uuid.NewString(), Name: name, Budget: "2500.5", Currency: "EUR", BrandID: "brand-7",
		Participants: []campaign.Participant{
			{ID: "p1", Type: "influencer", Name: "Benito Ñáñez 🦙", Profile: "<a href=\"x\">\n'\\'"},
			{Type: "afiliado", Name: "Carla"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCampaignsReadBackWhatWasAdded(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		c := newCampaign(t, "spring")
		must(t, db, func(ctx context.Context) error { return campaigns.Add(ctx, c) })
		must(t, db, func(ctx context.Context) error {
			got, err := campaigns.Get(ctx, c.ID())
			if err == nil && !got.Equal(c) {
				t.Errorf("Get() = %+v, want %+v", got, c)
			}
			return err
		})
		view, err := sqlalpes.NewCampaigns(db.Reader()).Find(t.Context(), campaign.Find{ID: c.ID()})
		if err != nil {
			t.Fatal(err)
		}
		if view.Name != "spring" || view.Budget != "2500.5" || view.Status != campaign.Pending || !slices.Equal(view.Participants, c.Participants()) {
			t.Errorf("Find() = %+v, want %+v", view, c)
		}
	})
}

func TestCampaignsSentinels(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		c := newCampaign(t, "spring")
		must(t, db, func(ctx context.Context) error { return campaigns.Add(ctx, c) })
		must(t, db, func(ctx context.Context) error {
			if err := campaigns.Add(ctx, c); !errors.Is(err, campaign.ErrExists) {
				t.Errorf("Add() of a taken id = %v, want ErrExists", err)
			}
			for _, id := range []string{"", uuid.NewString(), "a\x00", "\xf1"} {
				if _, err := campaigns.Get(ctx, id); !errors.Is(err, campaign.ErrNotFound) {
					t.Errorf("Get(%q) = %v, want ErrNotFound", id, err)
				}
				if _, err := campaigns.Remove(ctx, id); !errors.Is(err, campaign.ErrNotFound) {
					t.Errorf("Remove(%q) = %v, want ErrNotFound", id, err)
				}
				err := campaigns.Update(ctx, id, func(*campaign.Campaign) error {
					t.Error("change was called for a campaign that does not exist")
					return nil
				})
				if !errors.Is(err, campaign.ErrNotFound) {
					t.Errorf("Update(%q) = %v, want ErrNotFound", id, err)
				}
			}
			return nil
		})
		for _, cursor := range []string{"?", "YQ", "LTE"} { // no base64, no number, a negative one
			if _, err := sqlalpes.NewCampaigns(db.Reader()).List(t.Context(), campaign.List{After: cursor}); !errors.Is(err, campaign.ErrCursor) {
				t.Errorf("List(After: %q) = %v, want ErrCursor", cursor, err)
			}
		}
	})
}

func TestCampaignsUpdate(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		c := newCampaign(t, "spring")
		must(t, db, func(ctx context.Context) error { return campaigns.Add(ctx, c) })
		status := func() campaign.Status {
			view, err := sqlalpes.NewCampaigns(db.Reader()).Find(t.Context(), campaign.Find{ID: c.ID()})
			if err != nil {
				t.Fatal(err)
			}
			return view.Status
		}
		approve := func(ctx context.Context, then error) error {
			return campaigns.Update(ctx, c.ID(), func(c *campaign.Campaign) error { c.Approve(); return then })
		}
		boom := errors.New("boom")

		if err := inTx(t.Context(), db, func(ctx context.Context) error { return approve(ctx, boom) }); !errors.Is(err, boom) {
			t.Errorf("Update() = %v, want change's error", err)
		}
		must(t, db, func(ctx context.Context) error {
			if err := approve(ctx, boom); !errors.Is(err, boom) {
				t.Errorf("Update() = %v, want change's error", err)
			}
			return nil // committed all the same: nothing may have been stored
		})
		if status() != campaign.Pending {
			t.Error("a failed change was stored")
		}
		err := inTx(t.Context(), db, func(ctx context.Context) error { return errors.Join(approve(ctx, nil), boom) })
		if !errors.Is(err, boom) || status() != campaign.Pending {
			t.Errorf("after a rollback: %v, %v", err, status())
		}
		must(t, db, func(ctx context.Context) error { return approve(ctx, nil) })
		must(t, db, func(ctx context.Context) error { return approve(ctx, nil) })
		if status() != campaign.Active {
			t.Error("the change was not stored")
		}
	})
}

// Two transactions cannot overlap on SQLite; a change within the change shows the same thing.
func TestCampaignsUpdateNeverOverwrites(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		c, gone := newCampaign(t, "spring"), newCampaign(t, "autumn")
		must(t, db, func(ctx context.Context) error { return errors.Join(campaigns.Add(ctx, c), campaigns.Add(ctx, gone)) })
		must(t, db, func(ctx context.Context) error {
			approve := func(c *campaign.Campaign) error { c.Approve(); return nil }
			err := campaigns.Update(ctx, c.ID(), func(mine *campaign.Campaign) error {
				mine.Approve()
				return campaigns.Update(ctx, c.ID(), approve)
			})
			if !errors.Is(err, campaign.ErrConflict) {
				t.Errorf("Update() of what was changed meanwhile = %v, want ErrConflict", err)
			}
			err = campaigns.Update(ctx, gone.ID(), func(mine *campaign.Campaign) error {
				mine.Approve()
				_, err := campaigns.Remove(ctx, gone.ID())
				return err
			})
			if !errors.Is(err, campaign.ErrConflict) {
				t.Errorf("Update() of what was removed meanwhile = %v, want ErrConflict", err)
			}
			return nil
		})
	})
}

func TestCampaignsParallelUpdates(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		c := newCampaign(t, "spring")
		must(t, db, func(ctx context.Context) error { return campaigns.Add(ctx, c) })
		var pending int // guarded by the transactions
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				err := inTx(t.Context(), db, func(ctx context.Context) error {
					return campaigns.Update(ctx, c.ID(), func(c *campaign.Campaign) error {
						if c.Status() == campaign.Pending {
							pending++
						}
						c.Approve()
						return nil
					})
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if pending != 1 {
			t.Errorf("%d transactions found the campaign pending, want 1", pending)
		}
	})
}

func TestCampaignsList(t *testing.T) {
	onEach(t, func(t *testing.T, db *sqldb.DB) {
		views := sqlalpes.NewCampaigns(db.Reader())
		if p, err := views.List(t.Context(), campaign.List{}); err != nil || p.Campaigns == nil || len(p.Campaigns) != 0 || p.Next != "" {
			t.Errorf("List() of nothing = %+v, %v, want an empty last page", p, err)
		}
		const n = 7
		var removed string
		must(t, db, func(ctx context.Context) error {
			for i := range n {
				c := newCampaign(t, fmt.Sprint(i))
				if i == 2 {
					removed = c.ID()
				}
				if err := campaigns.Add(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
		for _, limit := range []int{0, 1, 2, n - 1, n, n + 1, campaign.MaxPageSize + 1} {
			if got, want := names(t, views, limit, nil), "0123456"; got != want {
				t.Errorf("in pages of %d: %s, want %s", limit, got, want)
			}
		}
		// Rows that come and go between two pages shift no other.
		got := names(t, views, 3, func() {
			must(t, db, func(ctx context.Context) error {
				if _, err := campaigns.Remove(ctx, removed); err != nil && !errors.Is(err, campaign.ErrNotFound) {
					return err
				}
				return nil
			})
		})
		if got != "0123456" {
			t.Errorf("with a removal on the first page: %s", got)
		}
	})
}

// names reads all pages and returns the campaigns' names in a row.
func names(t *testing.T, views campaign.Views, limit int, between func()) string {
	t.Helper()
	var all strings.Builder
	q := campaign.List{Limit: limit}
	for {
		p, err := views.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Campaigns) > q.Size() {
			t.Fatalf("a page of %d, want at most %d", len(p.Campaigns), q.Size())
		}
		for _, c := range p.Campaigns {
			all.WriteString(c.Name)
		}
		if p.Next == "" {
			return all.String()
		}
		q.After = p.Next
		if between != nil {
			between()
		}
	}
}

func TestNoTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := newCampaign(t, "spring")
	_, getErr := campaigns.Get(ctx, c.ID())
	_, listErr := campaigns.List(ctx, campaign.List{})
	for name, err := range map[string]error{"Add": campaigns.Add(ctx, c), "Get": getErr, "List": listErr} {
		if !errors.Is(err, sqlalpes.ErrNoTx) {
			t.Errorf("%s() = %v, want ErrNoTx", name, err)
		}
	}
}
