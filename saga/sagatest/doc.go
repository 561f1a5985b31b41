// Package sagatest is the test kit for sagas: [RunStore] is the suite that every store of a coordinator passes.
//
//	func TestStore(t *testing.T) {
//		sagatest.RunStore(t, sagatest.StoreHarness{New: func(t *testing.T) (coordinator.Store, coordinator.Reader, outbox.Store) {
//			return rolesOf(newStore(t)) // usually one value thrice
//		}})
//	}
//
// Each case is a promise of [coordinator.Store], [coordinator.Reader] or of the outbox filled by a commit, named as a sentence. Cases run
// in parallel, each on a store of its own or on a shared one: they use ids of their own.
//
// The suite is shown to fail, in the expected case, on stores that are broken on purpose.
package sagatest
