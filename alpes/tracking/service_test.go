package tracking_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging"
)

func newService(t *testing.T, r tracking.Repository, c tracking.Config) *tracking.Service {
	t.Helper()
	s, err := tracking.NewService(r, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refusal returns the failure event that err carries.
func refusal(t *testing.T, err error) tracking.RegistrationFailed {
	t.Helper()
	var r *messaging.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v, want a refusal", err)
	}
	event, ok := r.Event.(tracking.RegistrationFailed)
	if !ok {
		t.Fatalf("refused with %T", r.Event)
	}
	return event
}

func TestRegister(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), tracking.Config{Limit: 1})
	cmd := valid()
	first, err := s.Register(t.Context(), cmd)
	if err != nil || first.ID != id {
		t.Fatalf("Register() = %+v, %v", first, err)
	}
	cmd.OccurredAt = noon.UTC().Truncate(time.Millisecond) // the same millisecond; and the campaign is full
	if again, err := s.Register(t.Context(), cmd); err != nil || again != first {
		t.Errorf("Register() again = %+v, %v, want %+v", again, err, first)
	}
	cmd.PartnerID = "another"
	_, err = s.Register(t.Context(), cmd)
	if got := refusal(t, err); got.ID != id || got.PartnerID != "another" || !strings.HasPrefix(got.Reason, "id is taken") {
		t.Errorf("Register() of another = %+v", got)
	}
}

func TestRegisterMakesIDs(t *testing.T) {
	t.Parallel()
	cmd := valid()
	cmd.ID = ""
	got, err := newService(t, newMemory(), tracking.Config{}).Register(t.Context(), cmd)
	if err != nil || uuid.MustParse(got.ID).Version() != 7 {
		t.Errorf("Register() = %+v, %v, want a UUIDv7", got, err)
	}
	got, err = newService(t, newMemory(), tracking.Config{NewID: func() (string, error) { return id, nil }}).Register(t.Context(), cmd)
	if err != nil || got.ID != id {
		t.Errorf("Register() = %+v, %v, want the injected id", got, err)
	}
	boom := errors.New("boom")
	_, err = newService(t, newMemory(), tracking.Config{NewID: func() (string, error) { return "", boom }}).Register(t.Context(), cmd)
	if !errors.Is(err, boom) {
		t.Errorf("Register() = %v, want the error of NewID", err)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		limit    int
		tried    int
		admitted int
	}{
		{"three", 3, 5, 3},
		{"default", 0, tracking.DefaultLimit + 1, tracking.DefaultLimit},
		{"unlimited", tracking.Unlimited, tracking.DefaultLimit + 1, tracking.DefaultLimit + 1},
		{"refuse all", tracking.RefuseAll, 2, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, newMemory(), tracking.Config{Limit: tt.limit})
			cmd := valid()
			for i := range tt.tried {
				cmd.ID = ""
				_, err := s.Register(t.Context(), cmd)
				if i < tt.admitted {
					if err != nil {
						t.Fatalf("event %d: %v", i, err)
					}
					continue
				}
				if got := refusal(t, err); got.ID == "" || !strings.HasPrefix(got.Reason, "campaignId is that of a campaign with all the events") {
					t.Fatalf("event %d: refused with %+v", i, got)
				}
			}
			cmd.CampaignID = "another"
			if _, err := s.Register(t.Context(), cmd); err != nil && tt.limit != tracking.RefuseAll {
				t.Errorf("another campaign's event: %v", err)
			}
		})
	}
}

func TestCancelMakesRoom(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), tracking.Config{Limit: 1})
	if _, err := s.Register(t.Context(), valid()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Cancel(t.Context(), tracking.Cancel{ID: id})
	if err != nil || got.ID != id || got.CampaignID != "123213312" || got.OccurredAt.IsZero() || got.Reason != "cancelled" {
		t.Errorf("Cancel() = %+v, %v", got, err)
	}
	got, err = s.Cancel(t.Context(), tracking.Cancel{ID: id})
	if err != nil || got != (tracking.RegistrationFailed{ID: id, Reason: "cancelled"}) {
		t.Errorf("Cancel() again = %+v, %v", got, err)
	}
	cmd := valid()
	cmd.ID = ""
	if _, err := s.Register(t.Context(), cmd); err != nil {
		t.Errorf("Register() after a cancellation: %v", err)
	}
}

