package sqldb_test

import (
	"errors"
	"testing"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// TestIntegrationServerDefaults runs on a MySQL whose defaults are not ours.
func TestIntegrationServerDefaults(t *testing.T) {
	t.Parallel()
	// Central European time; on 26 October 2025 it had the hour from 2 to 3 twice.
	own, _ := testenv.OwnMySQL(t, testenv.Env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3"), testenv.Args("--sysdate-is-now"))
	db := open(t, own.URL)
	t.Run("summer time", func(t *testing.T) { theClockGoesOn(t, db) })
}

// theClockGoesOn sets the clock of one connection to moments around the end of summer time.
func theClockGoesOn(t *testing.T, db *sqldb.DB) {
	t.Helper()
	conn, err := db.Reader().Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for second := int64(1761433800); second <= 1761444600; second += 1800 {
		var now int64
		_, err := conn.ExecContext(t.Context(), "SET timestamp = ?", second)
		err = errors.Join(err, conn.GetContext(t.Context(), &now, "SELECT "+db.Dialect().Now))
		if err != nil || now != second*1000 {
			t.Errorf("at %d the database's clock shows %d, %v", second*1000, now, err)
		}
	}
	_, err = conn.ExecContext(t.Context(), "SET timestamp = DEFAULT")
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Error(err)
	}
}
