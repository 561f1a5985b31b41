//go:build unix

package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/messaging/memmsg"
)

// childSettings is the variable that makes a process of the test program a node.
const childSettings = "FAULTS_NODE"

// settings are a child's. Its broker is its own: what it leaves undone is in the database, from where others take it.
type settings struct {
	URL, Prefix string
	Lease       time.Duration
	First       int // its orders are numbered from here
}

// childMain runs a node that takes orders, and writes their numbers once they are acknowledged, until it is asked to stop. It returns false at once in
// a process that is no child.
func childMain() bool {
	text, ok := os.LookupEnv(childSettings)
	if !ok {
		return false
	}
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func (s settings) run(ctx context.Context) error {
	broker := memmsg.New(memmsg.Config{})
	n, err := site{url: s.URL, prefix: s.Prefix, broker: broker, lease: s.Lease}.open(ctx)
	if err != nil {
		return err
	}
	running, end := context.WithCancel(context.Background())
	defer end()
	ended := make(chan error, 1)
	go func() { ended <- n.run(running) }()
	<-n.coordinator.Ready()
	<-n.shop.Ready()
	var clients sync.WaitGroup
	var mu sync.Mutex
	next := s.First
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				next++
				order := number(next)
				mu.Unlock()
				if n.take(context.Background(), order, 0) == nil {
					fmt.Println(order)
				}
			}
		})
	}
	clients.Wait()
	end()
	return errors.Join(<-ended, broker.Close())
}

// child is a node in a process of its own.
type child struct {
	t       *testing.T
	command *exec.Cmd
	read    chan struct{} // closed when its output has ended

	mu    sync.Mutex
	taken []string
	some  chan struct{} // closed with the first order
}

// bear starts a child.
func (w *world) bear(t *testing.T, lease time.Duration, first int) *child {
	t.Helper()
	text, err := json.Marshal(settings{URL: w.url, Prefix: w.prefix, Lease: lease, First: first})
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, command: exec.Command(os.Args[0]), read: make(chan struct{}), some: make(chan struct{})}
	c.command.Env = append(os.Environ(), childSettings+"="+string(text))
	c.command.Stderr = os.Stderr
	output, err := c.command.StdoutPipe()
	if err == nil {
		err = c.command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.read)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			c.mu.Lock()
			if c.taken = append(c.taken, lines.Text()); len(c.taken) == 1 {
				close(c.some)
			}
			c.mu.Unlock()
		}
	}()
	select {
	case <-c.some:
	case <-c.read:
		t.Fatalf("the child ended: %v", c.command.Wait())
	}
	return c
}

// signal sends the child a signal.
func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.command.Process.Signal(s); err != nil {
		c.t.Error(err)
	}
}

// end ends the child by a signal, and returns the orders that it has acknowledged.
func (c *child) end(s syscall.Signal) []string {
	c.t.Helper()
	c.signal(s)
	return c.ended(s == syscall.SIGTERM)
}

// ended waits for the child's end, and returns the orders that it has acknowledged.
func (c *child) ended(gracefully bool) []string {
	c.t.Helper()
	<-c.read
	if err := c.command.Wait(); err != nil && gracefully {
		c.t.Errorf("the child ended with %v", err)
	}
	return c.taken
}
