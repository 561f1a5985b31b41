package pulsarmsg

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
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

// fakeSchemas knows topic "t" and takes every schema but "bad".
type fakeSchemas struct{}

func (fakeSchemas) Schema(topic string) (string, bool) { return "own", topic == "t" }

func (fakeSchemas) AddWriter(_, text string) (string, error) {
	if text == "bad" {
		return "", errors.New("cannot be read")
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
		fingerprint string // "": an error
	}{
		{200, `{"type":"AVRO","data":"good"}`, "fingerprint of good"},
		{200, `{"type":"AVRO","data":"bad"}`, "schema-version-9"},
		{200, `{"type":"JSON","data":"{}"}`, "schema-version-9"},
		{404, `{"reason":"Schema not found"}`, "schema-version-9"},
		{404, `<html>another server</html>`, ""},
		{404, `{}`, ""},
		{401, `{"reason":"HTTP 401 Unauthorized"}`, ""},
		{500, `{"reason":"broken"}`, ""},
		{200, `not JSON`, ""},
	} {
		status, body = c.status, c.body
		w, err := newWriters(Config{URL: "pulsar://h:1", AdminURL: rest.URL + "/", Schemas: fakeSchemas{}, Logger: slog.New(slog.DiscardHandler)}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		m := messaging.Message{Topic: "t"}
		err = w.resolve(t.Context(), &m, []byte{0, 0, 0, 0, 0, 0, 0, 9})
		if got := m.Header(headerFingerprint); got != c.fingerprint || (err != nil) != (c.fingerprint == "") {
			t.Errorf("%d %s: fingerprint %q, %v; want %q", c.status, c.body, got, err, c.fingerprint)
		}
		if err != nil && !strings.Contains(err.Error(), "Config.AdminURL") {
			t.Errorf("%v does not say what to check", err)
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
