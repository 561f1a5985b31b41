// Package memsaga keeps sagas in memory: for tests, examples and as the model that other stores are compared with.
//
// # Semantics
//
// [Store] implements [coordinator.Store], [coordinator.Reader] and, for the messages of its commits, outbox.Store. A commit is
// atomic; nothing is shared with callers. Nothing survives the process.
//
// # Limits
//
// Due looks at every instance, so it is for thousands of them, not for millions.
package memsaga
