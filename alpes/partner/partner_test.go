package partner_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/rule"
)

const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// valid returns the command that each test spoils in one way.
func valid() partner.Register {
	return partner.Register{ID: id, CampaignID: "123213312", Name: "Alice Doe", Type: "afiliado", Profile: "moda"}
}

// fields returns the fields of err's faults.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *rule.Error
	if !errors.Is(err, partner.ErrInvalid) || !errors.As(err, &invalid) {
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
	tests := []struct {
		name  string
		spoil func(*partner.Register)
		want  []string // the fields at fault; none: valid
	}{
		{"as it is", func(*partner.Register) {}, nil},
		{"no id", func(c *partner.Register) { c.ID = "" }, []string{"id"}},
		{"foreign id", func(c *partner.Register) { c.ID = "p-98765" }, []string{"id"}},
		{"no campaign", func(c *partner.Register) { c.CampaignID = "" }, []string{"campaignId"}},
		{"longest campaign", func(c *partner.Register) { c.CampaignID = strings.Repeat("c", 36) }, nil},
		{"campaign too long", func(c *partner.Register) { c.CampaignID = strings.Repeat("c", 37) }, []string{"campaignId"}},
		{"no name", func(c *partner.Register) { c.Name = "" }, []string{"name"}},
		{"longest name", func(c *partner.Register) { c.Name = strings.Repeat("ñ", 100) }, nil},
		{"name too long", func(c *partner.Register) { c.Name = strings.Repeat("ñ", 101) }, []string{"name"}},
		{"no type", func(c *partner.Register) { c.Type = "" }, []string{"type"}},
		{"unknown type", func(c *partner.Register) { c.Type = "friend" }, []string{"type"}},
		{"no profile", func(c *partner.Register) { c.Profile = "" }, nil},
		{"longest profile", func(c *partner.Register) { c.Profile = strings.Repeat("ñ", 255) }, nil},
		{"profile too long", func(c *partner.Register) { c.Profile = strings.Repeat("ñ", 256) }, []string{"profile"}},
		{
			"everything",
			func(c *partner.Register) { *c = partner.Register{Profile: "\x00"} },
			[]string{"id", "campaignId", "name", "type", "profile"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := valid()
			tt.spoil(&cmd)
			_, err := partner.New(cmd)
			if got := fields(t, err); !slices.Equal(got, tt.want) {
				t.Errorf("New() = %v, want faults in %v", err, tt.want)
			}
		})
	}
}

func TestLife(t *testing.T) {
	t.Parallel()
	types := map[string]partner.Type{"afiliado": partner.Affiliate, "affiliate": partner.Affiliate, "influencer": partner.Influencer}
	for word, want := range types {
		cmd := valid()
		cmd.Type = word
		p, err := partner.New(cmd)
		if err != nil {
			t.Fatal(err)
		}
		if p.ID() != id || p.CampaignID() != "123213312" || p.Name() != "Alice Doe" || p.Type() != want || p.Profile() != "moda" {
			t.Errorf("New() = %+v", p)
		}
		if got := partner.Restore(p.Snapshot()); got != p {
			t.Errorf("Restore() = %+v, want %+v", got, p)
		}
		event := partner.Registered{ID: id, CampaignID: "123213312", Name: "Alice Doe", Type: string(want), Profile: "moda"}
		if got := p.Registered(); got != event {
			t.Errorf("Registered() = %+v, want %+v", got, event)
		}
		cancelled := partner.RegistrationFailed{ID: id, CampaignID: "123213312", Name: "Alice Doe", Type: string(want), Profile: "moda", Reason: "cancelled"}
		if got := p.Cancelled(); got != cancelled {
			t.Errorf("Cancelled() = %+v, want %+v", got, cancelled)
		}
	}
}
