package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/alpespartners/alpespartners/internal/sqldb"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
	"github.com/alpespartners/alpespartners/saga/sqlsaga"
)

// The work item: three steps in sequence, each of which returns about 200 bytes of JSON that the saga keeps.
type (
	order struct {
		ID      string
		Results []string
	}
	work    struct{ Order, Step string }
	refuse  struct{ Order string }
	undo    struct{ Order, Step string }
	worked  struct{ Result string }
	refused struct{ Why string }
	undone  struct{}
)

func step(name string, timeout time.Duration) *saga.StepNode[order] {
	return saga.Step(name,
		saga.Do(func(o order) work { return work{o.ID, name} }),
		saga.On(func(o *order, e worked) { o.Results = append(o.Results, e.Result) }),
		saga.Undo(func(o order) undo { return undo{o.ID, name} })).Timeout(timeout)
}

// definition returns the saga of the workload.
func definition(w workload) *saga.Definition[order] {
	timeout := saga.DefaultTimeout
	if w.silent {
		timeout = time.Hour
	}
	last := step("third", timeout)
	if w.refuse {
		last = saga.Step("third",
			saga.Do(func(o order) refuse { return refuse{o.ID} }),
			saga.On(func(*order, worked) {}),
			saga.OnFailure(func(*order, refused) {}),
			saga.Undo(func(o order) undo { return undo{o.ID, "third"} }))
	}
	return saga.MustDefine("order", step("first", timeout), step("second", timeout), last)
}

// system is a database, a broker in memory, a coordinator and one participant.
type system struct {
	db          *sqldb.DB
	coordinator *coordinator.Coordinator
	definition  *saga.Definition[order]
	executed    atomic.Int64 // commands that the participant handled
	stop        func()
}

// location returns the URL of an empty database, and how to remove it.
func (s settings) location(ctx context.Context, db string) (url string, remove func(), err error) {
	if db == "sqlite" {
		dir, err := os.MkdirTemp(s.dir, "bench-sqlite-")
		return "sqlite:" + filepath.Join(dir, "bench.db"), func() { _ = os.RemoveAll(dir) }, err
	}
	server, err := sqldb.Open(ctx, s.url)
	if err != nil {
		return "", nil, err
	}
	name := "bench_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err = server.Reader().ExecContext(ctx, "CREATE DATABASE "+name)
	remove = func() {
		_, _ = server.Reader().ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		_ = server.Close()
	}
	before, after, _ := strings.Cut(s.url, "?")
	return before[:strings.LastIndexByte(before, '/')+1] + name + "?" + after, remove, err
}

// newSystem builds and starts everything; a durable participant has its inbox and outbox in the same database.
func newSystem(ctx context.Context, url string, w workload) (*system, error) {
	db, err := sqldb.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	sys := &system{db: db, definition: definition(w)}
	messages, err := sqlmsg.NewStore(db, sqlmsg.Config{})
	if err != nil {
		return nil, err
	}
	sagas, err := sqlsaga.New(db, sqlsaga.Config{Outbox: messages})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(messages.Migrate(ctx), sagas.Migrate(ctx)); err != nil {
		return nil, err
	}
	if err := sys.start(ctx, sagas, messages, w); err != nil {
		return nil, err
	}
	return sys, nil
}

// carrier is a broker that can be closed.
type carrier interface {
	messaging.Broker
	Close() error
}

// carrier returns the workload's broker: one in memory, unless it has another.
func (w workload) carrier() carrier {
	if w.broker != nil {
		return w.broker
	}
	return memmsg.New(memmsg.Config{})
}

