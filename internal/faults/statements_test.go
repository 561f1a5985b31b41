//go:build unix

package faults_test

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

// cutter is a proxy before a database that ends one connection with a chosen request. A client's request is what it sends
// before it waits for the answer: mostly one statement.
type cutter struct {
	listener net.Listener
	server   string
	done     sync.WaitGroup

	mu     sync.Mutex
	left   int  // requests until the cut; 0 is none
	answer bool // the request is executed and its answer is lost, else it does not arrive
	cuts   int
}

// newCutter returns a proxy before the server of a database, and the database's URL through it.
func newCutter(t *testing.T, database string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, server: u.Host}
	c.done.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.done.Go(func() { c.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.done.Wait()
	})
	u.Host = l.Addr().String()
	return c, u.String()
}

// arm has the n-th request from now cut.
func (c *cutter) arm(n int, answer bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.answer = n, answer
}

// disarm reports whether the cut took place.
func (c *cutter) disarm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cut := c.left == 0
	c.left = 0
	return cut
}

// request counts one, and says what becomes of it.
func (c *cutter) request() (cut, answer bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false, false
	}
	c.left--
	if c.left > 0 {
		return false, false
	}
	c.cuts++
	return true, c.answer
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	var mute sync.Mutex // held while answers are kept back
	answered := make(chan struct{}, 1)
	muted := false
	var back sync.WaitGroup
	defer back.Wait()
	back.Go(func() {
		defer client.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			mute.Lock()
			silent := muted
			mute.Unlock()
			if silent {
				answered <- struct{}{}
				return
			}
			if n > 0 {
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	defer server.Close() // before the wait, which it ends
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if n > 0 {
			cut, answer := c.request()
			if cut && !answer {
				return
			}
			mute.Lock()
			muted = cut
			mute.Unlock()
			if _, err := server.Write(buffer[:n]); err != nil {
				return
			}
			if cut {
				<-answered
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestIntegrationEveryStatement loses the connection at every request of a saga's life in turn, before the database has it and after
// it has executed it, and the saga ends as it would have (G1, G2, G13, G15).
func TestIntegrationEveryStatement(t *testing.T) {
	t.Parallel()
	for name, server := range testenv.Servers() {
		for _, answer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/executed=%t", name, answer), func(t *testing.T) {
				t.Parallel()
				database := server(t).URL
				const parts = 6
				var wait sync.WaitGroup
				for part := range parts {
					w := newWorld(t, database, fmt.Sprintf("p%d_", part))
					wait.Go(func() { cutAll(t, w, part, parts, answer) })
				}
				wait.Wait()
			})
		}
	}
}

// cutAll cuts at every request whose number leaves the remainder part.
func cutAll(t *testing.T, w *world, part, parts int, answer bool) {
	t.Helper()
	c, through := newCutter(t, w.url)
	s := w.site
	s.url = through
	s.sweep, s.recheck = time.Second, time.Second
	n := w.begin(s)
	var orders []string
	var slowest time.Duration
	missed := 0
	for point := part + 1; missed < 2; point += parts {
		for _, last := range []int{0, 1} { // an order that is refused and one that is shipped
			order := number(point*10 + last)
			orders = append(orders, order)
			began := time.Now()
			c.arm(point, answer)
			w.takes(order, n)
			w.rests()
			slowest = max(slowest, time.Since(began))
			if c.disarm() {
				missed = 0
			} else {
				missed++
			}
		}
	}
	t.Logf("%d orders, %d cuts, the slowest took %s", len(orders), c.cuts, slowest.Round(10*time.Millisecond))
	if c.cuts < 10 { // of each sixth request of a saga, once for each kind of order
		t.Errorf("only %d cuts", c.cuts)
	}
	w.audit(orders...)
}
