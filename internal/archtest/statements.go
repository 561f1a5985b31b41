package archtest

import (
	"go/ast"
	"go/token"
	"strings"
)

// checkPanics allows panic in functions whose name begins with Must, in tests, and with
// http.ErrAbortHandler, which is how an http.Handler breaks off.
func checkPanics(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, d := range f.Syntax.Decls {
				fn, isFunc := d.(*ast.FuncDecl)
				if isFunc && strings.HasPrefix(fn.Name.Name, "Must") {
					continue
				}
				name := ""
				if isFunc {
					name = symbol(fn)
				}
				ast.Inspect(d, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" && !abortsHandler(call) {
						found = append(found, Violation{
							File: f.Path, Line: t.line(call), Symbol: name, What: "panics",
							Fix: "return an error, or name the function Must…",
						})
					}
					return true
				})
			}
		}
	}
	return found
}

func abortsHandler(call *ast.CallExpr) bool {
	return len(call.Args) == 1 && selects(call.Args[0], "http", "ErrAbortHandler")
}

func selects(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// checkGlobals allows, of package-level variables, those that nobody means to change: sentinel errors,
// embedded files, assertions, and what a Must function or another one-time constructor made.
func checkGlobals(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, d := range f.Syntax.Decls {
				g, ok := d.(*ast.GenDecl)
				if !ok || g.Tok != token.VAR {
					continue
				}
				for _, s := range g.Specs {
					if spec, ok := s.(*ast.ValueSpec); ok {
						found = append(found, t.globals(f, spec)...)
					}
				}
			}
		}
	}
	return found
}

func (t *Tree) globals(f *File, spec *ast.ValueSpec) []Violation {
	var found []Violation
	for i, name := range spec.Names {
		constant := name.Name == "_" || selects(spec.Type, "embed", "FS")
		if i < len(spec.Values) {
			constant = constant || constructed(spec.Values[i])
		}
		if !constant {
			found = append(found, Violation{
				File: f.Path, Line: t.line(name), Symbol: name.Name, What: "package variable " + name.Name,
				Fix: "make it a constant, a function or a field",
			})
		}
	}
	return found
}

// constructed says whether e is a call whose result does not change by its type or by custom.
func constructed(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch fun := base(call.Fun).(type) {
	case *ast.Ident:
		return strings.HasPrefix(fun.Name, "Must") || strings.HasPrefix(fun.Name, "must")
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		if !ok {
			return false
		}
		switch x.Name + "." + fun.Sel.Name {
		case "errors.New", "fmt.Errorf", "reflect.TypeFor", "strings.NewReplacer":
			return true
		}
		return strings.HasPrefix(fun.Sel.Name, "Must")
	}
	return false
}

// checkSleeps finds real waiting in tests. Inside a synctest bubble time.Sleep moves the fake
// clock, so there it is allowed.
func checkSleeps(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			if !f.Test && !testSupport(p.Dir) {
				continue
			}
			bubbles := f.bubbles()
			f.selections(f.Syntax, func(sel *ast.SelectorExpr, imported string) {
				if imported != "time" || sel.Sel.Name != "Sleep" {
					return
				}
				for _, b := range bubbles {
					if b.Pos() <= sel.Pos() && sel.End() <= b.End() {
						return
					}
				}
				found = append(found, Violation{
					File: f.Path, Line: t.line(sel), What: "sleeps in a test",
					Fix: "wait for a signal, or do it inside synctest.Test",
				})
			})
		}
	}
	return found
}

// bubbles returns the calls of synctest.Test.
func (f *File) bubbles() []ast.Node {
	var all []ast.Node
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			f.selections(call.Fun, func(sel *ast.SelectorExpr, imported string) {
				if imported == "testing/synctest" && sel.Sel.Name == "Test" {
					all = append(all, call)
				}
			})
		}
		return true
	})
	return all
}
