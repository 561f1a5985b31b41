// Package archtest holds the structure of the module against its design: which package may import
// which, what the pure packages may not touch, what is documented, how large things may get.
//
// [Load] parses a source tree, [Rules] returns what is checked, [Check] runs the rules and takes off
// the listed [Exceptions]. The package's own test does that for the whole module, so that
// "go test ./..." fails with lines such as
//
//	saga/decide.go:12: imports "context": saga is pure; take what is needed as an argument
//
// The tables to edit are in policy.go: a new package gets a row in layers, and an exception is
// listed with its reason. An exception that nothing needs any more is a violation too.
//
// Everything works on an [fs.FS], so that the self-tests plant their violations in memory.
package archtest
