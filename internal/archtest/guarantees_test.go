package archtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuaranteesNameTheirTests holds GUARANTEES.md and README.md against the tests that exist: a promise whose proof was renamed or deleted
// is no promise, nor is one whose proof could be either of two.
func TestGuaranteesNameTheirTests(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	document, err := os.ReadFile(filepath.Join(root, "GUARANTEES.md"))
	if err != nil {
		t.Fatal(err)
	}
	places := map[string][]string{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	for _, file := range testFiles(t, root) {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllStringSubmatch(string(source), -1) {
			places[m[1]] = append(places[m[1]], filepath.Dir(file))
		}
	}
	for _, missing := range unproven(string(document), places) {
		t.Error(missing)
	}
}

func TestGuaranteesWithoutProofAreFound(t *testing.T) {
	t.Parallel()
	document := "| G1 | a | `TestA` |\n| G2 | b | `TestB`, `FuzzC` |\n| G3 | c | none |\n| G4 | d | `TestD` |\n"
	got := strings.Join(unproven(document, map[string][]string{"TestA": {"x"}, "TestD": {"x", "y"}}), "; ")
	want := "G2 names TestB, which does not exist; G2 names FuzzC, which does not exist; G3 names no test; " +
		"G4 names TestD, which is in x and y: rename those that prove something else"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// unproven returns what is wrong with the rows of the guarantees' table.
func unproven(document string, places map[string][]string) []string {
	var faults []string
	row := regexp.MustCompile(`(?m)^\| (G\d+) \|.*$`)
	name := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`")
	for _, m := range row.FindAllStringSubmatch(document, -1) {
		named := name.FindAllStringSubmatch(m[0], -1)
		if len(named) == 0 {
			faults = append(faults, m[1]+" names no test")
		}
		for _, n := range named {
			switch in := places[n[1]]; len(in) {
			case 0:
				faults = append(faults, m[1]+" names "+n[1]+", which does not exist")
			case 1:
			default:
				faults = append(faults, m[1]+" names "+n[1]+", which is in "+strings.Join(in, " and ")+": rename those that prove something else")
			}
		}
	}
	return faults
}

func testFiles(t *testing.T, root string) []string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-f",
		`{{$d := .Dir}}{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`, "./...")
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for line := range strings.FieldsSeq(string(out)) {
		relative, err := filepath.Rel(absolute, line)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, relative)
	}
	return files
}
