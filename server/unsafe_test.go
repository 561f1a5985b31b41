//go:build unix

package main

import (
	"net/url"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// TestIntegrationUnsafeDatabase wants a database that may lose commits to be refused, unless it is allowed, and then to be warned of.
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
	if code := p.terminate(t); code != 0 || !strings.Contains(p.stderr.String(), "unsafe database setting") || !strings.Contains(p.stderr.String(), "synchronous_commit") {
		t.Errorf("exit code %d\n%s", code, p.stderr)
	}
}
