package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/alpespartners/alpespartners/alpes/campaign"
	"github.com/alpespartners/alpespartners/alpes/partner"
	"github.com/alpespartners/alpespartners/alpes/tracking"
)

// The paths of what every handler has.
const (
	pathHealth  = "/healthz"
	pathReady   = "/readyz"
	pathOpenAPI = "/openapi.json"
	pathDocs    = "/docs"
)

// readyTimeout bounds a check of readiness: who asks does not wait longer.
const readyTimeout = 5 * time.Second

// The tags that group the operations.
const (
	tagOriginal   = "original"
	tagV1         = "v1"
	tagSagas      = "sagas"
	tagOperations = "operations"
)

// server is what the operations share.
type server struct {
	cfg       Config
	mux       *http.ServeMux
	api       huma.API
	campaigns reads[campaign.View]
	partners  reads[partner.View]
	events    reads[tracking.View]
}

// New returns the handler of c's services, which is safe for concurrent use and has nothing to be closed. A configuration that
// cannot work: [ErrConfig], with all faults.
func New(c Config) (http.Handler, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &server{cfg: c, mux: http.NewServeMux()}
	s.api = humago.New(s.mux, apiConfig(c.Version))
	s.api.UseMiddleware(s.bound)
	s.campaigns, s.partners, s.events = campaignReads(c.Campaigns), partnerReads(c.Partners), eventReads(c.Events)
	s.mountOperations()
	if c.serves(BFF) {
		s.mountBFF()
		s.mountV1()
	}
	s.mountServices()
	switch {
	case c.Sagas != nil:
		s.mountSagas()
	case c.serves(BFF):
		s.mountSagasElsewhere()
	}
	if err := s.mountDocs(); err != nil {
		return nil, err
	}
	return s.observe(s.protect(s.route(s.readBody(s.mux)))), nil
}

func apiConfig(version string) huma.Config {
	config := huma.DefaultConfig("Alpes Partners", version)
	config.Info.Description = "Campaigns, partners and tracking events of Alpes Partners, and the sagas that register them. " +
		"The routes tagged original are those of the original system, in its Spanish; those tagged v1 are the ones to use."
	config.Formats = map[string]huma.Format{"application/json": jsonFormat(), "json": jsonFormat()}
	config.Transformers = []huma.Transformer{tidy}
	config.CreateHooks = nil // no $schema in answers
	// We serve the document and its page ourselves: the library's page needs the Internet.
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	return config
}

// register adds an operation whose errors are told by [server.failure].
func register[I, O any](s *server, op huma.Operation, fn func(context.Context, *I) (*O, error)) {
	// Bodies are read and bounded before routing; see readBody.
	op.MaxBodyBytes, op.BodyReadTimeout = -1, -1
	if op.Method == http.MethodPost {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, s.failure(ctx, op, err)
		}
		return out, nil
	})
}

// route answers requests that no operation takes.
func (s *server) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := s.mux.Handler(r)
		switch {
		case pattern != "" && r.Method == http.MethodHead && strings.Contains(pattern, " /eliminar-"):
			w.Header().Set("Allow", http.MethodGet) // which commands; a HEAD must not
			writeProblem(w, http.StatusMethodNotAllowed, "the method is not allowed here: use GET")
		case pattern != "":
			next.ServeHTTP(w, r)
		default:
			answer := &headerOnly{header: http.Header{}}
			handler.ServeHTTP(answer, r)
			if answer.status != http.StatusMethodNotAllowed {
				writeProblem(w, http.StatusNotFound, "there is no such route: see "+pathDocs)
				return
			}
			allow := answer.header.Get("Allow")
			w.Header().Set("Allow", allow)
			writeProblem(w, http.StatusMethodNotAllowed, "the method is not allowed here: use "+allow)
		}
	})
}

// headerOnly is a response writer that keeps status and header.
type headerOnly struct {
	header http.Header
	status int
}

// Header implements [http.ResponseWriter].
func (h *headerOnly) Header() http.Header { return h.header }

// Write implements [http.ResponseWriter].
func (h *headerOnly) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader implements [http.ResponseWriter].
func (h *headerOnly) WriteHeader(status int) { h.status = status }

// statusBody is the original's answer to what it has taken.
type statusBody struct {
	Status string `enum:"ok" json:"status"`
}

type statusOutput struct {
	Body statusBody
}

func ok() *statusOutput { return &statusOutput{Body: statusBody{Status: "ok"}} }

// mountOperations adds the routes for those who run the server.
func (s *server) mountOperations() {
	register(s, huma.Operation{
		OperationID: "is-alive", Method: http.MethodGet, Path: pathHealth, Tags: []string{tagOperations},
		Summary: "Says that the server answers",
	}, func(context.Context, *struct{}) (*statusOutput, error) { return ok(), nil })
	register(s, huma.Operation{
		OperationID: "is-ready", Method: http.MethodGet, Path: pathReady, Tags: []string{tagOperations},
		Summary: "Says whether requests can be served", Errors: []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, _ *struct{}) (*statusOutput, error) {
		bounded, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if err := s.cfg.Ready(bounded); err != nil {
			s.cfg.Logger.WarnContext(ctx, "not ready", "error", err.Error())
			return nil, huma.Error503ServiceUnavailable("not ready: the log says why")
		}
		return ok(), nil
	})
}
