package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// slowAfter is how long a database may take to be ready before it is told that it is waited for.
const slowAfter = 2 * time.Second

// openDatabase opens the database, unless nothing that runs here keeps anything, and makes its tables.
func (a *App) openDatabase(ctx context.Context) error {
	if !a.cfg.keeps() {
		return nil
	}
	address, err := a.cfg.database()
	if err != nil {
		return err
	}
	var options []sqldb.Option
	if a.cfg.AllowUnsafe {
		options = append(options, sqldb.AllowUnsafe())
	}
	// It may not answer, or another process may be at its tables.
	slow := time.AfterFunc(slowAfter, func() { a.logger("database").InfoContext(ctx, "waiting for the database", "where", a.cfg.location()) })
	defer slow.Stop()
	if a.db, err = sqldb.Open(ctx, address, options...); err != nil {
		a.db = nil
		return a.cfg.databaseError(ctx, err)
	}
	if a.messages, err = sqlmsg.NewStore(a.db, sqlmsg.Config{}); err != nil {
		return err
	}
	if a.sagas, err = sqlsaga.New(a.db, sqlsaga.Config{Outbox: a.messages}); err != nil {
		return err
	}
	if err := errors.Join(a.messages.Migrate(ctx), a.sagas.Migrate(ctx), sqlalpes.Migrate(ctx, a.db)); err != nil {
		return a.cfg.databaseError(ctx, err)
	}
	return a.readSettings(ctx)
}

// Schema is the SQL that makes the tables of all services, in the words of "sqlite", "postgres" or "mysql", as a start makes them on an empty database.
func Schema(dialect string) (string, error) {
	messages, one := sqlmsg.SQL(dialect, "")
	sagas, two := sqlsaga.SQL(dialect, "")
	services, three := sqlalpes.SQL(dialect)
	return messages + "\n" + sagas + "\n" + services, errors.Join(one, two, three)
}

// readSettings reads what commits rest on, and warns of what was allowed to be unsafe.
func (a *App) readSettings(ctx context.Context) error {
	settings, err := a.db.Settings(ctx)
	for _, s := range settings {
		if s.Safe() {
			a.settings = append(a.settings, s.Name, s.Value)
			continue
		}
		a.logger("database").WarnContext(ctx, "unsafe database setting", "name", s.Name, "value", s.Value, "safe", s.Want, "risk", s.Why)
	}
	return err
}

// databaseError names the setting that an error of opening is about, and says what to do.
func (c Config) databaseError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	text := strings.Join(strings.Fields(err.Error()), " ") // drivers write several lines
	var advice string
	switch {
	case errors.Is(err, sqldb.ErrURL):
		return fmt.Errorf("%w: database: %s", ErrConfig, text)
	case errors.Is(err, sqldb.ErrUnsafe):
		advice = "database: change the database's setting, or take the risk with allow-unsafe"
	case c.Database != "":
		advice = "database: " + c.location() + " must be there, and its user may make tables; without the setting everything is kept in a file"
	default:
		advice = "data: " + c.location() + ": name a file in a folder that exists and can be written to, or keep everything in memory (ephemeral)"
	}
	return fmt.Errorf("%w: %s: %s", ErrConfig, text, advice)
}

// database returns the URL of the database as package sqldb wants it.
func (c Config) database() (string, error) {
	switch {
	case c.Ephemeral:
		return "sqlite::memory:", nil
	case c.Database == "":
		return "sqlite:" + c.Data, nil
	}
	scheme, rest, found := strings.Cut(c.Database, ":")
	if !found || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+") != "" { // nothing of it is repeated: it may hold a password
		return "", fmt.Errorf("%w: database: it is no URL: %s", ErrConfig, urlAdvice)
	}
	dialect, _, _ := strings.Cut(scheme, "+") // "mysql+pymysql"
	switch {
	case dialect == "sqlite" && rest == "":
		return "", fmt.Errorf("%w: database: name a file behind sqlite:, as in sqlite:alpes-partners.db", ErrConfig)
	case dialect == "sqlite":
		return "sqlite:" + sqlitePath(rest), nil
	case dialect == "mysql" || dialect == "mariadb":
		return mysqlURL(rest)
	case dialect == "postgres" || dialect == "postgresql":
		return "postgres:" + rest, nil
	default:
		return "", fmt.Errorf("%w: database: %q is no kind of database: %s", ErrConfig, scheme, urlAdvice)
	}
}

const urlAdvice = "begin the URL with sqlite:, postgres:// or mysql://"

// sqlitePath returns the path of a URL without its scheme. SQLAlchemy writes three slashes before it, and nothing for a database in memory.
func sqlitePath(rest string) string {
	path, alchemy := strings.CutPrefix(rest, "//")
	path = strings.TrimPrefix(path, "/")
	switch {
	case !alchemy:
		return rest
	case path == "":
		return ":memory:"
	default:
		return path
	}
}

// mysqlURL leaves out the character set: ours is always UTF-8 in full.
func mysqlURL(rest string) (string, error) {
	u, err := url.Parse("mysql:" + rest)
	if err != nil { // its text repeats the password
		return "", fmt.Errorf("%w: database: write it as mysql://USER:PASSWORD@HOST:3306/DATABASE, with special characters of the password as %%40", ErrConfig)
	}
	query := u.Query()
	if set := query.Get("charset"); set != "" && !strings.HasPrefix(set, "utf8") {
		return "", fmt.Errorf("%w: database: the character set %q cannot hold all text: use utf8mb4, or leave it out", ErrConfig, set)
	}
	query.Del("charset")
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// Location says where the data is, for a person to read.
func (a *App) Location() string { return a.cfg.location() }

func (c Config) location() string {
	address, err := c.database()
	path, file := strings.CutPrefix(address, "sqlite:")
	switch {
	case !c.keeps():
		return "none is kept here"
	case err != nil:
		return "nowhere"
	case path == ":memory:":
		return "in memory"
	case !file:
		if u, err := url.Parse(address); err == nil {
			return u.Scheme + "://" + u.Host + u.Path // without who, and the password
		}
		return "a server"
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}
