package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/registration"
	"github.com/alpespartners/alpespartners/alpes/tracking"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// maxID bounds the ids that are looked for, in characters.
const maxID = 100

// isID tells what could be an entity's id from what no database should be asked for.
func isID(s string) bool {
	return s != "" && s != "." && s != ".." && utf8.ValidString(s) && utf8.RuneCountInString(s) <= maxID &&
		!strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

// registerCampaign sends the command, with an id if it has none, and returns that and the id of the saga.
func (s *server) registerCampaign(ctx context.Context, cmd campaign.Register) (id, sagaID string, err error) {
	if cmd.ID, err = s.idFor(cmd.ID); err != nil {
		return "", "", err
	}
	return cmd.ID, string(coordinator.IDOf(registration.Name, cmd.ID)), s.send(ctx, cmd, cmd.ID)
}

func (s *server) registerPartner(ctx context.Context, cmd partner.Register) (id string, err error) {
	if cmd.ID, err = s.idFor(cmd.ID); err != nil {
		return "", err
	}
	return cmd.ID, s.send(ctx, cmd, cmd.ID)
}

func (s *server) registerEvent(ctx context.Context, cmd tracking.Register) (id string, err error) {
	if cmd.ID, err = s.idFor(cmd.ID); err != nil {
		return "", err
	}
	return cmd.ID, s.send(ctx, cmd, cmd.ID)
}

// cancel sends a cancelling command. Each is a message of its own: what was cancelled may be registered again.
func (s *server) cancel(ctx context.Context, cmd any) error {
	id, err := s.idFor("")
	if err != nil {
		return err
	}
	return s.send(ctx, cmd, id)
}

func (s *server) idFor(id string) (string, error) {
	if id != "" {
		return id, nil
	}
	id, err := s.cfg.NewID()
	if err != nil {
		return "", fmt.Errorf("web: make an id: %w", err)
	}
	return id, nil
}

// send publishes the command and waits until the broker keeps it.
func (s *server) send(ctx context.Context, cmd any, messageID string) error {
	m, err := s.cfg.Bus.Codec.Encode(cmd)
	if err != nil {
		return err
	}
	m.ID = messageID
	if trace, ok := ctx.Value(traceKey{}).(string); ok {
		m = m.WithHeader(messaging.HeaderTraceparent, trace)
	}
	if err := messaging.Publish(ctx, s.cfg.Bus.Broker, m); err != nil {
		return errors.Join(errUnavailable, err)
	}
	return nil
}

// stream is an answer that is written piece by piece and may take as long as the client goes on reading.
type stream struct {
	buffer  *bufio.Writer
	writer  http.ResponseWriter
	timeout time.Duration
}

func streamOf(ctx huma.Context, timeout time.Duration) *stream {
	_, w := humago.Unwrap(ctx)
	s := &stream{buffer: bufio.NewWriter(w), writer: w, timeout: timeout}
	s.extend()
	return s
}

// extend gives the next piece its time.
func (s *stream) extend() {
	_ = http.NewResponseController(s.writer).SetWriteDeadline(time.Now().Add(s.timeout)) // not every writer can
}

// Write implements [io.Writer].
func (s *stream) Write(p []byte) (int, error) { return s.buffer.Write(p) }

// text writes a separator; what goes wrong is told by what is written after it.
func (s *stream) text(separator string) { _, _ = s.buffer.WriteString(separator) }

// breakOff tells the client that the answer is not whole, by closing the connection.
func (s *stream) breakOff() {
	if w, ok := s.writer.(interface{ breakOff() }); ok {
		w.breakOff()
	}
}

// close sends what is left.
func (s *stream) close() error {
	s.extend()
	return s.buffer.Flush()
}
