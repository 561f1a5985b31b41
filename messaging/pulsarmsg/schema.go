package pulsarmsg

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/alpespartners/alpespartners/messaging"
)

// headerFingerprint is package avromsg's HeaderFingerprint, which names the schema that a payload was written with.
const headerFingerprint = "avro-fingerprint"

// maxSchemaAnswer bounds what is read of the REST interface's answer, in bytes.
const maxSchemaAnswer = 4 << 20

// Schemas knows the Avro schemas of topics. Implementations, such as codecs, are safe for concurrent use.
type Schemas interface {
	// Schema returns the JSON text of the schema that messages on the topic are written with; it is registered with the broker byte for byte. ok is
	// false for topics without one.
	Schema(topic string) (schemaJSON string, ok bool)
	// AddWriter makes a schema known that others write with on the topic, and returns the fingerprint by which the header "avro-fingerprint"
	// names it; with an empty one, messages stay as they are. An error means that it cannot be read.
	AddWriter(topic, schemaJSON string) (fingerprint string, err error)
}

// knower is what Schemas may have besides. With it, the schema of a message whose fingerprint is not known yet, as that of a newer version of its producer, is asked
// for by its version like that of a message without one. Without it, a fingerprint is all that is looked at.
type knower interface {
	// Knows says whether messages on the topic with the fingerprint can be read.
	Knows(topic, fingerprint string) bool
}

// registered is a schema as the client wants it. Nothing is encoded or decoded through it: the client would do that without resolving schemas,
// and would end the process over one that it cannot parse.
type registered struct {
	info pulsar.SchemaInfo
}

func newRegistered(topic, text string) *registered {
	return &registered{info: pulsar.SchemaInfo{Name: topic, Type: pulsar.AVRO, Schema: text}}
}

var errNotHere = errors.New("pulsarmsg: codecs encode and decode, not the client")

// Encode is never called: messages have payloads.
func (r *registered) Encode(any) ([]byte, error) { return nil, errNotHere }

// Decode is never called.
func (r *registered) Decode([]byte, any) error { return errNotHere }

// Validate is never called.
func (r *registered) Validate([]byte) error { return errNotHere }

// GetSchemaInfo returns what is registered.
func (r *registered) GetSchemaInfo() *pulsar.SchemaInfo { return &r.info }

const (
	// patience is how long messages that can be read wait, at most, for the schema of one that is delivered with them.
	patience = 100 * time.Millisecond
	// unusableFor is how long a schema that is lost or cannot be read is not asked for again.
	unusableFor = time.Minute
)

// writers finds out which schema a message without a fingerprint was written with, from the version that the broker gave it. Each version is asked
// for once, and again after a failure, by one request at a time; no version waits for another's.
type writers struct {
	schemas Schemas
	knows   func(topic, fingerprint string) bool
	admins  []string
	http    *http.Client
	logger  *slog.Logger
	backoff messaging.Backoff
	full    func(topic string) string
	spawn   func(func())

	mu    sync.RWMutex
	known map[writerVersion]*inquiry
}

// writerVersion is a version of a topic's schema as a message has it, whatever its bytes are, or every one that the topic has.
type writerVersion struct {
	topic, version string
	every          bool
}

// String names the version in the log.
func (v writerVersion) String() string {
	if v.every {
		return "every"
	}
	number, err := versionNumber(v.version)
	if err != nil {
		return fmt.Sprintf("%x", v.version)
	}
	return strconv.FormatInt(number, 10)
}

// inquiry is what is known of one version. The writers' lock guards it.
type inquiry struct {
	known       bool          // the broker has answered
	fingerprint string        // empty if the codec needs none
	attempts    int           // so far
	began       time.Time     // the last attempt
	answered    chan struct{} // closed at its end; nil while none is under way
	again       time.Time     // when the next is due, after a failure or for an unusable schema; zero: never
}

func newWriters(c Config) (*writers, error) {
	w := &writers{
		schemas: c.Schemas, logger: c.Logger, backoff: c.Backoff, full: c.fullTopic,
		spawn: func(f func()) { go f() }, known: make(map[writerVersion]*inquiry),
	}
	if c.Schemas == nil {
		return w, nil
	}
	w.knows = func(string, string) bool { return true }
	if k, ok := c.Schemas.(knower); ok {
		w.knows = k.Knows
	}
	var err error
	w.http, err = c.httpClient()
	for admin := range strings.SplitSeq(c.AdminURL, ",") {
		w.admins = append(w.admins, strings.TrimRight(admin, "/"))
	}
	return w, err
}

