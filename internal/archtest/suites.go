package archtest

import (
	"go/ast"
	"path"
	"slices"
)

// checkSuites wants a suite for each interface of the table, and every package that implements it to run
// that suite. A package implements it if the table lists it or if it asserts so with
// "var _ x.Store = …". What does not exist yet is left out.
func checkSuites(t *Tree) []Violation {
	var found []Violation
	for _, row := range suites() {
		home, suitePackage := t.Package(row.dir), t.Package(row.suiteDir)
		if home == nil || suitePackage == nil || !declares(home, row.name) {
			continue
		}
		qualified := path.Base(row.suiteDir) + "." + row.suite
		if !declares(suitePackage, row.suite) {
			found = append(found, Violation{
				File: row.suiteDir, Symbol: row.suite,
				What: "no " + row.suite, Fix: "write the suite of " + row.dir + "." + row.name,
			})
			continue
		}
		for _, p := range t.Packages {
			driver := slices.Contains(row.drivers, p.Dir) || t.asserts(p, row)
			if driver && p.Name != "" && !t.runs(p, row) {
				found = append(found, Violation{
					File: p.Dir, Symbol: row.suite, What: "implements " + row.dir + "." + row.name + " and does not run its suite",
					Fix: "call " + qualified + " in a test",
				})
			}
		}
	}
	return found
}

func declares(p *Package, name string) bool {
	for _, f := range p.Files {
		for _, d := range f.Syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if !f.Test && d.Recv == nil && d.Name.Name == name {
					return true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && !f.Test && ts.Name.Name == name {
						return true
					}
				}
			}
		}
	}
	return false
}

// asserts looks for a blank variable of the interface's type outside tests.
func (t *Tree) asserts(p *Package, row suite) bool {
	yes := false
	for _, f := range p.Files {
		if f.Test || testSupport(p.Dir) {
			continue
		}
		for _, d := range f.Syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				spec, ok := s.(*ast.ValueSpec)
				if !ok || spec.Type == nil || spec.Names[0].Name != "_" {
					continue
				}
				if id, ok := spec.Type.(*ast.Ident); ok && p.Dir == row.dir && id.Name == row.name {
					yes = true
				}
				f.selections(spec.Type, func(sel *ast.SelectorExpr, imported string) {
					dir, ours := t.dirOf(imported)
					yes = yes || ours && dir == row.dir && sel.Sel.Name == row.name
				})
			}
		}
	}
	return yes
}

func (t *Tree) runs(p *Package, row suite) bool {
	yes := false
	for _, f := range p.Files {
		if !f.Test {
			continue
		}
		f.selections(f.Syntax, func(sel *ast.SelectorExpr, imported string) {
			dir, ours := t.dirOf(imported)
			yes = yes || ours && dir == row.suiteDir && sel.Sel.Name == row.suite
		})
	}
	return yes
}
