package archtest

import (
	"fmt"
	"go/ast"
)

// The limits. What is larger holds two ideas.
const (
	maxFileLines      = 600
	maxFunctionLines  = 80
	maxMethods        = 7
	maxFilesInPackage = 12
)

// checkSizes holds files, functions, interfaces and packages against the limits.
func checkSizes(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		files := 0
		for _, f := range p.Files {
			if !f.Test {
				files++
			}
			if f.Lines > maxFileLines {
				found = append(found, Violation{
					File: f.Path, What: fmt.Sprintf("file of %d lines, at most %d", f.Lines, maxFileLines),
					Fix: "split it by noun",
				})
			}
			if !f.Test { // the length of a table test is the number of its cases
				found = append(found, t.longFunctions(f)...)
			}
			found = append(found, t.wideInterfaces(p, f)...)
		}
		if files > maxFilesInPackage {
			found = append(found, Violation{
				File: p.Dir, What: fmt.Sprintf("package of %d files besides tests, at most %d", files, maxFilesInPackage),
				Fix: "join files of one idea, or take a package out",
			})
		}
	}
	return found
}

func (t *Tree) longFunctions(f *File) []Violation {
	var found []Violation
	for _, d := range f.Syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && t.lines(fn) > maxFunctionLines {
			found = append(found, Violation{
				File: f.Path, Line: t.line(fn), Symbol: symbol(fn),
				What: fmt.Sprintf("%s has %d lines, at most %d", symbol(fn), t.lines(fn), maxFunctionLines),
				Fix:  "give its parts names",
			})
		}
	}
	return found
}

func (t *Tree) wideInterfaces(p *Package, f *File) []Violation {
	var found []Violation
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			return true
		}
		if count := t.methods(p, f, i, 0); count > maxMethods {
			found = append(found, Violation{
				File: f.Path, Line: t.line(spec), Symbol: spec.Name.Name,
				What: fmt.Sprintf("interface %s has %d methods, at most %d", spec.Name.Name, count, maxMethods),
				Fix:  "split it by role",
			})
		}
		return true
	})
	return found
}

// methods counts the methods of i, those of embedded interfaces of the module included.
func (t *Tree) methods(p *Package, f *File, i *ast.InterfaceType, depth int) int {
	count := 0
	for _, m := range i.Methods.List {
		if len(m.Names) > 0 {
			count += len(m.Names)
			continue
		}
		if depth > maxMethods {
			continue // it embeds itself; the compiler says so
		}
		if ep, ef, embedded := t.findInterface(p, f, m.Type); embedded != nil {
			count += t.methods(ep, ef, embedded, depth+1)
		}
	}
	return count
}

func (t *Tree) findInterface(p *Package, f *File, e ast.Expr) (*Package, *File, *ast.InterfaceType) {
	name := ""
	switch x := base(e).(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
		imported := ""
		f.selections(x, func(_ *ast.SelectorExpr, path string) { imported = path })
		dir, ok := t.dirOf(imported)
		if p = t.Package(dir); !ok || p == nil {
			return nil, nil, nil
		}
	}
	for _, f := range p.Files {
		for _, d := range f.Syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range g.Specs {
				if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.Name == name {
					i, _ := ts.Type.(*ast.InterfaceType)
					return p, f, i
				}
			}
		}
	}
	return nil, nil, nil
}
