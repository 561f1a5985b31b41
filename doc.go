// Package alpespartners is the root of a module for business transactions that span services: sagas
// that are declared, run over a message broker and a SQL database, and need no workflow server. The
// package itself is empty; this is the map.
//
// # Declare and decide
//
//   - [saga]: a saga as a definition of typed steps, and Decide, the pure function that says what comes next
//   - [cqrs]: typed dispatch of commands and queries inside a process
//   - [messaging]: messages, the router, codecs and the classes of errors
//
// These three import the standard library only and do not know each other.
//
// # Run
//
//   - [coordinator]: the loop that loads, decides, commits, and only then sends
//   - [memsaga] and [sqlsaga]: where instances are kept
//   - [inbox]: a participant's handlers, each with its reply in one transaction, and the barrier
//     that makes repeated and overtaken commands harmless
//   - [outbox]: the relay that publishes what was committed
//   - [sqlmsg]: inbox, outbox and dead letters on SQL
//   - [pulsarmsg]: the driver for Apache Pulsar
//   - [memmsg]: a broker inside the process
//   - [avromsg]: Avro schemas
//   - [otelmsg]: OpenTelemetry's spans over any broker
//
// # Test and look
//
//   - [sagatest] and [messagingtest]: one suite for each interface, for your own drivers too; Explore, the simulator for your definitions
//   - [picture]: diagrams of definitions and instances, and an instance's timeline
//
// # See it whole
//
//   - [alpes]: the reference domain (campaigns, partners, tracking), written as one writes one's own
//   - [server]: its server; "go run ./server" needs nothing else
//   - [examples]: numbered, each runs with one command
//
// The README says when not to use any of this, ARCHITECTURE.md how the parts work together, GUARANTEES.md what
// is promised and which tests prove it, and docs/adr why it is so.
//
// [saga]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga
// [cqrs]: https://pkg.go.dev/github.com/alpespartners/alpespartners/cqrs
// [messaging]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging
// [coordinator]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/coordinator
// [memsaga]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/memsaga
// [sqlsaga]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/sqlsaga
// [sagatest]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/sagatest
// [picture]: https://pkg.go.dev/github.com/alpespartners/alpespartners/saga/picture
// [inbox]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/inbox
// [outbox]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/outbox
// [sqlmsg]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/sqlmsg
// [pulsarmsg]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/pulsarmsg
// [memmsg]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/memmsg
// [avromsg]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/avromsg
// [otelmsg]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/otelmsg
// [messagingtest]: https://pkg.go.dev/github.com/alpespartners/alpespartners/messaging/messagingtest
// [alpes]: https://pkg.go.dev/github.com/alpespartners/alpespartners/alpes
// [server]: https://pkg.go.dev/github.com/alpespartners/alpespartners/server
// [examples]: https://pkg.go.dev/github.com/alpespartners/alpespartners/examples
package alpespartners
