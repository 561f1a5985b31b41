package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
)

// limits measures what the machine can do at all, in the same run: single rows in a commit each, and many rows in one.
func (s settings) limits(ctx context.Context, name string, server *postgres) error {
	if name == "postgres" {
		if err := s.fsyncs(ctx); err != nil {
			return err
		}
	}
	url, remove, err := s.location(ctx, name)
	if err != nil {
		return err
	}
	defer remove()
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	bytes := map[string]string{"postgres": "BYTEA", "sqlite": "BLOB"}[name]
	create := func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE bench_rows (id BIGINT NOT NULL, data "+bytes+" NOT NULL)")
		return err
	}
	if err := db.InTx(ctx, create); err != nil {
		return err
	}
	clients := 16
	if name == "sqlite" {
		clients = 1
	}
	for _, rows := range []int{1, 100} {
		insert := inserter(db, rows)
		rate, err := s.rate(ctx, clients, func() error { return db.InTx(ctx, insert) })
		if err != nil {
			return err
		}
		s.figure(fmt.Sprintf("limit.rows_per_s.%s.%d_a_commit", name, rows), rate*float64(rows), "1/s")
	}
	if name != "postgres" {
		return nil
	}
	rate, err := s.rate(ctx, clients, func() error {
		_, err := db.Reader().ExecContext(ctx, "INSERT INTO bench_rows VALUES ($1, $2)", 1, make([]byte, 300))
		return err
	})
	if err != nil {
		return err
	}
	s.figure("limit.autocommits_per_s.postgres", rate, "1/s")
	before, err := readUsage(server)
	if err != nil {
		return err
	}
	rate, err = s.rate(ctx, clients, func() error {
		var one int
		return db.Reader().GetContext(ctx, &one, "SELECT 1")
	})
	s.figure("limit.round_trips_per_s.postgres", rate, "1/s")
	after, fault := readUsage(server)
	fault = errors.Join(fault, s.pgbench(ctx, url))
	spent := after.self - before.self + after.server - before.server
	s.figure("limit.cpu_us_per_round_trip.postgres", spent.Seconds()*1e6/(rate*after.at.Sub(before.at).Seconds()), "us")
	return errors.Join(err, fault)
}

// pgbench has PostgreSQL's own program measure a usual transaction with 64 clients: an update, a query and an insertion, without the few rows that all would
// update.
func (s settings) pgbench(ctx context.Context, url string) error {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench") // the pattern is a good one
		if len(found) == 0 {
			s.note("no pgbench: %v", err)
			return nil
		}
		program = slices.Max(found)
	}
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, program, append(args, url)...).CombinedOutput() //nolint:gosec // found above
		if err != nil {
			return "", fmt.Errorf("pgbench: %w: %s", err, out)
		}
		return string(out), nil
	}
	if _, err := run("-i", "-q", "-s", "16"); err != nil {
		return err
	}
	out, err := run("-n", "-N", "-M", "prepared", "-c", "64", "-j", "2", "-T", strconv.Itoa(max(1, int(s.window.Seconds()))))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(out, "tps = ")
	rate, err := strconv.ParseFloat(strings.TrimSpace(strings.Split(rest+"(", "(")[0]), 64)
	if err != nil {
		return fmt.Errorf("pgbench: %w: %s", err, out)
	}
	s.figure("limit.pgbench_tps.postgres", rate, "1/s")
	return nil
}

// inserter returns a transaction that inserts so many rows of 300 bytes with one statement.
func inserter(db *sqldb.DB, rows int) func(context.Context, sqlx.ExtContext) error {
	d := db.Dialect()
	data := make([]byte, 300)
	ids, values := make([]int64, rows), make([][]byte, rows)
	args := make([]any, 0, 2*rows)
	for i := range rows {
		values[i] = data
		args = append(args, i, data)
	}
	query := "INSERT INTO bench_rows SELECT * FROM unnest($1::bigint[], $2::bytea[])"
	if d.Name != "postgres" {
		query = "INSERT INTO bench_rows VALUES (?, ?)" + strings.Repeat(", (?, ?)", rows-1)
	} else {
		args = []any{ids, values}
	}
	return func(ctx context.Context, tx sqlx.ExtContext) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}
}

// rate returns how often so many clients do something in a second.
func (s settings) rate(ctx context.Context, clients int, do func() error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.window/2)
	defer cancel()
	var count atomic.Int64
	var running sync.WaitGroup
	faults := make([]error, clients)
	began := time.Now()
	for i := range clients {
		running.Go(func() {
			for ctx.Err() == nil && faults[i] == nil {
				faults[i] = do()
				count.Add(1)
			}
		})
	}
	running.Wait()
	return float64(count.Load()) / time.Since(began).Seconds(), errors.Join(faults...)
}

// fsyncs measures the disk: overwriting 8 KiB and waiting until it is there.
func (s settings) fsyncs(ctx context.Context) error {
	file, err := os.CreateTemp(s.dir, "bench-fsync-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	page := make([]byte, 8192)
	rate, err := s.rate(ctx, 1, func() error {
		_, err := file.WriteAt(page, 0)
		return errors.Join(err, file.Sync())
	})
	s.figure("limit.fsyncs_per_s", rate, "1/s")
	return errors.Join(err, file.Close())
}
