// Command bench measures sagas from their start to their last commit, with everything that runs counted, and prints one line
// "figure NAME VALUE UNIT" for each result. PERFORMANCE.md says what the figures mean.
//
//	go run ./internal/bench                     # all, with a PostgreSQL of its own where one is installed
//	go run ./internal/bench -only postgres -profile /tmp/p
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"time"
)

// settings are the command's flags.
type settings struct {
	only       *regexp.Regexp
	window     time.Duration
	windows    int
	warmUp     time.Duration
	dir        string
	url        string
	profile    string
	gc         int
	statements bool
	history    int
	inFlight   int
	out        io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	s, err := parse(os.Args[1:])
	if err == nil {
		debug.SetGCPercent(s.gc)
		err = s.run(ctx)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		slog.ErrorContext(ctx, "bench", "error", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func parse(args []string) (settings, error) {
	s := settings{out: os.Stdout}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "measure only what this regular expression finds in the name")
	flags.DurationVar(&s.window, "window", 4*time.Second, "how long one window is; the result is the median of several")
	flags.IntVar(&s.windows, "windows", 3, "how many windows")
	flags.DurationVar(&s.warmUp, "warm-up", 2*time.Second, "how long to run before the first window")
	flags.StringVar(&s.dir, "dir", "", "where databases are made, on the disk to be measured; empty is the directory for temporary files")
	flags.StringVar(&s.url, "postgres", "", "a PostgreSQL to use, of which the CPU is not counted; empty starts one from the installed programs")
	flags.StringVar(&s.profile, "profile", "", "a directory for a CPU profile of each measurement")
	flags.IntVar(&s.gc, "gc", 400, "what GOGC is: a heap as small as this program's is collected all the time otherwise")
	flags.BoolVar(&s.statements, "statements", false, "print the statements that PostgreSQL ran, which costs some CPU")
	flags.IntVar(&s.history, "history", 1_000_000, "how many finished sagas the tables of the measurement with history hold")
	flags.IntVar(&s.inFlight, "in-flight", 100_000, "how many sagas are begun at the same time to measure memory")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	var err error
	s.dir = cmp.Or(s.dir, os.TempDir())
	s.only, err = regexp.Compile(*only)
	return s, err
}

// figure prints one result.
func (s settings) figure(name string, value float64, unit string) {
	_, _ = fmt.Fprintf(s.out, "figure %s %.4g %s\n", name, value, unit)
}

// note prints what is no figure.
func (s settings) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "# "+format+"\n", args...)
}

func (s settings) run(ctx context.Context) error {
	var server *postgres
	if s.url == "" && s.wantsPostgres() {
		var err error
		server, err = startPostgres(ctx, s.dir, s.statements)
		switch {
		case errors.Is(err, errNotInstalled):
			s.note("no PostgreSQL: %v", err)
		case err != nil:
			return err
		default:
			defer server.stop()
			s.url = server.url
		}
	}
	for _, m := range s.measurements() {
		if !s.only.MatchString(m.name) || m.postgres && s.url == "" {
			continue
		}
		if err := m.run(ctx, s, server); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

func (s settings) wantsPostgres() bool {
	for _, m := range s.measurements() {
		if m.postgres && s.only.MatchString(m.name) {
			return true
		}
	}
	return false
}

// measurement is one entry of the plan.
type measurement struct {
	name     string
	postgres bool
	run      func(ctx context.Context, s settings, server *postgres) error
}

// measurements returns the plan, in its order.
func (s settings) measurements() []measurement {
	var all []measurement
	for _, db := range []string{"postgres", "sqlite"} {
		all = append(all, measurement{"limits." + db, db == "postgres", func(ctx context.Context, s settings, server *postgres) error {
			return s.limits(ctx, db, server)
		}})
		for _, w := range []workload{
			{name: db, outstanding: 64},
			{name: db + ".compensation", outstanding: 64, refuse: true},
			{name: db + ".one", outstanding: 1},
			{name: db + ".durable", outstanding: 64, durable: true},
			{name: db + ".durable.one", outstanding: 1, durable: true},
		} {
			w.db = db
			all = append(all, measurement{w.name, db == "postgres", w.measure})
		}
		history := workload{name: db + ".history", db: db, outstanding: 64}
		flight := workload{name: db + ".in_flight", db: db, silent: true}
		all = append(all, measurement{history.name, db == "postgres", history.measureHistory},
			measurement{flight.name, db == "postgres", flight.measureInFlight})
	}
	return append(all, measurement{"partitions", false, func(ctx context.Context, s settings, _ *postgres) error { return s.partitions(ctx) }})
}
