// Package messagingtest has one test suite for each interface of package messaging. A driver proves that it
// keeps the contract by running the suite in its own tests:
//
//	func TestBroker(t *testing.T) {
//		messagingtest.RunBroker(t, messagingtest.Features{}, func(t *testing.T) messaging.Broker {
//			broker := mydriver.New(...)
//			t.Cleanup(func() { broker.Close() })
//			return broker
//		})
//	}
//
// The names of the cases are the contract, one promise each. Cases run in parallel, with topics of their own,
// so that they can share a server. What a driver cannot do is switched off by name, and the case then says so
// in the output of go test -v.
//
// [RunBroker] is for brokers, [RunCodec] for codecs, [RunOutbox] and [RunInbox] for stores. The suites are
// themselves tested: each is shown to fail for drivers that break one promise.
package messagingtest
