// Package cqrs does the typed dispatch of commands and queries to their handlers, inside one process.
//
// A command asks for a change and has exactly one handler; a query asks for an answer, changes
// nothing, and has exactly one handler too. Both are plain structs. The two kinds live in separate
// registries, so a query can never be sent as a command by mistake.
//
//	bus := cqrs.NewBus(cqrs.Config{Middleware: []cqrs.Middleware{
//		cqrs.Logging(logger),
//		cqrs.Validation(),
//		cqrs.UnitOfWork(inTransaction),
//	}})
//	err := errors.Join(
//		cqrs.Handle(bus, campaigns.Register),   // func(context.Context, RegisterCampaign) (CampaignID, error)
//		cqrs.HandleQuery(bus, campaigns.Find),  // func(context.Context, FindCampaign) (Campaign, error)
//	)
//	id, err := cqrs.Send[CampaignID](ctx, bus, RegisterCampaign{Name: "spring"})
//	c, err := cqrs.Ask[Campaign](ctx, bus, FindCampaign{ID: id})
//
// The types are checked where they are written: [Handle] infers both from the handler, and [Send]
// names the result, the only type that cannot be inferred. Types are erased at once: they appear
// neither on [Bus] nor on [Middleware].
//
// # Guarantees
//
// Dispatch calls the handler in the caller's goroutine, exactly once (unless a middleware decides
// otherwise), and returns what it returned. Without middleware it allocates nothing.
//
// There are no wire names, no retries and no queues here: to reach a handler in another process, send a
// message with package messaging, whose handler may call [Send] in turn.
//
// # Life of a bus
//
// Make it with [NewBus] (the zero Bus works and has no middleware), register the handlers at start-up
// and join the errors, then dispatch. There is nothing to stop.
//
// # Middleware
//
// A [Middleware] wraps a [Handler]. The first one given is the outermost: it sees the message first and
// the error last. Chains are built when a handler is registered, never while dispatching. This
// package has [Logging], [Validation], [Observe] and [UnitOfWork]; a sound order is that one.
//
// # Errors
//
// A handler's error is returned as it is. The package's own are [ErrNoHandler], [ErrResultType] and
// [ErrInvalid] from dispatch, [ErrDuplicateHandler] and [ErrBadHandler] from registration; the types
// [MessageError] and [ResultTypeError] say which message they are about. None of them quotes the contents of
// a message. A result that comes with an error means nothing.
//
// A panic of a handler or a middleware becomes a [*PanicError] that carries the stack. A
// handler's panic is caught beneath the middleware, so that a unit of work around it rolls back
// as for any other error.
//
// # Concurrency
//
// All functions may be called from any number of goroutines. A handler may be registered while others are
// dispatched to; dispatch never waits for a lock.
package cqrs
