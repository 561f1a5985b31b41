package testenv

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy stands between a client and a server, and spoils the network between them. It keeps its address. Its methods are for one
// goroutine at a time.
type Proxy struct {
	// Addr is where clients connect, "127.0.0.1:port".
	Addr string

	proxy *toxiproxy.Proxy
}

// NewProxy returns a proxy before the server at the address, which ends with the test.
func NewProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics write to the process's output
	logger := zerolog.Nop()
	p := &Proxy{proxy: toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), logger), "testenv", "127.0.0.1:0", server)}
	p.Up(tb)
	p.Addr = p.proxy.Listen
	tb.Cleanup(p.Down)
	return p
}

// Down refuses connections, and ends those that there are.
func (p *Proxy) Down() { p.proxy.Stop() }

// Up accepts connections again after [Proxy.Down].
func (p *Proxy) Up(tb testing.TB) {
	tb.Helper()
	if err := p.proxy.Start(); err != nil {
		tb.Fatalf("testenv: proxy: %v", err)
	}
}

// Reset has every connection, new ones too, end with a TCP reset when something is sent over it, until heal is called.
func (p *Proxy) Reset(tb testing.TB) (heal func()) {
	tb.Helper()
	return p.spoil(tb, `"type":"reset_peer"`)
}

// Freeze has all that is sent vanish while the connections stay open, until heal is called, which ends them.
func (p *Proxy) Freeze(tb testing.TB) (heal func()) {
	tb.Helper()
	return p.spoil(tb, `"type":"timeout","attributes":{"timeout":0}`)
}

// Narrow lets pass so many kB a second, until heal is called.
func (p *Proxy) Narrow(tb testing.TB, rate int) (heal func()) {
	tb.Helper()
	return p.spoil(tb, fmt.Sprintf(`"type":"bandwidth","attributes":{"rate":%d}`, rate))
}

// Tear ends each connection after the server has sent so many bytes over it, until heal is called.
func (p *Proxy) Tear(tb testing.TB, bytes int) (heal func()) {
	tb.Helper()
	return p.toxic(tb, fmt.Sprintf(`{"type":"limit_data","stream":"downstream","attributes":{"bytes":%d}}`, bytes))
}

// spoil adds a toxic to both directions.
func (p *Proxy) spoil(tb testing.TB, toxic string) (heal func()) {
	tb.Helper()
	up := p.toxic(tb, `{"stream":"upstream",`+toxic+`}`)
	down := p.toxic(tb, `{"stream":"downstream",`+toxic+`}`)
	return func() { up(); down() }
}

func (p *Proxy) toxic(tb testing.TB, toxic string) (remove func()) {
	tb.Helper()
	added, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(toxic))
	if err != nil {
		tb.Fatalf("testenv: proxy: %s: %v", toxic, err)
	}
	return func() {
		if err := p.proxy.Toxics.RemoveToxic(context.WithoutCancel(tb.Context()), added.Name); err != nil {
			tb.Errorf("testenv: proxy: end of %s: %v", toxic, err)
		}
	}
}
