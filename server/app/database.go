package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/alpespartners/alpespartners/alpes/sqlalpes"
	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

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
	if a.db, err = sqldb.Open(ctx, address, options...); err != nil {
		a.db = nil
		if ctx.Err() != nil {
			return err
		}
		text := strings.Join(strings.Fields(err.Error()), " ") // drivers write several lines
		return fmt.Errorf("%w: %s: %s", ErrConfig, text, a.cfg.databaseAdvice(err))
	}
	if err := a.tellUnsafe(ctx); err != nil {
		return err
	}
	if a.messages, err = sqlmsg.NewStore(a.db, sqlmsg.Config{}); err != nil {
		return err
	}
	if a.sagas, err = sqlsaga.New(a.db, sqlsaga.Config{Outbox: a.messages}); err != nil {
		return err
	}
	return errors.Join(a.messages.Migrate(ctx), a.sagas.Migrate(ctx), sqlalpes.Migrate(ctx, a.db))
}

// tellUnsafe warns of settings that were allowed to be as they are.
func (a *App) tellUnsafe(ctx context.Context) error {
	settings, err := a.db.Settings(ctx)
	for _, s := range settings {
		if !s.Safe() {
			a.logger("database").WarnContext(ctx, "unsafe database setting", "name", s.Name, "value", s.Value, "safe", s.Want, "risk", s.Why)
		}
	}
	return err
}

// databaseAdvice says which setting an error of opening is about, and what to do.
func (c Config) databaseAdvice(err error) string {
	switch {
	case errors.Is(err, sqldb.ErrUnsafe):
		return "database: change the database's setting, or take the risk with allow-unsafe"
	case c.Database != "":
		return "database: " + c.location() + " must be there, and its user may make tables; without the setting everything is kept in a file"
	default:
		return "data: " + c.location() + ": name a file in a folder that exists and can be written to, or keep everything in memory (ephemeral)"
	}
}

// database returns the URL of the database as package sqldb wants it.
func (c Config) database() (string, error) {
	switch {
	case c.Ephemeral:
		return "sqlite::memory:", nil
	case c.Database == "":
		return "sqlite:" + c.Data, nil
	}
	scheme, rest, _ := strings.Cut(c.Database, ":")
	dialect, _, _ := strings.Cut(scheme, "+") // "mysql+pymysql"
	switch dialect {
	case "sqlite":
		return "sqlite:" + sqlitePath(rest), nil
	case "mysql", "mariadb":
		return mysqlURL(rest)
	case "postgres", "postgresql":
		return "postgres:" + rest, nil
	default: // it may hold a password: only its scheme is repeated
		return "", fmt.Errorf("%w: database: %q is no kind of database: begin the URL with sqlite:, postgres:// or mysql://", ErrConfig, scheme)
	}
}

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
		return "on a server"
	}
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}
