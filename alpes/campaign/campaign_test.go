package campaign_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/rule"
)

const id = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"

// valid returns the command that each test spoils in one way.
func valid() campaign.Register {
	return campaign.Register{
		ID: id, Name: "Lanzamiento otoño", Budget: "2500.5", Currency: "EUR", BrandID: "marca-7",
		Participants: []campaign.Participant{
			{ID: "p1", Type: "influencer", Name: "Benito Ñáñez", Profile: "viajes"},
			{ID: "p2", Type: "afiliado", Name: "Carla", Profile: "cupones"},
		},
	}
}

// fields returns the fields of err's faults.
func fields(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *rule.Error
	if !errors.Is(err, campaign.ErrInvalid) || !errors.As(err, &invalid) {
		t.Fatalf("New() = %v, want ErrInvalid with its faults", err)
	}
	var all []string
	for _, fault := range invalid.Faults {
		if fault.Problem == "" || fault.Fix == "" {
			t.Errorf("fault %+v: no problem or no fix", fault)
		}
		all = append(all, fault.Field)
	}
	return all
}

func TestNewChecksEachRule(t *testing.T) {
	t.Parallel()
	many := func(n int) []campaign.Participant {
		all := make([]campaign.Participant, n)
		for i := range all {
			all[i] = campaign.Participant{Type: "affiliate", Name: fmt.Sprint(i)}
		}
		return all
	}
	tests := []struct {
		name  string
		spoil func(*campaign.Register)
		want  string // the field at fault; empty: valid
	}{
		{"as it is", func(*campaign.Register) {}, ""},
		{"no id", func(c *campaign.Register) { c.ID = "" }, "id"},
		{"foreign id", func(c *campaign.Register) { c.ID = "123213312" }, "id"},
		{"no name", func(c *campaign.Register) { c.Name = "" }, "name"},
		{"longest name", func(c *campaign.Register) { c.Name = strings.Repeat("ñ", 100) }, ""},
		{"name too long", func(c *campaign.Register) { c.Name = strings.Repeat("ñ", 101) }, "name"},
		{"no currency", func(c *campaign.Register) { c.Currency = "" }, "currency"},
		{"unknown currency", func(c *campaign.Register) { c.Currency = "XYZ" }, "currency"},
		{"currency in small letters", func(c *campaign.Register) { c.Currency = "eur" }, "currency"},
		{"no budget", func(c *campaign.Register) { c.Budget = "" }, "budget"},
		{"no brand", func(c *campaign.Register) { c.BrandID = "" }, "brandId"},
		{"longest brand", func(c *campaign.Register) { c.BrandID = strings.Repeat("b", 36) }, ""},
		{"brand too long", func(c *campaign.Register) { c.BrandID = strings.Repeat("b", 37) }, "brandId"},
		{"no participants", func(c *campaign.Register) { c.Participants = nil }, ""},
		{"most participants", func(c *campaign.Register) { c.Participants = many(10_000) }, ""},
		{"too many participants", func(c *campaign.Register) { c.Participants = many(10_001) }, "participants"},
		{"participants without ids", func(c *campaign.Register) { c.Participants[0].ID, c.Participants[1].ID = "", "" }, ""},
		{"participant's id too long", func(c *campaign.Register) { c.Participants[1].ID = strings.Repeat("p", 101) }, "participants[1].id"},
		{"same id", func(c *campaign.Register) { c.Participants[1].ID = "p1" }, "participants[1].id"},
		{"unknown type", func(c *campaign.Register) { c.Participants[0].Type = "Affiliate" }, "participants[0].type"},
		{"no type", func(c *campaign.Register) { c.Participants[0].Type = "" }, "participants[0].type"},
		{"participant without a name", func(c *campaign.Register) { c.Participants[0].Name = " " }, "participants[0].name"},
		{"participant's name too long", func(c *campaign.Register) { c.Participants[0].Name = strings.Repeat("n", 101) }, "participants[0].name"},
		{"same name", func(c *campaign.Register) { c.Participants[1].Name = " BENITO ñáÑEZ\t" }, "participants[1].name"},
		{"longest profile", func(c *campaign.Register) { c.Participants[0].Profile = strings.Repeat("🦙", 255) }, ""},
		{"profile too long", func(c *campaign.Register) { c.Participants[0].Profile = strings.Repeat("🦙", 256) }, "participants[0].profile"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := valid()
			tt.spoil(&cmd)
			_, err := campaign.New(cmd)
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			if got := fields(t, err); !slices.Equal(got, want) {
				t.Errorf("New() = %v, want faults in %v", err, want)
			}
		})
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := campaign.New(campaign.Register{
		Budget:       "lots",
		Participants: []campaign.Participant{{}, {Type: "friend", Name: "Alice"}},
	})
	want := []string{
		"id", "name", "currency", "budget", "brandId",
		"participants[0].name", "participants[0].type", "participants[1].type",
	}
	if got := fields(t, err); !slices.Equal(got, want) {
		t.Errorf("faults in %v, want %v", got, want)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		budget, currency string
		want             string // empty: refused
	}{
		{"10000", "USD", "10000"},
		{"10000.0", "USD", "10000"},
		{"2500.50", "USD", "2500.5"},
		{"0.01", "USD", "0.01"},
		{"007", "USD", "7"},
		{"1.00000", "USD", "1"},
		{"1.000", "JPY", "1"},
		{"1.5", "JPY", ""},
		{"1.125", "KWD", "1.125"},
		{"1.1255", "KWD", ""},
		{"0.0001", "CLF", "0.0001"},
		{"0.001", "USD", ""},
		{"0", "USD", ""},
		{"0.00", "USD", ""},
		{"-0", "USD", ""},
		{"-1", "USD", ""},
		{"+1", "USD", ""},
		{"1e4", "USD", ""},
		{"1E+4", "USD", ""},
		{".5", "USD", ""},
		{"5.", "USD", ""},
		{".", "USD", ""},
		{"-", "USD", ""},
		{"--1", "USD", ""},
		{"1.2.3", "USD", ""},
		{"1,5", "USD", ""},
		{"1_000", "USD", ""},
		{"0x10", "USD", ""},
		{" 1", "USD", ""},
		{"NaN", "USD", ""},
		{"Infinity", "USD", ""},
		{"١٢", "USD", ""},
		{"123456789012345678901234567.89", "USD", "123456789012345678901234567.89"},
		{"1234567890123456789012345678.90", "USD", ""},
		{strings.Repeat("9", 1<<20), "USD", ""},
	}
	for _, tt := range tests {
		cmd := valid()
		cmd.Budget, cmd.Currency = tt.budget, tt.currency
		c, err := campaign.New(cmd)
		if tt.want == "" {
			if got := fields(t, err); !slices.Equal(got, []string{"budget"}) {
				t.Errorf("budget %.40q %s: %v, want it refused", tt.budget, tt.currency, err)
			}
			continue
		}
		if err != nil || c.Budget() != tt.want {
			t.Errorf("budget %q %s: %q, %v, want %q", tt.budget, tt.currency, c.Budget(), err, tt.want)
		}
	}
}

