package registration_test

import (
	"slices"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
)

// Instances under way are pinned to it: services and payload matching are no part of it.
const hash = "372aefc2a8ded8eaeadb804d33713874"

func TestTheHashStays(t *testing.T) {
	t.Parallel()
	if got := registration.Define().Hash(); got != hash {
		t.Errorf("the hash is %s, was %s: instances under way would be orphans", got, hash)
	}
}

// Every party is the same saga's, and has a hash of its own.
func TestChoreograph(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{hash: true}
	for _, service := range append(registration.Services(), "") {
		party, err := registration.Choreograph(service)
		if err != nil {
			t.Fatal(err)
		}
		if seen[party.Hash()] {
			t.Errorf("%q has the hash of another", service)
		}
		seen[party.Hash()] = true
		if how := saga.CoordinationOf(party); !how.Choreographed || how.Service != service || how.Family != hash {
			t.Errorf("%q: %+v", service, how)
		}
	}
	if _, err := registration.Choreograph("bff"); err == nil {
		t.Error("the bff takes part")
	}
}

// Each service does its own steps, on the events of those before.
func TestReactions(t *testing.T) {
	t.Parallel()
	for service, want := range map[string][]string{
		registration.CampaignService: {"do campaign after []", "do approve after [participants/conversion]", "undo campaign after [participants/partner]"},
		registration.PartnerService:  {"do participants/partner after [campaign]", "undo participants/partner after [participants/conversion]"},
		registration.TrackingService: {"do participants/conversion after [participants/partner]", "undo participants/conversion after []"},
	} {
		reactions, err := saga.Reactions(registration.Define(), service)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range reactions {
			after := slices.Clone(r.After)
			got = append(got, string(r.Direction)+" "+r.Node+" after ["+join(after)+"]")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", service, got, want)
		}
	}
}

func join(list []string) string {
	all := ""
	for i, s := range list {
		if i > 0 {
			all += " "
		}
		all += s
	}
	return all
}
