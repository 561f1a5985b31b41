package archtest

import (
	"cmp"
	"fmt"
	"strings"
)

func compare(a, b Violation) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.What, b.What))
}

// checkArrows holds the imports of all files but tests against the table of layers, and those of
// tests against the one arrow that holds for them too: nothing imports what is above it.
func checkArrows(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		row, ok := layerOf(p.Dir)
		if !ok {
			found = append(found, Violation{
				File: p.Dir, What: "package is not in the design",
				Fix: "add a row to layers in internal/archtest/policy.go that says what it may import",
			})
			continue
		}
		for _, f := range p.Files {
			found = append(found, t.fileArrows(p, f, row)...)
		}
	}
	return found
}

func (t *Tree) fileArrows(p *Package, f *File, row layer) []Violation {
	var found []Violation
	for _, spec := range f.Syntax.Imports {
		imported := importPath(spec)
		dir, ours := t.dirOf(imported)
		v := Violation{File: f.Path, Line: t.line(spec), What: fmt.Sprintf("imports %q", imported)}
		switch {
		case f.Test:
			if ours && !matchAny(applications(), p.Dir) && matchAny(applications(), dir) {
				v.Fix = "tests of the library do not know the applications above it"
				found = append(found, v)
			}
		case testOnly(imported) && !testSupport(p.Dir):
			v.Fix = "move it to a _test.go file or to a package whose name ends in test"
			found = append(found, v)
		case ours && dir != p.Dir && !matchAny(row.module, dir):
			v.Fix = p.Dir + " may import of this module: " + list(row.module)
			found = append(found, v)
		case !ours && !standard(imported) && !testOnly(imported) && !vendorAllowed(row.vendor, imported):
			v.Fix = p.Dir + " may import of other modules: " + list(row.vendor)
			found = append(found, v)
		}
	}
	return found
}

func layerOf(dir string) (layer, bool) {
	for _, row := range layers() {
		if match(row.dir, dir) {
			return row, true
		}
	}
	return layer{}, false
}

// vendorAllowed says whether imported belongs to one of the modules.
func vendorAllowed(modules []string, imported string) bool {
	for _, m := range modules {
		if within(imported, m) {
			return true
		}
	}
	return false
}

func within(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

func testOnly(imported string) bool {
	return vendorAllowed(testDependencies(), imported)
}

func list(patterns []string) string {
	if len(patterns) == 0 {
		return "nothing"
	}
	return strings.Join(patterns, ", ")
}

// checkFences keeps each vendor library where it belongs, in tests too.
func checkFences(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		for _, f := range p.Files {
			for _, spec := range f.Syntax.Imports {
				imported := importPath(spec)
				for _, fence := range fences() {
					if !within(imported, fence.module) || matchAny(fence.inside, p.Dir) || f.Test && fence.tests {
						continue
					}
					found = append(found, Violation{
						File: f.Path, Line: t.line(spec), What: fmt.Sprintf("imports %q", imported),
						Fix: "only " + list(fence.inside) + " may",
					})
				}
			}
		}
	}
	return found
}
