package archtest

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"slices"
)

// checkPurity looks in the pure packages for what makes the same arguments give another answer.
func checkPurity(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, row := range pure() {
			if !matchAny(row.dirs, p.Dir) {
				continue
			}
			for _, f := range p.Files {
				if !f.Test {
					found = append(found, t.impurities(p, f, row)...)
				}
			}
		}
	}
	return found
}

func (t *Tree) impurities(p *Package, f *File, row purity) []Violation {
	var found []Violation
	report := func(n ast.Node, what string) {
		found = append(found, Violation{File: f.Path, Line: t.line(n), What: what, Fix: p.Dir + " is pure; " + row.fix})
	}
	for _, spec := range f.Syntax.Imports {
		if slices.Contains(row.imports, importPath(spec)) {
			report(spec, fmt.Sprintf("imports %q", importPath(spec)))
		}
	}
	f.selections(f.Syntax, func(sel *ast.SelectorExpr, imported string) {
		if slices.Contains(row.names, imported+"."+sel.Sel.Name) {
			report(sel, "uses "+imported+"."+sel.Sel.Name)
		}
	})
	if row.goroutines {
		return found
	}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt:
			report(n, "starts a goroutine")
		case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			report(n, "uses a channel")
		}
		return true
	})
	return found
}

// checkMapOrder finds loops over maps in the packages whose answers must not depend on the order. It
// needs types, so the package is type-checked; it may import the standard library only.
func checkMapOrder(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		if matchAny(ordered(), p.Dir) {
			found = append(found, t.mapLoops(p)...)
		}
	}
	return found
}

func (t *Tree) mapLoops(p *Package) []Violation {
	var files []*ast.File
	names := map[*ast.File]string{}
	for _, f := range p.Files {
		if !f.Test {
			files = append(files, f.Syntax)
			names[f.Syntax] = f.Path
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{
		Importer: importer.ForCompiler(token.NewFileSet(), "gc", nil),
		Error:    func(error) {}, // the compiler reports them
	}
	_, _ = conf.Check(p.Dir, t.fset, files, info) // what it could type is in info all the same

	var found []Violation
	for _, file := range files {
		for _, d := range file.Decls {
			name := ""
			if fn, ok := d.(*ast.FuncDecl); ok {
				name = symbol(fn)
			}
			ast.Inspect(d, func(n ast.Node) bool {
				loop, ok := n.(*ast.RangeStmt)
				if !ok {
					return true
				}
				if typ := info.Types[loop.X].Type; typ != nil && isMap(typ) {
					found = append(found, Violation{
						File: names[file], Line: t.line(loop), Symbol: name, What: "loops over a map",
						Fix: "loop over slices.Sorted(maps.Keys(m)): the order must not show",
					})
				}
				return true
			})
		}
	}
	return found
}

func isMap(t types.Type) bool {
	_, ok := t.Underlying().(*types.Map)
	return ok
}
