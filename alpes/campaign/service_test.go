package campaign_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

func newService(t *testing.T, r campaign.Repository, c campaign.Config) *campaign.Service {
	t.Helper()
	s, err := campaign.NewService(r, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refusal returns the failure event that err carries.
func refusal(t *testing.T, err error) campaign.RegistrationFailed {
	t.Helper()
	var r *messaging.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal", err)
	}
	event, ok := r.Event.(campaign.RegistrationFailed)
	if !ok {
		t.Fatalf("refused with %T", r.Event)
	}
	return event
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), campaign.Config{})
	cmd := valid()
	first, err := s.Register(t.Context(), cmd)
	if err != nil || first.ID != id || first.Budget != "2500.5" {
		t.Fatalf("Register() = %+v, %v", first, err)
	}
	if _, err := s.Approve(t.Context(), campaign.Approve{ID: id}); err != nil {
		t.Fatal(err)
	}
	cmd.Budget = "2500.50" // the same amount
	if again, err := s.Register(t.Context(), cmd); err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("Register() again = %+v, %v, want %+v", again, err, first)
	}
	cmd.Budget = "2500.51"
	_, err = s.Register(t.Context(), cmd)
	if got := refusal(t, err); got.ID != id || got.Budget != "2500.51" || !strings.HasPrefix(got.Reason, "id is taken") {
		t.Errorf("Register() of another = %+v", got)
	}
}

func TestRegisterMakesIDs(t *testing.T) {
	t.Parallel()
	cmd := valid()
	cmd.ID = ""
	got, err := newService(t, newMemory(), campaign.Config{}).Register(t.Context(), cmd)
	if err != nil || uuid.MustParse(got.ID).Version() != 7 {
		t.Errorf("Register() = %+v, %v, want a UUIDv7", got, err)
	}
	got, err = newService(t, newMemory(), campaign.Config{NewID: func() (string, error) { return id, nil }}).Register(t.Context(), cmd)
	if err != nil || got.ID != id {
		t.Errorf("Register() = %+v, %v, want the injected id", got, err)
	}
	boom := errors.New("boom")
	_, err = newService(t, newMemory(), campaign.Config{NewID: func() (string, error) { return "", boom }}).Register(t.Context(), cmd)
	if !errors.Is(err, boom) {
		t.Errorf("Register() = %v, want the error of NewID", err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), campaign.Config{})
	cmd := valid()
	cmd.ID, cmd.Budget, cmd.Name = "", "lots", "\xf1"
	cmd.Participants[0].Profile = "\xf1"
	_, err := s.Register(t.Context(), cmd)
	got := refusal(t, err)
	if got.ID == "" || got.Budget != "" || !strings.Contains(got.Reason, "budget is not a plain decimal number") || !strings.Contains(got.Reason, "name is not valid") {
		t.Errorf("refused with %+v", got)
	}
	if !utf8.ValidString(got.Name) || !utf8.ValidString(got.Participants[0].Profile) || got.Participants[1].Name != "Carla" {
		t.Errorf("refused with %+v, want what any consumer can read", got)
	}
	if cmd.Participants[0].Profile != "\xf1" {
		t.Error("the command was changed")
	}
	cmd.Participants = make([]campaign.Participant, campaign.MaxParticipants+1)
	_, err = s.Register(t.Context(), cmd)
	if got := refusal(t, err); got.Participants != nil {
		t.Errorf("%d participants are repeated", len(got.Participants))
	}
}

