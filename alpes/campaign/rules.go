package campaign

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/bojanz/currency"

	"github.com/alpespartners/alpespartners/alpes/rule"
)

// validate states every rule about cmd and returns the budget in canonical form.
func validate(cmd Register) (budget string, err error) {
	var check rule.Check
	check.UUID("id", cmd.ID)
	check.Name("name", cmd.Name, MaxName)
	digits, known := currencyDigits(cmd.Currency)
	if !known {
		check.Add("currency", "is not an ISO 4217 code", "write three capital letters, such as USD")
	}
	budget, ok := parseDecimal(cmd.Budget)
	switch {
	case !ok:
		check.Add("budget", "is not a plain decimal number", fmt.Sprintf("write it like 10000.50, with at most %d characters", MaxBudget))
	case !isPositive(budget):
		check.Add("budget", "is not positive", "give more than 0")
	case known && decimals(budget) > digits:
		check.Add("budget", fmt.Sprintf("has %d decimals", decimals(budget)), fmt.Sprintf("%s has %d", cmd.Currency, digits))
	}
	check.ID("brandId", cmd.BrandID, MaxBrandID)
	validateParticipants(&check, cmd.Participants)
	return budget, check.Err(ErrInvalid)
}

func validateParticipants(check *rule.Check, participants []Participant) {
	if n := len(participants); n > MaxParticipants {
		check.Add("participants", fmt.Sprintf("has %d entries", n), fmt.Sprintf("give at most %d", MaxParticipants))
		return
	}
	names := make(map[string]int, len(participants))
	ids := make(map[string]int, len(participants))
	for i, p := range participants {
		field := fmt.Sprintf("participants[%d]", i)
		check.Text(field+".id", p.ID, MaxParticipantID)
		if p.ID != "" {
			unique(check, ids, field+".id", p.ID, i)
		}
		check.Name(field+".name", p.Name, MaxParticipantName)
		if name := foldCase(strings.TrimSpace(p.Name)); name != "" {
			unique(check, names, field+".name", name, i)
		}
		if !isParticipantType(p.Type) {
			check.Add(field+".type", "is not a known type", "write afiliado, affiliate or influencer")
		}
		check.Text(field+".profile", p.Profile, MaxParticipantProfile)
	}
}

// unique states that no earlier participant has the same value.
func unique(check *rule.Check, seen map[string]int, field, value string, i int) {
	if first, twice := seen[value]; twice {
		check.Add(field, fmt.Sprintf("is the same as that of participants[%d]", first), "name each participant once")
		return
	}
	seen[value] = i
}

// isParticipantType knows the types as this context uses them: words that it passes on.
func isParticipantType(s string) bool {
	return s == "afiliado" || s == "affiliate" || s == "influencer"
}

// foldCase returns the same text for all texts that [strings.EqualFold] holds equal.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, s)
}

// currencyDigits returns the number of decimals of a currency's minor unit.
func currencyDigits(code string) (digits int, known bool) {
	n, known := currency.GetDigits(code)
	return int(n), known
}

// isPositive says that a canonical decimal is more than 0.
func isPositive(decimal string) bool { return decimal != "0" && decimal[0] != '-' }

// decimals counts the digits behind the point of a canonical decimal.
func decimals(decimal string) int {
	_, fraction, _ := strings.Cut(decimal, ".")
	return len(fraction)
}

// parseDecimal reads an optional minus, digits and an optional point with digits, and returns the number in canonical form:
// without needless zeros. Exponents, blanks, other scripts' digits, infinities and the like are no budgets.
func parseDecimal(s string) (canonical string, ok bool) {
	if len(s) > MaxBudget {
		return "", false
	}
	unsigned, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(unsigned, ".")
	if !isDigits(whole) || point && !isDigits(fraction) {
		return "", false
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	canonical = whole + fraction
	if negative && canonical != "0" {
		canonical = "-" + canonical
	}
	return canonical, true
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
