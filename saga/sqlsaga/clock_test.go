package sqlsaga_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
)

// direct executes statements on a database, each by itself.
func direct(t *testing.T, address string, statements ...string) {
	t.Helper()
	db := openServer(t, address)
	for _, s := range statements {
		if _, err := db.Writer().ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestIntegrationTimeIsTheDatabases has databases whose clocks show another time than this process's.
func TestIntegrationTimeIsTheDatabases(t *testing.T) {
	t.Parallel()
	shown := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	for name, shifted := range map[string]func(t *testing.T) (address string){
		"postgres": func(t *testing.T) string { // a function of its own before the one that is built in
			t.Helper()
			address := testenv.Postgres(t).URL
			direct(t, address, "CREATE SCHEMA shifted",
				"CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT to_timestamp(1000000000)'")
			return address + "&search_path=shifted,pg_catalog"
		},
		"mysql": func(t *testing.T) string { // what is set for new connections of users who administer nothing
			t.Helper()
			own, _ := testenv.OwnMySQL(t, testenv.Args("--sysdate-is-now", "--init-connect=SET timestamp=1000000000"))
			u, err := url.Parse(own.URL)
			if err != nil {
				t.Fatal(err)
			}
			direct(t, own.URL, "CREATE USER shifted IDENTIFIED BY 'shifted'", "GRANT ALL ON "+strings.Trim(u.Path, "/")+".* TO shifted")
			u.User = url.UserPassword("shifted", "shifted")
			return u.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := open(t, shifted(t))
			if now, err := s.Time(t.Context()); err != nil || now.Sub(shown).Abs() > time.Hour {
				t.Errorf("the store's clock shows %s, %v, the database's %s", now, err, shown)
			}
		})
	}
}
