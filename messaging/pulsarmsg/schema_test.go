package pulsarmsg

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alpespartners/alpespartners/messaging"
)

// TestAWritersSchemaIsAskedFor: until the REST interface answers, messages of the version wait, with the later ones of their keys.
func TestAWritersSchemaIsAskedFor(t *testing.T) {
	t.Parallel()
	up := false
	var mu sync.Mutex
	asked := 0
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !up {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		asked++
		if r.URL.Path != "/admin/v2/schemas/public/default/t/schema/7" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		fmt.Fprint(w, `{"version":7,"type":"AVRO","data":"the schema","properties":{}}`)
	}))
	defer rest.Close()
	s := newStage(t, func(c *Config) {
		c.AdminURL = rest.URL
		c.Schemas = fakeSchemas{}
		c.Backoff = messaging.Backoff{Base: time.Millisecond, Max: time.Millisecond}
	})
	got := make(chan messaging.Message, 10)
	s.subscribe(messaging.KeyShared, 0, func(m messaging.Message) messaging.Disposition {
		got <- m
		return messaging.Disposition{}
	})
	c := <-s.made
	old := func(m *fakeMessage) { m.version = []byte{0, 0, 0, 0, 0, 0, 0, 7} }
	c.deliver(1, "a", old)
	c.deliver(2, "a", old)
	c.deliver(3, "b", old, func(m *fakeMessage) { m.properties[headerFingerprint] = "own" })
	if m := <-got; m.ID != "3" {
		t.Errorf("got %s, want 3, which has a fingerprint", m.ID)
	}
	mu.Lock()
	up = true
	mu.Unlock()
	for i := range 2 {
		if m := <-got; m.ID != fmt.Sprint(i+1) || m.Header(headerFingerprint) != "fingerprint of the schema" || m.Delivery != 1 {
			t.Errorf("got %+v, want %d with the fingerprint and delivery 1", m, i+1)
		}
	}
	for i := range 3 {
		c.deliver(int64(i+4), fmt.Sprint(i), old)
		if m := <-got; m.Header(headerFingerprint) != "fingerprint of the schema" {
			t.Errorf("got %+v, want it with the fingerprint", m)
		}
	}
	s.stop()
	if asked != 1 {
		t.Errorf("the version was asked for %d times, want once", asked)
	}
}

// fakeSchemas knows topic "t" and takes every schema but "bad"; it names none that is "unnamed".
type fakeSchemas struct{}

func (fakeSchemas) Schema(topic string) (string, bool) { return "own", topic == "t" }

func (fakeSchemas) AddWriter(_, text string) (string, error) {
	if text == "bad" {
		return "", errors.New("cannot be read")
	}
	if text == "unnamed" {
		return "", nil
	}
	return "fingerprint of " + text, nil
}

func TestWritersSchemasThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	status, body := http.StatusOK, ""
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer rest.Close()
	for _, c := range []struct {
		status      int
		body        string
		fingerprint string
		ok          bool
	}{
		{200, `{"type":"AVRO","data":"good"}`, "fingerprint of good", true},
		{200, `{"type":"AVRO","data":"unnamed"}`, "", true},
		{200, `{"type":"AVRO","data":"bad"}`, "schema-version-9", true},
		{200, `{"type":"JSON","data":"{}"}`, "schema-version-9", true},
		{404, `{"reason":"Schema not found"}`, "schema-version-9", true},
		{404, `<html>another server</html>`, "", false},
		{404, `{}`, "", false},
		{401, `{"reason":"HTTP 401 Unauthorized"}`, "", false},
		{500, `{"reason":"broken"}`, "", false},
		{200, `not JSON`, "", false},
	} {
		status, body = c.status, c.body
		w, err := newWriters(Config{URL: "pulsar://h:1", AdminURL: rest.URL + "/", Schemas: fakeSchemas{}, Logger: slog.New(slog.DiscardHandler)}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		m := messaging.Message{Topic: "t"}
		version := []byte{0, 0, 0, 0, 0, 0, 0, 9}
		_, ok := w.resolve(t.Context(), &m, version)
		if got := m.Header(headerFingerprint); got != c.fingerprint || ok != c.ok {
			t.Errorf("%d %s: fingerprint %q, %v; want %q, %v", c.status, c.body, got, ok, c.fingerprint, c.ok)
		}
		if w.stamp(&messaging.Message{Topic: "t"}, version) != c.ok {
			t.Errorf("%d %s: what comes next is not treated alike", c.status, c.body)
		}
		if _, err := w.fetch(t.Context(), "t", "schema/9"); !ok && !strings.Contains(err.Error(), "Config.AdminURL") {
			t.Errorf("%v does not say what to check", err)
		}
		for _, strange := range [][]byte{{9}, []byte("all"), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} { // not the latest
			m = messaging.Message{Topic: "t"}
			if _, ok := w.resolve(t.Context(), &m, strange); !ok || m.Header(headerFingerprint) != "schema-version-0" {
				t.Errorf("version %x: %v %+v", strange, ok, m)
			}
		}
		w.http.CloseIdleConnections()
	}
}