// stamp gives m the fingerprint of its writer's schema if that is known already or needs none. Where it returns false, resolve has to be called.
func (w *writers) stamp(m *messaging.Message, version []byte) bool {
	if len(version) == 0 || w.schemas == nil {
		return true
	}
	if named := m.Headers[headerFingerprint]; named != "" && w.knows(m.Topic, named) {
		return true
	}
	if _, ok := w.schemas.Schema(m.Topic); !ok {
		return true
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	_, ok := w.stamped(m, version)
	return ok
}

// stamped gives m its fingerprint, or returns what has to be asked for first. The lock is held. A fingerprint that m has stays if the version is another
// schema's: it was published again by somebody who writes with that one. Then all of the topic's schemas are made known.
func (w *writers) stamped(m *messaging.Message, version []byte) (ask writerVersion, ok bool) {
	ask = writerVersion{topic: m.Topic, version: string(version)}
	q := w.known[ask]
	if !q.settled() {
		return ask, false
	}
	if named := m.Headers[headerFingerprint]; named == "" || named == q.fingerprint {
		setFingerprint(m, q.fingerprint)
		return ask, true
	}
	ask = writerVersion{topic: m.Topic, every: true}
	return ask, w.known[ask].settled()
}

// settled says that the broker has answered, and that the answer is not out of date.
func (q *inquiry) settled() bool { return q != nil && q.known && !q.due() }

// due says that what is known is out of date.
func (q *inquiry) due() bool { return !q.again.IsZero() && !time.Now().Before(q.again) }

// resolve asks the broker for the schema and stamps m, or returns after what time to try again. It waits for the answer for as long as patience allows, once in
// an attempt. A schema that is lost or cannot be read gives a fingerprint that no schema has, so that the message is malformed to its codec
// instead of misread.
func (w *writers) resolve(ctx context.Context, m *messaging.Message, version []byte) (after time.Duration, ok bool) {
	for {
		w.mu.RLock()
		ask, ok := w.stamped(m, version)
		w.mu.RUnlock()
		if ok {
			return 0, true
		}
		if after, ok = w.wait(ctx, ask); !ok {
			return after, false
		}
	}
}

// wait asks and waits for the answer, or returns after what time to try again.
func (w *writers) wait(ctx context.Context, ask writerVersion) (after time.Duration, ok bool) {
	q, answered, began := w.inquire(ctx, ask)
	if answered != nil {
		timer := time.NewTimer(time.Until(began.Add(patience)))
		defer timer.Stop()
		select {
		case <-answered:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	switch {
	case q.known:
		return 0, true
	case q.answered != nil:
		return patience, false
	default:
		return max(time.Until(q.again), time.Millisecond), false
	}
}

// inquire returns what is known of the version, and begins an attempt if one is due.
func (w *writers) inquire(ctx context.Context, v writerVersion) (q *inquiry, answered <-chan struct{}, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q = w.known[v]
	if q == nil {
		q = &inquiry{}
		w.known[v] = q
	}
	if q.answered == nil && (q.attempts == 0 || q.due()) {
		done := make(chan struct{})
		q.known, q.began, q.answered = false, time.Now(), done
		q.attempts++
		w.spawn(func() {
			defer close(done)
			w.attempt(ctx, q, v)
		})
	}
	return q, q.answered, q.began
}

// attempt asks once. An answer that says "there is none" may be another cluster's, so it holds for some time only, as does what there is at a time.
func (w *writers) attempt(ctx context.Context, q *inquiry, v writerVersion) {
	fingerprint, err := w.ask(ctx, v)
	about := []any{"topic", v.topic, "version", v.String(), "error", err}
	w.mu.Lock()
	defer w.mu.Unlock()
	q.answered, q.again = nil, time.Time{}
	if err != nil && !errors.Is(err, errNoSchema) {
		delay := w.backoff.Delay(q.attempts, v.topic)
		q.again = time.Now().Add(delay)
		if ctx.Err() == nil {
			w.logger.WarnContext(ctx, "the schema of another writer is not to be had; its messages wait", append(about, "again", delay)...)
		}
		return
	}
	q.known, q.fingerprint = true, fingerprint
	if err != nil {
		w.logger.ErrorContext(ctx, "the schema of another writer cannot be used; its messages are malformed", about...)
	}
	if err != nil || v.every {
		q.attempts, q.again = 0, time.Now().Add(unusableFor)
	}
}

// ask makes the version known, or every one. With [errNoSchema], which says that the broker has answered, the fingerprint is one that no schema has.
func (w *writers) ask(ctx context.Context, v writerVersion) (fingerprint string, err error) {
	if v.every {
		texts, err := w.fetch(ctx, v.topic, "schemas")
		for _, text := range texts {
			_, _ = w.schemas.AddWriter(v.topic, text) // whose message it is will tell
		}
		return "", err
	}
	number, err := versionNumber(v.version)
	unusable := "schema-version-" + strconv.FormatInt(number, 10)
	if err != nil {
		return unusable, err
	}
	texts, err := w.fetch(ctx, v.topic, "schema/"+strconv.FormatInt(number, 10))
	if err != nil {
		return unusable, err
	}
	if fingerprint, err = w.schemas.AddWriter(v.topic, texts[0]); err != nil {
		return unusable, fmt.Errorf("%w: %w", errNoSchema, err)
	}
	return fingerprint, nil
}

// forget has the schemas of a topic asked for again: a topic that was deleted and made anew counts its versions from the beginning, and no consumer outlives that.
func (w *writers) forget(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v := range w.known {
		if v.topic == topic {
			delete(w.known, v)
		}
	}
}

// errNoSchema says that the broker answered and has no such Avro schema, or none that can be read.
var errNoSchema = errors.New("pulsarmsg: no such Avro schema")

// explain returns why the broker has refused the topic's schema. Its own text has the two schemas and no reason; Schemas that can compare them name the fields.
func (w *writers) explain(ctx context.Context, topic string, refusal error) error {
	c, ok := w.schemas.(interface {
		Check(topic, currentJSON string) error
	})
	if !ok {
		return refusal
	}
	current, err := w.fetch(ctx, topic, "schema")
	if err == nil {
		err = c.Check(topic, current[0])
	}
	return errors.Join(err, refusal)
}

// fetch returns the JSON texts of the topic's schemas: "schema" is the one in use, "schema/7" a version, "schemas" all, of which there is at least one.
func (w *writers) fetch(ctx context.Context, topic, what string) ([]string, error) {
	_, name, _ := strings.Cut(w.full(topic), "://")
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(url.QueryEscape(part)) // the broker decodes both
	}
	path := "/admin/v2/schemas/" + strings.Join(parts, "/") + "/" + what
	var failed []error
	for _, admin := range w.admins {
		texts, err := w.get(ctx, admin+path)
		if err == nil {
			return texts, nil
		}
		failed = append(failed, err)
	}
	return nil, errors.Join(failed...)
}

func (w *writers) get(ctx context.Context, address string) (avro []string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSchemaAnswer))
	if err != nil {
		return nil, err
	}
	type schema struct {
		Type string `json:"type"`
		Data string `json:"data"`
	}
	var answer struct {
		schema
		All    []schema `json:"getSchemaResponses"`
		Reason string   `json:"reason"`
	}
	decodable := json.Unmarshal(body, &answer) == nil
	switch {
	case response.StatusCode == http.StatusNotFound && decodable && answer.Reason != "": // not of another server
		return nil, fmt.Errorf("%w: GET %s: %s; is Config.AdminURL of the same cluster as Config.URL?", errNoSchema, address, answer.Reason)
	case response.StatusCode != http.StatusOK || !decodable:
		return nil, fmt.Errorf("pulsarmsg: GET %s: status %s, no schema: check Config.AdminURL and the credentials", address, response.Status)
	}
	if answer.All == nil {
		answer.All = []schema{answer.schema}
	}
	for _, one := range answer.All {
		if one.Type == "AVRO" {
			avro = append(avro, one.Data)
		}
	}
	if len(avro) == 0 {
		return nil, fmt.Errorf("%w: GET %s: its type is %q", errNoSchema, address, answer.Type)
	}
	return avro, nil
}

func setFingerprint(m *messaging.Message, fingerprint string) {
	if fingerprint == "" {
		return
	}
	if m.Headers == nil {
		m.Headers = make(map[string]string, 1)
	}
	m.Headers[headerFingerprint] = fingerprint
}

// versionNumber returns the number of a schema version as messages have it.
func versionNumber(version string) (int64, error) {
	if len(version) != 8 || version[0] >= 0x80 {
		return 0, fmt.Errorf("%w: the version %x is not a number", errNoSchema, version)
	}
	return int64(binary.BigEndian.Uint64([]byte(version))), nil
}
