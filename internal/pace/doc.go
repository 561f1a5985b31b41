// Package pace waits, once or again and again, for as long as a context goes on.
package pace
