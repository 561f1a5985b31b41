package partner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

func newService(t *testing.T, r partner.Repository, c partner.Config) *partner.Service {
	t.Helper()
	s, err := partner.NewService(r, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refusal returns the failure event that err carries.
func refusal(t *testing.T, err error) partner.RegistrationFailed {
	t.Helper()
	var r *messaging.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal", err)
	}
	event, ok := r.Event.(partner.RegistrationFailed)
	if !ok {
		t.Fatalf("refused with %T", r.Event)
	}
	return event
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), partner.Config{})
	cmd := valid()
	first, err := s.Register(t.Context(), cmd)
	if err != nil || first.ID != id || first.Type != "affiliate" {
		t.Fatalf("Register() = %+v, %v", first, err)
	}
	cmd.Type = "affiliate" // the same type
	if again, err := s.Register(t.Context(), cmd); err != nil || again != first {
		t.Errorf("Register() again = %+v, %v, want %+v", again, err, first)
	}
	cmd.Name = "Bob"
	_, err = s.Register(t.Context(), cmd)
	if got := refusal(t, err); got.ID != id || got.Name != "Bob" || !strings.HasPrefix(got.Reason, "id is taken") {
		t.Errorf("Register() of another = %+v", got)
	}
}

func TestRegisterMakesIDs(t *testing.T) {
	t.Parallel()
	cmd := valid()
	cmd.ID = ""
	got, err := newService(t, newMemory(), partner.Config{}).Register(t.Context(), cmd)
	if err != nil || uuid.MustParse(got.ID).Version() != 7 {
		t.Errorf("Register() = %+v, %v, want a UUIDv7", got, err)
	}
	got, err = newService(t, newMemory(), partner.Config{NewID: func() (string, error) { return id, nil }}).Register(t.Context(), cmd)
	if err != nil || got.ID != id {
		t.Errorf("Register() = %+v, %v, want the injected id", got, err)
	}
	boom := errors.New("boom")
	_, err = newService(t, newMemory(), partner.Config{NewID: func() (string, error) { return "", boom }}).Register(t.Context(), cmd)
	if !errors.Is(err, boom) {
		t.Errorf("Register() = %v, want the error of NewID", err)
	}
}

func TestBlockedNames(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), partner.Config{Blocked: []string{" Mallory Ñ "}})
	for name, blocked := range map[string]bool{
		"Mallory Ñ": true, "\tMALLORY ñ": true, "mallory ñ ": true, "Mallory": false, "Mallory Ñ.": false, "MalloryÑ": false,
	} {
		cmd := valid()
		cmd.ID, cmd.Name = "", name
		_, err := s.Register(t.Context(), cmd)
		if !blocked {
			if err != nil {
				t.Errorf("%q: %v, want it registered", name, err)
			}
			continue
		}
		if got := refusal(t, err); got.Name != name || got.ID == "" || got.Type != "affiliate" || !strings.HasPrefix(got.Reason, "name is blocked") {
			t.Errorf("%q: refused with %+v", name, got)
		}
	}
}

func TestRegisterRefusesWhatIsInvalid(t *testing.T) {
	t.Parallel()
	cmd := valid()
	cmd.Type, cmd.Profile = "friend", "\xf1"
	_, err := newService(t, newMemory(), partner.Config{}).Register(t.Context(), cmd)
	got := refusal(t, err)
	if got.ID != id || got.Type != "" || !utf8.ValidString(got.Profile) || !strings.Contains(got.Reason, "type is not a known type") || !strings.Contains(got.Reason, "profile is not valid UTF-8") {
		t.Errorf("refused with %+v", got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), partner.Config{})
	if _, err := s.Register(t.Context(), valid()); err != nil {
		t.Fatal(err)
	}
	want := partner.RegistrationFailed{ID: id, CampaignID: "123213312", Name: "Alice Doe", Type: "affiliate", Profile: "moda", Reason: "cancelled"}
	if got, err := s.Cancel(t.Context(), partner.Cancel{ID: id}); err != nil || got != want {
		t.Errorf("Cancel() = %+v, %v, want %+v", got, err, want)
	}
	want = partner.RegistrationFailed{ID: id, Reason: "cancelled"}
	if got, err := s.Cancel(t.Context(), partner.Cancel{ID: id}); err != nil || got != want {
		t.Errorf("Cancel() again = %+v, %v, want %+v", got, err, want)
	}
}

// Whatever the repository says but its sentinels is a fault, to be tried again.
func TestFaultsAreNoRefusals(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	s := newService(t, &memory{fail: boom}, partner.Config{})
	_, register := s.Register(t.Context(), valid())
	_, cancel := s.Cancel(t.Context(), partner.Cancel{ID: id})
	for name, err := range map[string]error{"Register": register, "Cancel": cancel} {
		var refusal *messaging.Refusal
		if !errors.Is(err, boom) || errors.As(err, &refusal) {
			t.Errorf("%s() = %v, want the repository's error", name, err)
		}
	}
	if _, err := partner.NewService(nil, partner.Config{}); err == nil {
		t.Error("NewService(nil) succeeds")
	}
}

type views struct{ partner.Views }

func (views) Find(_ context.Context, q partner.Find) (partner.View, error) {
	return partner.View{ID: q.ID}, nil
}

func (views) List(_ context.Context, q partner.List) (partner.Page, error) {
	return partner.Page{Next: q.After}, nil
}

func TestBus(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	bus := cqrs.NewBus(cqrs.Config{})
	s := newService(t, newMemory(), partner.Config{})
	if err := errors.Join(partner.HandleCommands(bus, s), partner.HandleQueries(bus, views{})); err != nil {
		t.Fatal(err)
	}
	if got, err := cqrs.Send[partner.Registered](ctx, bus, valid()); err != nil || got.ID != id {
		t.Errorf("Register: %+v, %v", got, err)
	}
	if got, err := cqrs.Send[partner.RegistrationFailed](ctx, bus, partner.Cancel{ID: id}); err != nil || got.Name == "" {
		t.Errorf("Cancel: %+v, %v", got, err)
	}
	if got, err := cqrs.Ask[partner.View](ctx, bus, partner.Find{ID: id}); err != nil || got.ID != id {
		t.Errorf("Find: %+v, %v", got, err)
	}
	if got, err := cqrs.Ask[partner.Page](ctx, bus, partner.List{After: "x"}); err != nil || got.Next != "x" {
		t.Errorf("List: %+v, %v", got, err)
	}
	if err := partner.HandleCommands(bus, s); !errors.Is(err, cqrs.ErrDuplicateHandler) {
		t.Errorf("HandleCommands() again = %v, want ErrDuplicateHandler", err)
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{-1: 100, 0: 100, 1: 1, 1000: 1000, 1001: 1000} {
		if got := (partner.List{Limit: limit}).Size(); got != want {
			t.Errorf("Limit %d: %d in a page, want %d", limit, got, want)
		}
	}
}