func TestOtherTopicsNeedNoSchema(t *testing.T) {
	t.Parallel()
	w, err := newWriters(Config{URL: "pulsar://h:1", Schemas: fakeSchemas{}}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	version := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	for _, m := range []messaging.Message{{Topic: "other"}, {Topic: "t", Headers: map[string]string{headerFingerprint: "f"}}} {
		if !w.stamp(&m, version) {
			t.Errorf("%+v: a schema is asked for", m)
		}
	}
	if m := (messaging.Message{Topic: "t"}); w.stamp(&m, version) || !w.stamp(&m, nil) {
		t.Error("a version that is not known passes, or none does not")
	}
	w, err = newWriters(Config{URL: "pulsar://h:1"}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	if !w.stamp(&messaging.Message{Topic: "t"}, version) {
		t.Error("without Schemas, a schema is asked for")
	}
}

// TestAnAdminURLThatDoesNotAnswer holds up the messages that need it, and no others.
func TestAnAdminURLThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/7") {
			select {
			case <-answer:
			case <-r.Context().Done():
			}
		}
		fmt.Fprintf(w, `{"type":"AVRO","data":%q}`, r.URL.Path[len(r.URL.Path)-1:])
	}))
	defer rest.Close()
	s := newStage(t, func(c *Config) {
		c.AdminURL = rest.URL
		c.Schemas = fakeSchemas{}
		c.OperationTimeout = time.Hour
	})
	got := make(chan messaging.Message, 10)
	s.subscribe(messaging.Failover, 0, func(m messaging.Message) messaging.Disposition { // one call at a time
		got <- m
		return messaging.Disposition{}
	})
	c := <-s.made
	of := func(version byte) func(*fakeMessage) {
		return func(m *fakeMessage) { m.version = []byte{0, 0, 0, 0, 0, 0, 0, version} }
	}
	c.deliver(1, "a", of(7))
	c.deliver(2, "a")
	c.deliver(3, "b", of(8))
	c.deliver(4, "c")
	for _, want := range []string{"3", "4"} {
		if m := <-got; m.ID != want {
			t.Errorf("got %s, want %s", m.ID, want)
		}
	}
	close(answer)
	for _, want := range []string{"1", "2"} {
		if m := <-got; m.ID != want || m.Delivery != 1 {
			t.Errorf("got %+v, want %s, delivered once", m, want)
		}
	}
	s.stop()
}

