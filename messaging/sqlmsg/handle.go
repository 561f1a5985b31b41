package sqlmsg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/alpespartners/alpespartners/messaging"
	"github.com/alpespartners/alpespartners/messaging/inbox"
)

// ErrForeignTx says that a handler of this package was registered with a service on another kind of store.
var ErrForeignTx = errors.New("sqlmsg: the service's store is none of this package")

// Handle registers fn with a service whose store is a [Store]; it is [inbox.Handle] with the database's own transaction in hand.
// Everything that fn does through tx is committed together with the inbox entry and the reply, or not at all.
// Placeholders are the database's, ? or $1: write ? and have tx.Rebind turn them into these, and the same text runs on all.
// tx must not be kept, committed or rolled back.
func Handle[C, R any](s *inbox.Service, fn func(ctx context.Context, tx sqlx.ExtContext, command C) (R, error)) {
	inbox.Handle(s, func(ctx context.Context, tx inbox.Tx, command C) (R, error) {
		ext, err := handlerTxOf(tx)
		if err != nil {
			var none R
			return none, err
		}
		return fn(ctx, ext, command)
	})
}

// handlerTx is the transaction as a handler sees it. [Store.Append] knows it by its type, so that the service
// learns of what the handler appends.
type handlerTx struct {
	sqlx.ExtContext
	store *Store
	tx    inbox.Tx
}

func handlerTxOf(tx inbox.Tx) (*handlerTx, error) {
	for inner := tx; ; {
		if own, ok := inner.(*storeTx); ok {
			return &handlerTx{ExtContext: own.ext, store: own.store, tx: tx}, nil
		}
		wrapper, ok := inner.(interface{ Unwrap() inbox.Tx })
		if !ok {
			return nil, messaging.Permanent(fmt.Errorf("%w: %T", ErrForeignTx, inner))
		}
		inner = wrapper.Unwrap()
	}
}