func FuzzBudget(f *testing.F) {
	for _, seed := range []string{"10000", "2500.50", "-1", "1e4", "0.00", "NaN", "9999999999999999999999999999.99", "\x00", ""} {
		f.Add(seed, "USD")
	}
	f.Add("1.5", "JPY")
	f.Fuzz(func(t *testing.T, budget, currency string) {
		cmd := valid()
		cmd.Budget, cmd.Currency = budget, currency
		c, err := campaign.New(cmd)
		if err != nil {
			fields(t, err)
			return
		}
		if len(c.Budget()) > campaign.MaxBudget {
			t.Errorf("budget %q becomes %q, longer than the column", budget, c.Budget())
		}
		cmd.Budget = c.Budget()
		again, err := campaign.New(cmd)
		if err != nil || !again.Equal(c) {
			t.Errorf("budget %q becomes %q, which becomes %q, %v", budget, c.Budget(), again.Budget(), err)
		}
	})
}

// Participants are told apart exactly as strings.EqualFold tells names apart.
func TestSameNames(t *testing.T) {
	t.Parallel()
	letters := rapid.SampledFrom([]rune("kKKsSſñÑσΣςiIİı"))
	rapid.Check(t, func(r *rapid.T) {
		a := rapid.StringOfN(letters, 1, 3, -1).Draw(r, "a")
		b := rapid.StringOfN(letters, 1, 3, -1).Draw(r, "b")
		cmd := valid()
		cmd.Participants[0].Name, cmd.Participants[1].Name = a, " "+b
		_, err := campaign.New(cmd)
		if refused := err != nil; refused != strings.EqualFold(a, b) {
			r.Errorf("%q and %q: %v", a, b, err)
		}
	})
}

func TestLife(t *testing.T) {
	t.Parallel()
	cmd := valid()
	c, err := campaign.New(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID() != id || c.Name() != cmd.Name || c.Currency() != "EUR" || c.BrandID() != "marca-7" || c.Status() != campaign.Pending {
		t.Errorf("New() = %+v", c)
	}
	registered := c
	for range 2 {
		if got := c.Approve(); got != (campaign.Approved{ID: id}) || c.Status() != campaign.Active {
			t.Errorf("Approve() = %+v, the campaign is %s", got, c.Status())
		}
	}
	if c.Equal(registered) || !c.SameRegistration(registered) {
		t.Error("approval changes the campaign, not its registration")
	}
	if got := campaign.Restore(c.Snapshot()); !got.Equal(c) {
		t.Errorf("Restore() = %+v, want %+v", got, c)
	}
	if got := c.Cancelled(); got.ID != id || got.Budget != "2500.5" || got.Reason != campaign.ReasonCancelled || len(got.Participants) != 2 {
		t.Errorf("Cancelled() = %+v", got)
	}
}

func TestParticipantsAreCopied(t *testing.T) {
	t.Parallel()
	cmd := valid()
	c, err := campaign.New(cmd)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Participants[0].Name = "Mallory"
	c.Participants()[0].Name = "Mallory"
	c.Registered().Participants[0].Name = "Mallory"
	c.Cancelled().Participants[0].Name = "Mallory"
	s := c.Snapshot()
	s.Participants[0].Name = "Mallory"
	campaign.Restore(s).Participants()[0].Name = "Mallory"
	if c.Participants()[0].Name != "Benito Ñáñez" {
		t.Error("the aggregate shares its participants")
	}
}
