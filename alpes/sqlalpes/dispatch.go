package sqlalpes

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/cqrs"
	"github.com/alpespartners/alpespartners/messaging/inbox"
	"github.com/alpespartners/alpespartners/messaging/sqlmsg"
)

// Dispatch makes the bus the service's handler of command C, which answers with R: the bus's handler runs in the
// participant's transaction, which this package's repositories find in the context.
func Dispatch[C, R any](service *inbox.Service, bus *cqrs.Bus) {
	sqlmsg.Handle(service, func(ctx context.Context, tx sqlx.ExtContext, command C) (R, error) {
		return cqrs.Send[R](WithTx(ctx, tx), bus, command)
	})
}
