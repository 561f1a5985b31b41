package app_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
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
		"secret":                "it is no URL: begin the URL with sqlite:, postgres:// or mysql://",
		"host=127.0.0.1 user=postgres password=secret dbname=x":       "begin the URL with",
		"host=127.0.0.1 port=5432 password=secret options='-c a:b=c'": "begin the URL with",
		"sqlite":                "begin the URL with",
		"sqlite:":               "name a file behind sqlite:",
		"mysql://u:se%cret@h/d": "mysql://USER:PASSWORD@HOST",
		"mysql+pymysql://u:secret@h/d?charset=big5": `"big5"`,
	} {
		got, err := app.DatabaseURL(text)
		if !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "database: ") {
			t.Errorf("%s: got %s, %v", text, got, err)
		}
		if strings.Contains(err.Error(), "secret") {
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

// TestWhatIsWrongWithAURLIsTold wants the fault of a URL, without advice on what may be wrong with a database, and without its password.
func TestWhatIsWrongWithAURLIsTold(t *testing.T) {
	t.Parallel()
	for text, part := range map[string]string{
		"postgres://u:secret@h:port/x":   "the port",
		"postgres://u:secret/x@h/x":      "%2F",
		"postgres://u:secret%zz@h/x":     "%25",
		"postgres://u:secret@/x":         "a host",
		"mysql://u:secret@h":             "a database",
		"mysql://u:secret@h/d?parse=yes": `"parse"`,
	} {
		_, err := app.New(t.Context(), app.Config{Listen: "127.0.0.1:0", Database: text, Logger: slog.New(slog.DiscardHandler)})
		if !errors.Is(err, app.ErrConfig) || !strings.Contains(err.Error(), "database: ") || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", text, err)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "must be there") {
			t.Errorf("%s: the password, or advice that does not fit: %v", text, err)
		}
	}
}

// TestASilentDatabaseIsTold wants to know what a start waits for.
func TestASilentDatabaseIsTold(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	logged, log := io.Pipe()
	defer func() { _ = logged.Close() }()
	lines := bufio.NewScanner(logged)
	told := make(chan string, 1)
	go func() {
		lines.Scan()
		told <- lines.Text()
		cancel()
	}()
	config := app.Config{Listen: "127.0.0.1:0", Database: "mysql://u:secret@" + silent.Addr().String() + "/d", Logger: slog.New(slog.NewTextHandler(log, nil))}
	if _, err := app.New(ctx, config); !errors.Is(err, context.Canceled) {
		t.Errorf("New returned %v", err)
	}
	_ = log.Close()
	if line := <-told; !strings.Contains(line, "waiting for the database") || !strings.Contains(line, silent.Addr().String()) || strings.Contains(line, "secret") {
		t.Errorf("it logged %q", line)
	}
}
