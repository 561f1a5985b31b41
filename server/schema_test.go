//go:build unix

package main

import (
	"strings"
	"testing"
)

// TestSchema wants the tables of all packages.
func TestSchema(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"sqlite", "postgres", "mysql"} {
		code, stdout, stderr := finish(t, t.TempDir(), "schema", dialect)
		if code != 0 || stderr != "" {
			t.Errorf("%s: exit code %d\n%s", dialect, code, stderr)
		}
		for _, table := range []string{"outbox", "sagas", "campaigns"} {
			if !strings.Contains(stdout, "CREATE TABLE "+table+" (") {
				t.Errorf("%s: it does not make %s", dialect, table)
			}
		}
		if strings.Contains(stdout, "{{") || strings.Contains(stdout, "ENGINE=InnoDB") != (dialect == "mysql") {
			t.Errorf("%s: it is not in its words:\n%s", dialect, stdout)
		}
	}
}
