package archtest

import "slices"

// Rule is one thing that is checked.
type Rule struct {
	// Name is what violations and exceptions call it.
	Name string
	// Check returns the violations in any order.
	Check func(*Tree) []Violation
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"arrow", checkArrows},
		{"fence", checkFences},
		{"pure", checkPurity},
		{"map-order", checkMapOrder},
		{"document", checkDocuments},
		{"size", checkSizes},
		{"panic", checkPanics},
		{"global", checkGlobals},
		{"sleep", checkSleeps},
		{"suite", checkSuites},
		{"snippet", checkSnippets},
	}
}

// Exception lets one violation be.
type Exception struct {
	// Rule is the name of the rule.
	Rule string
	// File is the file, or the directory if the violation names one.
	File string
	// Symbol is the declaration; empty if the violation names none.
	Symbol string
	// Reason says why, for the next reader. Required.
	Reason string
}

// Check runs the rules and returns what is left after the exceptions, sorted by place. It adds a violation
// for each exception that has no reason or that nothing needs.
func Check(t *Tree, rules []Rule, exceptions []Exception) []Violation {
	var left []Violation
	used := make([]bool, len(exceptions))
	for _, r := range rules {
		for _, v := range r.Check(t) {
			v.Rule = r.Name
			i := slices.IndexFunc(exceptions, func(e Exception) bool {
				return e.Rule == v.Rule && e.File == v.File && e.Symbol == v.Symbol
			})
			if i < 0 {
				left = append(left, v)
				continue
			}
			used[i] = true
		}
	}
	for i, e := range exceptions {
		v := Violation{Rule: "exception", File: e.File, Symbol: e.Symbol}
		switch {
		case e.Reason == "":
			v.What, v.Fix = "exception to "+e.Rule+" without a reason", "say why in archtest.Exceptions"
		case !used[i]:
			v.What, v.Fix = "exception to "+e.Rule+" that nothing needs", "remove it from archtest.Exceptions"
		default:
			continue
		}
		left = append(left, v)
	}
	slices.SortStableFunc(left, compare)
	return left
}
