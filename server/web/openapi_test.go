package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/openapi.json anew")

// routes are all that the issue of the interface names.
var routes = []string{
	"POST /registrar-campaign", "GET /eliminar-campaign/{id}", "GET /obtener-campaigns", "GET /obtener-campaigns/{id}",
	"POST /registrar-partner", "GET /eliminar-partner/{id}", "GET /obtener-partners", "GET /obtener-partners/{id}",
	"POST /registrar-evento", "GET /eliminar-evento/{id}", "GET /obtener-eventos", "GET /obtener-eventos/{id}",
	"POST /campaña-commando", "GET /campaña-query", "GET /campaña-query/{id}",
	"GET /campaigns", "GET /campaigns/{id}", "GET /partners", "GET /partners/{id}", "GET /eventos", "GET /eventos/{id}", "GET /health",
	"POST /v1/campaigns", "GET /v1/campaigns", "GET /v1/campaigns/{id}", "DELETE /v1/campaigns/{id}",
	"POST /v1/partners", "GET /v1/partners", "GET /v1/partners/{id}", "DELETE /v1/partners/{id}",
	"POST /v1/events", "GET /v1/events", "GET /v1/events/{id}", "DELETE /v1/events/{id}",
	"GET /v1/sagas", "GET /v1/sagas/{id}", "GET /v1/sagas/{id}/diagram", "GET /v1/sagas/{id}/timeline", "POST /v1/sagas/{id}/actions",
	"GET /v1/definitions/{name}/diagram", "GET /v1/pauses", "POST /v1/pauses", "POST /v1/pauses/release",
	"GET /healthz", "GET /readyz",
}

func TestOpenAPIGolden(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	got := []byte(s.get("/openapi.json").body)
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the document has changed: look at the difference after go test ./server/web -run OpenAPI -update")
	}
}

type parameter struct {
	Name     string         `json:"name"`
	In       string         `json:"in"`
	Required bool           `json:"required"`
	Schema   map[string]any `json:"schema"`
}

type operation struct {
	OperationID string      `json:"operationId"`
	Summary     string      `json:"summary"`
	Tags        []string    `json:"tags"`
	Parameters  []parameter `json:"parameters"`
	RequestBody *struct {
		Required bool             `json:"required"`
		Content  map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string           `json:"description"`
		Content     map[string]media `json:"content"`
	} `json:"responses"`
}

type media struct {
	Schema map[string]any `json:"schema"`
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	text := s.get("/openapi.json").body
	var document struct {
		OpenAPI string `json:"openapi"`
		Info    struct {
			Title   string `json:"title"`
			Version string `json:"version"`
		} `json:"info"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(document.OpenAPI, "3.1.") || document.Info.Title == "" || document.Info.Version == "" {
		t.Errorf("openapi %q, info %+v", document.OpenAPI, document.Info)
	}
	for _, ref := range regexp.MustCompile(`"\$ref": "([^"]*)"`).FindAllStringSubmatch(text, -1) {
		name, local := strings.CutPrefix(ref[1], "#/components/schemas/")
		if _, known := document.Components.Schemas[name]; !local || !known {
			t.Errorf("the reference %s leads nowhere", ref[1])
		}
	}
	var found []string
	ids := map[string]bool{}
	for path, item := range document.Paths {
		for method, op := range item {
			route := strings.ToUpper(method) + " " + path
			found = append(found, route)
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s: id %q, summary %q, tags %v", route, op.OperationID, op.Summary, op.Tags)
			}
			ids[op.OperationID] = true
			checkOperation(t, route, path, op)
		}
	}
	slices.Sort(found)
	want := slices.Sorted(slices.Values(routes))
	if !slices.Equal(found, want) {
		t.Errorf("routes %q\nwant %q", found, want)
	}
}

func checkOperation(t *testing.T, route, path string, op operation) {
	t.Helper()
	var inPath []string
	for _, p := range op.Parameters {
		if p.Name == "" || p.In != "path" && p.In != "query" || p.Schema == nil || p.In == "path" && !p.Required {
			t.Errorf("%s: parameter %+v", route, p)
		}
		if p.In == "path" {
			inPath = append(inPath, "{"+p.Name+"}")
		}
	}
	if want := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1); !slices.Equal(inPath, want) {
		t.Errorf("%s: path parameters %v", route, inPath)
	}
	if post := strings.HasPrefix(route, "POST "); post != (op.RequestBody != nil) ||
		post && (!op.RequestBody.Required || op.RequestBody.Content["application/json"].Schema == nil) {
		t.Errorf("%s: body %+v", route, op.RequestBody)
	}
	success := false
	for status, response := range op.Responses {
		if response.Description == "" {
			t.Errorf("%s: %s is not described", route, status)
		}
		success = success || status[0] == '2'
		if _, isProblem := response.Content["application/problem+json"]; isProblem == (status[0] == '2') {
			t.Errorf("%s: %s has the content %v", route, status, response.Content)
		}
	}
	if !success {
		t.Errorf("%s: no success", route)
	}
}

// Every route of the document is there.
func TestEveryRouteAnswers(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	for _, route := range routes {
		method, path, _ := strings.Cut(route, " ")
		body := ""
		if method == http.MethodPost {
			body = `[]`
		}
		got := s.do(method, strings.NewReplacer("{id}", "x", "{name}", "x").Replace(path), body)
		if got.status >= 500 || strings.Contains(got.body, "no such route") || got.status == http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", route, got.status, got.body)
		}
	}
}

func TestDocsNeedNoInternet(t *testing.T) {
	t.Parallel()
	s, _ := newSagaSite(t)
	page := s.get("/docs")
	if page.status != http.StatusOK || strings.Contains(page.body, "://") || strings.Contains(page.body, "<script") {
		t.Errorf("%d %s", page.status, page.body)
	}
	for _, route := range routes {
		_, path, _ := strings.Cut(route, " ")
		if !strings.Contains(page.body, "<code>"+path+"</code>") {
			t.Errorf("the page does not list %s", path)
		}
	}
	if got := s.get("/"); got.status != http.StatusFound || got.header.Get("Location") != "/docs" {
		t.Errorf("/: %d %s", got.status, got.header.Get("Location"))
	}
}
