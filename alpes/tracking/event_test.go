package tracking_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/alpes/rule"
	"github.com/alpespartners/alpespartners/alpes/tracking"
)

const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("COT", -5*3600))

// valid returns the command that each test spoils in one way.
func valid() tracking.Register {
	return tracking.Register{ID: id, PartnerID: "1huhaskjhasd", CampaignID: "123213312", OccurredAt: noon}
}

// fields returns the fields of err's faults.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *rule.Error
	if !errors.Is(err, tracking.ErrInvalid) || !errors.As(err, &invalid) {
		t.Fatalf("New() = %v, want ErrInvalid with its faults", err)
	}
	var all []string
	for _, fault := range invalid.Faults {
		all = append(all, fault.Field)
	}
	return all
}

func TestNewChecksEachRule(t *testing.T) {
	t.Parallel()
	at := func(year int) time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	tests := []struct {
		name  string
		spoil func(*tracking.Register)
		want  []string // the fields at fault; none: valid
	}{
		{"as it is", func(*tracking.Register) {}, nil},
		{"no id", func(c *tracking.Register) { c.ID = "" }, []string{"id"}},
		{"the original's id", func(c *tracking.Register) { c.ID = "None" }, []string{"id"}},
		{"no partner", func(c *tracking.Register) { c.PartnerID = "" }, []string{"partnerId"}},
		{"longest partner", func(c *tracking.Register) { c.PartnerID = strings.Repeat("p", 100) }, nil},
		{"partner too long", func(c *tracking.Register) { c.PartnerID = strings.Repeat("p", 101) }, []string{"partnerId"}},
		{"no campaign", func(c *tracking.Register) { c.CampaignID = "" }, []string{"campaignId"}},
		{"longest campaign", func(c *tracking.Register) { c.CampaignID = strings.Repeat("c", 100) }, nil},
		{"campaign too long", func(c *tracking.Register) { c.CampaignID = strings.Repeat("c", 101) }, []string{"campaignId"}},
		{"no time", func(c *tracking.Register) { c.OccurredAt = time.Time{} }, []string{"occurredAt"}},
		{"no time, in a zone", func(c *tracking.Register) { c.OccurredAt = time.Time{}.In(noon.Location()) }, []string{"occurredAt"}},
		{"before all times", func(c *tracking.Register) { c.OccurredAt = at(1969) }, []string{"occurredAt"}},
		{"earliest time", func(c *tracking.Register) { c.OccurredAt = time.UnixMilli(0) }, nil},
		{"last year", func(c *tracking.Register) { c.OccurredAt = at(9999) }, nil},
		{"after all times", func(c *tracking.Register) { c.OccurredAt = at(10000) }, []string{"occurredAt"}},
		{"beyond 64 bits", func(c *tracking.Register) { c.OccurredAt = at(400_000_000) }, []string{"occurredAt"}},
		{
			"everything",
			func(c *tracking.Register) { *c = tracking.Register{} },
			[]string{"id", "partnerId", "campaignId", "occurredAt"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := valid()
			tt.spoil(&cmd)
			_, err := tracking.New(cmd)
			if got := fields(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("New() = %v, want faults in %v", err, tt.want)
			}
		})
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	e, err := tracking.New(valid())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 17, 0, 0, 123_000_000, time.UTC)
	if e.ID() != id || e.PartnerID() != "1huhaskjhasd" || e.CampaignID() != "123213312" || e.OccurredAt() != at {
		t.Errorf("New() = %+v", e)
	}
	if got := tracking.Restore(e.Snapshot()); !got.Equal(e) {
		t.Errorf("Restore() = %+v, want %+v", got, e)
	}
	registered := tracking.Registered{ID: id, PartnerID: "1huhaskjhasd", CampaignID: "123213312", OccurredAt: at}
	if got := e.Registered(); got != registered {
		t.Errorf("Registered() = %+v, want %+v", got, registered)
	}
	cancelled := tracking.RegistrationFailed{ID: id, PartnerID: "1huhaskjhasd", CampaignID: "123213312", OccurredAt: at, Reason: "cancelled"}
	if got := e.Cancelled(); got != cancelled {
		t.Errorf("Cancelled() = %+v, want %+v", got, cancelled)
	}
}
