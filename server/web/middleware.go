package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/alpespartners/alpespartners/messaging"
)

// BearerToken returns an [Config].Authorize that admits requests with the header "Authorization: Bearer <token>". It
// admits nobody with an empty token.
func BearerToken(token string) func(r *http.Request) bool {
	want := sha256.Sum256([]byte(token))
	return func(r *http.Request) bool {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(given))
		return ok && token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
	}
}

// observed is a response writer that knows what was sent. [http.ResponseController] finds the one beneath.
type observed struct {
	http.ResponseWriter

	status int
	bytes  int64
	broken bool // the answer broke off
}

// WriteHeader implements [http.ResponseWriter].
func (o *observed) WriteHeader(status int) {
	if o.status == 0 && status >= http.StatusOK {
		o.status = status
	}
	o.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (o *observed) Write(p []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	n, err := o.ResponseWriter.Write(p)
	o.bytes += int64(n)
	return n, err
}

// breakOff says that the answer is not whole and cannot be completed any more.
func (o *observed) breakOff() { o.broken = true }

// Unwrap is for [http.ResponseController].
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// observe logs each request and turns panics into problems.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := &observed{ResponseWriter: w}
		defer s.finish(r.Context(), o, r, time.Now())
		next.ServeHTTP(o, r)
	})
}

// finish is deferred.
func (s *server) finish(ctx context.Context, o *observed, r *http.Request, began time.Time) {
	if value := recover(); value != nil {
		s.panicked(ctx, o, r.Pattern, value)
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "request",
		slog.String("method", knownMethod(r.Method)), slog.String("route", r.Pattern), slog.Int("status", o.status),
		slog.Int64("bytes", o.bytes), slog.Duration("duration", time.Since(began)), slog.Bool("brokenOff", o.broken))
	if o.broken {
		// Half an answer must not look like a whole one, and this is net/http's way to close the connection.
		panic(http.ErrAbortHandler)
	}
}

// panicked answers for a handler that panicked. The value may hold anything: its type and the stack must do.
func (s *server) panicked(ctx context.Context, o *observed, route string, value any) {
	s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "handler panicked", slog.String("route", route),
		slog.String("panic", fmt.Sprintf("%T", value)), slog.String("stack", string(debug.Stack())))
	if o.status != 0 {
		o.broken = true
		return
	}
	writeProblem(o, http.StatusInternalServerError, "something went wrong here: try again later")
}

// knownMethod keeps what a client invents out of the log.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}

// protect sets the security headers, and refuses what a foreign web site sends through a visitor's browser and what is not authorized.
func (s *server) protect(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		// The original's deletes are GET requests.
		foreign := crossOrigin.Check(r) != nil ||
			r.Header.Get("Sec-Fetch-Site") == "cross-site" && strings.HasPrefix(r.URL.Path, "/eliminar-")
		switch {
		case foreign:
			writeProblem(w, http.StatusForbidden, "requests from other web sites are not allowed")
		case !isProbe(r) && !s.cfg.Authorize(r):
			h.Set("WWW-Authenticate", "Bearer")
			writeProblem(w, http.StatusUnauthorized, "send the header Authorization: Bearer with the server's token")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// await has requests wait for the start; who asks how far it is gets an answer at once.
func (s *server) await(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isProbe(r) && s.cfg.Started(r.Context()) != nil {
			w.Header().Set("Retry-After", "5")
			writeProblem(w, http.StatusServiceUnavailable, "the server is not started yet: its log says what it waits for")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isProbe says that the request asks how the server is, which everyone may at any time.
func isProbe(r *http.Request) bool { return r.URL.Path == pathHealth || r.URL.Path == pathReady }

// readBody reads the body of a request that has one, and refuses what is no proper JSON before anything decodes it.
func (s *server) readBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodDelete {
			next.ServeHTTP(w, r)
			return
		}
		// Not every writer can: the recorders of tests cannot.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.Timeout))
		body, refusal := readJSON(r)
		if refusal != nil {
			writeProblem(w, refusal.status, refusal.detail)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// bound gives the operations their time and the trace that the request belongs to.
func (s *server) bound(ctx huma.Context, next func(huma.Context)) {
	within := ctx.Context()
	if trace := ctx.Header(messaging.HeaderTraceparent); isTraceparent(trace) {
		within = context.WithValue(within, traceKey{}, trace)
	}
	if _, streams := ctx.Operation().Metadata[metadataStreams]; !streams {
		bounded, cancel := context.WithTimeout(within, s.cfg.Timeout)
		defer cancel()
		within = bounded
	}
	next(huma.WithContext(ctx, within))
}

// metadataStreams marks operations whose answer has no bound.
const metadataStreams = "streams"

type traceKey struct{}

// isTraceparent tells a well-formed W3C trace context: version, trace, parent and flags, in lower case hexadecimal digits.
func isTraceparent(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) != 4 {
		return false
	}
	for i, size := range [...]int{2, 32, 16, 2} {
		if len(parts[i]) != size || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}
