package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/saga"
)

// workload is a closed loop of sagas.
type workload struct {
	name        string
	db          string
	outstanding int
	refuse      bool
	durable     bool
	silent      bool    // the participant takes commands and does not answer
	broker      carrier // nil is one in memory
}

// window is what happened in one stretch of time.
type window struct {
	sagas    int
	executed int64
	latency  []time.Duration
	from, to usage
	commits  int64
}

func (w window) rate() float64 { return float64(w.sagas) / w.to.at.Sub(w.from.at).Seconds() }

func (w window) perSaga(d time.Duration) float64 {
	return d.Seconds() * 1e3 / float64(max(w.sagas, 1))
}

// cpu is the milliseconds of CPU for each saga: of this process and of the server.
func (w window) cpu() (self, server float64) {
	return w.perSaga(w.to.self - w.from.self), w.perSaga(w.to.server - w.from.server)
}

// others is how many CPUs were busy with what is none of ours.
func (w window) others() float64 {
	ours := w.to.self - w.from.self + w.to.server - w.from.server
	return (w.to.machine - w.from.machine - ours).Seconds() / w.to.at.Sub(w.from.at).Seconds()
}

func (w window) quantile(q float64) float64 {
	if len(w.latency) == 0 {
		return 0
	}
	slices.Sort(w.latency)
	return w.latency[int(q*float64(len(w.latency)-1))].Seconds() * 1e3
}

// measure runs the workload on a fresh database.
func (w workload) measure(ctx context.Context, s settings, server *postgres) error {
	return w.within(ctx, s, func(sys *system) error {
		if w.db != "postgres" {
			server = nil
		}
		all, err := s.loop(ctx, sys, w, server)
		if err != nil {
			return err
		}
		s.report(w.name, all)
		if s.statements && w.db == "postgres" {
			return s.printStatements(ctx, sys, all)
		}
		return nil
	})
}

// within gives do a system on a fresh database.
func (w workload) within(ctx context.Context, s settings, do func(*system) error) error {
	url, remove, err := s.location(ctx, w.db)
	if err != nil {
		return err
	}
	defer remove()
	sys, err := newSystem(ctx, url, w)
	if err != nil {
		return err
	}
	defer sys.stop()
	return do(sys)
}

// loop keeps so many sagas outstanding and returns the windows.
func (s settings) loop(ctx context.Context, sys *system, w workload, server *postgres) ([]window, error) {
	want := saga.Completed
	if w.refuse {
		want = saga.Compensated
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu      sync.Mutex
		latency []time.Duration
		fault   error
		clients sync.WaitGroup
	)
	for client := range w.outstanding {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				err := sys.saga(ctx, strconv.Itoa(client)+"-"+strconv.Itoa(n), want)
				took := time.Since(began)
				mu.Lock()
				latency = append(latency, took)
				if err != nil && ctx.Err() == nil {
					fault = cmp.Or(fault, err)
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	err := sleep(ctx, s.warmUp)
	stopProfile := func() error { return nil }
	if err == nil && s.profile != "" {
		stopProfile, err = startProfile(filepath.Join(s.profile, w.name+".cpu"))
	}
	var all []window
	for err == nil && len(all) < s.windows {
		var one window
		one, err = takeWindow(ctx, s.window, sys, server, func() []time.Duration {
			mu.Lock()
			defer mu.Unlock()
			taken := latency
			latency = nil
			return taken
		})
		all = append(all, one)
	}
	err = errors.Join(err, stopProfile())
	cancel()
	clients.Wait()
	return all, cmp.Or(fault, err)
}

func takeWindow(ctx context.Context, length time.Duration, sys *system, server *postgres, take func() []time.Duration) (w window, err error) {
	take()
	executed := sys.executed.Load()
	before, err := commits(ctx, sys.db)
	if err != nil {
		return w, err
	}
	if w.from, err = readUsage(server); err != nil {
		return w, err
	}
	take()
	if err := sleep(ctx, length); err != nil {
		return w, err
	}
	w.latency = take()
	w.sagas = len(w.latency)
	if w.to, err = readUsage(server); err != nil {
		return w, err
	}
	w.executed = sys.executed.Load() - executed
	w.commits, err = commits(ctx, sys.db)
	w.commits -= before
	return w, err
}

// commits returns how many transactions the database has committed, as far as it knows; zero for SQLite.
func commits(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	if db == nil || db.Dialect().Name != "postgres" {
		return 0, nil
	}
	err = db.Reader().GetContext(ctx, &n, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
	return n, err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func startProfile(path string) (stop func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	file, err := os.Create(path) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		allocations, err := os.Create(strings.TrimSuffix(path, ".cpu") + ".allocs")
		if err != nil {
			return errors.Join(err, file.Close())
		}
		return errors.Join(file.Close(), pprof.Lookup("allocs").WriteTo(allocations, 0), allocations.Close())
	}, nil
}

// report prints the window with the median rate, and returns that.
func (s settings) report(name string, all []window) (rate float64) {
	slices.SortFunc(all, func(a, b window) int { return cmp.Compare(a.rate(), b.rate()) })
	w := all[len(all)/2]
	self, server := w.cpu()
	s.note("%s: %.0f..%.0f sagas/s, CPU %.3f ms of this process and %.3f ms of the server for each, %.2f commands each, %.2f CPUs busy with others",
		name, all[0].rate(), all[len(all)-1].rate(), self, server, float64(w.executed)/float64(max(w.sagas, 1)), w.others())
	s.figure("sagas_per_s."+name, w.rate(), "1/s")
	s.figure("cpu_ms_per_saga."+name, self+server, "ms")
	s.figure("cpu_ms_per_saga.client."+name, self, "ms")
	s.figure("p50_ms."+name, w.quantile(0.5), "ms")
	s.figure("p99_ms."+name, w.quantile(0.99), "ms")
	if w.commits > 0 {
		s.figure("commits_per_saga."+name, float64(w.commits)/float64(max(w.sagas, 1)), "1")
	}
	return w.rate()
}

// printStatements lists what PostgreSQL ran since the server was started, dearest first, for each saga of the windows.
func (s settings) printStatements(ctx context.Context, sys *system, all []window) error {
	var rows []struct {
		Calls int64   `db:"calls"`
		Total float64 `db:"total"`
		Mean  float64 `db:"mean"`
		Rows  int64   `db:"rows"`
		Query string  `db:"query"`
	}
	db := sys.db.Reader()
	if _, err := db.ExecContext(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		return err
	}
	err := db.SelectContext(ctx, &rows, `SELECT calls, total_exec_time AS total, mean_exec_time AS mean, rows, regexp_replace(substr(query, 1, 300), '\s+', ' ', 'g') AS query
		FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY total_exec_time DESC LIMIT 30`)
	if err != nil {
		return err
	}
	for _, r := range rows {
		s.note("%8d calls %9.0f ms %7.3f ms each %8d rows  %s", r.Calls, r.Total, r.Mean, r.Rows, r.Query)
	}
	_ = all
	return nil
}
