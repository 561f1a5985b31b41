// Package demo plays the three scenarios of the original system against an embedded one and tells each saga's story as it
// happens. [Run] fails if a scenario does not end as it should.
package demo
