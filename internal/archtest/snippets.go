package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// A snippet is a fenced go block under a comment that says where it comes from:
//
//	<!-- example: saga/example_test.go#Booking -->
//
// In the Go file it is what stands between these lines, without their indentation:
//
//	// Booking:begin
//	// Booking:end
var snippetMark = regexp.MustCompile(`^<!-- example: (\S+)#(\S+) -->$`)

// checkSnippets wants the code in every README.md to be code that is compiled and run.
func checkSnippets(t *Tree) []Violation {
	var found []Violation
	err := fs.WalkDir(t.Source, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return t.enter(name)
		case path.Base(name) != "README.md":
			return nil
		}
		text, err := fs.ReadFile(t.Source, name)
		if err != nil {
			return err
		}
		found = append(found, t.readme(name, strings.Split(string(text), "\n"))...)
		return nil
	})
	if err != nil {
		found = append(found, Violation{File: ".", What: err.Error(), Fix: "make it readable"})
	}
	return found
}

func (t *Tree) readme(name string, lines []string) []Violation {
	var found []Violation
	for i, line := range lines {
		m := snippetMark.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		v := Violation{File: name, Line: i + 1, Symbol: m[2]}
		want, err := t.snippet(m[1], m[2])
		got, fenced := fence(lines[i+1:])
		switch {
		case err != nil:
			v.What, v.Fix = err.Error(), "mark the code there with \"// "+m[2]+":begin\" and \"// "+m[2]+":end\""
		case !fenced:
			v.What, v.Fix = "no go block follows", "put ```go on the next line"
		case got != want:
			line, text := difference(got, want)
			v.What, v.Fix = fmt.Sprintf("line %d differs from %s", line, m[1]), "it is there: "+text
		default:
			continue
		}
		found = append(found, v)
	}
	return found
}

// fence returns the go block that lines begins with; blank lines before it do not count.
func fence(lines []string) (string, bool) {
	for i, line := range lines {
		if line == "```go" {
			body, _, ok := strings.Cut(strings.Join(lines[i+1:], "\n")+"\n", "```\n")
			return trim(body), ok
		}
		if strings.TrimSpace(line) != "" {
			break
		}
	}
	return "", false
}

// trim takes off blank lines at both ends.
func trim(body string) string { return strings.Trim(body, "\n") + "\n" }

// difference returns the number of the first line of got that is not that of want, and want's line.
func difference(got, want string) (int, string) {
	have := strings.Split(got, "\n")
	lines := strings.Split(want, "\n")
	for i, line := range lines {
		if i >= len(have) || have[i] != line {
			return i + 1, strconv.Quote(line)
		}
	}
	return len(lines), "nothing more"
}

// snippet returns the marked lines of a Go file.
func (t *Tree) snippet(file, name string) (string, error) {
	text, err := fs.ReadFile(t.Source, file)
	if err != nil {
		return "", err
	}
	var body []string
	inside := false
	for line := range strings.Lines(string(text)) {
		switch mark := strings.TrimSpace(line); {
		case mark == "// "+name+":begin":
			inside = true
		case inside && mark == "// "+name+":end":
			return trim(dedent(body)), nil
		case inside:
			body = append(body, line)
		}
	}
	return "", fmt.Errorf("%s has no snippet %s", file, name)
}

// dedent takes off the tabs that all lines with text begin with.
func dedent(lines []string) string {
	common := -1
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if tabs := len(line) - len(strings.TrimLeft(line, "\t")); common < 0 || tabs < common {
			common = tabs
		}
	}
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(line[min(max(common, 0), len(line)-len(strings.TrimLeft(line, "\t"))):])
	}
	return out.String()
}