// TestANewConsumerAsksForSchemasAnew: its topic may have been deleted and made anew, and a version then is another schema's.
func TestANewConsumerAsksForSchemasAnew(t *testing.T) {
	t.Parallel()
	texts := make(chan string, 2)
	texts <- "first"
	texts <- "second"
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"type":"AVRO","data":%q}`, <-texts)
	}))
	defer rest.Close()
	s := newStage(t, func(c *Config) {
		c.AdminURL, c.Schemas, c.Prefetch = rest.URL, fakeSchemas{}, 7
		c.Backoff = messaging.Backoff{Base: time.Millisecond, Max: time.Millisecond}
	})
	got := make(chan messaging.Message, 2)
	s.subscribe(messaging.KeyShared, 0, func(m messaging.Message) messaging.Disposition {
		got <- m
		return messaging.Disposition{}
	})
	for i, want := range []string{"first", "second"} {
		c := <-s.made
		if o := c.options; o.ReceiverQueueSize != 7 || o.AckGroupingOptions.MaxTime > 100*time.Millisecond {
			t.Errorf("the receiver queue has room for %d, want Prefetch; acknowledgements wait %v", o.ReceiverQueueSize, o.AckGroupingOptions.MaxTime)
		}
		c.deliver(int64(i), "", func(m *fakeMessage) { m.version = []byte{0, 0, 0, 0, 0, 0, 0, 0} })
		if m := <-got; m.Header(headerFingerprint) != "fingerprint of "+want {
			t.Errorf("consumer %d: %v, want the %s schema", i, m.Headers, want)
		}
		if i == 0 {
			c.reconnect()
		}
	}
	s.stop()
}

// TestAVersionThatIsAnotherSchemas stands beside a fingerprint in what is published again, by somebody who writes with another schema.
func TestAVersionThatIsAnotherSchemas(t *testing.T) {
	t.Parallel()
	var asked []string
	rest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, strings.TrimPrefix(r.URL.Path, "/admin/v2/schemas/public/default/t/"))
		fmt.Fprint(w, `{"type":"AVRO","data":"old","getSchemaResponses":`+map[bool]string{
			true: `[{"type":"AVRO","data":"old"},{"type":"JSON","data":"no"},{"type":"AVRO","data":"new"}]`, false: "null",
		}[strings.HasSuffix(r.URL.Path, "/schemas")]+`}`)
	}))
	defer rest.Close()
	schemas := &learner{known: map[string]bool{}}
	down := httptest.NewServer(nil)
	down.Close()
	w, err := newWriters(Config{URL: "pulsar://h:1", AdminURL: down.URL + "," + rest.URL, Schemas: schemas, Logger: slog.New(slog.DiscardHandler)}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer w.http.CloseIdleConnections()
	for _, c := range []struct {
		named, want string
		readable    bool
	}{
		{"", "fingerprint of old", true},
		{"fingerprint of old", "fingerprint of old", true},
		{"fingerprint of new", "fingerprint of new", true},
		{"schema-version-9", "schema-version-9", false},
		{"nobody's", "nobody's", false},
	} {
		m := messaging.Message{Topic: "t", Headers: map[string]string{headerFingerprint: c.named}}
		version := []byte{0, 0, 0, 0, 0, 0, 0, 3}
		if !w.stamp(&m, version) {
			if after, ok := w.resolve(t.Context(), &m, version); !ok {
				t.Errorf("%q: wait %v", c.named, after)
			}
		}
		if got := m.Header(headerFingerprint); got != c.want || schemas.Knows("t", got) != c.readable {
			t.Errorf("%q became %q, readable: %v", c.named, got, schemas.Knows("t", got))
		}
	}
	if got := strings.Join(asked, ", "); got != "schema/3, schemas" {
		t.Errorf("asked for %s", got)
	}
}

// learner knows the schemas that it was told of.
type learner struct {
	fakeSchemas
	known map[string]bool
}

func (l *learner) AddWriter(topic, text string) (string, error) {
	fingerprint, err := l.fakeSchemas.AddWriter(topic, text)
	l.known[fingerprint] = true
	return fingerprint, err
}

func (l *learner) Knows(_, fingerprint string) bool { return l.known[fingerprint] }

// TestUnusableSchemasAreAskedForAgain after a minute, and when the topic has a new consumer: it may have been deleted and made anew.
func TestUnusableSchemasAreAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := ""
		asked := 0
		w, err := newWriters(Config{URL: "pulsar://h:1", Schemas: fakeSchemas{}, Logger: slog.New(slog.DiscardHandler)}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		w.http.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			asked++
			status, body := http.StatusOK, fmt.Sprintf(`{"type":"AVRO","data":%q}`, text)
			if text == "" {
				status, body = http.StatusNotFound, `{"reason":"Schema not found"}`
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
		})
		want := func(fingerprint string, asks int) {
			t.Helper()
			m, version := messaging.Message{Topic: "t"}, []byte{0, 0, 0, 0, 0, 0, 0, 1}
			if !w.stamp(&m, version) {
				w.resolve(t.Context(), &m, version)
			}
			if got := m.Header(headerFingerprint); got != fingerprint || asked != asks {
				t.Errorf("fingerprint %q after %d requests, want %q after %d", got, asked, fingerprint, asks)
			}
		}
		want("schema-version-1", 1)
		text = "one"
		<-time.After(unusableFor - time.Second)
		want("schema-version-1", 1)
		<-time.After(time.Second)
		want("fingerprint of one", 2)
		text = "two"
		<-time.After(time.Hour)
		want("fingerprint of one", 2)
		w.forget("other")
		want("fingerprint of one", 2)
		w.forget("t")
		want("fingerprint of two", 3)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
