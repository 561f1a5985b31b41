package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

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
