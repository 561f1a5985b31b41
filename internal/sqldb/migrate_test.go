package sqldb_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/internal/testenv"
)

// schemas are the migrations of the packages that have some, by their table of versions. All get a prefix.
func schemas(t *testing.T) map[string]fstest.MapFS {
	t.Helper()
	all := map[string]fstest.MapFS{}
	for versions, folder := range map[string]string{
		"sqlsaga_version": "../../saga/sqlsaga/migrations",
		"sqlmsg_version":  "../../messaging/sqlmsg/migrations",
		"alpes_versions":  "../../alpes/sqlalpes/migrations",
	} {
		names, err := filepath.Glob(folder + "/*.sql")
		if err != nil || len(names) == 0 {
			t.Fatal(folder, err)
		}
		all[versions] = fstest.MapFS{}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text = regexp.MustCompile(`CREATE TABLE ([a-z])`).ReplaceAll(text, []byte("CREATE TABLE {{prefix}}$1"))
			all[versions][filepath.Base(name)] = &fstest.MapFile{Data: text}
		}
	}
	return all
}

// everyDatabase runs a test on an empty database of each kind.
func everyDatabase(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	})
	for name, server := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server(t).URL)
		})
	}
}

// tablesOf lists the columns and indexes of the tables whose names have the prefix, without it.
func tablesOf(t *testing.T, db *sqldb.DB, prefix string) []string {
	t.Helper()
	queries := []string{
		"SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, generation_expression) FROM information_schema.columns WHERE table_name LIKE ?",
		"SELECT concat_ws(' ', tablename, indexdef) FROM pg_indexes WHERE tablename LIKE ?",
	}
	switch db.Dialect().Name {
	case "sqlite":
		queries = []string{"SELECT concat(name, ' ', sql) FROM sqlite_master WHERE tbl_name LIKE ?"}
	case "mysql":
		queries[0] = strings.ReplaceAll(queries[0], "WHERE", "WHERE table_schema = DATABASE() AND")
		queries[1] = "SELECT concat_ws(' ', table_name, index_name, seq_in_index, column_name, non_unique) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name LIKE ?"
	}
	var lines []string
	for _, query := range queries {
		var found []string
		if err := db.Reader().SelectContext(t.Context(), &found, db.Reader().Rebind(query), prefix+"%"); err != nil {
			t.Fatal(err)
		}
		for _, line := range found {
			lines = append(lines, strings.ReplaceAll(line, prefix, ""))
		}
	}
	slices.Sort(lines)
	return lines
}

// cuts are a schema's files up to each of its statements in turn, behind which one fails.
func cuts(files fstest.MapFS) (all []fstest.MapFS) {
	before := fstest.MapFS{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		up, _, _ := strings.Cut(string(files[name].Data), "-- +goose Down")
		statements := strings.SplitAfter(regexp.MustCompile(`--.*`).ReplaceAllString(up, ""), ";")
		for n := range statements {
			part := maps.Clone(before)
			part[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + strings.Join(statements[:n], "") + "\nBROKEN;\n")}
			all = append(all, part)
		}
		before[name] = files[name]
	}
	return all
}

// TestIntegrationMigrationsAreContinued cuts every migration off after each of its statements, each time from where the last one came to.
func TestIntegrationMigrationsAreContinued(t *testing.T) {
	t.Parallel()
	everyDatabase(t, func(t *testing.T, url string) {
		db := open(t, url)
		for versions, files := range schemas(t) {
			if err := db.Migrate(t.Context(), sqldb.Migrations{Files: files, Versions: versions, Prefix: "whole_"}); err != nil {
				t.Fatal(err)
			}
			for i, cut := range cuts(files) {
				err := db.Migrate(t.Context(), sqldb.Migrations{Files: cut, Versions: versions, Prefix: "cut_"})
				if err == nil || !strings.Contains(err.Error(), "BROKEN") {
					t.Fatalf("cut %d of %s: %v, want the end that was put in", i, versions, err)
				}
			}
			if err := db.Migrate(t.Context(), sqldb.Migrations{Files: files, Versions: versions, Prefix: "cut_"}); err != nil {
				t.Fatalf("%s cannot be continued: %v", versions, err)
			}
		}
		whole, cut := tablesOf(t, db, "whole_"), tablesOf(t, db, "cut_")
		if !slices.Equal(whole, cut) || len(whole) < 20 {
			t.Errorf("in one go:\n%s\nwith interruptions:\n%s", strings.Join(whole, "\n"), strings.Join(cut, "\n"))
		}
	})
}

