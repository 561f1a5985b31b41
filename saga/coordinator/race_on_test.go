//go:build race

package coordinator_test

// slow says that the race detector is on, under which everything takes ten times as long.
const slow = true
