//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	blocked = "Blocked" // whom the partner service refuses
	limit   = 4         // the most events of a campaign
)

// crowd are clients that keep registrations in flight: each orders one, waits until its saga has come to rest, and orders the
// next. While the server is down they wait for it.
type crowd struct {
	size   int
	random func(n int) int // guarded by mu
	client *http.Client

	// late says that a saga may begin after its order was acknowledged: the broker has it, and campaign is in another process.
	late bool

	mu      sync.Mutex
	base    string        // where the server is; "" while it is down
	turned  chan struct{} // closed and replaced when base changes
	orders  map[string]*order
	waiting map[string]waiting // by saga: orders that were acknowledged and are not known to be at rest

	stopped    atomic.Bool
	asked      atomic.Int64 // answers under way
	acks       atomic.Int64
	unanswered atomic.Int64
	repeats    atomic.Int64          // orders that were placed again because no answer had come
	refusal    atomic.Pointer[error] // the first answer that was no acknowledgement
}

// waiting is an order that its client waits for.
type waiting struct {
	rested chan struct{}
	server string // that acknowledged it
}

func newCrowd(size int, random *rand.Rand) *crowd {
	return &crowd{
		size: size, random: random.IntN, turned: make(chan struct{}), orders: map[string]*order{}, waiting: map[string]waiting{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: size}, Timeout: patience},
	}
}

// turn tells the clients where the server is now.
func (c *crowd) turn(base string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = base
	close(c.turned)
	c.turned = make(chan struct{})
	c.client.CloseIdleConnections()
}

// server returns where the server is and what is closed when that changes.
func (c *crowd) server() (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base, c.turned
}

// run keeps the registrations in flight until stop is called and all of them have come to rest.
func (c *crowd) run(ctx context.Context) {
	var all sync.WaitGroup
	for range c.size {
		all.Go(func() {
			for !c.stopped.Load() && ctx.Err() == nil {
				c.register(ctx)
			}
		})
	}
	all.Wait()
}

func (c *crowd) stop() { c.stopped.Store(true) }

// register places one order. Of those that have an id of their own it is placed again until an answer comes: the others may
// or may not have been taken.
func (c *crowd) register(ctx context.Context) {
	o, id := c.order()
	path, body := requestOf(o, id)
	for first := true; ; first = false {
		base, turned := c.server()
		for base == "" {
			select {
			case <-turned:
			case <-ctx.Done():
				return
			}
			base, turned = c.server()
		}
		if !first {
			c.repeats.Add(1)
		}
		c.asked.Add(1)
		sagaID, err := c.post(ctx, base+path, body)
		if err == nil {
			w := c.acknowledged(o, sagaID, base)
			c.asked.Add(-1)
			select {
			case <-w.rested:
			case <-ctx.Done():
			}
			return
		}
		c.asked.Add(-1)
		c.unanswered.Add(1)
		select {
		case <-turned:
		case <-ctx.Done():
			return
		}
		if id == "" {
			return
		}
	}
}

// order makes one up: some are refused by the tracking service, some by the partner service, some by the campaign service.
func (c *crowd) order() (o *order, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o = &order{name: fmt.Sprintf("campaign %d", len(c.orders))}
	n := 1 + c.random(limit+1)
	for i := range n {
		o.participants = append(o.participants, fmt.Sprintf("participant %d", i))
	}
	o.compensated = n > limit
	switch fate := c.random(20); {
	case fate < 4:
		o.participants[c.random(n)], o.compensated = blocked, true
	case fate < 5 && n > 1:
		o.participants[0], o.compensated = o.participants[1], true
	case fate < 12:
		id = uuid.NewString()
	}
	c.orders[o.name] = o
	return o, id
}

// requestOf makes the request: as the original's clients do, or with an id of its own as ours can.
func requestOf(o *order, id string) (path string, body []byte) {
	participants := make([]map[string]string, len(o.participants))
	for i, name := range o.participants {
		participants[i] = map[string]string{"nombre": name, "tipo": "afiliado", "id": fmt.Sprint("p-", i), "informacion_perfil": "travel"}
		if id != "" {
			participants[i] = map[string]string{"name": name, "type": "affiliate", "id": fmt.Sprint("p-", i)}
		}
	}
	path, document := "/registrar-campaign", map[string]any{
		"nombre": o.name, "presupuesto": 2500.5, "divisa": "EUR", "marca_id": "brand", "participantes": participants,
	}
	if id != "" {
		path, document = "/v1/campaigns", map[string]any{
			"id": id, "name": o.name, "budget": "2500.50", "currency": "EUR", "brandId": "brand", "participants": participants,
		}
	}
	body, err := json.Marshal(document)
	if err != nil {
		panic(err) // strings and numbers
	}
	return path, body
}