func TestRegisterRefusesWhatIsInvalid(t *testing.T) {
	t.Parallel()
	s := newService(t, newMemory(), tracking.Config{})
	_, err := s.Register(t.Context(), tracking.Register{ID: id, PartnerID: "\xf1", CampaignID: "c-1", OccurredAt: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)})
	got := refusal(t, err)
	if got.ID != id || got.CampaignID != "c-1" || !utf8.ValidString(got.PartnerID) || !got.OccurredAt.IsZero() {
		t.Errorf("refused with %+v", got)
	}
	if !strings.Contains(got.Reason, "partnerId is not valid UTF-8") || !strings.Contains(got.Reason, "occurredAt is out of range") {
		t.Errorf("reason %q", got.Reason)
	}
	_, err = s.Register(t.Context(), tracking.Register{ID: id, PartnerID: "p 1", CampaignID: "c-1", OccurredAt: noon})
	if got := refusal(t, err); got.OccurredAt != noon.UTC().Truncate(time.Millisecond) {
		t.Errorf("refused with %+v", got)
	}
}

// Whatever the repository says but its sentinels is a fault, to be tried again.
func TestFaultsAreNoRefusals(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	register := func(r tracking.Repository) error {
		_, err := newService(t, r, tracking.Config{}).Register(t.Context(), valid())
		return err
	}
	_, cancel := newService(t, &memory{fail: boom}, tracking.Config{}).Cancel(t.Context(), tracking.Cancel{ID: id})
	for name, err := range map[string]error{
		"Get":    register(&memory{fail: boom}),
		"Count":  register(failing{newMemory(), boom, nil}),
		"Add":    register(failing{newMemory(), nil, boom}),
		"Cancel": cancel,
	} {
		var refusal *messaging.Refusal
		if !errors.Is(err, boom) || errors.As(err, &refusal) {
			t.Errorf("%s fails: %v, want the repository's error", name, err)
		}
	}
}

func TestNewServiceReportsEveryFault(t *testing.T) {
	t.Parallel()
	_, err := tracking.NewService(nil, tracking.Config{Limit: -3})
	if err == nil || !strings.Contains(err.Error(), "repository") || !strings.Contains(err.Error(), "no such limit: -3") {
		t.Errorf("NewService() = %v, want both faults", err)
	}
}

type views struct{ tracking.Views }

func (views) Find(_ context.Context, q tracking.Find) (tracking.View, error) {
	return tracking.View{ID: q.ID}, nil
}

func (views) List(_ context.Context, q tracking.List) (tracking.Page, error) {
	return tracking.Page{Next: q.After}, nil
}

func TestBus(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	bus := cqrs.NewBus(cqrs.Config{})
	s := newService(t, newMemory(), tracking.Config{})
	if err := errors.Join(tracking.HandleCommands(bus, s), tracking.HandleQueries(bus, views{})); err != nil {
		t.Fatal(err)
	}
	if got, err := cqrs.Send[tracking.Registered](ctx, bus, valid()); err != nil || got.ID != id {
		t.Errorf("Register: %+v, %v", got, err)
	}
	if got, err := cqrs.Send[tracking.RegistrationFailed](ctx, bus, tracking.Cancel{ID: id}); err != nil || got.PartnerID == "" {
		t.Errorf("Cancel: %+v, %v", got, err)
	}
	if got, err := cqrs.Ask[tracking.View](ctx, bus, tracking.Find{ID: id}); err != nil || got.ID != id {
		t.Errorf("Find: %+v, %v", got, err)
	}
	if got, err := cqrs.Ask[tracking.Page](ctx, bus, tracking.List{After: "x"}); err != nil || got.Next != "x" {
		t.Errorf("List: %+v, %v", got, err)
	}
	if err := tracking.HandleCommands(bus, s); !errors.Is(err, cqrs.ErrDuplicateHandler) {
		t.Errorf("HandleCommands() again = %v, want ErrDuplicateHandler", err)
	}
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{-1: 100, 0: 100, 1: 1, 1000: 1000, 1001: 1000} {
		if got := (tracking.List{Limit: limit}).Size(); got != want {
			t.Errorf("Limit %d: %d in a page, want %d", limit, got, want)
		}
	}
}
