// Package app wires the reference system: the services of Alpes Partners, their database, the broker between them, the saga
// coordinator and the HTTP servers in front. It decides nothing; the packages that it joins do.
//
// # Life
//
// [New] opens and prepares everything but the connection to a broker outside, [App.Run] serves until its context ends and then stops in the order of the
// dependencies, so that nothing in flight is lost: first the HTTP servers, then the relay, the services and the
// coordinator, last the broker and the database. [App.Ready] is closed once requests can be served.
//
// # Coordination
//
// [Config].Coordination says how new sagas begin: orchestrated, or choreographed. Both kinds run in any case, so that the setting may
// change between two runs: the coordinator, which runs with campaign, has the orchestrated definition and the watcher's, and each
// service has a coordinator of its own, over tables of its own, as its party. A choreographed saga begins with the watcher and then with
// campaign's party; a start that a crash cut in two is finished by the next run.
//
// # Durability
//
// The in-process broker keeps nothing on disk and need not: a message's outbox row is only deleted when every
// subscription has acknowledged it, which a service does after its commit. After a kill -9 the relay finds the rows.
//
// # Several processes
//
// With a Pulsar as [Config].Broker, a process may run a part of the services. Those that keep something have an outbox, an inbox and their
// tables in one database, which may be everybody's; the bff has none, and waits for the broker before it answers. Before a process
// publishes anything it makes the subscriptions of those who read it, so that the others may start later. It asks the services that run
// elsewhere over HTTP ([Config].Hosts). A pause, or an action on a party, holds for the process that is asked.
package app