func TestApproveAndCancel(t *testing.T) {
	t.Parallel()
	r := newMemory()
	s := newService(t, r, campaign.Config{})
	_, err := s.Approve(t.Context(), campaign.Approve{ID: id})
	if got := refusal(t, err); got.ID != id || !strings.HasPrefix(got.Reason, "id is that of no campaign") {
		t.Errorf("Approve() of none = %+v", got)
	}
	if got, err := s.Cancel(t.Context(), campaign.Cancel{ID: id}); err != nil || !reflect.DeepEqual(got, campaign.RegistrationFailed{ID: id, Reason: "cancelled"}) {
		t.Errorf("Cancel() of none = %+v, %v", got, err)
	}
	if _, err := s.Register(t.Context(), valid()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := s.Approve(t.Context(), campaign.Approve{ID: id}); err != nil || got.ID != id || r.campaigns[id].Status() != campaign.Active {
			t.Errorf("Approve() = %+v, %v", got, err)
		}
	}
	got, err := s.Cancel(t.Context(), campaign.Cancel{ID: id})
	if err != nil || got.Name != "Lanzamiento otoño" || got.Reason != "cancelled" || len(r.campaigns) != 0 {
		t.Errorf("Cancel() = %+v, %v", got, err)
	}
}

// Whatever the repository says but its sentinels is a fault, to be tried again.
func TestFaultsAreNoRefusals(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	s := newService(t, &memory{fail: boom}, campaign.Config{})
	_, register := s.Register(t.Context(), valid())
	_, approve := s.Approve(t.Context(), campaign.Approve{ID: id})
	_, cancel := s.Cancel(t.Context(), campaign.Cancel{ID: id})
	for name, err := range map[string]error{"Register": register, "Approve": approve, "Cancel": cancel} {
		var refusal *messaging.Refusal
		if !errors.Is(err, boom) || errors.As(err, &refusal) {
			t.Errorf("%s() = %v, want the repository's error", name, err)
		}
	}
}

func TestNewServiceNeedsARepository(t *testing.T) {
	t.Parallel()
	if _, err := campaign.NewService(nil, campaign.Config{}); err == nil {
		t.Error("NewService(nil) succeeds")
	}
}

type views struct{ campaign.Views }

func (views) Find(_ context.Context, q campaign.Find) (campaign.View, error) {
	return campaign.View{ID: q.ID}, nil
}

func (views) List(_ context.Context, q campaign.List) (campaign.Page, error) {
	return campaign.Page{Next: q.After}, nil
}

func TestBus(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	bus := cqrs.NewBus(cqrs.Config{})
	if err := errors.Join(campaign.HandleCommands(bus, newService(t, newMemory(), campaign.Config{})), campaign.HandleQueries(bus, views{})); err != nil {
		t.Fatal(err)
	}
	registered, err := cqrs.Send[campaign.Registered](ctx, bus, valid())
	if err != nil || registered.ID != id {
		t.Errorf("Register: %+v, %v", registered, err)
	}
	if approved, err := cqrs.Send[campaign.Approved](ctx, bus, campaign.Approve{ID: id}); err != nil || approved.ID != id {
		t.Errorf("Approve: %+v, %v", approved, err)
	}
	if cancelled, err := cqrs.Send[campaign.RegistrationFailed](ctx, bus, campaign.Cancel{ID: id}); err != nil || cancelled.Name == "" {
		t.Errorf("Cancel: %+v, %v", cancelled, err)
	}
	if found, err := cqrs.Ask[campaign.View](ctx, bus, campaign.Find{ID: id}); err != nil || found.ID != id {
		t.Errorf("Find: %+v, %v", found, err)
	}
	if page, err := cqrs.Ask[campaign.Page](ctx, bus, campaign.List{After: "x"}); err != nil || page.Next != "x" {
		t.Errorf("List: %+v, %v", page, err)
	}
	if err := campaign.HandleCommands(bus, newService(t, newMemory(), campaign.Config{})); !errors.Is(err, cqrs.ErrDuplicateHandler) {
		t.Errorf("HandleCommands() again = %v, want ErrDuplicateHandler", err)
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{-1: 100, 0: 100, 1: 1, 1000: 1000, 1001: 1000} {
		if got := (campaign.List{Limit: limit}).Size(); got != want {
			t.Errorf("Limit %d: %d in a page, want %d", limit, got, want)
		}
	}
}
