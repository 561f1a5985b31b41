package pulsarmsg_test

import (
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

// behindProxy returns the server with a proxy before it. The broker tells clients to stay at the address that they know.
func behindProxy(t *testing.T, s server) (server, *testenv.Proxy) {
	t.Helper()
	p := testenv.NewProxy(t, strings.TrimPrefix(s.url, "pulsar://"))
	s.url = "pulsar://" + p.Addr
	return s, p
}
