package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/server/app"
)

// ErrScenario says that a scenario did not end as it should.
var ErrScenario = errors.New("demo: a scenario ended wrongly")

// Config says where the scenarios are played. The zero value plays them in this process.
type Config struct {
	// Coordination says who sends the commands. Zero means [app.Orchestrated].
	Coordination app.Coordination
	// Broker, BrokerAdmin and Namespace say where messages travel; see [app.Config]. On a Pulsar without Namespace, the demo makes one of its own
	// and deletes it in the end. One that is named must be nobody else's: what is there would be taken for the demo's.
	Broker, BrokerAdmin, Namespace string
}

const (
	// timeout bounds one scenario.
	timeout = time.Minute
	// startTime bounds its start: a broker that is not there by then is not there.
	startTime = 20 * time.Second
)

// scenario is one story: how the system is set up, and what must come of it.
type scenario struct {
	title, about string
	limit        int
	blocked      []string
	want         saga.Status
	left         counts
}

// counts is how many entities of each kind there are.
type counts struct{ campaigns, active, partners, events int }

func (c counts) String() string {
	if c == (counts{}) {
		return "nothing is left behind"
	}
	return fmt.Sprintf("%d campaign (%d active), %d partners, %d tracking events", c.campaigns, c.active, c.partners, c.events)
}

func scenarios() []scenario {
	return []scenario{
		{
			title: "Everything succeeds",
			about: "three participants become partners, each with a tracking event; then the campaign is approved",
			limit: 1000, want: saga.Completed, left: counts{campaigns: 1, active: 1, partners: 3, events: 3},
		},
		{
			title: "The tracking service refuses",
			about: "it admits two events of a campaign, the third is refused: events, partners and campaign are undone",
			limit: 2, want: saga.Compensated,
		},
		{
			title: "The partner service refuses",
			about: "Carla is blocked: her event is never attempted, and what the others got is undone",
			limit: 1000, blocked: []string{"Carla"}, want: saga.Compensated,
		},
	}
}

// body is what the demo posts: the original's route and shape.
const body = `{"nombre":"Spring launch","presupuesto":2500.50,"divisa":"EUR","marca_id":"brand-7","participantes":[
{"id":"p-1","tipo":"influencer","nombre":"Ana","informacion_perfil":"travel"},
{"id":"p-2","tipo":"afiliado","nombre":"Benito","informacion_perfil":"coupons"},
{"id":"p-3","tipo":"afiliado","nombre":"Carla","informacion_perfil":"fashion"}]}`

// Run plays all scenarios and writes their stories to out. The error wraps [ErrScenario] where one ended wrongly.
func Run(ctx context.Context, out io.Writer, config Config) error {
	if config.Broker != "" && config.Broker != app.InMemory && config.Namespace == "" {
		return inNamespace(ctx, &config, func() error { return play(ctx, out, config) })
	}
	return play(ctx, out, config)
}

func play(ctx context.Context, out io.Writer, config Config) error {
	var failed []error
	for i, s := range scenarios() {
		if _, err := fmt.Fprintf(out, "\n%d. %s\n   %s\n\n", i+1, s.title, s.about); err != nil {
			return err
		}
		if err := s.play(ctx, out, config); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.title, err))
			if !errors.Is(err, ErrScenario) { // the next would meet the same
				break
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\nAll three scenarios ended as they should.")
	return err
}

func (s scenario) play(ctx context.Context, out io.Writer, config Config) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	story, said := newStory(out), &lastLine{}
	system, err := app.New(ctx, app.Config{
		Listen: "127.0.0.1:0", Ephemeral: true, Coordination: config.Coordination,
		Broker: config.Broker, BrokerAdmin: config.BrokerAdmin, Namespace: config.Namespace, TrackingLimit: s.limit, PartnerBlocked: s.blocked,
		Observe: story.tell, Logger: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	runCtx, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- system.Run(runCtx) }()
	if err = awaitReady(ctx, system, said); err == nil {
		err = s.check(ctx, system, story)
	}
	stop()
	return errors.Join(err, <-stopped)
}

func (s scenario) check(ctx context.Context, system *app.App, story *story) error {
	id, err := register(ctx, system.URL(app.BFF))
	if err != nil {
		return err
	}
	story.registered(id)
	end, err := await(ctx, system, id)
	if err != nil {
		return err
	}
	left, err := count(ctx, system.URL(app.BFF))
	if err != nil {
		return err
	}
	story.ended(end, left)
	switch {
	case end.Status != s.want:
		return fmt.Errorf("%w: the saga is %s, not %s", ErrScenario, end.Status, s.want)
	case left != s.left:
		return fmt.Errorf("%w: there are %s, not %s", ErrScenario, left, s.left)
	default:
		return story.err
	}
}

// awaitReady waits for the start. A start that does not come is told with what the log said last.
func awaitReady(ctx context.Context, system *app.App, said *lastLine) error {
	patience := time.NewTimer(startTime)
	defer patience.Stop()
	select {
	case <-system.Ready():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		return fmt.Errorf("demo: nothing has started after %v: is a Pulsar there (\"make pulsar\" starts one)? Messages travel at %s; the log's last line is: %s",
			startTime, system.BrokerLocation(), said)
	}
}

// lastLine keeps what was written last.
type lastLine struct {
	mu   sync.Mutex
	text string
}

// Write implements [io.Writer].
func (l *lastLine) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = strings.TrimSpace(string(line))
	return len(line), nil
}

func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

// await waits for the saga's end. On a Pulsar it may begin after its command was acknowledged.
func await(ctx context.Context, system *app.App, id saga.ID) (saga.State, error) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		end, err := system.Coordinator().Await(ctx, id)
		if !errors.Is(err, saga.ErrNotFound) {
			return end, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return end, errors.Join(err, ctx.Err())
		}
	}
}

// register posts the campaign as the original's clients do and returns the saga's id.
func register(ctx context.Context, base string) (saga.ID, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/registrar-campaign", bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close() //nolint:errcheck // it was read or is of no use
	id := response.Header.Get("Saga-Id")
	if response.StatusCode != http.StatusOK || id == "" {
		return "", fmt.Errorf("%w: POST /registrar-campaign answered %s with Saga-Id %q", ErrScenario, response.Status, id)
	}
	return saga.ID(id), nil
}

// count asks the services what there is.
func count(ctx context.Context, base string) (counts, error) {
	var c counts
	var campaigns struct {
		Items []struct{ Status string } `json:"items"`
	}
	if err := get(ctx, base+"/v1/campaigns", &campaigns); err != nil {
		return c, err
	}
	c.campaigns = len(campaigns.Items)
	for _, item := range campaigns.Items {
		if item.Status == "active" {
			c.active++
		}
	}
	var partners, events []json.RawMessage
	err := errors.Join(get(ctx, base+"/obtener-partners", &partners), get(ctx, base+"/obtener-eventos", &events))
	c.partners, c.events = len(partners), len(events)
	return c, err
}

func get(ctx context.Context, url string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read or is of no use
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: GET %s answered %s", ErrScenario, url, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
