// Package rule is the shared kernel of the Alpes Partners domain: the few rules about plain values that every
// bounded context has, and the error that tells a caller all that is wrong at once.
//
// A constructor makes a [Check], states one rule after another, and returns what [Check.Err]
// says. No rule stops at the first fault: who corrects a form wants to know all of them.
//
//	var check rule.Check
//	check.Name("name", cmd.Name, 100)
//	check.ID("brandId", cmd.BrandID, 36)
//	if err := check.Err(ErrInvalid); err != nil {
//		return Campaign{}, err
//	}
//
// Whatever passes a rule can be stored in any of the databases and read back equal: texts are
// valid UTF-8 without NUL, and lengths are counted in characters, as the columns' are.
//
// No fault repeats the value that it is about, so that errors may be logged.
package rule
