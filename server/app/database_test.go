package app_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alpespartners/alpespartners/server/app"
)

// TestDatabaseURLs wants what the original is told in DATABASE_URL to be understood.
func TestDatabaseURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sqlite:orders.db":                              "sqlite:orders.db",
		"sqlite:/data/orders.db":                        "sqlite:/data/orders.db",
		"sqlite::memory:":                               "sqlite::memory:",
		"sqlite:///orders.db":                           "sqlite:orders.db",
		"sqlite:////data/orders.db":                     "sqlite:/data/orders.db",
		"sqlite+pysqlite:///orders.db":                  "sqlite:orders.db",
		"sqlite://":                                     "sqlite::memory:",
		"sqlite:///:memory:":                            "sqlite::memory:",
		"mysql://u:p@h/d":                               "mysql://u:p@h/d",
		"mysql+pymysql://root:adminadmin@h:3306/d":      "mysql://root:adminadmin@h:3306/d",
		"mysql+pymysql://u:p%40ss@h/d?charset=utf8mb4":  "mysql://u:p%40ss@h/d",
		"mysql+mysqlconnector://u:p@h/d?tls=true":       "mysql://u:p@h/d?tls=true",
		"mariadb+mariadbconnector://u:p@h/d":            "mysql://u:p@h/d",
		"postgres://u:p@h/d?sslmode=disable":            "postgres://u:p@h/d?sslmode=disable",
		"postgresql+psycopg2://u:p@h:5432/d?sslmode=no": "postgres://u:p@h:5432/d?sslmode=no",
	} {
		got, err := app.DatabaseURL(text)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for text, part := range map[string]string{
		"oracle://u:secret@h/d": `"oracle"`,
		"secret":                "begin the URL with sqlite:, postgres:// or mysql://",
		"mysql://u:se%cret@h/d": "mysql://USER:PASSWORD@HOST",
		"mysql+pymysql://u:secret@h/d?charset=big5": `"big5"`,
	} {
		got, err := app.DatabaseURL(text)
		if !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "database: ") {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
		if text != "secret" && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is told: %v", err)
		}
	}
}

// TestNothingIsKeptByTheBFF runs it without a database.
func TestNothingIsKeptByTheBFF(t *testing.T) {
	t.Parallel()
	a, err := app.New(t.Context(), app.Config{
		Services: []string{app.BFF}, Listen: "127.0.0.1:0", Data: filepath.Join(t.TempDir(), "no such folder", "x.db"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Sagas() != nil || a.Coordinator() != nil || a.Location() != "none is kept here" {
		t.Errorf("it has sagas or data: %s", a.Location())
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
