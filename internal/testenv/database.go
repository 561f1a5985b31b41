package testenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx"
	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Database is an empty database that belongs to one test.
type Database struct {
	// URL names it, with user and password: "postgres://…/name?sslmode=disable" or "mysql://…/name".
	URL string
}

// engine is what differs between the databases.
type engine struct {
	kind

	variable string // holds the URL of a server
	url      func(address string) string
	open     func(url string) (*sql.DB, error)
	drop     string // a statement, with %s for the name
}

// Servers are the databases that are servers, by the names of their dialects, for tests that hold for each.
func Servers() map[string]func(testing.TB) Database {
	return map[string]func(testing.TB) Database{"postgres": Postgres, "mysql": MySQL}
}

// Postgres returns a database of this test on the PostgreSQL that all tests of a run share.
func Postgres(tb testing.TB) Database {
	tb.Helper()
	return sharedDatabase(tb, postgres())
}

// OwnPostgres returns a database on a PostgreSQL of this test alone.
func OwnPostgres(tb testing.TB, options ...ServerOption) (Database, *Server) {
	tb.Helper()
	return ownDatabase(tb, postgres(), options)
}

// MySQL returns a database of this test on the MySQL that all tests of a run share. It may be a MariaDB: MYSQL_URL or
// TESTENV_MYSQL_IMAGE says so.
func MySQL(tb testing.TB) Database {
	tb.Helper()
	return sharedDatabase(tb, mySQL())
}

// OwnMySQL returns a database on a MySQL of this test alone.
func OwnMySQL(tb testing.TB, options ...ServerOption) (Database, *Server) {
	tb.Helper()
	return ownDatabase(tb, mySQL(), options)
}

// The password of the containers, which are open to this machine for the time of a test run.
const password = "testenv"

func postgres() engine {
	e := engine{
		kind: kind{
			name:      "PostgreSQL",
			short:     "postgres",
			otherwise: "set POSTGRES_URL to a server whose user may create databases",
			image:     "postgres:15-alpine",
			imageVar:  "TESTENV_POSTGRES_IMAGE",
			ports:     []string{"5432/tcp"},
			env:       map[string]string{"POSTGRES_PASSWORD": password},
			command:   []string{"postgres", "-c", "max_connections=300"},
		},
		variable: "POSTGRES_URL",
		url: func(address string) string {
			return "postgres://postgres:" + password + "@" + address + "/postgres?sslmode=disable"
		},
		open: func(url string) (*sql.DB, error) { return sql.Open("pgx", url) },
		drop: "DROP DATABASE IF EXISTS %s WITH (FORCE)",
	}
	e.ready = answers{e}
	return e
}

func mySQL() engine {
	e := engine{
		kind: kind{
			name:      "MySQL",
			short:     "mysql",
			otherwise: "set MYSQL_URL to a server whose user may create databases",
			image:     "mysql:8",
			imageVar:  "TESTENV_MYSQL_IMAGE",
			ports:     []string{"3306/tcp"},
			env:       map[string]string{"MYSQL_ROOT_PASSWORD": password}, // MariaDB's image takes it too
			command:   []string{"--max-connections=300"},
		},
		variable: "MYSQL_URL",
		url:      func(address string) string { return "mysql://root:" + password + "@" + address + "/" },
		open:     openMySQL,
		drop:     "DROP DATABASE IF EXISTS %s",
	}
	e.ready = answers{e}
	return e
}

// answers waits until a server answers. An image starts its server more than once: only the last time on its port.
type answers struct{ engine }

// WaitUntilReady implements [wait.Strategy].
func (a answers) WaitUntilReady(ctx context.Context, target wait.StrategyTarget) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	host, err := target.Host(ctx)
	if err != nil {
		return err
	}
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		port, err := target.MappedPort(ctx, a.ports[0])
		if err == nil {
			err = a.execute(ctx, a.url(net.JoinHostPort(host, port.Port())), "SELECT 1")
		}
		if err == nil {
			return nil
		}
		if state, gone := target.State(ctx); gone == nil && state.Status == container.StateExited {
			return fmt.Errorf("it ended with code %d", state.ExitCode)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startTime, err)
		}
	}
}

func openMySQL(rawURL string) (*sql.DB, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL") // it may hold a password
	}
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr = "tcp", u.Host
	config.Logger = &mysql.NopLogger{} // what is wrong, the error says
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func sharedDatabase(tb testing.TB, e engine) Database {
	tb.Helper()
	server := os.Getenv(e.variable)
	if server == "" {
		server = e.url(shared(tb, e.kind)[0])
	}
	name := unique(tb, "_")
	d := newDatabase(tb, e, server, name)
	cleanup(tb, "drop the database", func(ctx context.Context) error {
		return e.execute(ctx, server, fmt.Sprintf(e.drop, name))
	})
	return d
}

func ownDatabase(tb testing.TB, e engine, options []ServerOption) (Database, *Server) {
	tb.Helper()
	for _, o := range options {
		o.apply(&e.kind)
	}
	server, addresses := own(tb, e.kind)
	return newDatabase(tb, e, e.url(addresses[0]), unique(tb, "_")), server
}

// newDatabase makes a database on the server that serverURL names.
func newDatabase(tb testing.TB, e engine, serverURL, name string) Database {
	tb.Helper()
	if err := e.execute(tb.Context(), serverURL, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("testenv: make a database in %s: %v", e.name, err)
	}
	u, err := url.Parse(serverURL)
	if err != nil {
		tb.Fatalf("testenv: the URL of %s is none", e.name) // it may hold a password
	}
	u.Path = "/" + name
	return Database{URL: u.String()}
}

// execute runs one statement on a connection of its own.
func (e engine) execute(ctx context.Context, serverURL, statement string) error {
	db, err := e.open(serverURL)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