// start runs a coordinator over the store, with one participant, and returns once both are ready. Stop closes the workload's broker too.
func (sys *system) start(ctx context.Context, sagas coordinator.Store, messages *sqlmsg.Store, w workload) error {
	codec, err := messaging.NewJSONCodec(
		messaging.JSON[work]("work", "commands"), messaging.JSON[refuse]("refuse", "commands"), messaging.JSON[undo]("undo", "commands"),
		messaging.JSON[worked]("worked", "events"), messaging.JSON[refused]("refused", "events"), messaging.JSON[undone]("undone", "events"))
	if err != nil {
		return err
	}
	broker := w.carrier()
	bus := messaging.Bus{Broker: broker, Codec: codec}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	sys.coordinator, err = coordinator.New(coordinator.Config{Store: sagas, Bus: bus, Definitions: []saga.Any{sys.definition}, Logger: logger})
	if err != nil {
		return err
	}
	var participant interface {
		Run(ctx context.Context) error
		Ready() <-chan struct{}
	}
	if w.durable {
		participant, err = sys.durableParticipant(bus, messages, logger)
	} else {
		participant, err = sys.plainParticipant(bus, logger, w.silent)
	}
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	parts.Go(func() { _ = participant.Run(running) })
	parts.Go(func() { _ = sys.coordinator.Run(running) })
	sys.stop = func() {
		cancel()
		_ = broker.Close()
		parts.Wait()
		if sys.db != nil {
			_ = sys.db.Close()
		}
	}
	<-participant.Ready()
	<-sys.coordinator.Ready()
	return nil
}

func result() worked { return worked{strings.Repeat("x", 180)} }

// handle is what the participant does with a command.
func (sys *system) handle(command any) (any, messaging.Outcome) {
	sys.executed.Add(1)
	switch command.(type) {
	case work:
		return result(), messaging.Success
	case refuse:
		return refused{"no"}, messaging.Failure
	default:
		return undone{}, messaging.Success
	}
}

// plainParticipant answers commands without a database of its own. A command is acknowledged once the broker keeps the reply, which
// is when the coordinator has committed it.
func (sys *system) plainParticipant(bus messaging.Bus, logger *slog.Logger, silent bool) (*messaging.Router, error) {
	router, err := messaging.NewRouter(messaging.RouterConfig{
		Subscriber: bus.Broker, DeadLetters: messaging.DeadLetterTopic(bus.Broker), Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	answer := func(m messaging.Message) (messaging.Message, error) {
		command, err := bus.Codec.Decode(m)
		if err != nil {
			return m, err
		}
		event, outcome := sys.handle(command)
		reply, err := bus.Codec.Encode(event)
		if err != nil {
			return m, err
		}
		c, _ := messaging.CorrelationOf(m)
		reply.ID, reply.Key = c.Saga+"/"+c.Node+"/"+string(c.Direction)+"/"+strconv.Itoa(c.Epoch), c.Saga
		reply = c.Stamp(reply)
		reply.Headers[messaging.HeaderOutcome] = string(outcome)
		return reply, nil
	}
	err = router.HandleBatch(messaging.Subscription{Topic: "commands", Name: "worker"}, func(ctx context.Context, batch []messaging.Message) []error {
		replies := make([]messaging.Message, len(batch))
		for i, m := range batch {
			if replies[i], err = answer(m); err != nil {
				return failed(len(batch), err)
			}
		}
		if silent {
			return nil
		}
		return failed(len(batch), messaging.Publish(ctx, bus.Broker, replies...))
	})
	return router, err
}

// failed is one error for each message of a batch.
func failed(n int, err error) []error {
	if err == nil {
		return nil
	}
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// durableParticipant answers with its inbox entry and its reply in one transaction.
func (sys *system) durableParticipant(bus messaging.Bus, messages *sqlmsg.Store, logger *slog.Logger) (*inbox.Service, error) {
	service, err := inbox.NewService(inbox.Config{Name: "worker", Bus: bus, Store: messages, Logger: logger})
	if err != nil {
		return nil, err
	}
	inbox.Handle(service, func(_ context.Context, _ inbox.Tx, c work) (worked, error) {
		sys.handle(c)
		return result(), nil
	})
	inbox.Handle(service, func(_ context.Context, _ inbox.Tx, c refuse) (worked, error) {
		sys.handle(c)
		return worked{}, messaging.Refuse(refused{"no"})
	})
	inbox.Handle(service, func(_ context.Context, _ inbox.Tx, c undo) (undone, error) {
		sys.handle(c)
		return undone{}, nil
	})
	return service, nil
}

// saga runs one saga to its end.
func (sys *system) saga(ctx context.Context, id string, want saga.Status) error {
	instance, err := coordinator.Start(ctx, sys.coordinator, sys.definition, order{ID: id})
	if err != nil {
		return err
	}
	end, err := sys.coordinator.Await(ctx, instance)
	if err == nil && end.Status != want {
		err = fmt.Errorf("saga %s is %s", instance, end.Status)
	}
	return err
}
