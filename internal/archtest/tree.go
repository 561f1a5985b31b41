package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Tree is a parsed module.
type Tree struct {
	// Module is the module's path.
	Module string
	// Packages holds every directory with Go files, sorted by Dir.
	Packages []*Package
	// Source is where it was read from.
	Source fs.FS

	fset *token.FileSet
}

// Package is one directory; its external tests belong to it.
type Package struct {
	// Dir is the directory, relative to the module, with slashes; "." for the root.
	Dir string
	// Name is the package clause of the files that are no tests.
	Name string
	// Files is sorted by name.
	Files []*File
}

// File is one Go file that is not generated.
type File struct {
	// Path is relative to the module.
	Path string
	// Test says that the name ends in _test.go.
	Test bool
	// Lines counts the lines.
	Lines int
	// Syntax is the parsed file, with comments.
	Syntax *ast.File
}

// Violation is one place that breaks a rule.
type Violation struct {
	// Rule is the rule's name.
	Rule string
	// File and Line say where; Line is 0 if the whole file or directory is meant.
	File string
	Line int
	// Symbol is the declaration that it is about, for exceptions. It may be empty.
	Symbol string
	// What was found.
	What string
	// Fix is what to do about it.
	Fix string
}

// String returns "file:line: what: fix [rule]".
func (v Violation) String() string {
	place := v.File
	if v.Line > 0 {
		place += ":" + strconv.Itoa(v.Line)
	}
	return fmt.Sprintf("%s: %s: %s [%s]", place, v.What, v.Fix, v.Rule)
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// Load parses all Go files of the module in source, whatever their build constraints. It leaves out what the go
// command leaves out (testdata, names that begin with a dot or an underscore, nested modules) and
// generated files.
func Load(source fs.FS, module string) (*Tree, error) {
	t := &Tree{Module: module, Source: source, fset: token.NewFileSet()}
	byDir := map[string]*Package{}
	err := fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return t.enter(name)
		case path.Ext(name) != ".go" || hidden(path.Base(name)):
			return nil
		}
		return t.add(byDir, name)
	})
	if err != nil {
		return nil, fmt.Errorf("archtest: load: %w", err)
	}
	for _, p := range byDir {
		t.Packages = append(t.Packages, p)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
	return t, nil
}

func hidden(base string) bool { return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") }

func (t *Tree) enter(dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if hidden(base) || base == "testdata" || base == "vendor" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(t.Source, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) add(byDir map[string]*Package, name string) error {
	src, err := fs.ReadFile(t.Source, name)
	if err != nil {
		return err
	}
	if generated.Match(src) {
		return nil
	}
	syntax, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := byDir[dir]
	if p == nil {
		p = &Package{Dir: dir}
		byDir[dir] = p
	}
	f := &File{Path: name, Test: strings.HasSuffix(name, "_test.go"), Lines: bytes.Count(src, []byte("\n")), Syntax: syntax}
	if !f.Test {
		p.Name = syntax.Name.Name
	}
	p.Files = append(p.Files, f)
	return nil
}

// Package returns the package in dir, or nil.
func (t *Tree) Package(dir string) *Package {
	for _, p := range t.Packages {
		if p.Dir == dir {
			return p
		}
	}
	return nil
}

func (t *Tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// lines returns how many lines n covers.
func (t *Tree) lines(n ast.Node) int { return t.fset.Position(n.End()).Line - t.line(n) + 1 }

// dirOf returns the directory of an import path of the module; ok is false for all others.
func (t *Tree) dirOf(importPath string) (dir string, ok bool) {
	if importPath == t.Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, t.Module+"/")
}

// importPath returns what spec imports.
func importPath(spec *ast.ImportSpec) string {
	s, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return s
}

// standard says whether importPath is of the standard library: its first element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

var majorSuffix = regexp.MustCompile(`^v\d+$`)

// localName returns the name by which the file refers to an import.
func localName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	p := importPath(spec)
	base := path.Base(p)
	if majorSuffix.MatchString(base) {
		base = path.Base(path.Dir(p))
	}
	return base
}

// selections calls found for each pkg.Name in n, where pkg is an import of f.
func (f *File) selections(n ast.Node, found func(sel *ast.SelectorExpr, importPath string)) {
	imports := map[string]string{}
	for _, spec := range f.Syntax.Imports {
		imports[localName(spec)] = importPath(spec)
	}
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && imports[x.Name] != "" {
				found(sel, imports[x.Name])
			}
		}
		return true
	})
}

// testSupport says whether a package exists for tests: its name says so.
func testSupport(dir string) bool {
	return strings.HasSuffix(path.Base(dir), "test") || dir == "internal/testenv"
}

// match says whether dir fits pattern: itself, or, for "x/...", x and all below it.
func match(pattern, dir string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == prefix || strings.HasPrefix(dir, prefix+"/")
	}
	ok, err := path.Match(pattern, dir)
	return ok && err == nil
}

func matchAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, dir) })
}

// symbol returns how exceptions name a function: "Name" or "Type.Name".
func symbol(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	return receiver(fn) + "." + fn.Name.Name
}

func receiver(fn *ast.FuncDecl) string {
	switch x := base(fn.Recv.List[0].Type).(type) {
	case *ast.Ident:
		return x.Name
	default:
		return ""
	}
}

// base strips pointers and type arguments.
func base(e ast.Expr) ast.Expr {
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return e
		}
	}
}
