package pulsarmsg_test

import (
	"context"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy stands between a driver and the broker and does harm to what passes. The broker tells clients to stay at the address that they know, which is the
// proxy's. Its methods are for one goroutine at a time.
type proxy struct {
	server
	t    *testing.T
	link *toxiproxy.Proxy
}

func newProxy(t *testing.T, s server) *proxy {
	t.Helper()
	nobody := zerolog.Nop()
	link := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), nobody), t.Name(), "127.0.0.1:0", strings.TrimPrefix(s.url, "pulsar://"))
	if err := link.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Stop)
	s.url = "pulsar://" + link.Listen
	return &proxy{server: s, t: t, link: link}
}

// The kinds of harm, which may be done to both directions.
const (
	resetPeer = `"type":"reset_peer"`                         // a connection that says something is reset
	silence   = `"type":"timeout","attributes":{"timeout":0}` // all that is said is dropped, and nobody hears of it
	narrow    = `"type":"bandwidth","attributes":{"rate":40}` // in kB/s
)

// harm does harm for a time.
func (p *proxy) harm(kind string, d time.Duration) {
	p.t.Helper()
	var names []string
	for _, stream := range []string{"upstream", "downstream"} {
		toxic, err := p.link.Toxics.AddToxicJson(strings.NewReader(`{"stream":"` + stream + `",` + kind + `}`))
		if err != nil {
			p.t.Fatal(err)
		}
		names = append(names, toxic.Name)
	}
	<-time.After(d)
	for _, name := range names {
		if err := p.link.Toxics.RemoveToxic(context.Background(), name); err != nil {
			p.t.Fatal(err)
		}
	}
}

// down takes the broker away: connections are closed and refused.
func (p *proxy) down() { p.link.Stop() }

// up brings it back.
func (p *proxy) up() {
	p.t.Helper()
	if err := p.link.Start(); err != nil {
		p.t.Fatal(err)
	}
}
