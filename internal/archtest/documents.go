package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// checkDocuments finds packages and exported names without a comment.
func checkDocuments(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		if p.Name == "" {
			continue // tests only
		}
		if v, ok := packageComment(p); !ok {
			found = append(found, v)
		}
		exported := exportedTypes(p)
		for _, f := range p.Files {
			if f.Test || p.Name == "main" { // nobody can import a command's names
				continue
			}
			for _, d := range f.Syntax.Decls {
				for _, missing := range undocumented(d, exported) {
					found = append(found, Violation{
						File: f.Path, Line: t.line(missing.node), Symbol: missing.name,
						What: missing.name + " is exported and has no comment",
						Fix:  "say what it promises: units, errors, concurrency, what zero means",
					})
				}
			}
		}
	}
	return found
}

// packageComment wants the package's comment in doc.go; a command may have it in any file.
func packageComment(p *Package) (Violation, bool) {
	for _, f := range p.Files {
		inDoc := path.Base(f.Path) == "doc.go"
		if f.Test || !inDoc && p.Name != "main" {
			continue
		}
		text := f.Syntax.Doc.Text()
		if p.Name == "main" && text != "" || strings.HasPrefix(text, "Package "+p.Name+" ") {
			return Violation{}, true
		}
	}
	fix := fmt.Sprintf("write doc.go with a comment that begins \"Package %s \"", p.Name)
	if p.Name == "main" {
		fix = "write a comment above the package clause"
	}
	return Violation{File: p.Dir, What: "package has no comment", Fix: fix}, false
}

func exportedTypes(p *Package) map[string]bool {
	names := map[string]bool{}
	for _, f := range p.Files {
		for _, d := range f.Syntax.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				for _, s := range g.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() {
						names[ts.Name.Name] = true
					}
				}
			}
		}
	}
	return names
}

type declared struct {
	name string
	node ast.Node
}

// selfEvident names the methods of the standard library's interfaces that say no more than those do.
func selfEvident(method string) bool {
	switch method {
	case "Error", "String", "Unwrap", "ServeHTTP", "Read", "Write":
		return true
	}
	return false
}

func undocumented(d ast.Decl, exported map[string]bool) []declared {
	switch d := d.(type) {
	case *ast.FuncDecl:
		method := d.Recv != nil
		if d.Doc != nil || !d.Name.IsExported() || method && (!exported[receiver(d)] || selfEvident(d.Name.Name)) {
			return nil
		}
		return []declared{{symbol(d), d}}
	case *ast.GenDecl:
		var all []declared
		for _, s := range d.Specs {
			all = append(all, undocumentedSpec(d, s)...)
		}
		return all
	}
	return nil
}

func undocumentedSpec(d *ast.GenDecl, s ast.Spec) []declared {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if !s.Name.IsExported() {
			return nil
		}
		var all []declared
		if s.Doc == nil && (d.Doc == nil || d.Lparen != token.NoPos) {
			all = append(all, declared{s.Name.Name, s})
		}
		if i, ok := s.Type.(*ast.InterfaceType); ok {
			for _, m := range i.Methods.List {
				if len(m.Names) > 0 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
					all = append(all, declared{s.Name.Name + "." + m.Names[0].Name, m})
				}
			}
		}
		return all
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil || d.Doc != nil {
			return nil
		}
		var all []declared
		for _, name := range s.Names {
			if name.IsExported() {
				all = append(all, declared{name.Name, name})
			}
		}
		return all
	}
	return nil
}
