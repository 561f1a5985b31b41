package archtest_test

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/internal/archtest"
)

// TestMapsNameEveryPackage: who chooses a package does so from the maps, and what is not on them is not found.
func TestMapsNameEveryPackage(t *testing.T) {
	t.Parallel()
	tree, err := archtest.Load(os.DirFS("../.."), module)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	godoc, architecture, readme := read("doc.go"), read("ARCHITECTURE.md"), read("README.md")
	named := 0
	for _, p := range tree.Packages {
		first, _, _ := strings.Cut(p.Dir, "/")
		if p.Name == "" || strings.Contains(p.Dir, "internal/") || first != "saga" && first != "messaging" && first != "cqrs" {
			continue
		}
		named++
		if !strings.Contains(godoc, "["+path.Base(p.Dir)+"]") || !strings.Contains(godoc, "/"+p.Dir+"\n") {
			t.Errorf("doc.go does not name %s and link it", p.Dir)
		}
		if !strings.HasSuffix(p.Dir, "test") && !strings.Contains(architecture, "`"+p.Dir+"`") { // those are one row
			t.Errorf("ARCHITECTURE.md has no row for %s", p.Dir)
		}
		if !strings.Contains(readme, "`"+p.Dir+"`") {
			t.Errorf("README.md has no row for %s", p.Dir)
		}
	}
	if named < 10 {
		t.Errorf("%d packages were looked for", named)
	}
}
