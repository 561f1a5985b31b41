package registration_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/saga"
)

var update = flag.Bool("update", false, "describe the definition anew: only for a version that no instance is under way of")

const golden = "testdata/register-campaign.v1.json"

// TestInstancesUnderWayGoOn fails when the definition changes so that instances of the version that is deployed could not
// simply go on, and says what to do.
func TestInstancesUnderWayGoOn(t *testing.T) { // not parallel: the others read what it may write
	now := registration.Define().Describe()
	if *update {
		text, err := json.MarshalIndent(now, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if d := saga.Diff(deployed(t, nil), now); !d.Compatible() {
		t.Error(d)
	}
}

// TestTheGoldenIsHeldTo shows that the test above can fail: for a golden that says what the definition does not.
func TestTheGoldenIsHeldTo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"data":    {`"name": "occurredAt",`, `"name": "happenedAt",`, "unsafe registration.Registration.happenedAt: the field was removed"},
		"tree":    {`"class": "pivot",`, `"class": "compensable",`, "pinned approve: class compensable → pivot"},
		"command": {`"command": "partner.Register",`, `"command": "partner.Enroll",`, "pinned participants/partner: command partner.Enroll → partner.Register"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := deployed(t, func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(c.from), []byte(c.to)) })
			d := saga.Diff(old, registration.Define().Describe())
			if d.Compatible() || !strings.Contains(d.String(), c.want) {
				t.Errorf("want %q in\n%v", c.want, d)
			}
		})
	}
}

// deployed is the version that instances under way may be of.
func deployed(t *testing.T, change func([]byte) []byte) saga.Description {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		text = change(text)
	}
	var d saga.Description
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}