// TestIntegrationMigrateConcurrently starts several processes on an empty database, all of them twice.
func TestIntegrationMigrateConcurrently(t *testing.T) {
	t.Parallel()
	everyDatabase(t, func(t *testing.T, url string) {
		var done sync.WaitGroup
		all := schemas(t)
		for range 4 {
			db := open(t, url)
			done.Go(func() {
				for range 2 {
					for versions, files := range all {
						if err := db.Migrate(t.Context(), sqldb.Migrations{Files: files, Versions: versions}); err != nil {
							t.Errorf("%s: %v", versions, err)
						}
					}
				}
			})
		}
		done.Wait()
	})
}

// TestIntegrationMigrateBesideOthersTables wants a table that is somebody else's to be told, each time.
func TestIntegrationMigrateBesideOthersTables(t *testing.T) {
	t.Parallel()
	everyDatabase(t, func(t *testing.T, url string) {
		db := open(t, url)
		exec(t, db, "CREATE TABLE outbox (id INTEGER PRIMARY KEY, payload INTEGER)")
		m := sqldb.Migrations{Files: schemas(t)["sqlmsg_version"], Versions: "sqlmsg_version"}
		for range 2 {
			if err := db.Migrate(t.Context(), m); err == nil || !strings.Contains(err.Error(), "outbox") {
				t.Errorf("Migrate returned %v", err)
			}
		}
		m.Prefix = "ours_"
		if err := db.Migrate(t.Context(), m); err != nil {
			t.Error(err)
		}
	})
}

// TestIntegrationMigrateAfterAnEarlyEnd has a table of versions that nothing was put into.
func TestIntegrationMigrateAfterAnEarlyEnd(t *testing.T) {
	t.Parallel()
	db := open(t, testenv.MySQL(t).URL)
	direct(t, db, "CREATE TABLE v (id SERIAL PRIMARY KEY, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL, tstamp TIMESTAMP DEFAULT now())")
	if err := db.Migrate(t.Context(), sqldb.Migrations{Files: schemas(t)["sqlmsg_version"], Versions: "v"}); err != nil {
		t.Error(err)
	}
}

// TestIntegrationSchemaByHand executes the text of the migrations, as a tool of the user's would.
func TestIntegrationSchemaByHand(t *testing.T) {
	t.Parallel()
	everyDatabase(t, func(t *testing.T, url string) {
		db := open(t, url)
		for versions, files := range schemas(t) {
			m := sqldb.Migrations{Files: files, Versions: versions, Prefix: "hand_"}
			text, err := m.SQL(db.Dialect().Name)
			if err != nil {
				t.Fatal(err)
			}
			for statement := range strings.SplitSeq(text, ";\n") {
				if strings.TrimSpace(statement) != "" {
					exec(t, db, statement)
				}
			}
			if err := db.Migrate(t.Context(), m); err != nil {
				t.Errorf("%s: there was something left to do: %v", versions, err)
			}
			if n := count(t, db, "hand_"+versions); n != len(files)+1 {
				t.Errorf("%s has %d versions, want %d and the zeroth", versions, n, len(files))
			}
			m.Prefix = "made_"
			if err := db.Migrate(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
		if hand, made := tablesOf(t, db, "hand_"), tablesOf(t, db, "made_"); !slices.Equal(hand, made) || len(hand) < 20 {
			t.Errorf("by hand:\n%s\nby Migrate:\n%s", strings.Join(hand, "\n"), strings.Join(made, "\n"))
		}
	})
	if _, err := (sqldb.Migrations{}).SQL("oracle"); !errors.Is(err, sqldb.ErrDialect) {
		t.Errorf("SQL returned %v", err)
	}
}
