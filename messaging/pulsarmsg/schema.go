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
	"strconv"
	"strings"
	"sync"

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
	// names it. An error means that it cannot be read.
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

// writers finds out which schema a message without a fingerprint was written with, from the version that the broker gave it. Each version is asked
// for once.
type writers struct {
	schemas Schemas
	knows   func(topic, fingerprint string) bool
	admins  []string
	http    *http.Client
	logger  *slog.Logger
	full    func(topic string) string

	fetching sync.Mutex // one request at a time
	mu       sync.RWMutex
	known    map[writerVersion]string // the fingerprints
}

type writerVersion struct {
	topic   string
	version int64
}

func newWriters(c Config) (*writers, error) {
	w := &writers{schemas: c.Schemas, logger: c.Logger, full: c.fullTopic, known: make(map[writerVersion]string)}
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
	fingerprint, ok := w.known[writerVersion{m.Topic, versionNumber(version)}]
	w.mu.RUnlock()
	if ok {
		setFingerprint(m, fingerprint)
	}
	return ok
}

// resolve asks the broker for the schema and stamps m. An error means that the broker could not be asked. A schema that is lost or cannot be
// read gives a fingerprint that no schema has, so that the message is malformed to its codec instead of misread.
func (w *writers) resolve(ctx context.Context, m *messaging.Message, version []byte) error {
	w.fetching.Lock()
	defer w.fetching.Unlock()
	if w.stamp(m, version) {
		return nil
	}
	number := versionNumber(version)
	text, err := w.fetch(ctx, m.Topic, number)
	var fingerprint string
	if err == nil {
		fingerprint, err = w.schemas.AddWriter(m.Topic, text)
	} else if !errors.Is(err, errNoSchema) {
		return err
	}
	if err != nil {
		fingerprint = "schema-version-" + strconv.FormatInt(number, 10)
		w.logger.ErrorContext(ctx, "the schema of another writer cannot be used; its messages are malformed",
			"topic", m.Topic, "version", number, "error", err)
	}
	w.mu.Lock()
	w.known[writerVersion{m.Topic, number}] = fingerprint
	w.mu.Unlock()
	setFingerprint(m, fingerprint)
	return nil
}

// errNoSchema says that the broker answered and has no such Avro schema.
var errNoSchema = errors.New("pulsarmsg: no such Avro schema")

// explain returns why the broker has refused the topic's schema. Its own text has the two schemas and no reason; Schemas that can compare them name the fields.
func (w *writers) explain(ctx context.Context, topic string, refusal error) error {
	c, ok := w.schemas.(interface {
		Check(topic, currentJSON string) error
	})
	if !ok {
		return refusal
	}
	current, err := w.fetch(ctx, topic, latest)
	if err == nil {
		err = c.Check(topic, current)
	}
	return errors.Join(err, refusal)
}

// latest is the version in use, to fetch.
const latest = -1

// fetch returns the JSON text of one version of the topic's schema.
func (w *writers) fetch(ctx context.Context, topic string, version int64) (string, error) {
	_, path, _ := strings.Cut(w.full(topic), "://")
	path = "/admin/v2/schemas/" + path + "/schema"
	if version != latest {
		path += "/" + strconv.FormatInt(version, 10)
	}
	var failed []error
	for _, admin := range w.admins {
		text, err := w.get(ctx, admin+path)
		if err == nil || errors.Is(err, errNoSchema) {
			return text, err
		}
		failed = append(failed, err)
	}
	return "", errors.Join(failed...)
}

func (w *writers) get(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := w.http.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxSchemaAnswer))
	if err != nil {
		return "", err
	}
	var answer struct {
		Type   string `json:"type"`
		Data   string `json:"data"`
		Reason string `json:"reason"`
	}
	decodable := json.Unmarshal(body, &answer) == nil
	switch {
	case response.StatusCode == http.StatusNotFound && decodable && answer.Reason != "": // not of another server
		return "", fmt.Errorf("%w: %s", errNoSchema, answer.Reason)
	case response.StatusCode != http.StatusOK || !decodable:
		return "", fmt.Errorf("pulsarmsg: GET %s: status %s, no schema: check Config.AdminURL and the credentials", address, response.Status)
	case answer.Type != "AVRO":
		return "", fmt.Errorf("%w: its type is %s", errNoSchema, answer.Type)
	}
	return answer.Data, nil
}

func setFingerprint(m *messaging.Message, fingerprint string) {
	if m.Headers == nil {
		m.Headers = make(map[string]string, 1)
	}
	m.Headers[headerFingerprint] = fingerprint
}

// versionNumber returns the number of a schema version, -1 if it has none.
func versionNumber(version []byte) int64 {
	if len(version) != 8 {
		return -1
	}
	return int64(binary.BigEndian.Uint64(version))
}
