package avromsg_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTrapsNameTheirTests holds the table in docs/schemas.md against the tests that exist.
func TestTrapsNameTheirTests(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile(filepath.FromSlash("../../docs/schemas.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, dir := range []string{".", "../pulsarmsg", "../../alpes/wire"} {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(text)
		}
	}
	_, table, _ := strings.Cut(string(document), "\n| --- | --- | --- |\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if len(rows) < 20 {
		t.Fatalf("%d rows", len(rows))
	}
	test := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for _, row := range rows {
		named := test.FindAllStringSubmatch(row, -1)
		if len(named) == 0 {
			t.Errorf("no test: %s", row)
		}
		for _, name := range named {
			if !strings.Contains(source.String(), "\nfunc "+name[1]+"(") {
				t.Errorf("there is no %s: %s", name[1], row)
			}
		}
	}
}
