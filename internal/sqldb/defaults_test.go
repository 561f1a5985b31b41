package sqldb_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// TestIntegrationServerDefaults runs on a MySQL whose defaults are not ours.
func TestIntegrationServerDefaults(t *testing.T) {
	t.Parallel()
	// Central European time; on 26 October 2025 it had the hour from 2 to 3 twice.
	own, _ := testenv.OwnMySQL(t, testenv.Env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3"), testenv.Args("--sysdate-is-now", "--default-storage-engine=MyISAM"))
	db := open(t, own.URL)
	t.Run("summer time", func(t *testing.T) { theClockGoesOn(t, db) })
	t.Run("engine", func(t *testing.T) {
		ourTablesRollBack(t, db)
		othersAreTold(t, own.URL)
	})
}

func ourTablesRollBack(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), sqldb.Migrations{Files: schemas(t)["sqlmsg_version"], Versions: "v"}); err != nil {
		t.Fatal(err)
	}
	direct(t, db, "CREATE TABLE callers (consumer INTEGER PRIMARY KEY)")
	failed := errors.New("on purpose")
	err := db.InTx(t.Context(), func(ctx context.Context, tx sqlx.ExtContext) error {
		_, one := tx.ExecContext(ctx, "INSERT INTO inbox_horizon VALUES ('c', 1)")
		_, other := tx.ExecContext(ctx, "INSERT INTO callers VALUES (1)")
		return errors.Join(one, other, failed)
	})
	if own, callers := count(t, db, "inbox_horizon"), count(t, db, "callers"); err.Error() != failed.Error() || own+callers != 0 {
		t.Errorf("InTx returned %v, and left %d and %d rows", err, own, callers)
	}
}

// othersAreTold has a table with an engine that does not roll back, as one has that somebody made otherwise.
func othersAreTold(t *testing.T, url string) {
	t.Helper()
	m := sqldb.Migrations{Files: schemas(t)["sqlmsg_version"], Versions: "v"}
	db := open(t, url)
	direct(t, db, "ALTER TABLE inbox ENGINE = MyISAM")
	if err := db.Migrate(t.Context(), m); !errors.Is(err, sqldb.ErrUnsafe) || !strings.Contains(err.Error(), "ALTER TABLE inbox ENGINE = InnoDB") {
		t.Errorf("Migrate returned %v", err)
	}
	allowed, err := sqldb.Open(t.Context(), url, sqldb.AllowUnsafe())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = allowed.Close() }()
	if err := allowed.Migrate(t.Context(), m); err != nil {
		t.Errorf("it was allowed: %v", err)
	}
	settings, err := allowed.Settings(t.Context())
	if err != nil || !slices.ContainsFunc(settings, func(s sqldb.Setting) bool { return s.Name == "engine of inbox" && !s.Safe() }) {
		t.Errorf("the settings are %v, %v", settings, err)
	}
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
