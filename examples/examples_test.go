// Package examples_test runs every example and compares what it prints with the output.txt beside it.
package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestExamplesPrintWhatTheySay(t *testing.T) {
	t.Parallel()
	outputs, err := filepath.Glob("*/output.txt")
	if err != nil || len(outputs) < 2 {
		t.Fatalf("%d examples, error %v", len(outputs), err)
	}
	for _, file := range outputs {
		dir := filepath.Dir(file)
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := exec.CommandContext(t.Context(), "go", "run", "./"+dir).Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("it printed\n%s\nerror %v, want\n%s", got, err, want)
			}
		})
	}
}
