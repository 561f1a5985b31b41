package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

// measureHistory measures the same loop in empty tables and beside a great many finished sagas.
func (w workload) measureHistory(ctx context.Context, s settings, server *postgres) error {
	url, remove, err := s.location(ctx, w.db)
	if err != nil {
		return err
	}
	defer remove()
	if w.db != "postgres" {
		server = nil
	}
	var rates [2]float64
	for i := range rates {
		sys, err := newSystem(ctx, url, w)
		if err != nil {
			return err
		}
		if i == 1 {
			err = s.finishMany(ctx, sys)
		}
		var all []window
		if err == nil {
			all, err = s.loop(ctx, sys, w, server)
		}
		sys.stop()
		if err != nil {
			return err
		}
		rates[i] = s.report(w.name+[]string{"_before", ""}[i], all)
	}
	s.figure("rate_with_history."+w.db, rates[1]/rates[0], "of the rate without")
	return nil
}

// finishMany copies a finished saga with its log many times.
func (s settings) finishMany(ctx context.Context, sys *system) error {
	if err := sys.saga(ctx, "template", saga.Completed); err != nil {
		return err
	}
	numbers := "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n FROM c) AS g"
	if sys.db.Dialect().Name == "postgres" {
		numbers = "(SELECT generate_series(1, %d) AS n) AS g"
	}
	numbers = fmt.Sprintf(numbers, s.history)
	const template = "(SELECT MAX(id) FROM sagas WHERE status = 'completed')"
	for table, rest := range map[string]string{
		"saga_log": "version, line, at, kind, node, direction, attempt, detail",
		"sagas":    "definition, hash, saga_key, status, live, version, flags, stuck, reason, actions, started_at, updated_at, nodes, data, wake_at",
	} {
		id := map[string]string{"saga_log": "saga_id", "sagas": "id"}[table]
		query := "INSERT INTO " + table + " (" + id + ", " + rest + ") SELECT '0-' || g.n || '-history-of-some-length', " + rest +
			" FROM " + numbers + " CROSS JOIN " + table + " AS t WHERE t." + id + " = " + template
		err := sys.db.InTx(ctx, func(ctx context.Context, tx sqlx.ExtContext) error {
			_, err := tx.ExecContext(ctx, query)
			return err
		})
		if err != nil {
			return err
		}
	}
	return tidy(ctx, sys.db)
}

// tidy does what the database does by itself in time.
func tidy(ctx context.Context, db *sqldb.DB) error {
	if db.Dialect().Name != "postgres" {
		return nil
	}
	_, err := db.Writer().ExecContext(ctx, "VACUUM ANALYZE")
	if err == nil {
		_, err = db.Writer().ExecContext(ctx, "CHECKPOINT")
	}
	return err
}

// measureInFlight begins very many sagas whose first step is not answered, and looks at the memory of this process.
func (w workload) measureInFlight(ctx context.Context, s settings, _ *postgres) error {
	return w.within(ctx, s, func(sys *system) error { return w.startMany(ctx, s, sys) })
}

func (w workload) startMany(ctx context.Context, s settings, sys *system) (err error) {
	began := time.Now()
	var starters sync.WaitGroup
	var mu sync.Mutex
	const clients = 256
	for client := range clients {
		starters.Go(func() {
			for n := client; n < s.inFlight; n += clients {
				if _, fault := coordinator.Start(ctx, sys.coordinator, sys.definition, order{ID: strconv.Itoa(n)}); fault != nil {
					mu.Lock()
					err = errors.Join(err, fault)
					mu.Unlock()
					return
				}
			}
		})
	}
	starters.Wait()
	for sys.executed.Load() < int64(s.inFlight) && err == nil {
		err = sleep(ctx, 10*time.Millisecond)
	}
	if err != nil {
		return err
	}
	s.figure("starts_per_s."+w.db, float64(s.inFlight)/time.Since(began).Seconds(), "1/s")
	s.figure("in_flight_rss_mb."+w.db, resident(), "MB")
	return nil
}

// resident is the memory of this process that is in use, in MB.
func resident() float64 {
	if text, err := os.ReadFile("/proc/self/status"); err == nil {
		if _, rest, found := bytes.Cut(text, []byte("VmRSS:")); found {
			fields := strings.Fields(string(rest))
			if kb, err := strconv.ParseFloat(fields[0], 64); err == nil {
				return kb / 1024
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}
