package rule_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/alpes/rule"
)

var errInvalid = errors.New("test: invalid")

func TestRules(t *testing.T) {
	t.Parallel()
	text := func(v string) func(*rule.Check) { return func(c *rule.Check) { c.Text("f", v, 3) } }
	name := func(v string) func(*rule.Check) { return func(c *rule.Check) { c.Name("f", v, 3) } }
	id := func(v string) func(*rule.Check) { return func(c *rule.Check) { c.ID("f", v, 3) } }
	uid := func(v string) func(*rule.Check) { return func(c *rule.Check) { c.UUID("f", v) } }
	const v7 = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
	tests := []struct {
		name    string
		state   func(*rule.Check)
		problem string // empty: valid
	}{
		{"empty text", text(""), ""},
		{"text of the greatest length", text("ñañ"), ""},
		{"text keeps its white space", text(" \n "), ""},
		{"text too long", text("ñaña"), "has 4 characters"},
		{"text with NUL", text("a\x00"), "contains a NUL character"},
		{"text in Latin-1", text("\xf1"), "is not valid UTF-8"},
		{"name", name("a b"), ""},
		{"empty name", name(""), "is empty"},
		{"blank name", name(" \t"), "is empty"},
		{"name too long", name("abcd"), "has 4 characters"},
		{"id", id("a-1"), ""},
		{"empty id", id(""), "is empty"},
		{"id with a space", id("a "), "contains white space or control characters"},
		{"id with a control character", id("a\x7f"), "contains white space or control characters"},
		{"id in Latin-1", id("\xf1"), "is not valid UTF-8"},
		{"id too long", id("abcd"), "has 4 characters"},
		{"uuid", uid(v7), ""},
		{"uuid in capitals", uid(strings.ToUpper(v7)), "is not a UUID"},
		{"uuid in braces", uid("{" + v7 + "}"), "is not a UUID"},
		{"no uuid", uid("123213312"), "is not a UUID"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var check rule.Check
			tt.state(&check)
			err := check.Err(errInvalid)
			if tt.problem == "" {
				if err != nil {
					t.Fatalf("Err() = %v, want nil", err)
				}
				return
			}
			var invalid *rule.Error
			if !errors.As(err, &invalid) || !errors.Is(err, errInvalid) {
				t.Fatalf("Err() = %v, want a *rule.Error that wraps the sentinel", err)
			}
			if len(invalid.Faults) != 1 || invalid.Faults[0].Problem != tt.problem || invalid.Faults[0].Fix == "" {
				t.Errorf("faults = %+v, want one that %s, with a fix", invalid.Faults, tt.problem)
			}
		})
	}
}

func TestReasonIsBounded(t *testing.T) {
	t.Parallel()
	var check rule.Check
	for i := range 10_000 {
		check.Name(fmt.Sprintf("participants[%d].name", i), "", 100)
	}
	var invalid *rule.Error
	if err := check.Err(errInvalid); !errors.As(err, &invalid) || len(invalid.Faults) != 10_000 {
		t.Fatalf("Err() = %v, want every fault", err)
	}
	if reason := invalid.Reason(); len(reason) > 1000 || !strings.HasSuffix(reason, "; and 9990 more") {
		t.Errorf("Reason() = %q (%d bytes)", reason, len(reason))
	}
}

func TestReasonAndLegible(t *testing.T) {
	t.Parallel()
	var check rule.Check
	check.Name("name", "", 100)
	err := fmt.Errorf("outer: %w", check.Err(errInvalid))
	if got, want := rule.Reason(err), "name is empty: give 1 to 100 characters"; got != want {
		t.Errorf("Reason() = %q, want %q", got, want)
	}
	if got := rule.Reason(errInvalid); got != "test: invalid" {
		t.Errorf("Reason() of another error = %q", got)
	}
	if got := rule.Legible("a\xf1ñ"); got != "a\uFFFDñ" {
		t.Errorf("Legible() = %q", got)
	}
}

func ExampleCheck() {
	var check rule.Check
	check.Name("name", "", 100)
	check.ID("brandId", "a b", 36)
	err := check.Err(errInvalid)
	fmt.Println(err)
	fmt.Println(errors.Is(err, errInvalid))
	// Output:
	// test: invalid: name is empty: give 1 to 100 characters; brandId contains white space or control characters: give 1 to 36 characters without
	// true
}

func TestNewID(t *testing.T) {
	t.Parallel()
	a, err := rule.NewID()
	b, err2 := rule.NewID()
	var c rule.Check
	c.UUID("id", a)
	if err != nil || err2 != nil || a == b || c.Err(errors.New("invalid")) != nil {
		t.Errorf("two ids: %q and %q, %v, %v", a, b, err, err2)
	}
}
