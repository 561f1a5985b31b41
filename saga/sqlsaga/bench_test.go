//go:build unix

package sqlsaga_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/outbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/memsaga"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// The work item: three steps in sequence, each of which returns about 200 bytes of JSON that the saga keeps.
type (
	order struct {
		ID      string
		Refuse  bool // the third step is refused
		Results []string
	}
	work    struct{ Order, Step string }
	refuse  struct{ Order string }
	undo    struct{ Order, Step string }
	worked  struct{ Result string }
	refused struct{ Why string }
	undone  struct{}
)

func benchStep(name string) *saga.StepNode[order] {
	return saga.Step(name,
		saga.Do(func(o order) work { return work{o.ID, name} }),
		saga.On(func(o *order, e worked) { o.Results = append(o.Results, e.Result) }),
		saga.Undo(func(o order) undo { return undo{o.ID, name} }))
}

func benchDefinition(third string) *saga.Definition[order] {
	last := benchStep("third")
	if third == "refused" {
		last = saga.Step("third",
			saga.Do(func(o order) refuse { return refuse{o.ID} }),
			saga.On(func(*order, worked) {}),
			saga.OnFailure(func(*order, refused) {}),
			saga.Undo(func(o order) undo { return undo{o.ID, "third"} }))
	}
	return saga.MustDefine("order", benchStep("first"), benchStep("second"), last)
}

// counted counts the transactions that write.
type (
	countedSagas struct {
		benchStore
		commits *atomic.Int64
	}
	countedMessages struct {
		messageStore
		commits *atomic.Int64
	}
	benchStore interface {
		coordinator.Store
		outbox.Store
	}
	messageStore interface {
		inbox.Store
		outbox.Store
	}
)

func (s countedSagas) Commit(ctx context.Context, changes []coordinator.Change) ([]saga.ID, error) {
	s.commits.Add(1)
	return s.benchStore.Commit(ctx, changes)
}

func (s countedSagas) Delete(ctx context.Context, ids []string) error {
	s.commits.Add(1)
	return s.benchStore.Delete(ctx, ids)
}

func (s countedMessages) InTx(ctx context.Context, fn func(ctx context.Context, tx inbox.Tx) error) error {
	s.commits.Add(1)
	return s.messageStore.InTx(ctx, fn)
}

func (s countedMessages) Delete(ctx context.Context, ids []string) error {
	s.commits.Add(1)
	return s.messageStore.Delete(ctx, ids)
}

func memoryStores(*testing.B) (benchStore, messageStore) { return memsaga.New(), inbox.NewMemory() }

// fileStores share a SQLite file with synchronous=FULL.
func fileStores(b *testing.B) (benchStore, messageStore) {
	b.Helper()
	return storesAt(b, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
}

func postgresStores(b *testing.B) (benchStore, messageStore) {
	b.Helper()
	return storesAt(b, testenv.Postgres(b).URL)
}

func mysqlStores(b *testing.B) (benchStore, messageStore) {
	b.Helper()
	return storesAt(b, testenv.MySQL(b).URL)
}

func storesAt(b *testing.B, url string) (benchStore, messageStore) {
	b.Helper()
	db, err := sqlmsg.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		b.Fatal(err)
	}
	sagas, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(messages.Migrate(b.Context()), sagas.Migrate(b.Context())); err != nil {
		b.Fatal(err)
	}
	return sagas, messages
}

// BenchmarkSagas is a closed loop of sagas of three steps over the memory broker: so many are outstanding at a time, and each is
// waited for until its last commit.
func BenchmarkSagas(b *testing.B) {
	for name, stores := range map[string]func(*testing.B) (benchStore, messageStore){
		"sqlite": fileStores, "memory": memoryStores, "postgres": postgresStores, "mysql": mysqlStores,
	} {
		for third, want := range map[string]saga.Status{"done": saga.Completed, "refused": saga.Compensated} {
			for _, outstanding := range []int{64, 1} {
				b.Run(fmt.Sprintf("%s/%s/%d", name, third, outstanding), func(b *testing.B) {
					def := benchDefinition(third)
					sagas, messages := stores(b)
					var commits atomic.Int64
					c := benchSystem(b, def, countedSagas{sagas, &commits}, countedMessages{messages, &commits})
					run := func(n int) time.Duration {
						began := time.Now()
						id, err := coordinator.Start(context.Background(), c, def, order{ID: fmt.Sprint(n)})
						if err != nil {
							b.Error(err)
							return 0
						}
						if end, err := c.Await(context.Background(), id); err != nil || end.Status != want {
							b.Errorf("%s: %s, %v", id, end.Status, err)
						}
						return time.Since(began)
					}
					closedLoop(b, outstanding, &commits, run)
				})
			}
		}
	}
}

// benchSystem runs a coordinator and one participant.
func benchSystem(b *testing.B, def saga.Any, sagas benchStore, messages messageStore) *coordinator.Coordinator {
	b.Helper()
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[work]("work", "commands"), messaging.JSON[refuse]("refuse", "commands"), messaging.JSON[undo]("undo", "commands"),
		messaging.JSON[worked]("worked", "events"), messaging.JSON[refused]("refused", "events"), messaging.JSON[undone]("undone", "events"))
	if err != nil {
		b.Fatal(err)
	}
	broker := memmsg.New(memmsg.Config{})
	bus := messaging.Bus{Broker: broker, Codec: codec}
	quiet := slog.New(slog.DiscardHandler)
	service, err := inbox.NewService(inbox.Config{Name: "worker", Bus: bus, Store: messages, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	result := strings.Repeat("x", 180)
	inbox.Handle(service, func(context.Context, inbox.Tx, work) (worked, error) { return worked{result}, nil })
	inbox.Handle(service, func(context.Context, inbox.Tx, refuse) (worked, error) {
		return worked{}, messaging.Refuse(refused{"no"})
	})
	inbox.Handle(service, func(context.Context, inbox.Tx, undo) (undone, error) { return undone{}, nil })
	c, err := coordinator.New(coordinator.Config{Store: sagas, Bus: bus, Definitions: []saga.Any{def}, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = service.Run(ctx) })
	running.Go(func() { _ = c.Run(ctx) })
	b.Cleanup(func() {
		stop()
		_ = broker.Close()
		running.Wait()
	})
	<-service.Ready()
	<-c.Ready()
	return c
}

// closedLoop runs b.N items, so many at a time, and reports rate, latency, CPU time and commits.
func closedLoop(b *testing.B, outstanding int, commits *atomic.Int64, run func(n int) time.Duration) {
	b.Helper()
	slots := make(chan struct{}, outstanding)
	var mu sync.Mutex
	var took []time.Duration
	var running sync.WaitGroup
	commits.Store(0)
	cpu := cpuTime(b)
	n := 0
	for b.Loop() {
		n++
		slots <- struct{}{}
		item := n
		running.Go(func() {
			d := run(item)
			mu.Lock()
			took = append(took, d)
			mu.Unlock()
			<-slots
		})
	}
	running.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "sagas/s")
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric((cpuTime(b)-cpu).Seconds()*1e3/float64(n), "cpu-ms/saga")
	b.ReportMetric(float64(commits.Load())/float64(n), "commits/saga")
	b.ReportMetric(0, "ns/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
