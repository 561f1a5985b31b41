package testenv

import "go.uber.org/goleak"

// Leftovers are what this package's libraries leave behind when a test ends, for tests that look for leaks of their own.
func Leftovers() []goleak.Option {
	return []goleak.Option{
		// The proxy, of connections that are reset, or end while a toxic is added or removed.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		// Docker's client, which testcontainers does not close.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	}
}
