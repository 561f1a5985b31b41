package coordinator

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Clock is a [Store] with a clock that all its coordinators share, such as its database's. They then go by it, so that
// it does not matter how their hosts' clocks are set.
type Clock interface {
	// Time returns the clock's time.
	Time(ctx context.Context) (time.Time, error)
}

// clock tells the shared clock's time, which it reads now and then; in between it measures with the host's. As it takes what was read for the time
// at which the answer came, it is late by the way there and never early. It may be used from several goroutines.
type clock struct {
	host func() time.Time

	mu sync.Mutex
	// read is what the shared clock told at the host's time at. Zero: the host's clock counts.
	read, at time.Time
}

func (c *clock) now() time.Time {
	host := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read.IsZero() {
		return host
	}
	return c.read.Add(host.Sub(c.at))
}

// refresh reads the store's clock, if it has one and the last reading is as old as that. After an error the last one counts.
func (c *clock) refresh(ctx context.Context, store Store, age time.Duration) error {
	shared, ok := store.(Clock)
	if !ok || !c.older(age) {
		return nil
	}
	read, err := shared.Time(ctx)
	if err != nil {
		return fmt.Errorf("coordinator: read the store's clock: %w", err)
	}
	at := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.at = read, at
	return nil
}

func (c *clock) older(age time.Duration) bool {
	host := c.host()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read.IsZero() || host.Sub(c.at) >= age || host.Before(c.at)
}
