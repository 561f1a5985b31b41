//go:build unix

package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// TestIntegrationUnsafeDatabase wants a database that may lose commits to be refused, unless it is allowed, and then to be warned of. What is safe is told, too.
func TestIntegrationUnsafeDatabase(t *testing.T) {
	t.Parallel()
	database := testenv.Postgres(t)
	u, err := url.Parse(database.URL)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), database.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Reader().ExecContext(t.Context(), "ALTER DATABASE "+strings.Trim(u.Path, "/")+" SET synchronous_commit TO off"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := finish(t, t.TempDir(), "--listen", "127.0.0.1:0", "--database", database.URL)
	if code == 0 || stdout != "" || !strings.Contains(stderr, "synchronous_commit") || !strings.Contains(stderr, "allow-unsafe") {
		t.Errorf("exit code %d, %s\n%s", code, stdout, stderr)
	}
	p := start(t, t.TempDir(), nil, "--listen", "127.0.0.1:0", "--database", database.URL, "--allow-unsafe")
	if status, body := get(t, p.url(t, "bff")+"/v1/sagas"); status != 200 {
		t.Errorf("%d: %s", status, body)
	}
	if code := p.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"unsafe database setting", "name=synchronous_commit value=off safe=on", "safe database settings", " fsync=on"} {
		if told := p.stderr.String(); !strings.Contains(told, want) {
			t.Errorf("it does not tell %q:\n%s", want, told)
		}
	}
}
