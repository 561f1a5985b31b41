package pulsarmsg_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/pulsarmsg"
)

// server is a real broker.
type server struct {
	url       string
	admin     string
	namespace string // of this test alone
}

// newServer returns the broker that the run's tests share.
func newServer(t testing.TB) server {
	t.Helper()
	b := testenv.Pulsar(t)
	return server{url: b.URL, admin: b.AdminURL, namespace: b.Namespace}
}

// config returns the configuration of a driver for the server, with a log that shows up if the test fails.
func (s server) config(t testing.TB) pulsarmsg.Config {
	return pulsarmsg.Config{
		URL: s.url, AdminURL: s.admin, Namespace: s.namespace,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
}

// open returns a driver that is closed with the test.
func open(t testing.TB, c pulsarmsg.Config) *pulsarmsg.Broker {
	t.Helper()
	b, err := pulsarmsg.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

type testLog struct{ t testing.TB }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// ask sends a request to the REST interface and wants success. answer, if not nil, takes the response.
func (s server) ask(t testing.TB, method, path string, body, answer any) {
	t.Helper()
	if err := s.try(method, path, body, answer); err != nil {
		t.Fatal(err)
	}
}

func (s server) try(method, path string, body, answer any) error {
	var reader io.Reader = http.NoBody
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(context.Background(), method, s.admin+"/admin/v2/"+path, reader)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	if answer != nil {
		return json.Unmarshal(text, answer)
	}
	return nil
}

// unload makes the broker close the topic, as it does when it moves the topic to another broker.
func (s server) unload(t testing.TB, topic string) {
	t.Helper()
	s.ask(t, http.MethodPut, s.path(topic)+"/unload", nil, nil)
}

// path is where the REST interface has the topic.
func (s server) path(topic string) string { return "persistent/" + s.namespace + "/" + topic }

// full is the topic's name for clients that know no namespace.
func (s server) full(topic string) string { return "persistent://" + s.namespace + "/" + topic }

// topicName returns a topic that nobody else uses.
func topicName(t testing.TB) string {
	name := strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())
	return fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// inbox collects what a receiver gets and acknowledges it.
type inbox chan messaging.Message

func newInbox() inbox { return make(inbox, 100_000) }

func (in inbox) receive(_ context.Context, batch []messaging.Message) []messaging.Disposition {
	for _, m := range batch {
		in <- m
	}
	return make([]messaging.Disposition, len(batch))
}

func (in inbox) next(t testing.TB) messaging.Message {
	t.Helper()
	return wait(t, in, "message")
}

// wait returns the next value.
func wait[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("no %s in time", what)
		panic("unreachable")
	}
}

// consume subscribes, returns when that is ready, and ends with the test.
func consume(t testing.TB, b messaging.Subscriber, s messaging.Subscription, r messaging.Receiver) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- b.Subscribe(ctx, s, func() { close(ready) }, r) }()
	stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { stop() })
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("Subscribe: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("Subscribe is not ready in time")
	}
	return stop
}
