// Package examples_test runs every example and compares what it prints with the output.txt beside it.
package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

// examples returns the folders of the examples that need a Pulsar, or of those that need nothing.
func examples(t *testing.T, onPulsar bool) []string {
	t.Helper()
	outputs, err := filepath.Glob("*/output.txt")
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for _, file := range outputs {
		dir := filepath.Dir(file)
		source, err := os.ReadFile(filepath.Join(dir, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(source, []byte("PULSAR_URL")) == onPulsar {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// run compares what the example prints with what it says it prints.
func run(t *testing.T, dir string, environment ...string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(dir, "output.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", "run", "./"+dir)
	command.Env = append(os.Environ(), environment...)
	command.Stderr = &said
	got, err := command.Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("it printed\n%s\nerror %v: %s\nwant\n%s", got, err, said.Bytes(), want)
	}
}

func TestExamplesPrintWhatTheySay(t *testing.T) {
	t.Parallel()
	each(t, examples(t, false), 2, func(t *testing.T, dir string) { run(t, dir) })
}

// TestIntegrationExamplesOnPulsar runs each twice on the same topics, as who tries them out does.
func TestIntegrationExamplesOnPulsar(t *testing.T) {
	t.Parallel()
	each(t, examples(t, true), 3, func(t *testing.T, dir string) {
		b := testenv.Pulsar(t)
		for range 2 {
			run(t, dir, "PULSAR_URL="+b.URL, "PULSAR_ADMIN_URL="+b.AdminURL, "PULSAR_NAMESPACE="+b.Namespace)
		}
	})
}

// each tests all examples, of which there are so many at least.
func each(t *testing.T, dirs []string, least int, test func(t *testing.T, dir string)) {
	t.Helper()
	if len(dirs) < least {
		t.Fatalf("the examples are %v", dirs)
	}
	for _, dir := range dirs {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			test(t, dir)
		})
	}
}
