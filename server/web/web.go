package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"slices"
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
	explained []explained
}

// New returns the handler of c's services, which is safe for concurrent use and has nothing to be closed. A configuration that
// cannot work: [ErrConfig], with all faults.
func New(c Config) (http.Handler, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &server{cfg: c, mux: http.NewServeMux(), explained: explain(c.Definitions)}
	s.api = humago.New(s.mux, apiConfig(c.Version))
	s.api.UseMiddleware(s.bound)
	s.campaigns, s.partners, s.events = campaignReads(c.Campaigns), partnerReads(c.Partners), eventReads(c.Events)
	s.mountOperations()
	if c.serves(BFF) {
		s.mountBFF()
		s.mountV1()
	}
	s.mountServices()
	if c.Sagas != nil || len(c.Parties) > 0 || c.serves(BFF) {
		s.mountSagas()
		s.mountOperators()
	}
	if err := s.mountDocs(); err != nil {
		return nil, err
	}
	return s.observe(s.protect(s.await(s.route(s.readBody(s.mux))))), nil
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
		if faults := illegible("", reflect.ValueOf(in).Elem()); len(faults) > 0 {
			return nil, invalid(faults...)
		}
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

// mountDocs adds the OpenAPI document and a page that lists its operations. It comes last: the document is made once.
func (s *server) mountDocs() error {
	document := s.api.OpenAPI()
	if detail := document.Components.Schemas.Map()["ErrorDetail"]; detail != nil {
		delete(detail.Properties, "value") // we do not repeat what was sent
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return fmt.Errorf("web: encode the OpenAPI document: %w", err)
	}
	page, err := docsPage(document)
	if err != nil {
		return fmt.Errorf("web: make the documentation: %w", err)
	}
	s.mux.HandleFunc("GET "+pathOpenAPI, serve("application/json", text))
	s.mux.HandleFunc("GET "+pathDocs, serve("text/html; charset=utf-8", page))
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, pathDocs, http.StatusFound)
	})
	return nil
}

func serve(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // a client that has gone
	}
}

type docsLine struct {
	Tag, Method, Path, Summary string
}

const docsTemplate = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}code{white-space:nowrap}</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Description}}</p>
<p>All about bodies and answers is in the <a href="{{.OpenAPI}}">OpenAPI document</a>.</p>
<table>
{{range .Lines}}<tr><td>{{.Tag}}</td><td><code>{{.Method}}</code></td><td><code>{{.Path}}</code></td><td>{{.Summary}}</td></tr>
{{end}}</table>
</body>
</html>
`

// docsPage is plain HTML: it needs neither scripts nor the Internet.
func docsPage(document *huma.OpenAPI) ([]byte, error) {
	parsed, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, err
	}
	var lines []docsLine
	for path, item := range document.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete} {
			if op != nil {
				lines = append(lines, docsLine{Tag: op.Tags[0], Method: op.Method, Path: path, Summary: op.Summary})
			}
		}
	}
	slices.SortFunc(lines, func(a, b docsLine) int {
		return strings.Compare(a.Tag+" "+a.Path+" "+a.Method, b.Tag+" "+b.Path+" "+b.Method)
	})
	var b bytes.Buffer
	err = parsed.Execute(&b, map[string]any{
		"Title": document.Info.Title, "Description": document.Info.Description, "OpenAPI": pathOpenAPI, "Lines": lines,
	})
	return b.Bytes(), err
}
