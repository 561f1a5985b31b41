// Package legible makes texts from outside such that every database can keep, compare and index them: valid UTF-8 without NUL, of
// bounded length. It is pure.
package legible
