package sagatest_test

import (
	"testing"

	"github.com/alpespartners/alpespartners/saga/sagatest"
)

// BenchmarkExplore is one schedule of a saga with four steps, faults included.
func BenchmarkExplore(b *testing.B) {
	def := fourSteps()
	b.ReportAllocs()
	seed := uint64(0)
	for b.Loop() {
		seed++
		if err := sagatest.Check(def, sagatest.Seed(seed)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
}