// post returns the saga's id that the server answered.
func (c *crowd) post(ctx context.Context, address string, body []byte) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	id := response.Header.Get("Saga-Id")
	if err == nil && (response.StatusCode/100 != 2 || id == "") {
		err = fmt.Errorf("%s answered %s with saga %q: %s", address, response.Status, id, answer)
		c.refusal.CompareAndSwap(nil, &err)
	}
	return id, err
}

// acknowledged notes that the server has taken the order.
func (c *crowd) acknowledged(o *order, sagaID, server string) waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.sagaID = sagaID
	w := waiting{rested: make(chan struct{}), server: server}
	c.waiting[sagaID] = w
	c.acks.Add(1)
	return w
}

// live are the statuses of sagas that are not at rest, in the order in which a saga passes through them: one that moves
// on while they are asked for is found all the same.
func live() []string { return []string{"running", "compensating"} }

// poll lets the clients go whose sagas have come to rest, and returns how many of those had been acknowledged by an earlier server,
// and how many sagas are not at rest.
func (c *crowd) poll(ctx context.Context, base string) (old, active int, err error) {
	c.mu.Lock()
	candidates := maps.Clone(c.waiting)
	c.mu.Unlock()
	for _, status := range live() {
		cursor := ""
		for {
			page, err := c.page(ctx, base, status, cursor)
			if err != nil {
				return 0, 0, err
			}
			for _, item := range page.Items {
				delete(candidates, item.ID)
			}
			active += len(page.Items)
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
	}
	if c.late {
		for id := range candidates {
			if state, err := c.state(ctx, base, id); err != nil {
				return 0, 0, err
			} else if !resting(state) {
				delete(candidates, id)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, w := range candidates {
		delete(c.waiting, id)
		close(w.rested)
		if w.server != base {
			old++
		}
	}
	return old, active, nil
}

// state returns that of a saga, "" if there is none.
func (c *crowd) state(ctx context.Context, base, id string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/sagas/"+id, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct{ State string }
	switch response.StatusCode {
	case http.StatusNotFound:
		return "", nil
	case http.StatusOK:
		err := json.NewDecoder(response.Body).Decode(&answer)
		return answer.State, err
	default:
		return "", fmt.Errorf("GET /v1/sagas/%s: %s", id, response.Status)
	}
}

// resting says that nothing moves a saga any more by itself.
func resting(state string) bool {
	return state == "completed" || state == "compensated" || state == "parked"
}

type sagaPage struct {
	Items []struct {
		ID string `json:"id"`
	} `json:"items"`
	NextCursor string `json:"nextCursor"`
}

func (c *crowd) page(ctx context.Context, base, status, cursor string) (page sagaPage, err error) {
	query := url.Values{"state": {status}, "limit": {"500"}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/sagas?"+query.Encode(), http.NoBody)
	if err != nil {
		return page, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return page, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return page, fmt.Errorf("GET /v1/sagas: %s", response.Status)
	}
	return page, json.NewDecoder(response.Body).Decode(&page)
}

// inFlight is how many orders are: asked for and not answered, or acknowledged and not known to be at rest.
func (c *crowd) inFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) + int(c.asked.Load())
}

// placed returns all orders so far.
func (c *crowd) placed() []order {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]order, 0, len(c.orders))
	for _, o := range c.orders {
		all = append(all, *o)
	}
	return all
}

// watch polls until ctx ends or until says so. It returns when a saga that an earlier server had left was first seen at rest.
func (c *crowd) watch(ctx context.Context, base string, until func(active int) bool) (progress time.Time, err error) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		asked := time.Now()
		old, active, err := c.poll(ctx, base)
		switch {
		case ctx.Err() != nil:
			return progress, nil // the watch is over
		case err != nil:
			return progress, err
		case old > 0 && progress.IsZero():
			progress = time.Now()
		}
		if until(active) {
			return progress, nil
		}
		next.Reset(max(20*time.Millisecond, 5*time.Since(asked))) // the server has other things to do
		select {
		case <-next.C:
		case <-ctx.Done():
			return progress, nil
		}
	}
}
