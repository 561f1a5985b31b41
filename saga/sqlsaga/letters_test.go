package sqlsaga_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/alpespartners/alpespartners/internal/testenv"
	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/memmsg"
	"github.com/alpespartners/alpespartners/saga"
	"github.com/alpespartners/alpespartners/saga/coordinator"
)

func TestDeadLettersAreKeptInTheDatabase(t *testing.T) {
	t.Parallel()
	keepsDeadLetters(t, "sqlite:"+filepath.Join(t.TempDir(), "sagas.db"))
}

func TestIntegrationDeadLettersAreKeptInTheDatabase(t *testing.T) {
	t.Parallel()
	for name, database := range testenv.Servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keepsDeadLetters(t, database(t).URL)
		})
	}
}

// keepsDeadLetters gives a coordinator that was told nothing of dead letters a reply to a saga that does not exist.
func keepsDeadLetters(t *testing.T, url string) {
	t.Helper()
	type (
		order  struct{ ID string }
		pack   struct{}
		packed struct{}
	)
	messages, store := open(t, url)
	codec, err := messaging.NewJSONCodec(messaging.JSON[pack]("pack", "commands"), messaging.JSON[packed]("packed", "events"))
	if err != nil {
		t.Fatal(err)
	}
	broker := memmsg.New(memmsg.Config{})
	defer func() { _ = broker.Close() }()
	c, err := coordinator.New(coordinator.Config{
		Store: store, Bus: messaging.Bus{Broker: broker, Codec: codec}, Logger: slog.New(slog.DiscardHandler),
		Definitions: []saga.Any{saga.MustDefine("order", saga.Step("pack",
			saga.Do(func(order) pack { return pack{} }), saga.On(func(*order, packed) {})).Pivot())},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-c.Ready()
	reply, err := codec.Encode(packed{})
	if err != nil {
		t.Fatal(err)
	}
	reply.ID = "reply-1"
	reply = messaging.Correlation{Saga: "nobody", Node: "pack", Direction: messaging.Do}.Stamp(reply)
	reply = reply.WithHeader(messaging.HeaderOutcome, string(messaging.Success))
	if err := messaging.Publish(ctx, broker, reply); err != nil { // returns once it is handled
		t.Fatal(err)
	}
	letters, err := messages.DeadLetters(ctx, 0, 10)
	if err != nil || len(letters) != 1 || letters[0].Message.ID != "reply-1" || letters[0].Reason == "" {
		t.Errorf("dead letters %+v, %v; want the reply with its reason", letters, err)
	}
}
