package pulsarmsg_test

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy stands between a driver and the broker, and breaks connections. It writes its own address over the broker's in what the broker says, so that clients stay
// with it.
type proxy struct {
	server
	listener net.Listener
	from, to []byte

	mu          sync.Mutex
	down        bool
	connections map[net.Conn]bool
}

func newProxy(t *testing.T, s server) *proxy {
	t.Helper()
	target := strings.TrimPrefix(s.url, "pulsar://")
	p := &proxy{server: s, from: []byte(s.url), connections: map[net.Conn]bool{}}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // an address of the same length leaves the lengths in the protocol as they are
		p.listener, err = net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p.url = "pulsar://" + net.JoinHostPort(host, port)
		if p.to = []byte(p.url); len(p.to) == len(p.from) {
			break
		}
		p.listener.Close()
		p.listener, err = net.Listen("tcp", host+":"+fourDigits(port))
		if err == nil {
			_, port, _ = net.SplitHostPort(p.listener.Addr().String())
			p.url = "pulsar://" + net.JoinHostPort(host, port)
			p.to = []byte(p.url)
			break
		}
	}
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
	})
	go p.serve(target)
	return p
}

// fourDigits makes a port of as many digits as the broker's usual one.
func fourDigits(port string) string {
	if len(port) < 5 {
		return port
	}
	return "7" + port[2:]
}

func (p *proxy) serve(target string) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", target)
		if err != nil || !p.keep(client, broker) {
			client.Close()
			continue
		}
		go p.pipe(broker, client, false)
		go p.pipe(client, broker, true)
	}
}

func (p *proxy) keep(all ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range all {
		if p.down {
			c.Close()
			continue
		}
		p.connections[c] = true
	}
	return !p.down
}

func (p *proxy) pipe(to, from net.Conn, rewrite bool) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			data := buffer[:n]
			if rewrite {
				data = bytes.ReplaceAll(data, p.from, p.to)
			}
			if _, err := to.Write(data); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.connections {
		c.Close()
	}
	clear(p.connections)
}

// set takes the broker away, or brings it back.
func (p *proxy) set(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.cut()
	}
}
